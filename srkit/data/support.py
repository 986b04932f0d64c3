"""Crops of a few pairs, LR given or made, for few-shot adaptation."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from srkit.data.examples import Example
from srkit.data.packed import PackedPictures, crop_positions, draw_crops
from srkit.data.pairs import NOTHING, Batch, CropPlan, Telling, as_tensor, describe_all
from srkit.errors import UsageError
from srkit.ops.position import position_grid
from srkit.progress import Progress, Silent


class SupportPairs:
    """Endless crops of examples that lie in memory: see `srkit.data.pairs.PairSource`.

    Other than `MemoryPairs` it takes LR pictures as they are, and may draw from some of the examples only.

    Args:
        examples: each with both LR sides of `plan.patch` or more.
        plan: crops; `sizes`, `rank` and `world` are not used.
        device: where pictures live and crops are cut.
        telling: what the network is told beside a crop.
        progress: told of pictures being described.

    Raises:
        UsageError: no examples, or one that is smaller than a crop.
    """

    def __init__(
        self,
        examples: Sequence[Example],
        plan: CropPlan,
        device: torch.device,
        telling: Telling = NOTHING,
        progress: Progress | None = None,
    ) -> None:
        small = [one.name for one in examples if min(one.lr.shape[:2]) < plan.patch]
        if small or not examples:
            what = f"'{small[0]}' is smaller" if small else "there are none"
            raise UsageError(
                f"Examples must be at least as large as a crop of {plan.patch} LR pixels; {what}."
            )
        self.plan, self._telling = plan, telling
        self.hr = PackedPictures([one.hr for one in examples], device)
        self.lr = PackedPictures([one.lr for one in examples], device)
        self._known: dict[str, Tensor] = {}
        if telling.describe is not None:
            lows = [one.lr for one in examples]
            self._known = describe_all(telling.describe, lows, len(lows), device, progress or Silent())

    def batches(self, first_step: int) -> Iterator[Batch]:
        step = first_step
        everything = range(len(self.lr.heights))
        while True:
            yield self.batch(everything, self.plan.seed, step)
            step += 1

    def batch(self, pictures: Sequence[int], seed: int, step: int) -> Batch:
        """Crops of some of the examples, a function of these arguments alone."""
        chosen = torch.tensor(list(pictures), dtype=torch.int64)
        plan, device = self.plan, self.lr.pixels.device
        sizes = (self.lr.heights[chosen], self.lr.widths[chosen])
        crops = draw_crops(sizes, plan.patch, plan.batch, seed=seed, step=step, augment=plan.augment)
        crops = type(crops)(chosen[crops.picture], crops.top, crops.left, crops.turn)
        told = {name: value[crops.picture.to(device)] for name, value in self._known.items()}
        if self._telling.position:
            told["position"] = crop_positions(crops, plan.patch, self.lr.sizes_of(crops), device)
        return Batch(self.lr.cut(crops, plan.patch), self.hr.cut(crops, plan.patch, plan.scale), told)


def judge_batch(
    example: Example,
    largest: int,
    multiple: int,
    device: torch.device,
    telling: Telling = NOTHING,
) -> Batch:
    """The middle of an example as a batch of one, with what a network is told of the whole of it.

    Args:
        largest: longest side of what is cut, in LR pixels.
        multiple: its sides are multiples of this.
    """
    scale = example.hr.shape[0] // example.lr.shape[0]
    rows, columns = (_middle(side, largest, multiple) for side in example.lr.shape[:2])
    high_rows, high_columns = (slice(s.start * scale, s.stop * scale) for s in (rows, columns))
    told: dict[str, Tensor] = {}
    if telling.describe is not None:
        with torch.no_grad():
            told |= telling.describe(as_tensor(example.lr, device))
    if telling.position:
        told["position"] = position_grid(example.lr.shape[0], example.lr.shape[1], device)[
            :, :, rows, columns
        ]
    return Batch(
        as_tensor(example.lr[rows, columns], device),
        as_tensor(example.hr[high_rows, high_columns], device),
        told,
    )


def _middle(side: int, largest: int, multiple: int) -> slice:
    length = max(multiple, min(side, largest) // multiple * multiple)
    start = (side - length) // 2
    return slice(start, start + length)
