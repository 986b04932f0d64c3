"""Training pairs with a realistic degradation, drawn anew for every crop."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from srkit.conditioning.makers import UNCONDITIONED, Conditioning
from srkit.data.batches import Batches
from srkit.data.packed import PackedImages
from srkit.data.pairs import Batch, CropConditions, CropPlan, crop_to_multiple, shrunk
from srkit.degradation.second_order import Draw, degrade, draw
from srkit.errors import UsageError
from srkit.ops.layout import as_rgb, as_tensor
from srkit.progress import Progress
from srkit.recipes.degradation import SecondOrderPart


@dataclass(frozen=True)
class RealPlan(CropPlan):
    """Plan of the crops and of their degradation.

    Raises:
        UsageError: a margin below 0.
    """

    degradation: SecondOrderPart = field(default_factory=SecondOrderPart)
    margin: int = 4
    """Average margin in LR pixels that is degraded around the crop on each side. The crop's position within the
    degraded area is random, so JPEG blocks begin anywhere, and border effects of filters are rare."""

    def __post_init__(self) -> None:
        if self.margin < 0:
            raise UsageError(f"The plan of real pairs has margin {self.margin}; it starts at 0.")

    @property
    def side(self) -> int:
        """Side of the degraded area of a crop, in LR pixels."""
        return self.patch + 2 * self.margin

    @property
    def smallest_side(self) -> int:
        """Shortest side of an image for cutting crops, in HR pixels."""
        return self.side * self.scale


class RealPairs(Batches[Batch]):
    """Images kept as uint8 on the device; crops are cut and degraded there.

    Every crop has its own degradation, so no pool is needed to mix them (`srkit.degradation.second_order`). The
    conditions of whole images are computed from one degraded version of each.

    Args:
        images: (H, W, 3) uint8; resized copies (`plan.sizes`) with a side below `plan.smallest_side` are left out.
        known: settings to choose from for each crop, with noise of its own; None: drawn from the plan's distribution.

    Raises:
        UsageError: no image is large enough.
    """

    def __init__(
        self,
        images: Sequence[NDArray[np.uint8]],
        plan: RealPlan,
        device: torch.device,
        conditioning: Conditioning = UNCONDITIONED,
        progress: Progress | None = None,
        known: Draw | None = None,
    ) -> None:
        self.plan, self._known = plan, known
        copies = [shrunk(image, factor) for image in images for factor in plan.sizes]
        hr = [crop_to_multiple(c, plan.scale) for c in copies if min(c.shape[:2]) >= plan.smallest_side]
        if not hr:
            raise UsageError(
                f"None of {len(images)} images has both sides of {plan.smallest_side} pixels or more, which "
                f"crops of {plan.patch} LR pixels at x{plan.scale} with a margin of {plan.margin} need."
            )
        self.hr = PackedImages(hr, device)
        self._sizes = (self.hr.heights // plan.scale, self.hr.widths // plan.scale)
        lr_images = (
            # Two numbers, unlike the seed of a step.
            make_real_lr(image, plan.scale, plan.degradation, self._generator(0, number), device, known)
            for number, image in enumerate(hr)
        )
        self._conditions = CropConditions(conditioning, lr_images, len(hr), device, progress)

    @torch.no_grad()
    def draw(self, step: int) -> Batch:
        """Batch of one step, with LR in integer levels of 8 bit."""
        plan = self.plan
        mine = plan.draw(self.hr, self._sizes, plan.side, step, plan.scale)
        rng = self._generator(step)
        place = torch.randint(2 * plan.margin + 1, (plan.batch, 2), generator=rng).tolist()
        hr = self.hr.cut(mine, plan.side, plan.scale)
        lr, target = degrade(
            hr,
            plan.scale,
            some(plan.degradation, self._known, len(hr), rng),
            sharpen=plan.degradation.sharpen,
        )
        inner = self._inner(hr, place, plan.scale)
        sharpened = self._inner(target, place, plan.scale) if plan.degradation.sharpen else None
        sizes = (self._sizes[0][mine.image], self._sizes[1][mine.image])
        conditions = {
            name: self._inner(value, place) if name in self._conditions.of_place else value
            for name, value in self._conditions.of(mine, plan.side, sizes).items()
        }
        return Batch(self._inner(lr, place), inner, conditions, sharpened)

    def _generator(self, *of: int) -> torch.Generator:
        draws = np.random.default_rng((self.plan.seed, self.plan.rank, *of))
        return torch.Generator().manual_seed(int(draws.integers(2**62)))

    def _inner(self, x: Tensor, place: Sequence[Sequence[int]], scale: int = 1) -> Tensor:
        """Cut the crops from the degraded area, at `scale` times their positions."""
        if not self.plan.margin:
            return x
        side = self.plan.patch * scale
        cuts = [
            one[:, top * scale :, left * scale :][:, :side, :side]
            for one, (top, left) in zip(x, place, strict=True)
        ]
        return torch.stack(cuts).contiguous(memory_format=torch.channels_last)


def some(degradation: SecondOrderPart, known: Draw | None, count: int, rng: torch.Generator) -> Draw:
    """Settings for `count` images, chosen from `known` if given, else drawn anew."""
    if known is None:
        return draw(degradation, count, rng)
    return known.take(torch.randint(len(known.seed), (count,), generator=rng), rng)


@torch.no_grad()
def make_real_lr(
    hr: NDArray[np.uint8],
    scale: int,
    degradation: SecondOrderPart,
    rng: torch.Generator,
    device: torch.device,
    known: Draw | None = None,
) -> NDArray[np.uint8]:
    """Degrade a whole HR image (scale h, scale w, 3) to LR (h, w, 3) once; `known` as in `RealPairs`."""
    drawn = some(degradation, known, 1, rng)
    lr, _ = degrade(as_tensor(hr, device), scale, drawn, sharpen=degradation.sharpen)
    return as_rgb(lr)
