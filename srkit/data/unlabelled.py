"""LR images without HR, for self-supervised adaptation: search, reading, and split into support and validation set.

Training uses crops of the support set; validation uses the centres of images, or of their parts if there are few.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from srkit.conditioning.makers import UNCONDITIONED, Conditioning
from srkit.conditioning.values import Conditions, part_of
from srkit.data.batches import Batches
from srkit.data.benchmarks import by_name, rgb8
from srkit.data.copies import Copies
from srkit.data.examples import MARGIN, Split, middles
from srkit.data.packed import PackedImages, draw_crops
from srkit.data.pairs import Batch, CropConditions, CropPlan
from srkit.errors import SrkitError, UsageError
from srkit.io.names import shown
from srkit.io.read import read_image
from srkit.ops.layout import RGB, as_tensor
from srkit.progress import Progress

MAX_VALIDATION = 12
"""Default maximum number of validation images."""
MAX_IMAGES = 400
"""Maximum number of images, evenly subsampled: an adaptation has no steps for more."""
_SHARE = 0.25
"""Default validation share of the images, or of each image's longer side."""
_MIN_IMAGES = 4
"""Number of images below which each is cut into a training and a validation part."""


@dataclass(frozen=True, eq=False)
class UnpairedImage:
    """LR image (h, w, 3)."""

    name: str
    lr: RGB


@dataclass(frozen=True)
class UnpairedDomain:
    """Folder of LR images."""

    name: str
    files: tuple[tuple[str, Path], ...]
    """Files in the order of their names."""
    source: str
    """Location of the images: `.`, `LR` or `LR/X4`."""


def find_unpaired(domain: Path, scale: int, progress: Progress | None = None) -> UnpairedDomain:
    """Find the images of a folder, or of its `LR/X4` or `LR/`.

    Args:
        progress: warned of images that are unreadable by their extension.

    Raises:
        UsageError: no such folder, or one with HR/ but without LR/.
        SrkitError: no images.
    """
    if not domain.is_dir():
        raise UsageError(f"The folder of images {shown(domain)} is not there; check the path.")
    name = domain.resolve().name or str(domain)
    for source in (f"LR/X{scale}", "LR"):
        if (domain / source).is_dir():
            return UnpairedDomain(name, tuple(by_name(domain / source, progress).items()), source)
    if (domain / "HR").is_dir():
        raise UsageError(
            f"{shown(domain)} holds HR/ and no LR/; `self_supervised` learns from low-resolution images: put them "
            "into LR/ or name their folder, or learn from HR/ with `shots`."
        )
    return UnpairedDomain(name, tuple(by_name(domain, progress).items()), ".")


