"""Low- and high-resolution training pairs from a folder of photographs, held in memory."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from srkit.conditioning.makers import NO_EXTRAS, UNCONDITIONED, Conditioning, Extras
from srkit.conditioning.values import Condition, Conditions
from srkit.data.packed import Crops, PackedImages, choose_crops, crop_positions, draw_crops
from srkit.errors import UsageError
from srkit.ops.resize import bicubic_uint8, downscale_uint8, output_size
from srkit.progress import Progress, Silent


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

    @property
    def smallest_side(self) -> int:
        """Shortest side of an image that crops can be cut from, in HR pixels."""
        return self.patch * self.scale

    def draw(
        self, packed: PackedImages, sizes: tuple[Tensor, Tensor], side: int, step: int, scale: int = 1
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
    """The network's conditions by name, (B, ...) each."""
    sharpened: Tensor | None = None
    """(B, 3, s p, s p): HR sharpened, where a degradation asks for it."""

    @property
    def target(self) -> Tensor:
        """What losses that compare images aim at: `sharpened` where there is one, else `hr`, which is what a
        discriminator takes for real in any case."""
        return self.hr if self.sharpened is None else self.sharpened


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


def shrunk(image: NDArray[np.uint8], factor: float) -> NDArray[np.uint8]:
    """The image (H, W, 3) at `factor` times its size, by antialiased bicubic."""
    if factor == 1.0:
        return image
    size = (output_size(image.shape[0], factor), output_size(image.shape[1], factor))
    tensor = torch.from_numpy(np.ascontiguousarray(image)).permute(2, 0, 1)[None]
    return bicubic_uint8(tensor, size, scale=factor)[0].permute(1, 2, 0).contiguous().numpy()


class CropConditions:
    """The conditions of crops: those of whole images are made once for each image, positions for each crop.

    Args:
        conditioning: of the network.
        lr_images: whole, (h, w, 3), that crops are cut from, in the order of their numbers; read only where a
            condition depends on what they show. None is an image that no crop is cut from.
        count: of images.
        device: where conditions are.
        progress: shows the images as they are done.
        stored: device that the conditions of whole images are kept on; None: `device`.
        extras: what comes with each image; none: nothing does.

    Raises:
        UsageError: a spatial condition, which crops cannot be given.
    """

    def __init__(
        self,
        conditioning: Conditioning,
        lr_images: Iterable[NDArray[np.uint8] | None],
        count: int,
        device: torch.device,
        progress: Progress | None = None,
        stored: torch.device | None = None,
        extras: Sequence[Extras] = (),
    ) -> None:
        self.of_place, self._device = conditioning.of_place, device
        self._of_images: dict[str, Tensor] = {}
        if conditioning.of_content:
            made = _made(conditioning, lr_images, extras or [NO_EXTRAS] * count, progress or Silent())
            self._of_images = {name: value.to(stored or device) for name, value in made.items()}

    def of(
        self, crops: Crops, patch: int, sizes: tuple[Tensor, Tensor], images: Tensor | None = None
    ) -> dict[str, Tensor]:
        """The conditions of crops of `patch` LR pixels by name, (B, ...) each.

        Args:
            sizes: heights and widths (B,) of the LR images that the crops are cut from.
            images: their numbers (B,); None: `crops.image`.
        """
        numbers = crops.image if images is None else images
        found = {
            name: value[numbers.to(value.device)].to(self._device) for name, value in self._of_images.items()
        }
        places = {name: crop_positions(crops, patch, sizes, self._device) for name in self.of_place}
        return found | places


def _made(
    conditioning: Conditioning,
    lr_images: Iterable[NDArray[np.uint8] | None],
    extras: Sequence[Extras],
    progress: Progress,
) -> dict[str, Tensor]:
    """The conditions of whole LR images, by name: (count, ...) each; zeros where an image is None."""
    progress.start("making the conditions of images", len(extras))
    found: list[dict[str, Tensor] | None] = []
    for lr, given in zip(lr_images, extras, strict=True):
        found.append(None if lr is None else _of_image(conditioning(lr, given)))
        progress.advance()
    progress.finish()
    like = next((known for known in found if known is not None), {})
    zeros = {name: torch.zeros_like(value) for name, value in like.items()}
    return {name: torch.cat([(known or zeros)[name] for known in found]) for name in like}


def _of_image(conditions: Conditions) -> dict[str, Tensor]:
    known = {name: one for name, one in conditions.items() if isinstance(one, Condition)}
    if spatial := [name for name, one in known.items() if one.spatial]:
        raise UsageError(
            f"Crops cannot be given the condition '{spatial[0]}'; train the network by another recipe."
        )
    return {name: one.value for name, one in known.items()}


class MemoryPairs:
    """All images decoded once and kept as uint8 on the device; LR made once, crops cut on the device."""

    def __init__(
        self,
        images: Sequence[NDArray[np.uint8]],
        plan: CropPlan,
        device: torch.device,
        conditioning: Conditioning = UNCONDITIONED,
        progress: Progress | None = None,
    ) -> None:
        self.plan = plan
        copies = [
            (number, shrunk(image, factor)) for number, image in enumerate(images) for factor in plan.sizes
        ]
        min_side = plan.patch * plan.scale
        kept = [(number, copy) for number, copy in copies if min(copy.shape[:2]) >= min_side]
        self.sources = tuple(number for number, _ in kept)
        """For each copy the number of the image that it was made of."""
        hr = [crop_to_multiple(copy, plan.scale) for _, copy in kept]
        lr = [make_lr(image, plan.scale) for image in hr]
        self.hr, self.lr = PackedImages(hr, device), PackedImages(lr, device)
        self._conditions = CropConditions(conditioning, lr, len(lr), device, progress)

    def batches(self, first_step: int) -> Iterator[Batch]:
        plan, step = self.plan, first_step
        sizes = (self.lr.heights, self.lr.widths)
        while True:
            mine = plan.draw(self.lr, sizes, plan.patch, step)
            yield Batch(
                self.lr.cut(mine, plan.patch),
                self.hr.cut(mine, plan.patch, plan.scale),
                self.conditions_of(mine, step),
            )
            step += 1

    def conditions_of(self, crops: Crops, step: int) -> dict[str, Tensor]:
        """The conditions of the crops of a step, by name: (B, ...) each."""
        return self._conditions.of(crops, self.plan.patch, self.lr.sizes_of(crops))


@dataclass(frozen=True)
class JoinedPairs:
    """Each batch is one of each source, end to end."""

    sources: Sequence[PairSource]

    def batches(self, first_step: int) -> Iterator[Batch]:
        """See `srkit.data.pairs.PairSource`."""
        for parts in zip(*(source.batches(first_step) for source in self.sources), strict=True):
            lr, hr, target = (
                torch.cat([getattr(part, name) for part in parts]).contiguous(
                    memory_format=torch.channels_last
                )
                for name in ("lr", "hr", "target")
            )
            names = parts[0].conditions
            conditions = {name: torch.cat([part.conditions[name] for part in parts]) for name in names}
            plain = all(part.sharpened is None for part in parts)
            yield Batch(lr, hr, conditions, None if plain else target)
