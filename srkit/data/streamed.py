"""LR and HR training pairs streamed from a folder of photographs by worker processes."""

from __future__ import annotations

import contextlib
import multiprocessing
from collections.abc import Iterator, Sequence
from multiprocessing.context import BaseContext
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from srkit.conditioning.makers import UNCONDITIONED, Conditioning
from srkit.data.packed import Crops
from srkit.data.pairs import Batch, CropConditions, CropPlan, crop_to_multiple, make_lr, shrunk
from srkit.data.photographs import read_rgb8
from srkit.errors import ImageError, SrkitError
from srkit.io import set_codec_threads
from srkit.ops.geometry import TURNS, turn
from srkit.progress import Progress, Silent

_NAMED = 5


class StreamedPairs:
    """Pairs for folders that do not fit into memory: worker processes decode an image for each crop.

    Unreadable files, and images smaller than a crop, are skipped and reported once. The conditions of the whole images
    are computed beforehand, and kept on the CPU.

    With workers, the calling program needs the usual guard (`if __name__ == "__main__":`): workers are not forked from
    it, since libvips hangs in a forked process after use.
    """

    def __init__(
        self,
        files: Sequence[Path],
        plan: CropPlan,
        device: torch.device,
        workers: int,
        conditioning: Conditioning = UNCONDITIONED,
        progress: Progress | None = None,
    ) -> None:
        self.files, self.plan, self.device, self.workers = list(files), plan, device, workers
        self._progress = progress or Silent()
        self._passed_over: set[int] = set()
        lr_images = DataLoader(
            _WholeLows(self.files, plan),
            batch_size=None,
            num_workers=workers,
            collate_fn=_as_it_is,
            multiprocessing_context=_context(workers),
            worker_init_fn=_begin,
        )
        count = len(files) * len(plan.sizes)
        cpu = torch.device("cpu")
        self._conditions = CropConditions(conditioning, lr_images, count, device, self._progress, stored=cpu)

    def batches(self, first_step: int) -> Iterator[Batch]:
        """Yield batches as `PairSource` does.

        Raises:
            SrkitError: hardly any image is usable.
        """
        plan = self.plan
        loader = DataLoader(
            _CropOfStep(self.files, plan),
            batch_sampler=_steps(first_step, plan),
            num_workers=self.workers,
            pin_memory=self.device.type == "cuda",
            prefetch_factor=4 if self.workers else None,
            multiprocessing_context=_context(self.workers),
            worker_init_fn=_begin,
        )
        try:
            for lr, hr, places, useless in loader:
                self._report(useless)
                lr, hr = (_to_device(pixels, self.device) for pixels in (lr, hr))
                copy, top, left, kind, height, width = places.unbind(1)
                crops = Crops(copy, top, left, kind)
                yield Batch(lr, hr, self._conditions.of(crops, plan.patch, (height, width)))
        except _NoneUsableError as error:  # from a worker, its message includes a traceback
            raise SrkitError(
                f"Of the {len(self.files)} training images hardly any can be used; "
                f"readable ones with both sides of {plan.patch * plan.scale} pixels or more are needed."
            ) from error

    def _report(self, useless: Tensor) -> None:
        """Warn of unusable files (indices, negative for none), once each, naming only the first few."""
        for number in sorted(set(useless[useless >= 0].tolist()) - self._passed_over):
            self._passed_over.add(number)
            if len(self._passed_over) <= _NAMED:
                self._progress.warn(
                    f"{self.files[number].name} cannot be decoded or is smaller than a crop, and is left out."
                )
            elif len(self._passed_over) == _NAMED + 1:
                self._progress.warn("More images are of no use and are left out, without being named.")


class _NoneUsableError(SrkitError):
    """Too many consecutive images were unreadable or too small."""