def split_unpaired(
    domain: UnpairedDomain, holdout: float | None, min_side: int, max_pixels: int = 10**9
) -> Split[UnpairedImage]:
    """Split a domain: evenly chosen images validate and the others train; of few images, a strip of each validates.

    Of images with the same content only the first is used.

    Args:
        holdout: validation share of the images, or of each image's longer side if they are few. None: a quarter of the
            images, at most `MAX_VALIDATION`; or a quarter of each image, half of a single one.
        min_side: shortest side of a usable image.
        max_pixels: maximum size of a decoded image.

    Raises:
        SrkitError: no image is usable, or the only one is too small to cut off a strip.
    """
    files = _evenly(domain.files, MAX_IMAGES)
    left_out = []
    if len(files) < len(domain.files):
        left_out.append(f"{len(files)} of the {len(domain.files)} images are used, evenly taken.")
    images, failed = _read(files, min_side, max_pixels, left_out)
    if not images:
        reasons = [error.rstrip(".") for _, error in failed] + [text.rstrip(".") for text in left_out]
        why = f" ({'; '.join(reasons[:3])}{'; ...' if len(reasons) > 3 else ''})" if reasons else ""
        raise SrkitError(
            f"None of the {len(domain.files)} images in '{domain.name}' can be used{why}; low-resolution images "
            f"with both sides of {min_side} pixels or more, not all of one colour, are needed."
        )
    if len(images) >= _MIN_IMAGES:
        limit = MAX_VALIDATION if holdout is None else len(images) - 1
        count = min(limit, max(1, round((holdout or _SHARE) * len(images))))
        chosen = {i * len(images) // count for i in range(count)}
        support = tuple(image for i, image in enumerate(images) if i not in chosen)
        validation = tuple(image for i, image in enumerate(images) if i in chosen)
        return Split(support, validation, False, tuple(failed), tuple(left_out))
    return _in_strips(images, holdout or (0.5 if len(images) == 1 else _SHARE), min_side, failed, left_out)


def _evenly(files: Sequence[tuple[str, Path]], count: int) -> Sequence[tuple[str, Path]]:
    if len(files) <= count:
        return files
    return [files[i * len(files) // count] for i in range(count)]


def _read(
    files: Sequence[tuple[str, Path]], min_side: int, max_pixels: int, left_out: list[str]
) -> tuple[list[UnpairedImage], list[tuple[str, str]]]:
    images, failed, copies = [], [], Copies()
    for name, path in files:
        try:
            lr = rgb8(read_image(path, max_pixels=max_pixels))
        except SrkitError as error:
            failed.append((name, str(error)))
            continue
        if min(lr.shape[:2]) < min_side:
            left_out.append(
                f"'{name}' is left out: it has {lr.shape[1]} x {lr.shape[0]} pixels, and both sides must have "
                f"{min_side} or more."
            )
        elif bool((lr == lr[0, 0]).all()):
            left_out.append(
                f"'{name}' is left out: it is all of one colour, from which there is nothing to learn."
            )
        elif copies.add(name, lr):
            images.append(UnpairedImage(name, lr))
    left_out += copies.sentences
    return images, failed


def _in_strips(
    images: Sequence[UnpairedImage],
    share: float,
    min_side: int,
    failed: Sequence[tuple[str, str]],
    left_out: Sequence[str],
) -> Split[UnpairedImage]:
    parts = [_cut(image, share, min_side) for image in images]
    strips = tuple(strip for _, strip in parts if strip is not None)
    if strips:
        return Split(tuple(rest for rest, _ in parts), strips, True, tuple(failed), tuple(left_out))
    if len(images) == 1:
        raise SrkitError(
            f"The only usable image, '{images[0].name}', is too small to hold a part out for validation; give one of "
            f"{2 * min_side + MARGIN} pixels or more along one side, or more of them."
        )
    note = f"No image is large enough to be cut, so '{images[-1].name}' validates, and is not trained on."
    return Split(tuple(images[:-1]), (images[-1],), False, tuple(failed), (*left_out, note))


def _cut(image: UnpairedImage, share: float, min_side: int) -> tuple[UnpairedImage, UnpairedImage | None]:
    """Training part, and a validation strip from the end of the longer side; None if there is no room for it."""
    axis = int(image.lr.shape[1] > image.lr.shape[0])
    length = image.lr.shape[axis]
    strip = max(min_side, round(length * share))
    kept = length - strip - MARGIN
    if kept < min_side:
        return image, None
    first, last = (
        image.lr[:kept] if axis == 0 else image.lr[:, :kept],
        image.lr[-strip:] if axis == 0 else image.lr[:, -strip:],
    )
    return UnpairedImage(image.name, first), UnpairedImage(image.name, last)


class UnpairedCrops(Batches[Batch]):
    """Endless crops of LR images: a `srkit.data.pairs.PairSource` whose HR is LR itself.

    Args:
        images: images with both sides of `plan.patch` or more.
        plan: plan of the crops; `sizes`, `rank` and `world` are not used.
        device: device of the images and crops.
        conditioning: conditioning of the network.
    """

    def __init__(
        self,
        images: Sequence[UnpairedImage],
        plan: CropPlan,
        device: torch.device,
        conditioning: Conditioning = UNCONDITIONED,
    ) -> None:
        self.plan = plan
        self.lr = PackedImages([image.lr for image in images], device)
        self._conditions = CropConditions(conditioning, (image.lr for image in images), len(images), device)

    def draw(self, step: int) -> Batch:
        """Batch of one step."""
        plan = self.plan
        crops = draw_crops(
            (self.lr.heights, self.lr.widths),
            plan.patch,
            plan.batch,
            seed=plan.seed,
            step=step,
            augment=plan.augment,
        )
        conditions = self._conditions.of(crops, plan.patch, self.lr.sizes_of(crops))
        lr = self.lr.cut(crops, plan.patch).contiguous(memory_format=torch.channels_last)
        return Batch(lr, lr, conditions)


@dataclass(frozen=True)
class Part:
    """Part of a validation image."""

    image: UnpairedImage
    rows: slice
    columns: slice

    @property
    def pixels(self) -> RGB:
        return self.image.lr[self.rows, self.columns]

    def batch(self, device: torch.device, conditions: Conditions) -> Batch:
        """Batch of the part alone, with the conditions of the whole image."""
        height, width = self.image.lr.shape[:2]
        lr = as_tensor(self.pixels, device)
        return Batch(lr, lr, part_of(conditions, (height, width), self.rows, self.columns, device))


def parts_of(
    images: Sequence[UnpairedImage], wanted: int, side: int, min_side: int, multiple: int
) -> list[Part]:
    """Centres of validation images, at most `side` long; of fewer than `wanted` images, centres of their parts.

    Args:
        min_side: shortest side of a part.
        multiple: sides are multiples of this.
    """
    each = math.ceil(wanted / len(images))
    found = []
    for image in images:
        height, width = image.lr.shape[:2]
        count = max(1, min(each, max(height, width) // max(min_side, multiple)))
        found += [Part(image, *place) for place in middles(height, width, count, side, multiple)]
    return found
