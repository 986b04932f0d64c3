"""What a non-blind network does with its own result: pull it towards what the input says, and polish that."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from srkit.archs.blocks import SFT, ResidualBlock, begin_at_zero, conv3x3
from srkit.ops.code_blur import CodeBlur

_MAX_GAIN = 16.0
"""Beyond 1/16 of what the narrowest kernels of MANet's range project back, steps would no longer converge."""
_FIRST_GAIN = -1.5  # before the sigmoid: 2.9, at which noise of 5 levels costs nothing yet


class Consistency(nn.Module):
    """x <- x + A*(g (y - A x)), some times over, with momentum: iterative back-projection with known kernels.

    A blurs and subsamples, A* is its adjoint (Irani and Peleg 1991, CVGIP, for one kernel; as a network's data step:
    USRNet, Zhang et al. 2020, CVPR, Section 4.2). The gain g is estimated from features, for each LR pixel: what noise
    or a wrong kernel makes of the residual is not to be projected back. Each step is local, so that pieces of an image
    give what the whole gives.

    Args:
        features: channels that the gain is estimated from.
        steps: how many; each has a factor and a momentum of its own.
    """

    def __init__(self, features: int, steps: int) -> None:
        super().__init__()
        self.gain = nn.Conv2d(features, 1, 1, bias=False)
        self.factors = nn.Parameter(torch.ones(steps))
        self.momenta = nn.Parameter(torch.zeros(steps))
        self.level = nn.Parameter(torch.tensor(_FIRST_GAIN))
        begin_at_zero(self.gain.weight)

    def forward(self, sr: Tensor, lr: Tensor, blur: CodeBlur, features: Tensor) -> Tensor:
        """sr (N, 3, s h, s w), what it is an image of (N, 3, h, w) and features (N, C, h, w) to sr's shape, fp32."""
        gain = _MAX_GAIN * torch.sigmoid(self.gain(features).float() + self.level.float())
        with torch.autocast(sr.device.type, enabled=False):
            sr, lr = sr.float(), lr.float()
            moved = torch.zeros_like(sr)
            for factor, momentum in zip(self.factors.float(), self.momenta.float(), strict=True):
                moved = momentum * moved + blur.adjoint(factor * gain * (lr - blur(sr)))
                sr = sr + moved
        return sr


class Polish(nn.Module):
    """What is left to do behind `Consistency`, which knows of no image: an RGB residual from what it changed.

    Args:
        features: channels of the trunk.
        code: channels of the codes.
        blocks: residual blocks.
        scale: of the image.
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
        """change (N, 3, s h, s w), features (N, C, h, w) and codes (N, K, h, w) to change's shape."""
        h = features + self.seen(F.pixel_unshuffle(change, self._scale).to(features.dtype))
        return F.pixel_shuffle(self.last(self.blocks(self.modulation(h, codes))), self._scale)
