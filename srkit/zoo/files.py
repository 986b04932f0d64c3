"""Checks of a weights file before it is read."""

from __future__ import annotations

import hashlib
import stat
import zipfile
from pathlib import Path

from srkit.errors import ResourceError

_LFS_POINTER = b"version https://git-lfs.github.com/spec/"
_ZIP = b"PK\x03\x04"
_MAX_UNPACKED = 4
"""Maximal ratio of a zip's content to its size: PyTorch does not compress."""


def sha256_of(path: Path) -> str:
    """SHA-256 of a file's content, in lower-case hexadecimal.

    Raises:
        ResourceError: the file cannot be read.
    """
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise unreadable(path, error) from error


def check_checkpoint(path: Path) -> None:
    """Check that `path` is a file that may hold weights.

    Raises:
        ResourceError: it is missing, a folder, a device or pipe, empty, unreadable, a git-lfs pointer, or a zip whose
            content is much larger than the file.
    """
    try:
        mode = path.stat().st_mode
        if stat.S_ISDIR(mode):
            raise ResourceError(f"'{path}' is a folder; expected a file of weights.")
        if not stat.S_ISREG(mode):
            raise ResourceError(f"'{path}' is a device or pipe; expected a file of weights.")
        with path.open("rb") as file:
            start = file.read(len(_LFS_POINTER))
    except FileNotFoundError as error:
        raise ResourceError(f"There is no file '{path}'; expected a file of weights.") from error
    except OSError as error:
        raise unreadable(path, error) from error
    if not start:
        raise ResourceError(f"'{path}' is empty; expected a file of weights: fetch it again.")
    if start == _LFS_POINTER:
        raise ResourceError(
            f"'{path}' is a git-lfs pointer, not the weights; run `git lfs pull` where it came from."
        )
    if start.startswith(_ZIP):
        _check_zip(path)


def _check_zip(path: Path) -> None:
    """Refuse a zip that would exhaust the memory; damaged zips are refused by their reader."""
    try:
        with zipfile.ZipFile(path) as archive:
            content = sum(info.file_size for info in archive.infolist())
    except (OSError, ValueError, zipfile.BadZipFile, NotImplementedError):
        return
    size = path.stat().st_size
    if content > _MAX_UNPACKED * size + 2**20:
        raise ResourceError(
            f"'{path}' has {size} bytes and unpacks to {content}; it is no file that PyTorch wrote, and may be made to "
            "harm: fetch it from where it was published."
        )


def unreadable(path: Path, error: OSError) -> ResourceError:
    return ResourceError(f"'{path}' cannot be read: {error.strerror or error}.")
