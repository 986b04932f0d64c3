"""Low- and high-resolution training pairs from a folder of photographs, held in memory."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from srkit.data.packed import Crops, PackedPictures, choose_crops, crop_positions, draw_crops
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
    """Factors at which every image is used; a copy that is smaller than a crop is left out."""
    best_of: int = 1
    """Random crops that each crop is chosen from, by detail (`srkit.data.packed.choose_crops`)."""

    def draw(
        self, packed: PackedPictures, sizes: tuple[Tensor, Tensor], side: int, step: int, scale: int = 1
    ) -> Crops:
        """This process's crops of a step; all processes together have those that one would have.

        Args:
            packed: what the crops are chosen in; its images are `scale` times as large as LR.
            sizes: heights and widths of the LR images.
            side: of a crop, in LR pixels.
        """
        count = self.batch * self.world * self.best_of
        crops = draw_crops(sizes, side, count, seed=self.seed, step=step, augment=self.augment)
        mine = Crops(
            *(t.view(-1, self.best_of)[self.rank :: self.world].flatten() for t in vars(crops).values())
        )
        return choose_crops(packed, mine, side, self.best_of, scale)


@dataclass(frozen=True)
class Batch:
    """Training pairs."""

    lr: Tensor
    """(B, 3, p, p), float32 in [0, 1], channels_last."""
    hr: Tensor
    """(B, 3, s p, s p), likewise."""
    conditions: dict[str, Tensor] = field(default_factory=dict)
    """What a network is told of the images that the crops are cut from, by name: (B, ...) each."""


Describe = Callable[[Tensor], Mapping[str, Tensor]]
"""A low-resolution image (1, 3, h, w) in [0, 1] to what is known of the whole of it, by name: (1, ...) each."""


@dataclass(frozen=True)
class Telling:
    """What a network is told beside a crop."""

    describe: Describe | None = None
    """Called once for each image, with the whole of it; its crops inherit the result. None: nothing."""
    position: bool = False
    """Also `position` (B, 2, p, p): where each LR pixel lies in its image (`srkit.ops.position`)."""


class PairSource(Protocol):
    """Endless training pairs."""

    def batches(self, first_step: int) -> Iterator[Batch]:
        """Pairs for steps first_step, first_step + 1, ...; a function of the seed and the step alone."""


def crop_to_multiple(hr: NDArray[np.uint8], scale: int) -> NDArray[np.uint8]:
    """Drop the rows and columns at the end that make no whole LR pixel."""
    return hr[: hr.shape[0] // scale * scale, : hr.shape[1] // scale * scale]


def make_lr(hr: NDArray[np.uint8], scale: int) -> NDArray[np.uint8]:
    """LR (h, w, 3) of an HR image (scale h, scale w, 3), as the benchmarks make it."""
    tensor = torch.from_numpy(np.ascontiguousarray(hr)).permute(2, 0, 1)[None]
    return downscale_uint8(tensor, scale)[0].permute(1, 2, 0).contiguous().numpy()


def shrunk(picture: NDArray[np.uint8], factor: float) -> NDArray[np.uint8]:
    """The image (H, W, 3) at `factor` times its size, by antialiased bicubic."""
    if factor == 1.0:
        return picture
    size = (output_size(picture.shape[0], factor), output_size(picture.shape[1], factor))
    tensor = torch.from_numpy(np.ascontiguousarray(picture)).permute(2, 0, 1)[None]
    return bicubic_uint8(tensor, size, scale=factor)[0].permute(1, 2, 0).contiguous().numpy()


NOTHING = Telling()


class MemoryPairs:
    """All images decoded once and kept as uint8 on the device; LR made once, crops cut on the device."""

    def __init__(
        self,
        pictures: Sequence[NDArray[np.uint8]],
        plan: CropPlan,
        device: torch.device,
        telling: Telling = NOTHING,
        progress: Progress | None = None,
    ) -> None:
        self.plan, self._telling = plan, telling
        copies = [
            (number, shrunk(picture, factor))
            for number, picture in enumerate(pictures)
            for factor in plan.sizes
        ]
        least = plan.patch * plan.scale
        kept = [(number, copy) for number, copy in copies if min(copy.shape[:2]) >= least]
        self.sources = tuple(number for number, _ in kept)
        """For each copy the number of the image that it was made of."""
        hr = [crop_to_multiple(copy, plan.scale) for _, copy in kept]
        lr = [make_lr(picture, plan.scale) for picture in hr]
        self.hr, self.lr = PackedPictures(hr, device), PackedPictures(lr, device)
        self._known: dict[str, Tensor] = {}
        if telling.describe is not None:
            self._known = describe_all(telling.describe, lr, len(lr), device, progress or Silent())

    def batches(self, first_step: int) -> Iterator[Batch]:
        plan, step = self.plan, first_step
        sizes = (self.lr.heights, self.lr.widths)
        while True:
            mine = plan.draw(self.lr, sizes, plan.patch, step)
            yield Batch(
                self.lr.cut(mine, plan.patch),
                self.hr.cut(mine, plan.patch, plan.scale),
                self._conditions(mine, step),
            )
            step += 1

    def _conditions(self, crops: Crops, step: int) -> dict[str, Tensor]:
        """What is known of the images that the crops of a step are cut from."""
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
    """What is known of each of `count` whole LR images (h, w, 3), by name: (count, ...) each, on the device.

    Zeros stand for an image that is None.
    """
    progress.start("describing images", count)
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
