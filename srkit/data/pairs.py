"""LR and HR training pairs from photographs in memory."""

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
from srkit.data.batches import Batches
from srkit.data.packed import Crops, PackedImages, choose_crops, crop_positions, draw_crops
from srkit.errors import UsageError
from srkit.ops.resize import bicubic_uint8, downscale_uint8, output_size
from srkit.progress import Progress, Silent


@dataclass(frozen=True)
class CropPlan:
    """Plan of the crops: `batch` crops of `patch` LR pixels per step for each of `world` processes."""

    scale: int
    patch: int
    batch: int
    seed: int
    augment: bool = True
    rank: int = 0
    world: int = 1
    sizes: tuple[float, ...] = (1.0,)
    """Factors at which every image is used; resized copies smaller than a crop are left out."""
    best_of: int = 1
    """Number of random crops among which each crop is chosen by detail (`srkit.data.packed.choose_crops`)."""

    @property
    def smallest_side(self) -> int:
        """Shortest side of an image for cutting crops, in HR pixels."""
        return self.patch * self.scale

    def draw(
        self, packed: PackedImages, sizes: tuple[Tensor, Tensor], side: int, step: int, scale: int = 1
    ) -> Crops:
        """Draw this process's crops of a step; those of all processes together equal those of a single process.

        Args:
            packed: images in which crops are chosen, `scale` times as large as LR.
            sizes: heights and widths of the LR images.
            side: side of a crop, in LR pixels.
        """
        count = self.batch * self.world * self.best_of
        crops = draw_crops(sizes, side, count, seed=self.seed, step=step, augment=self.augment)
        mine = Crops(
            *(t.view(-1, self.best_of)[self.rank :: self.world].flatten() for t in vars(crops).values())
        )
        return choose_crops(packed, mine, side, self.best_of, scale)


@dataclass(frozen=True)
class Batch:
    """Batch of training pairs."""

    lr: Tensor
    """(B, 3, p, p), float32 in [0, 1], channels_last."""
    hr: Tensor
    """(B, 3, s p, s p), in the same format."""
    conditions: dict[str, Tensor] = field(default_factory=dict)
    """The network's conditions by name, (B, ...) each."""
    sharpened: Tensor | None = None
    """(B, 3, s p, s p): sharpened HR, if the degradation uses it."""
    distilled: Tensor | None = None
    """(B, 3, s p, s p): a teacher's SR of `lr`, if there is a teacher."""

    @property
    def target(self) -> Tensor:
        """Target of losses that compare images: `sharpened` if present, else `hr`. Discriminators always take `hr` as
        real."""
        return self.hr if self.sharpened is None else self.sharpened


class PairSource(Protocol):
    """Endless source of training pairs."""

    def batches(self, first_step: int) -> Iterator[Batch]:
        """Yield pairs for steps first_step, first_step + 1, ...; a function of the seed and the step alone."""


def crop_to_multiple(hr: NDArray[np.uint8], scale: int) -> NDArray[np.uint8]:
    """Crop the last rows and columns so that both sides are multiples of `scale`."""
    return hr[: hr.shape[0] // scale * scale, : hr.shape[1] // scale * scale]


def make_lr(hr: NDArray[np.uint8], scale: int) -> NDArray[np.uint8]:
    """Downscale an HR image (scale h, scale w, 3) to LR (h, w, 3), as the benchmarks do."""
    tensor = torch.from_numpy(np.ascontiguousarray(hr)).permute(2, 0, 1)[None]
    return downscale_uint8(tensor, scale)[0].permute(1, 2, 0).contiguous().numpy()


def shrunk(image: NDArray[np.uint8], factor: float) -> NDArray[np.uint8]:
    """Resize an image (H, W, C) by `factor` with antialiased bicubic."""
    if factor == 1.0:
        return image
    size = (output_size(image.shape[0], factor), output_size(image.shape[1], factor))
    tensor = torch.from_numpy(np.ascontiguousarray(image)).permute(2, 0, 1)[None]
    return bicubic_uint8(tensor, size, scale=factor)[0].permute(1, 2, 0).contiguous().numpy()


class CropConditions:
    """Conditions of crops: content conditions computed once per image, positions per crop.

    Args:
        conditioning: conditioning of the network.
        lr_images: whole LR images, (h, w, 3), in the order of their indices; read only if a condition depends on
            their content. None for an image without crops.
        count: number of images.
        device: device of the conditions.
        progress: display of the processed images.
        stored: device on which the conditions of whole images are kept; None: `device`.
        extras: extras of each image; empty for none.

    Raises:
        UsageError: a spatial condition, which is unsupported for crops.
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
        """Conditions of crops of `patch` LR pixels by name, (B, ...) each.

        Args:
            sizes: heights and widths (B,) of the crops' LR images.
            images: indices (B,) of these images; None: `crops.image`.
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
    """Conditions of whole LR images by name, (count, ...) each; zeros for images that are None."""
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


class MemoryPairs(Batches[Batch]):
    """Pairs from images kept as uint8 on the device; LR is made once, crops are cut on the device."""

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
            (number, factor, shrunk(image, factor))
            for number, image in enumerate(images)
            for factor in plan.sizes
        ]
        min_side = plan.patch * plan.scale
        kept = [copy for copy in copies if min(copy[2].shape[:2]) >= min_side]
        self.sources = tuple((number, factor) for number, factor, _ in kept)
        """Index of the source image of each resized copy, and the factor of its size."""
        hr = [crop_to_multiple(image, plan.scale) for _, _, image in kept]
        lr = [make_lr(image, plan.scale) for image in hr]
        self.hr, self.lr = PackedImages(hr, device), PackedImages(lr, device)
        self._conditions = CropConditions(conditioning, lr, len(lr), device, progress)

    def draw(self, step: int) -> Batch:
        """Batch of one step."""
        plan = self.plan
        mine = plan.draw(self.lr, (self.lr.heights, self.lr.widths), plan.patch, step)
        hr = self.hr.cut(mine, plan.patch, plan.scale)
        return Batch(self.lr.cut(mine, plan.patch), hr, self.conditions_of(mine, step))

    def conditions_of(self, crops: Crops, step: int) -> dict[str, Tensor]:
        """Conditions of the crops of a step by name, (B, ...) each."""
        return self._conditions.of(crops, self.plan.patch, self.lr.sizes_of(crops))


@dataclass(frozen=True)
class JoinedPairs:
    """Concatenation of one batch from each source."""

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
