"""Low- and high-resolution training pairs from a folder of photographs, held in memory or streamed."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from srkit.data.packed import PackedPictures, draw_crops
from srkit.errors import PictureError, SrkitError
from srkit.io.training import read_rgb8
from srkit.ops.resize import bicubic_uint8, downscale_uint8, output_size
from srkit.ops.turns import TURNS, turn
from srkit.progress import Progress

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


class PairSource(Protocol):
    """Endless training pairs: LR (B, 3, p, p) and HR (B, 3, s p, s p), float32 in [0, 1], channels_last."""

    def batches(self, first_step: int) -> Iterator[tuple[Tensor, Tensor]]:
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


class MemoryPairs:
    """All pictures decoded once and kept as uint8 on the device; LR made once, crops cut on the device."""

    def __init__(self, pictures: Sequence[NDArray[np.uint8]], plan: CropPlan, device: torch.device) -> None:
        self.plan = plan
        copies = [shrunk(picture, factor) for picture in pictures for factor in plan.sizes]
        least = plan.patch * plan.scale
        hr = [crop_to_multiple(copy, plan.scale) for copy in copies if min(copy.shape[:2]) >= least]
        self.hr = PackedPictures(hr, device)
        self.lr = PackedPictures([make_lr(p, plan.scale) for p in hr], device)

    def batches(self, first_step: int) -> Iterator[tuple[Tensor, Tensor]]:
        plan, step = self.plan, first_step
        sizes = (self.lr.heights, self.lr.widths)
        while True:
            crops = draw_crops(
                sizes, plan.patch, plan.batch * plan.world, seed=plan.seed, step=step, augment=plan.augment
            )
            mine = type(crops)(*(t[plan.rank :: plan.world] for t in vars(crops).values()))
            yield self.lr.cut(mine, plan.patch), self.hr.cut(mine, plan.patch, plan.scale)
            step += 1


class StreamedPairs:
    """For folders that do not fit into memory: worker processes decode a picture for each crop.

    Broken files, and pictures that are smaller than a crop, are passed over.
    """

    def __init__(self, files: Sequence[Path], plan: CropPlan, device: torch.device, workers: int) -> None:
        self.files, self.plan, self.device, self.workers = list(files), plan, device, workers

    def batches(self, first_step: int) -> Iterator[tuple[Tensor, Tensor]]:
        """See `PairSource`.

        Raises:
            SrkitError: hardly any picture can be used.
        """
        plan = self.plan
        loader = DataLoader(
            _CropOfStep(self.files, plan),
            batch_sampler=_steps(first_step, plan),
            num_workers=self.workers,
            pin_memory=self.device.type == "cuda",
            prefetch_factor=4 if self.workers else None,
        )
        try:
            for lr, hr in loader:
                yield _to_device(lr, self.device), _to_device(hr, self.device)
        except _NoneUsableError as error:  # from a worker it comes with a traceback for its text
            raise SrkitError(
                f"Of the {len(self.files)} training pictures hardly any can be used; "
                f"readable ones with both sides of {plan.patch * plan.scale} pixels or more are needed."
            ) from error


class _NoneUsableError(SrkitError):
    """Many pictures in a row were broken or too small."""


class _CropOfStep(Dataset[tuple[Tensor, Tensor]]):
    """One crop for each number; pictures are drawn evenly, since their areas are not known beforehand."""

    MARGIN = 4  # LR pixels around the crop, so that its border is made from true neighbours
    DRAWS = 50  # pictures to try before giving up

    def __init__(self, files: list[Path], plan: CropPlan) -> None:
        self.files, self.plan = files, plan
        areas = np.square(plan.sizes)  # a copy is drawn in proportion to its area, as from memory
        self._shares = areas / areas.sum()

    def __getitem__(self, number: int) -> tuple[Tensor, Tensor]:
        plan, s = self.plan, self.plan.scale
        rng = np.random.default_rng((plan.seed, number))
        hr = self._usable(rng)
        top = int(rng.integers(hr.shape[0] // s - plan.patch + 1))
        left = int(rng.integers(hr.shape[1] // s - plan.patch + 1))
        y0, x0 = max(0, top - self.MARGIN), max(0, left - self.MARGIN)
        around = hr[
            y0 * s : (top + plan.patch + self.MARGIN) * s, x0 * s : (left + plan.patch + self.MARGIN) * s
        ]
        lr = make_lr(around, s)
        lr = lr[top - y0 :, left - x0 :][: plan.patch, : plan.patch]
        hr = hr[top * s :, left * s :][: plan.patch * s, : plan.patch * s]
        kind = int(rng.integers(TURNS)) if plan.augment else 0
        return _turned(lr, kind), _turned(hr, kind)

    def _usable(self, rng: np.random.Generator) -> NDArray[np.uint8]:
        """A picture that can be read and is as large as a crop, cut to whole LR pixels."""
        for _ in range(self.DRAWS):
            with contextlib.suppress(PictureError):
                hr = read_rgb8(self.files[int(rng.integers(len(self.files)))])
                hr = shrunk(hr, self.plan.sizes[int(rng.choice(len(self._shares), p=self._shares))])
                if min(hr.shape[:2]) >= self.plan.patch * self.plan.scale:
                    return crop_to_multiple(hr, self.plan.scale)
        raise _NoneUsableError(f"{self.DRAWS} pictures in a row cannot be used.")


def _turned(picture: NDArray[np.uint8], kind: int) -> Tensor:
    return turn(torch.from_numpy(picture).permute(2, 0, 1)[None], kind)[0].contiguous()


def _steps(first: int, plan: CropPlan) -> Iterator[list[int]]:
    step, total = first, plan.batch * plan.world
    while True:
        yield list(range(step * total + plan.rank, (step + 1) * total, plan.world))
        step += 1


def _to_device(batch: Tensor, device: torch.device) -> Tensor:
    batch = batch.to(device, non_blocking=True)
    return batch.to(torch.float32, memory_format=torch.channels_last) / 255


def read_training_pictures(
    files: Sequence[Path], min_side: int, progress: Progress
) -> tuple[list[Path], list[NDArray[np.uint8]]]:
    """Decode; broken files and pictures with a side below `min_side` are left out, counted and named.

    Raises:
        SrkitError: none is left.
    """
    kept: list[Path] = []
    pictures: list[NDArray[np.uint8]] = []
    broken: list[str] = []
    small: list[str] = []
    progress.start("reading pictures", len(files))
    for file in files:
        try:
            picture = read_rgb8(file)
        except PictureError:
            broken.append(file.name)
        else:
            if min(picture.shape[:2]) < min_side:
                small.append(file.name)
            else:
                kept.append(file)
                pictures.append(picture)
        progress.advance()
    progress.finish()
    for names, why in ((broken, "cannot be decoded"), (small, f"have a side below {min_side} pixels")):
        if names:
            progress.warn(
                f"{len(names)} of {len(files)} pictures {why} and are left out: {', '.join(names[:5])}"
                + (", ..." if len(names) > 5 else "")
                + "."
            )
    if not pictures:
        raise SrkitError(
            f"None of the {len(files)} training pictures can be used; "
            f"at least one readable picture with both sides of {min_side} pixels or more is needed."
        )
    return kept, pictures


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
