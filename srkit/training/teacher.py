"""Trained network whose results are an additional target."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from srkit.losses.images import l1


@dataclass(frozen=True)
class Teacher:
    """Frozen network of the same scale that gets the same input as the trained network."""

    network: nn.Module
    weight: float
    """Weight of its loss term."""
    autocast: torch.dtype | None = None
    """Precision of its arithmetic; None: fp32."""

    def __call__(self, sr: Tensor, lr: Tensor) -> Tensor:
        """L1 between `sr` (N, 3, scale h, scale w) and the teacher's SR of `lr` (N, 3, h, w), clipped to [0, 1].

        An unweighted scalar with a gradient for `sr` only.
        """
        with (
            torch.no_grad(),
            torch.autocast(lr.device.type, self.autocast, enabled=self.autocast is not None),
        ):
            target = self.network(lr).float().clamp(0, 1)
        return l1(sr.float(), target)
