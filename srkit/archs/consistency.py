"""Data-consistency steps of a non-blind network on its own result, and a refinement after them."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from srkit.archs.blocks import SFT, ResidualBlock, begin_at_zero, conv3x3
from srkit.ops.code_blur import CodeBlur
from srkit.ops.layout import in_precision

_MAX_GAIN = 16.0
"""Upper bound of the gain: with MANet's narrowest kernels the steps stop converging beyond it."""
_FIRST_GAIN = -1.5  # before the sigmoid: a gain of 2.9, harmless at noise of 5 levels


class Consistency(nn.Module):
    """x <- x + A*(g (y - A x)), repeated with momentum: iterative back-projection with known kernels.

    A blurs and subsamples, A* is its adjoint (Irani and Peleg 1991, CVGIP, for one kernel; as a network's data step:
    USRNet, Zhang et al. 2020, CVPR, Section 4.2). The gain g is estimated from features, for each LR pixel, so that
    residuals caused by noise or a wrong kernel are not projected back. Each step is local, so pieces of an image give
    the same result as the whole.

    Args:
        features: channels of the features that the gain is estimated from.
        steps: number of steps; each has its own factor and momentum.
    """

    def __init__(self, features: int, steps: int) -> None:
        super().__init__()
        self.gain = nn.Conv2d(features, 1, 1, bias=False)
        self.factors = nn.Parameter(torch.ones(steps))
        self.momenta = nn.Parameter(torch.zeros(steps))
        self.level = nn.Parameter(torch.tensor(_FIRST_GAIN))
        begin_at_zero(self.gain.weight)

    def forward(self, sr: Tensor, lr: Tensor, blur: CodeBlur, features: Tensor) -> Tensor:
        """Refine sr (N, 3, s h, s w) given lr (N, 3, h, w) and features (N, C, h, w); fp32, of the shape of sr."""
        gain = _MAX_GAIN * torch.sigmoid(self.gain(features).float() + self.level.float())
        with in_precision(sr, None):
            sr, lr = sr.float(), lr.float()
            moved = torch.zeros_like(sr)
            for factor, momentum in zip(self.factors.float(), self.momenta.float(), strict=True):
                moved = momentum * moved + blur.adjoint(factor * gain * (lr - blur(sr)))
                sr = sr + moved
        return sr


class Polish(nn.Module):
    """Refinement after `Consistency`, which has no image prior: an RGB residual from the change it made.

    Args:
        features: channels of the trunk.
        code: channels of the codes.
        blocks: residual blocks.
        scale: scale of the image.
        hidden, sft_size: see `SFT`.
    """

    def __init__(
        self, features: int, code: int, blocks: int, scale: int, hidden: int = 32, sft_size: int = 3
    ) -> None:
        super().__init__()
        self._scale = scale
        self.seen = nn.Conv2d(3 * scale**2, features, 1)
        self.modulation = SFT(features, code, hidden, sft_size)
        self.blocks = nn.Sequential(*(ResidualBlock(features) for _ in range(blocks)))
        self.last = conv3x3(features, 3 * scale**2)
        self.modulation.start_as_identity()
        begin_at_zero(self.last.weight, self.last.bias)

    def forward(self, change: Tensor, features: Tensor, codes: Tensor) -> Tensor:
        """Map change (N, 3, s h, s w), features (N, C, h, w) and codes (N, K, h, w) to the shape of change."""
        h = features + self.seen(F.pixel_unshuffle(change, self._scale).to(features.dtype))
        return F.pixel_shuffle(self.last(self.blocks(self.modulation(h, codes))), self._scale)
