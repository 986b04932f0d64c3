"""Benchmark sets by name, and folders of reference images with the same layout."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from srkit.errors import ResourceError, SrkitError, UsageError, nearest
from srkit.io.folders import find_images
from srkit.io.image import DecodedImage
from srkit.io.names import shown
from srkit.io.remote import Remote
from srkit.progress import Progress
from srkit.zoo.cache import cache_dir

P = TypeVar("P", bound=Path | Remote)

DATA_VARIABLE = "SRKIT_DATA"
MADE = "made: bicubic uint8"
"""LR source for images downscaled from the reference as by MATLAB's imresize."""
NONE = "none"
"""LR source if there are no LR images."""

HOW_TO_GET: Mapping[str, str] = {
    "Set5": "`srkit eval --dataset Set5` fetches it",
    "Set14": "`srkit eval --dataset Set14` fetches it",
    "BSD100": "`srkit eval --dataset BSD100` fetches it",
    "Urban100": "`srkit eval --dataset Urban100` fetches it",
    "Manga109": "its licence must be agreed to at http://www.manga109.org, then put its pages there",
    "DIV2K-val": "put DIV2K_valid_HR of https://data.vision.ee.ethz.ch/cvl/DIV2K there",
}
"""Well-known sets, and instructions for obtaining each."""


@dataclass(frozen=True)
class BenchmarkItem:
    """Reference image, and its LR image if given."""

    name: str
    hr: Path | Remote
    lr: Path | Remote | None
    """None if it is to be made from the reference, as far as the protocol allows."""


@dataclass(frozen=True)
class Benchmark:
    """Folder of reference images."""

    name: str
    folder: Path | Remote
    """Folder of the reference images; LR images lie beside it."""

    def given_lr(self, scale: int) -> Path | Remote | None:
        """Folder of LR images for a scale, `LR_bicubic/X4` or `LR/X4` beside the reference's; None if absent."""
        for above in ("LR_bicubic", "LR"):
            folder = self.folder.parent / above / f"X{scale}"
            if folder.is_dir():
                return folder
        return None

    def lr_source(self, scale: int, *, makes_lr: bool = True) -> str:
        """Source of the LR images: `LR_bicubic/X4`, `made: bicubic uint8`, or `none`."""
        folder = self.given_lr(scale)
        if folder is not None:
            return f"{folder.parent.name}/{folder.name}"
        return MADE if makes_lr else NONE

    def pairs(self, scale: int, progress: Progress | None = None) -> list[BenchmarkItem]:
        """Reference images by name, each with its LR image if there is a folder of them.

        An LR image has the name of its reference, optionally with the suffix `x4`.

        Args:
            progress: warned of images that are unreadable by their extension.

        Raises:
            SrkitError: no images, or two of one name.
            UsageError: the folder of LR images lacks some; the message lists them.
        """
        references = by_name(self.folder, progress)
        folder = self.given_lr(scale)
        if folder is None:
            return [BenchmarkItem(name, path, None) for name, path in references.items()]
        given = by_name(folder, progress)
        partners = {name: given.get(f"{name}x{scale}", given.get(name)) for name in references}
        if missing := [name for name, path in partners.items() if path is None]:
            raise UsageError(
                f"The folder {shown(folder)} lacks the LR images of {listed(missing)}; add them, or take the folder "
                "away and have them made."
            )
        return [BenchmarkItem(name, path, partners[name]) for name, path in references.items()]


def find_dataset(name: str, root: Path | Remote | None = None) -> Benchmark:
    """Find the set of that name: `DIR/NAME/HR`, else `DIR/benchmarks/NAME/HR`.

    Args:
        name: `Set5`, or the name of any folder.
        root: DIR, or a URL; by default `$SRKIT_DATA`, then the cache that fetched sets go to.

    Raises:
        UsageError: `root` is no folder, or `name` is not a valid name.
        ResourceError: the set is in none of these places; the message lists them and how to obtain it.
    """
    if not name or name in (".", "..") or "/" in name or os.sep in name:
        raise UsageError(
            f"'{name}' is no name of a data set; expected one like Set5, or `sr` and `hr` with folders."
        )
    if root is not None and not root.is_dir():
        raise UsageError(f"The folder of data {shown(root)} is not there; check `data_root`.")
    places = [place for above in data_roots(root) for place in (above / name, above / "benchmarks" / name)]
    for place in places:
        if (place / "HR").is_dir():
            return Benchmark(name, place / "HR")
    looked = ", ".join(shown(place / "HR") for place in places)
    here = [place.parent for place in places if isinstance(place, Path)]
    known = {*HOW_TO_GET, *(path.parent.name for above in here for path in above.glob("*/HR"))}
    how = HOW_TO_GET.get(name) or "put its images there, or name the folder above with `data_root`"
    raise ResourceError(
        f"The data set '{name}' is not on this machine; looked for {looked}: {how}."
        + ("" if name in HOW_TO_GET else nearest(name, known))
    )


