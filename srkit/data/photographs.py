"""Training and validation images: search, reading, and reports of unusable files."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from srkit.data.benchmarks import rgb8
from srkit.data.copies import fingerprint
from srkit.errors import ImageError, SrkitError, UsageError
from srkit.io.folders import find_images
from srkit.io.names import shown
from srkit.io.read import probe, read_image
from srkit.ops.layout import RGB
from srkit.progress import Progress

_NAMED = 5
_COPY = "have the same content as one to validate on"


def find_photographs(folders: Sequence[Path], progress: Progress | None = None) -> list[Path]:
    """Find image files anywhere under the folders, sorted by path within each folder; see `srkit.io.folders`.

    Args:
        progress: warned of images that are unreadable by their extension.

    Raises:
        UsageError: a folder does not exist.
        SrkitError: a folder without images.
    """
    found: list[Path] = []
    for folder in folders:
        if not folder.is_dir():
            raise UsageError(
                f"The training folder {shown(folder)} is not there; give an existing folder to `data`."
            )
        found += [one.path for one in find_images(folder, recursive=True, progress=progress)]
    # One folder may contain another. Path.resolve would raise for symlink loops.
    return list({os.path.realpath(file): file for file in found}.values())


def read_rgb8(path: Path) -> RGB:
    """Decode to RGB uint8 with orientation applied, gray repeated, alpha composited over white, and 16 bit rounded.

    Raises:
        ImageError: the file cannot be read as an image.
    """
    return rgb8(read_image(path))


class PhotographReader:
    """Reader of images that records unusable ones.

    Args:
        min_side: shortest side of a usable image, in pixels.
        gray: accept images without colour.
    """

    def __init__(self, min_side: int, *, gray: bool = True) -> None:
        self.min_side, self.gray = min_side, gray
        self._count = self._usable = 0
        self._left_out: dict[str, list[str]] = {}
        self._excluded: set[bytes] = set()

    def leave_out(self, copies: Iterable[Path], images: Sequence[RGB]) -> None:
        """Exclude images with the content of a validation image from now on.

        Args:
            copies: files known to be such duplicates, which the caller does not read.
            images: validation images.
        """
        names = sorted(file.name for file in copies)
        if names:
            self._count += len(names)
            self._left_out.setdefault(_COPY, []).extend(names)
        self._excluded |= {fingerprint(image) for image in images}

    def read(self, file: Path) -> RGB | None:
        """Read an image; None if it is unusable."""
        self._count += 1
        try:
            image = read_rgb8(file)
        except ImageError:
            why = "cannot be decoded"
        else:
            if min(image.shape[:2]) < self.min_side:
                why = f"have a side below {self.min_side} pixels"
            elif not self.gray and is_gray(image):
                why = "are gray"
            elif self._excluded and fingerprint(image) in self._excluded:
                why = _COPY
            else:
                self._usable += 1
                return image
        self._left_out.setdefault(why, []).append(file.name)
        return None

    def read_all(self, files: Sequence[Path], progress: Progress) -> tuple[list[Path], list[RGB]]:
        """Read the usable files and their images; report the others.

        Raises:
            SrkitError: no image is usable.
        """
        progress.start("reading images", len(files))
        kept: list[Path] = []
        images: list[RGB] = []
        for file in files:
            image = self.read(file)
            if image is not None:
                kept.append(file)
                images.append(image)
            progress.advance()
        progress.finish()
        self.report(progress)
        if not images:
            raise self.none_usable()
        return kept, images

    def report(self, progress: Progress) -> None:
        """Warn once of the images left out so far."""
        for why, names in self._left_out.items():
            more = ", ..." if len(names) > _NAMED else ""
            progress.warn(
                f"{len(names)} of {self._count} images {why} and are left out: {', '.join(names[:_NAMED])}{more}."
            )
        self._left_out.clear()

    def none_usable(self) -> SrkitError:
        """Error for the case that no image, apart from the validation images, was usable."""
        few = f"Only {self._usable} of" if self._usable else "None of"
        held = ", and what validates is not trained on" if self._usable else ""
        return SrkitError(
            f"{few} the {self._count} images can be used{held}; more readable {'' if self.gray else 'colour '}images "
            f"with both sides of {self.min_side} pixels or more are needed."
        )


@dataclass(frozen=True)
class HeldOut:
    """Files to train on, and validation files with their images (H, W, 3)."""

    rest: list[Path]
    files: list[Path]
    images: list[RGB]
    unused: list[Path]
    """Unusable files."""


def hold_out(files: Sequence[Path], every: int, reader: PhotographReader) -> HeldOut:
    """Hold out the first usable one of every `every` consecutive files for validation; leave out unusable ones.

    If all are usable, that is every n-th file.

    Raises:
        SrkitError: no image is usable.
    """
    rest: list[Path] = []
    held: list[Path] = []
    images: list[RGB] = []
    unused: list[Path] = []
    for start in range(0, len(files), every):
        block = list(files[start : start + every])
        while block:
            file = block.pop(0)
            image = reader.read(file)
            if image is not None:
                held.append(file)
                images.append(image)
                break
            unused.append(file)
        rest += block
    if not images:
        raise reader.none_usable()
    return HeldOut(rest, held, images, unused)


def is_gray(image: RGB) -> bool:
    """Return whether all three channels are equal."""
    return bool((image[:, :, :1] == image).all())


def fits_in_memory(
    files: Sequence[Path], scale: int, device: torch.device, sizes: Sequence[float] = (1.0,)
) -> bool:
    """Return whether HR and LR as uint8, at every factor of `sizes`, take at most half of the device's free memory.

    Image sizes are estimated from the headers of a sample of the files.
    """
    found = []
    for file in files[:: max(1, len(files) // 16)]:
        with contextlib.suppress(ImageError):
            info = probe(file)
            found.append(3 * info.width * info.height)
    mean = sum(found) / max(1, len(found))
    need = mean * len(files) * (1 + 1 / scale**2) * sum(factor**2 for factor in sizes)
    if device.type == "cuda":
        free = torch.cuda.mem_get_info(device)[0]
    else:
        free = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return need <= free / 2
