"""Distance of images in a semantic encoder's space."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from srkit.encoders.semantic import SemanticEncoder


def unit_distance(a: Tensor, b: Tensor) -> Tensor:
    """Mean over N of the squared distance of unit vectors (N, D), which is 2 - 2 cos; in [0, 4], a scalar, fp32.

    As a difference: 2 - 2 cos cancels in fp32 where the vectors are close, as those of an image and its
    reconstruction are.
    """
    return (a.float() - b.float()).square().sum(1).mean()


@dataclass(frozen=True)
class SemanticLoss:
    """`unit_distance` of the encoder's vectors (CDASR's L_sem: spec 1.3).

    The gradient goes through the frozen encoder into `sr`, none into `hr`.
    """

    encoder: SemanticEncoder
    autocast: torch.dtype | None = None
    """Precision of the encoder's arithmetic; None: fp32. The distance is always taken in fp32."""

    def __call__(self, sr: Tensor, hr: Tensor) -> Tensor:
        """Images (N, 3, H, W) in [0, 1], of the same shape; a scalar."""
        with torch.autocast(sr.device.type, self.autocast, enabled=self.autocast is not None):
            with torch.no_grad():
                wanted = self.encoder.embed(hr).vector
            return unit_distance(self.encoder.embed(sr).vector, wanted)