class _CropOfStep(Dataset[tuple[Tensor, Tensor, Tensor, int]]):
    """Dataset of one crop per index; images are drawn uniformly, since their areas are not known beforehand.

    An item is LR, HR, the crop's origin (index of the copy, of which each file has one per size of the plan, then
    top, left, turn, and height and width of the whole LR), and the index of an unusable file that was drawn before,
    or -1.
    """

    MARGIN = 4  # LR pixels around the crop, so that its border is computed from its true neighbours
    DRAWS = 50  # images to try before giving up

    def __init__(self, files: list[Path], plan: CropPlan) -> None:
        self.files, self.plan = files, plan
        areas = np.square(plan.sizes)  # a copy is drawn in proportion to its area, as from memory
        self._shares = areas / areas.sum()

    def __getitem__(self, number: int) -> tuple[Tensor, Tensor, Tensor, int]:
        plan, s = self.plan, self.plan.scale
        rng = np.random.default_rng((plan.seed, number))
        copy, hr, useless = self._usable(rng)
        height, width = hr.shape[0] // s, hr.shape[1] // s
        top, left = max(
            (
                (int(rng.integers(height - plan.patch + 1)), int(rng.integers(width - plan.patch + 1)))
                for _ in range(plan.best_of)
            ),
            key=lambda place: _detail(
                hr[place[0] * s :: s, place[1] * s :: s, 1][: plan.patch, : plan.patch]
            ),
        )
        y0, x0 = max(0, top - self.MARGIN), max(0, left - self.MARGIN)
        around = hr[
            y0 * s : (top + plan.patch + self.MARGIN) * s, x0 * s : (left + plan.patch + self.MARGIN) * s
        ]
        lr = make_lr(around, s)
        lr = lr[top - y0 :, left - x0 :][: plan.patch, : plan.patch]
        hr = hr[top * s :, left * s :][: plan.patch * s, : plan.patch * s]
        kind = int(rng.integers(TURNS)) if plan.augment else 0
        place = torch.tensor([copy, top, left, kind, height, width])
        return _turned(lr, kind), _turned(hr, kind), place, useless

    def _usable(self, rng: np.random.Generator) -> tuple[int, NDArray[np.uint8], int]:
        """Index of a copy, its image, readable, as large as a crop and cropped to whole LR pixels, and the index of an
        unusable file."""
        sizes, min_side, useless = self.plan.sizes, self.plan.patch * self.plan.scale, -1
        for _ in range(self.DRAWS):
            file = int(rng.integers(len(self.files)))
            try:
                whole = read_rgb8(self.files[file])
            except ImageError:
                useless = file
                continue
            size = int(rng.choice(len(sizes), p=self._shares))
            hr = shrunk(whole, sizes[size])
            if min(hr.shape[:2]) >= min_side:
                return file * len(sizes) + size, crop_to_multiple(hr, self.plan.scale), useless
            if min(whole.shape[:2]) * max(sizes) < min_side:
                useless = file
        raise _NoneUsableError(f"{self.DRAWS} images in a row cannot be used.")


class _WholeLows(Dataset[NDArray[np.uint8] | None]):
    """Whole LR of every copy, in the order of their indices; None if unreadable or too small."""

    def __init__(self, files: list[Path], plan: CropPlan) -> None:
        self.files, self.plan = files, plan

    def __len__(self) -> int:
        return len(self.files) * len(self.plan.sizes)

    def __getitem__(self, number: int) -> NDArray[np.uint8] | None:
        file, size = divmod(number, len(self.plan.sizes))
        with contextlib.suppress(ImageError):
            hr = shrunk(read_rgb8(self.files[file]), self.plan.sizes[size])
            if min(hr.shape[:2]) >= self.plan.patch * self.plan.scale:
                return make_lr(crop_to_multiple(hr, self.plan.scale), self.plan.scale)
        return None


def _detail(green: NDArray[np.uint8]) -> float:
    """Mean gradient of one channel (h, w), as in `srkit.data.packed.choose_crops`."""
    levels = green.astype(np.float32)
    return float(np.abs(np.diff(levels, axis=0)).mean() + np.abs(np.diff(levels, axis=1)).mean())


def _context(workers: int) -> BaseContext | None:
    """Start method of workers: from a process that has imported this module, but has not read any image."""
    if not workers:
        return None
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__])
    return context


def _begin(_worker: int) -> None:
    set_codec_threads(1)  # one process per core


def _as_it_is(item: Any) -> Any:
    return item


def _turned(image: NDArray[np.uint8], kind: int) -> Tensor:
    return turn(torch.from_numpy(image).permute(2, 0, 1)[None], kind)[0].contiguous()


def _steps(first: int, plan: CropPlan) -> Iterator[list[int]]:
    step, total = first, plan.batch * plan.world
    while True:
        yield list(range(step * total + plan.rank, (step + 1) * total, plan.world))
        step += 1


def _to_device(batch: Tensor, device: torch.device) -> Tensor:
    batch = batch.to(device, non_blocking=True)
    return batch.to(torch.float32, memory_format=torch.channels_last) / 255
