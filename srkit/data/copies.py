"""Detection of duplicate images by content, so that no image is in both training and validation data."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from srkit.data.benchmarks import listed

_DIGEST_BYTES = 16


def fingerprint(pixels: NDArray[np.uint8]) -> bytes:
    """Hash of an image's size and pixels: equal for equal content in any encoding.

    Args:
        pixels: (H, W, C) uint8.
    """
    digest = hashlib.blake2b(repr(pixels.shape).encode(), digest_size=_DIGEST_BYTES)
    digest.update(np.ascontiguousarray(pixels).data)
    return digest.digest()


class Copies:
    """Filter of duplicate images that records the duplicates of each first occurrence.

    An image may have several views, such as HR and LR; it is a duplicate if any of them equals the same view of an
    earlier image.
    """

    def __init__(self) -> None:
        self._first: dict[tuple[int, bytes], str] = {}
        self._copies: dict[str, list[str]] = {}

    def add(self, name: str, *views: NDArray[np.uint8]) -> bool:
        """Record an image unless it is a duplicate; return whether it was recorded."""
        if self.has(name, *views):
            return False
        self._first |= dict.fromkeys(_keys(views), name)
        return True

    def has(self, name: str, *views: NDArray[np.uint8]) -> bool:
        """Return whether an image duplicates a recorded one; if so, `sentences` name it."""
        first = next((self._first[key] for key in _keys(views) if key in self._first), None)
        if first is not None:
            self._copies.setdefault(first, []).append(name)
        return first is not None

    @property
    def sentences(self) -> list[str]:
        """One sentence for each image that has duplicates."""
        return [
            f"{listed(names)} {'has' if len(names) == 1 else 'have'} the same content as '{first}' and "
            f"{'is' if len(names) == 1 else 'are'} left out."
            for first, names in self._copies.items()
        ]


def _keys(views: Sequence[NDArray[np.uint8]]) -> list[tuple[int, bytes]]:
    return list(enumerate(map(fingerprint, views)))


def same_bytes(files: Iterable[Path], others: Iterable[Path]) -> set[Path]:
    """Files whose bytes equal those of one of the others.

    Only files of a size that occurs on both sides are read. Unreadable files never match.
    """
    sizes: dict[int, list[Path]] = {}
    for other in others:
        sizes.setdefault(_size(other), []).append(other)
    sizes.pop(-1, None)
    known: dict[int, set[bytes]] = {}
    found = set()
    for file in files:
        size = _size(file)
        if size not in sizes:
            continue
        if size not in known:
            known[size] = {_hash(other) for other in sizes[size]} - {b""}
        if _hash(file) in known[size]:
            found.add(file)
    return found


def _size(file: Path) -> int:
    try:
        return file.stat().st_size
    except OSError:
        return -1


def _hash(file: Path) -> bytes:
    """Hash of the content; empty if unreadable."""
    try:
        with file.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").digest()
    except OSError:
        return b""