def data_roots(root: Path | Remote | None = None) -> list[Path | Remote]:
    """Folders that are searched for sets: `root` alone, else `$SRKIT_DATA` and the cache."""
    if root is not None:
        return [root]
    named = os.environ.get(DATA_VARIABLE)
    return [*([Path(named).expanduser()] if named else []), downloads_dir()]


def downloads_dir() -> Path:
    """Folder of downloaded sets."""
    return cache_dir() / "data"


def folder_dataset(folder: Path | Remote) -> Benchmark:
    """Set of a folder of reference images, named after the folder, or after its parent if the folder is `HR`.

    Raises:
        UsageError: the folder does not exist.
    """
    if not folder.is_dir():
        raise UsageError(f"The folder {shown(folder)} is not there; check `hr`.")
    resolved = folder.resolve()
    name = resolved.parent.name if resolved.name == "HR" else resolved.name
    return Benchmark(name or str(folder), folder)


def by_name(folder: P, progress: Progress | None = None) -> dict[str, P]:
    """Images directly in a folder by file name without extension, sorted.

    Args:
        progress: warned of images that are unreadable by their extension.

    Raises:
        SrkitError: no images.
        UsageError: two images share a name.
    """
    paths = _images(folder, progress)
    if twice := [stem for stem, count in Counter(path.stem for path in paths).items() if count > 1]:
        raise UsageError(
            f"The folder {shown(folder)} holds several images named {listed(twice)}; images are matched by their "
            "names without extension, so leave one of each."
        )
    return {path.stem: path for path in paths}


def _images(folder: Path | Remote, progress: Progress | None) -> Sequence[Any]:
    if isinstance(folder, Remote):
        return folder.images(progress)
    return [found.path for found in find_images(folder, recursive=False, progress=progress)]


def listed(names: Iterable[str], limit: int = 8) -> str:
    """Format names as `'a', 'b' and 3 more`."""
    names = list(names)
    text = ", ".join(f"'{name}'" for name in names[:limit])
    return text + (f" and {len(names) - limit} more" if len(names) > limit else "")


def rgb8(image: DecodedImage, background: int = 255) -> NDArray[np.uint8]:
    """Convert to (H, W, 3) uint8: gray repeated, alpha composited over a background (0 to 255), 16 bit rounded to 8."""
    pixels = image.colour
    top = int(np.iinfo(pixels.dtype).max)
    if is_transparent(image) and image.alpha is not None:
        alpha = image.alpha[:, :, None].astype(np.float64) / top
        pixels = (255 / top * pixels * alpha + background * (1 - alpha)).round().astype(np.uint8)
    elif pixels.dtype == np.uint16:
        pixels = ((pixels.astype(np.uint32) + 128) // 257).astype(np.uint8)
    if pixels.shape[2] == 1:
        pixels = np.repeat(pixels, 3, axis=2)
    return np.ascontiguousarray(pixels, dtype=np.uint8)


def is_transparent(image: DecodedImage) -> bool:
    """Return whether any pixel is not opaque."""
    return image.alpha is not None and bool((image.alpha != np.iinfo(image.alpha.dtype).max).any())


def cropped_size(height: int, width: int, scale: int) -> tuple[int, int]:
    """Sides rounded down to multiples of `scale`.

    Raises:
        SrkitError: a side is below `scale`.
    """
    if min(height, width) < scale:
        raise SrkitError(f"The image has {width} x {height} pixels, too few for scale {scale}; leave it out.")
    return height // scale * scale, width // scale * scale
