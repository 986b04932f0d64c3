"""Distance of images in the features of a frozen network."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from srkit.encoders.features import PerceptualFeatures
from srkit.errors import UsageError


def feature_l1(sr: Sequence[Tensor], hr: Sequence[Tensor]) -> Tensor:
    """Mean over the maps of the mean absolute difference, in fp32; a scalar.

    A mean, not the sum of Johnson et al. 2016 (ECCV, Eq. 2 and Section 3.2), so that the term's weight does not
    depend on the number of maps; for one map the two are the same.

    Args:
        sr: maps (N, C_i, h_i, w_i).
        hr: as many, of the same shapes.

    Raises:
        UsageError: none, not as many, or of other shapes.
    """
    if not sr or [x.shape for x in sr] != [y.shape for y in hr]:
        raise UsageError(
            f"Feature maps of the shapes {[tuple(x.shape) for x in sr]} and {[tuple(y.shape) for y in hr]} were "
            "to be compared; they must be the same, and at least one."
        )
    return torch.stack([(x.float() - y.float()).abs().mean() for x, y in zip(sr, hr, strict=True)]).mean()


@dataclass(frozen=True)
class PerceptualLoss:
    """`feature_l1` of a provider's maps (L1 before activation: ESRGAN, Wang et al. 2018, Section 3.3).

    The gradient goes through the provider into `sr`, none into `hr`.
    """

    provider: PerceptualFeatures
    autocast: torch.dtype | None = None
    """Precision of the provider's arithmetic; None: fp32. The distance is always taken in fp32."""

    def __call__(self, sr: Tensor, hr: Tensor) -> Tensor:
        """Images (N, 3, H, W) in [0, 1], of the same shape; a scalar."""
        with torch.autocast(sr.device.type, self.autocast, enabled=self.autocast is not None):
            with torch.no_grad():
                wanted = self.provider.features(hr)
            return feature_l1(self.provider.features(sr), wanted)
