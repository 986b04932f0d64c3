"""Crops of a few pairs, with LR given or made, for few-shot adaptation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from srkit.conditioning.makers import NO_EXTRAS, UNCONDITIONED, Conditioning, Extras
from srkit.conditioning.values import part_of
from srkit.data.batches import Batches
from srkit.data.examples import Example, middles
from srkit.data.packed import Crops, PackedImages, draw_crops
from srkit.data.pairs import Batch, CropConditions, CropPlan, crop_to_multiple, make_lr
from srkit.errors import UsageError
from srkit.ops.layout import RGB, as_tensor
from srkit.progress import Progress


@dataclass(frozen=True)
class Variety:
    """Augmentations of the support set, each a variation that occurs within a domain.

    Attributes:
        turns: flips and rotations by right angles.
        phases: offsets of the LR grid against the HR pixels: LR images are made again for other offsets (at most
            `MAX_PHASES` of scale squared). Applies only to made LR images; given ones are unchanged.
        colours: permuted channels, and negatives: LR downscaling commutes with both.
    """

    turns: bool = True
    phases: bool = False
    colours: bool = False


MAX_PHASES = 16
PLAIN = Variety()


class SupportPairs(Batches[Batch]):
    """Endless crops of examples in memory: see `srkit.data.pairs.PairSource`.

    Unlike `MemoryPairs` it uses LR images as given, and can draw from a subset of the examples.

    Args:
        examples: examples with both LR sides of `plan.patch` or more.
        plan: plan of the crops; `augment`, `sizes`, `rank` and `world` are not used.
        device: device of the images and crops.
        conditioning: conditioning of the network.
        variety: augmentations of the crops.
        progress: display of the images whose conditions are made.
        extras: extras of each example; empty for none.

    Raises:
        UsageError: no examples, or an example smaller than a crop.
    """

    def __init__(
        self,
        examples: Sequence[Example],
        plan: CropPlan,
        device: torch.device,
        conditioning: Conditioning = UNCONDITIONED,
        variety: Variety = PLAIN,
        progress: Progress | None = None,
        extras: Sequence[Extras] = (),
    ) -> None:
        small = [one.name for one in examples if min(one.lr.shape[:2]) < plan.patch]
        if small or not examples:
            what = f"'{small[0]}' is smaller" if small else "there are none"
            raise UsageError(
                f"Examples must be at least as large as a crop of {plan.patch} LR pixels; {what}."
            )
        self.plan, self._variety = plan, variety
        self.count = len(examples)
        self.hr = PackedImages([one.hr for one in examples], device)
        lr_images, owners, offsets = _lr_images(examples, plan, variety)
        self.lr = PackedImages(lr_images, device)
        self._owners = torch.tensor(owners)
        self._offsets = torch.tensor(offsets)
        whole = [one.lr for one in examples]
        self._conditions = CropConditions(conditioning, whole, len(whole), device, progress, extras=extras)

    def draw(self, step: int) -> Batch:
        """Batch of one step, from all examples."""
        return self.batch(range(self.count), self.plan.seed, step)

    def batch(self, images: Sequence[int], seed: int, step: int) -> Batch:
        """Batch of crops from some of the examples, a function of these arguments alone."""
        plan, device = self.plan, self.lr.pixels.device
        chosen = torch.isin(self._owners, torch.tensor(list(images))).nonzero()[:, 0]
        sizes = (self.lr.heights[chosen], self.lr.widths[chosen])
        crops = draw_crops(sizes, plan.patch, plan.batch, seed=seed, step=step, augment=self._variety.turns)
        lr_crops = replace(crops, image=chosen[crops.image])
        owners, (down, right) = self._owners[lr_crops.image], self._offsets[lr_crops.image].T
        hr_crops = Crops(
            owners, lr_crops.top * plan.scale + down, lr_crops.left * plan.scale + right, lr_crops.turn
        )
        conditions = self._conditions.of(lr_crops, plan.patch, self.lr.sizes_of(lr_crops), owners)
        pair = [self.lr.cut(lr_crops, plan.patch), self.hr.cut(hr_crops, plan.patch * plan.scale)]
        if self._variety.colours:
            random = torch.Generator().manual_seed((seed * 1_000_003 + step + 1) % 2**63)
            order = torch.rand(plan.batch, 3, generator=random).argsort(1).to(device)
            negative = (torch.rand(plan.batch, generator=random) < _NEGATIVE).to(device)
            pair = [_recoloured(x, order, negative) for x in pair]
        return Batch(pair[0], pair[1], conditions)


_NEGATIVE = 0.25  # share of the crops


def _recoloured(x: Tensor, order: Tensor, negative: Tensor) -> Tensor:
    """Permute the channels of images (N, 3, h, w) in [0, 1], and invert some of the images."""
    x = x.gather(1, order[:, :, None, None].expand_as(x))
    x = torch.where(negative[:, None, None, None], 1 - x, x)
    return x.contiguous(memory_format=torch.channels_last)


def _lr_images(
    examples: Sequence[Example], plan: CropPlan, variety: Variety
) -> tuple[list[RGB], list[int], list[tuple[int, int]]]:
    """LR images, the index of each one's example, and its offset in the HR image (down, right)."""
    lr_images: list[RGB] = []
    owners: list[int] = []
    offsets: list[tuple[int, int]] = []
    for i, example in enumerate(examples):
        phases = _phases(plan.scale, plan.seed + i) if variety.phases and example.made else [(0, 0)]
        for down, right in phases:
            lr = example.lr
            if (down, right) != (0, 0):
                lr = make_lr(crop_to_multiple(example.hr[down:, right:], plan.scale), plan.scale)
            if min(lr.shape[:2]) >= plan.patch:
                lr_images.append(lr)
                owners.append(i)
                offsets.append((down, right))
    return lr_images, owners, offsets


def _phases(scale: int, seed: int) -> list[tuple[int, int]]:
    """Offsets of the LR grid in HR pixels, starting with (0, 0)."""
    every = [(down, right) for down in range(scale) for right in range(scale)]
    if len(every) <= MAX_PHASES:
        return every
    order = np.random.default_rng(seed).permutation(len(every) - 1)[: MAX_PHASES - 1] + 1
    return [every[0], *(every[i] for i in sorted(order.tolist()))]


def validation_batches(
    example: Example,
    parts: int,
    largest: int,
    multiple: int,
    device: torch.device,
    conditioning: Conditioning = UNCONDITIONED,
    extras: Extras = NO_EXTRAS,
) -> list[Batch]:
    """Batches of one crop from the centre of each part of an example, with the conditions of the whole.

    Args:
        parts: number of equal segments of the longer side.
        largest: longest side of a crop, in LR pixels.
        multiple: sides are multiples of this, and at least this long.
    """
    scale = example.hr.shape[0] // example.lr.shape[0]
    height, width = example.lr.shape[:2]
    conditions = conditioning(example.lr, extras)
    batches = []
    for rows, columns in middles(height, width, parts, largest, multiple):
        high_rows, high_columns = (slice(s.start * scale, s.stop * scale) for s in (rows, columns))
        own = part_of(conditions, (height, width), rows, columns, device)
        lr, hr = example.lr[rows, columns], example.hr[high_rows, high_columns]
        batches.append(Batch(as_tensor(lr, device), as_tensor(hr, device), own))
    return batches
