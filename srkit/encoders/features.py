"""Feature maps that perceptual losses compare: the protocol."""

from __future__ import annotations

from typing import Protocol

from torch import Tensor


class PerceptualFeatures(Protocol):
    """A frozen network whose feature maps are compared; differentiable with respect to the pictures."""

    name: str
    """As recipes spell it."""
    version: str
    """Names the weights, so that equal versions mean equal numbers."""

    def features(self, pictures: Tensor) -> list[Tensor]:
        """(N, 3, H, W) in [0, 1] to maps (N, C_i, h_i, w_i), of comparable scale, from bottom to top."""
        ...
