"""Low- and high-resolution training pairs from a folder of photographs, held in memory."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from srkit.data.copies import fingerprint
from srkit.data.packed import Crops, PackedPictures, crop_positions, draw_crops
from srkit.errors import PictureError, SrkitError
from srkit.io.training import read_rgb8
from srkit.ops.resize import bicubic_uint8, downscale_uint8, output_size
from srkit.progress import Progress, Silent

Residency = Literal["auto", "memory", "stream"]


@dataclass(frozen=True)
class CropPlan:
    """What every source of pairs must know: crops of `patch` LR pixels, `batch` for each of `world` processes."""

    scale: int
    patch: int
    batch: int
    seed: int
    augment: bool = True
    rank: int = 0
    world: int = 1
    sizes: tuple[float, ...] = (1.0,)
    """Factors at which every picture is used; a copy that is smaller than a crop is left out."""


@dataclass(frozen=True)
class Batch:
    """Training pairs."""

    lr: Tensor
    """(B, 3, p, p), float32 in [0, 1], channels_last."""
    hr: Tensor
    """(B, 3, s p, s p), likewise."""
    conditions: dict[str, Tensor] = field(default_factory=dict)
    """What a network is told of the pictures that the crops are cut from, by name: (B, ...) each."""


Describe = Callable[[Tensor], Mapping[str, Tensor]]
"""A low-resolution picture (1, 3, h, w) in [0, 1] to what is known of the whole of it, by name: (1, ...) each."""


@dataclass(frozen=True)
class Telling:
    """What a network is told beside a crop."""

    describe: Describe | None = None
    """Called once for each picture, with the whole of it; its crops inherit the result. None: nothing."""
    position: bool = False
    """Also `position` (B, 2, p, p): where each LR pixel lies in its picture (`srkit.ops.position`)."""


class PairSource(Protocol):
    """Endless training pairs."""

    def batches(self, first_step: int) -> Iterator[Batch]:
        """Pairs for steps first_step, first_step + 1, ...; a function of the seed and the step alone."""


def crop_to_multiple(hr: NDArray[np.uint8], scale: int) -> NDArray[np.uint8]:
    """Drop the rows and columns at the end that make no whole LR pixel."""
    return hr[: hr.shape[0] // scale * scale, : hr.shape[1] // scale * scale]


def make_lr(hr: NDArray[np.uint8], scale: int) -> NDArray[np.uint8]:
    """LR (h, w, 3) of an HR picture (scale h, scale w, 3), as the benchmarks make it."""
    tensor = torch.from_numpy(np.ascontiguousarray(hr)).permute(2, 0, 1)[None]
    return downscale_uint8(tensor, scale)[0].permute(1, 2, 0).contiguous().numpy()


def shrunk(picture: NDArray[np.uint8], factor: float) -> NDArray[np.uint8]:
    """The picture (H, W, 3) at `factor` times its size, by antialiased bicubic."""
    if factor == 1.0:
        return picture
    size = (output_size(picture.shape[0], factor), output_size(picture.shape[1], factor))
    tensor = torch.from_numpy(np.ascontiguousarray(picture)).permute(2, 0, 1)[None]
    return bicubic_uint8(tensor, size, scale=factor)[0].permute(1, 2, 0).contiguous().numpy()


NOTHING = Telling()


class MemoryPairs:
    """All pictures decoded once and kept as uint8 on the device; LR made once, crops cut on the device."""

    def __init__(
        self,
        pictures: Sequence[NDArray[np.uint8]],
        plan: CropPlan,
        device: torch.device,
        telling: Telling = NOTHING,
        progress: Progress | None = None,
    ) -> None:
        self.plan, self._telling = plan, telling
        copies = [shrunk(picture, factor) for picture in pictures for factor in plan.sizes]
        least = plan.patch * plan.scale
        hr = [crop_to_multiple(copy, plan.scale) for copy in copies if min(copy.shape[:2]) >= least]
        lr = [make_lr(picture, plan.scale) for picture in hr]
        self.hr, self.lr = PackedPictures(hr, device), PackedPictures(lr, device)
        self._known: dict[str, Tensor] = {}
        if telling.describe is not None:
            self._known = describe_all(telling.describe, lr, len(lr), device, progress or Silent())

    def batches(self, first_step: int) -> Iterator[Batch]:
        plan, step = self.plan, first_step
        sizes = (self.lr.heights, self.lr.widths)
        while True:
            crops = draw_crops(
                sizes, plan.patch, plan.batch * plan.world, seed=plan.seed, step=step, augment=plan.augment
            )
            mine = type(crops)(*(t[plan.rank :: plan.world] for t in vars(crops).values()))
            yield Batch(
                self.lr.cut(mine, plan.patch),
                self.hr.cut(mine, plan.patch, plan.scale),
                self._conditions(mine),
            )
            step += 1

    def _conditions(self, crops: Crops) -> dict[str, Tensor]:
        device = self.lr.pixels.device
        told = {name: value[crops.picture.to(device)] for name, value in self._known.items()}
        if self._telling.position:
            told["position"] = crop_positions(crops, self.plan.patch, self.lr.sizes_of(crops), device)
        return told


def describe_all(
    describe: Describe,
    lows: Iterable[NDArray[np.uint8] | None],
    count: int,
    device: torch.device,
    progress: Progress,
) -> dict[str, Tensor]:
    """What is known of each of `count` whole LR pictures (h, w, 3), by name: (count, ...) each, on the device.

    Zeros stand for a picture that is None.
    """
    progress.start("describing pictures", count)
    found: list[dict[str, Tensor] | None] = []
    with torch.no_grad():
        for low in lows:
            found.append(None if low is None else dict(describe(as_tensor(low, device))))
            progress.advance()
    progress.finish()
    like = next((known for known in found if known is not None), {})
    nothing = {name: torch.zeros_like(value) for name, value in like.items()}
    return {name: torch.cat([(known or nothing)[name] for known in found]) for name in like}


def as_tensor(picture: NDArray[np.uint8], device: torch.device) -> Tensor:
    """(H, W, 3) uint8 to (1, 3, H, W), float32 in [0, 1], channels_last."""
    pixels = torch.from_numpy(np.ascontiguousarray(picture)).permute(2, 0, 1)[None]
    return (pixels.to(device).float() / 255).contiguous(memory_format=torch.channels_last)


def read_training_pictures(
    files: Sequence[Path],
    min_side: int,
    progress: Progress,
    *,
    gray: bool = True,
    apart_from: Sequence[NDArray[np.uint8]] = (),
) -> tuple[list[Path], list[NDArray[np.uint8]]]:
    """Decode; broken files and pictures with a side below `min_side` are left out, counted and named.

    Args:
        gray: whether pictures without any colour are kept.
        apart_from: images to validate on; those with the same pixels are left out too.

    Raises:
        SrkitError: none is left.
    """
    kept: list[Path] = []
    pictures: list[NDArray[np.uint8]] = []
    broken: list[str] = []
    small: list[str] = []
    colourless: list[str] = []
    copies: list[str] = []
    shapes, contents = {x.shape for x in apart_from}, {fingerprint(x) for x in apart_from}
    progress.start("reading pictures", len(files))
    for file in files:
        try:
            picture = read_rgb8(file)
        except PictureError:
            broken.append(file.name)
        else:
            if min(picture.shape[:2]) < min_side:
                small.append(file.name)
            elif not gray and is_gray(picture):
                colourless.append(file.name)
            elif picture.shape in shapes and fingerprint(picture) in contents:
                copies.append(file.name)
            else:
                kept.append(file)
                pictures.append(picture)
        progress.advance()
    progress.finish()
    for names, why in (
        (broken, "cannot be decoded"),
        (small, f"have a side below {min_side} pixels"),
        (colourless, "are gray"),
        (copies, "have the same content as one to validate on"),
    ):
        if names:
            progress.warn(
                f"{len(names)} of {len(files)} pictures {why} and are left out: {', '.join(names[:5])}"
                + (", ..." if len(names) > 5 else "")
                + "."
            )
    if not pictures:
        raise SrkitError(
            f"None of the {len(files)} training pictures can be used; "
            f"at least one readable {'' if gray else 'colour '}picture with both sides of {min_side} pixels or more "
            "is needed."
        )
    return kept, pictures


def is_gray(picture: NDArray[np.uint8]) -> bool:
    """Whether all three channels of a picture (H, W, 3) are the same."""
    return bool((picture[:, :, :1] == picture).all())


def fits_in_memory(
    files: Sequence[Path], scale: int, device: torch.device, sizes: Sequence[float] = (1.0,)
) -> bool:
    """Whether HR and LR as uint8, at every factor of `sizes`, take at most half of what is free on the device.

    How large the pictures are is taken from a sample of the files.
    """
    sample = files[:: max(1, len(files) // 16)]
    found = []
    for file in sample:
        with contextlib.suppress(PictureError):
            found.append(read_rgb8(file).nbytes)
    mean = sum(found) / max(1, len(found))
    need = mean * len(files) * (1 + 1 / scale**2) * sum(factor**2 for factor in sizes)
    if device.type == "cuda":
        free = torch.cuda.mem_get_info(device)[0]
    else:
        free = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return need <= free / 2
