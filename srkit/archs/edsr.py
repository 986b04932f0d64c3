"""EDSR-baseline: enhanced deep residual network (Lim et al. 2017, CVPRW), with a bicubic skip.

The published network predicts the image itself; here it predicts the residual over bicubic upscaling, and the sum is
taken in fp32, so that the network can run in bf16 without loss of image precision.
"""

from __future__ import annotations

from torch import Tensor, nn

from srkit.archs.blocks import (
    Reconstruction,
    ResidualTrunk,
    Upsampler,
    built_between,
    centred,
    check_min,
    check_scale,
    receptive_field,
)
from srkit.archs.info import ArchInfo
from srkit.ops.resize import upscale

SCALES = (2, 3, 4, 8, 16)


class EDSR(nn.Module):
    """Images (N, 3, h, w) in [0, 1] to (N, 3, scale h, scale w); not clipped.

    Args:
        scale: 2, 3, 4, 8 or 16.
        features: channels of the trunk (64 in EDSR-baseline).
        blocks: residual blocks of the trunk (16 in EDSR-baseline).
        upsampler: `edsr` as published, or `single` (see `Reconstruction`).
        residual_scale: factor on each block's residual (0.1 in the large EDSR).
        blocks_between: residual blocks between the stages of `edsr` at x8 and x16 (0 as published; CDASR starts from
            an EDSR that has some). `single` and smaller scales ignore it; the attribute of the same name holds the
            number in use.

    Raises:
        UsageError: unsupported scale, no features, or a negative number of blocks.
    """

    def __init__(
        self,
        scale: int = 4,
        features: int = 64,
        blocks: int = 16,
        upsampler: Upsampler = "edsr",
        residual_scale: float = 1.0,
        blocks_between: int = 0,
    ) -> None:
        super().__init__()
        check_scale("EDSR", scale, SCALES)
        check_min("EDSR", 1, features=features)
        check_min("EDSR", 0, blocks=blocks, blocks_between=blocks_between)
        between = built_between(scale, upsampler, blocks_between)
        self.scale, self.blocks_between = scale, between
        self.trunk = ResidualTrunk(features, blocks, residual_scale)
        self.reconstruction = Reconstruction(features, scale, upsampler, between)
        self.info = ArchInfo(
            scale=scale,
            receptive_field=receptive_field(scale, blocks, upsampler, between),
            fp16_ok=True,
            fp32_sum=True,
        )

    def forward(self, x: Tensor) -> Tensor:
        weight = self.trunk.head.weight
        h = centred(x).to(weight.dtype)
        residual: Tensor = self.reconstruction(self.trunk(h))
        return upscale(x, self.scale) + residual.to(x.dtype)
