"""Trained network whose results are an additional target."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor, nn

from srkit.data.pairs import Batch, PairSource
from srkit.ops.geometry import TURNS, turn
from srkit.ops.layout import in_precision
from srkit.ops.resize import bicubic


@dataclass(frozen=True)
class Teacher:
    """Frozen network that gets the same input as the trained network."""

    network: nn.Module
    scale: int
    """Scale of the trained network; the teacher's results are shrunk to it (bicubic) if its own scale is larger."""
    autocast: torch.dtype | None = None
    """Precision of its arithmetic; None: fp32."""

    @torch.no_grad()
    def __call__(self, lr: Tensor) -> Tensor:
        """Its SR of `lr` (N, 3, h, w), clipped to [0, 1]; (N, 3, scale h, scale w), fp32."""
        with in_precision(lr, self.autocast):
            sr: Tensor = self.network(lr)
        return bicubic(sr.float(), (self.scale * lr.shape[2], self.scale * lr.shape[3])).clamp(0, 1)


@dataclass(frozen=True)
class TaughtPairs:
    """Training pairs with the results of a teacher, each of which serves several steps.

    Every `reuse`-th step draws a new batch of `source`, and the steps between take one of the latest `kept` batches at
    random, transformed by one of the eight dihedral transforms if the network has no conditions. A teacher that is many
    times as large as the trained network then costs a fraction of its time.
    """

    source: PairSource
    teacher: Teacher
    reuse: int
    kept: int
    seed: int
    device: torch.device

    def batches(self, first_step: int) -> Iterator[Batch]:
        """See `srkit.data.pairs.PairSource`; after an interruption, batches are drawn again when a step needs them."""
        kept: dict[int, Batch] = {}
        fresh = self.source.batches(-(-first_step // self.reuse))
        for step in itertools.count(first_step):
            newest, since = divmod(step, self.reuse)
            if since == 0:
                batch = self._taught(next(fresh))
                if self.reuse > 1:
                    kept[newest] = _on_cpu(batch)
                    kept.pop(newest - self.kept, None)
                yield batch
                continue
            draws = np.random.default_rng((self.seed, step))
            number = int(draws.integers(max(0, newest - self.kept + 1), newest + 1))
            if number not in kept:
                kept[number] = _on_cpu(self._taught(next(self.source.batches(number))))
            yield self._again(kept[number], int(draws.integers(TURNS)))

    def _again(self, batch: Batch, kind: int) -> Batch:
        """A kept batch, in the dihedral transform `kind` if the network has no conditions."""
        kind = 0 if batch.conditions else kind
        return _mapped(
            batch,
            lambda x: (turn(x.to(self.device), kind) / 255).contiguous(memory_format=torch.channels_last),
        )

    def _taught(self, batch: Batch) -> Batch:
        return replace(batch, distilled=self.teacher(batch.lr))


def _on_cpu(batch: Batch) -> Batch:
    """Images in levels of 8 bit, on the CPU."""
    return _mapped(batch, lambda x: (x * 255).round().to("cpu", torch.uint8))


def _mapped(batch: Batch, change: Callable[[Tensor], Tensor]) -> Batch:
    """The batch with all images changed."""
    sharpened, distilled = (None if x is None else change(x) for x in (batch.sharpened, batch.distilled))
    return replace(batch, lr=change(batch.lr), hr=change(batch.hr), sharpened=sharpened, distilled=distilled)
