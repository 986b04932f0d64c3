"""A trained network whose results are one more target."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from srkit.losses.images import l1


@dataclass(frozen=True)
class Teacher:
    """A frozen network of the learner's scale that sees what the learner sees."""

    network: nn.Module
    weight: float
    """Of its term in the loss."""
    autocast: torch.dtype | None = None
    """Precision of its arithmetic; None: fp32."""

    def __call__(self, sr: Tensor, lr: Tensor) -> Tensor:
        """L1 between `sr` (N, 3, scale h, scale w) and what the teacher makes of `lr` (N, 3, h, w), clipped to [0, 1];
        a scalar, not weighted, whose gradient reaches `sr` alone."""
        with (
            torch.no_grad(),
            torch.autocast(lr.device.type, self.autocast, enabled=self.autocast is not None),
        ):
            target = self.network(lr).float().clamp(0, 1)
        return l1(sr.float(), target)
