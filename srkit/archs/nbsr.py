"""NBSR: non-blind super-resolution with a known blur kernel per pixel (SSR, Lin et al. 2024, ECCV, Section 3.1).

MANet's non-blind network (Liang et al. 2021, ICCV): a trunk whose features are scaled and shifted per pixel by codes
of the kernels (SFT). With an EDSR's trunk every SFT is the identity at initialisation, so that the network starts as
that EDSR.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from srkit.archs.blocks import (
    SFT,
    Reconstruction,
    Upsampler,
    centred,
    check_min,
    check_scale,
    receptive_field,
)
from srkit.archs.consistency import Consistency, Polish
from srkit.archs.info import ArchInfo
from srkit.archs.trunks import Trunk, blocks_radius, make_trunk
from srkit.errors import UsageError
from srkit.ops.code_blur import CodeBlur
from srkit.ops.resize import upscale

SCALES = (2, 3, 4)
_SIDE = 21  # side of a kernel
_MIN_DEVIATION = 1e-5  # lower bound on the deviation of a code, for constant codes


class Coded(nn.Module):
    """Network that takes kernels as codes, their inner products with `basis`.

    `code_mean` and `code_deviation` standardise the codes internally. These three are set before training and stored in
    the weights.
    """

    basis: Tensor
    code_mean: Tensor
    code_deviation: Tensor
    scale: int

    def register_codes(self, code: int) -> None:
        """Register buffers for codes of length `code`."""
        self.register_buffer("basis", torch.zeros(code, _SIDE, _SIDE))
        self.register_buffer("code_mean", torch.zeros(code))
        self.register_buffer("code_deviation", torch.ones(code))

    def normalised(self, codes: Tensor) -> Tensor:
        """Standardise codes to mean 0 and deviation 1 over the training kernels."""
        mean, deviation = (t.to(codes.dtype)[:, None, None] for t in (self.code_mean, self.code_deviation))
        return (codes - mean) / deviation.clamp_min(_MIN_DEVIATION)


class NBSR(Coded):
    """Images (N, 3, h, w) in [0, 1] and codes of their kernels to (N, 3, scale h, scale w); not clipped.

    The codes are inner products of the kernels with `basis`; `code_mean` and `code_deviation` standardise them
    internally. These three are set before training and stored in the weights.

    Args:
        scale: 2, 3 or 4.
        features: channels of the trunk.
        blocks: blocks of the trunk: RRDBs (10 in the paper), or an EDSR's residual blocks.
        trunk: `rrdb` is the paper's; `edsr` has the names and shapes of `srkit.archs.edsr.EDSR`'s tensors.
        code: length K of a kernel's code.
        upsampler: `single` (the paper's), or `edsr`; see `Reconstruction`.
        growth: channels that each convolution of a dense block adds (`rrdb`).
        hidden: channels between the convolutions of an SFT.
        every: interval in blocks between SFTs, each before a block; with `edsr` another follows the last block.
        sft_size: side of the SFTs' convolutions: 3 (the paper's), or 1, about nine times cheaper.
        consistency: steps of `Consistency` after the trunk; 0, none, is the paper's.
        polish: residual blocks of `Polish` after these steps.

    Raises:
        UsageError: unsupported scale, number or trunk.
    """

    def __init__(
        self,
        scale: int = 4,
        features: int = 64,
        blocks: int = 10,
        trunk: Trunk = "rrdb",
        code: int = 15,
        upsampler: Upsampler = "single",
        growth: int = 32,
        hidden: int = 32,
        every: int = 1,
        sft_size: int = 3,
        consistency: int = 0,
        polish: int = 0,
    ) -> None:
        super().__init__()
        check_scale("NBSR", scale, SCALES)
        check_min(
            "NBSR", 1, features=features, blocks=blocks, code=code, growth=growth, hidden=hidden, every=every
        )
        if sft_size not in (1, 3):
            raise UsageError(f"NBSR was given sft_size {sft_size}; it takes 1 or 3.")
        if consistency < 0 or polish < 0 or (polish and not consistency):
            raise UsageError(
                f"NBSR was given {consistency} steps of consistency and {polish} blocks of polish; both start at 0, "
                "and there is nothing to polish behind no step."
            )
        self.scale = scale
        self.trunk = make_trunk(trunk, features, blocks, growth)
        self.reconstruction = Reconstruction(features, scale, upsampler)
        self._every, self._last = every, trunk == "edsr"
        count = len(range(0, blocks, every)) + self._last
        modulations = [SFT(features, code, hidden, sft_size) for _ in range(count)]
        for modulation in modulations:
            modulation.start_as_identity()
        self.modulations = nn.ModuleList(modulations)
        self.consistency = Consistency(features, consistency) if consistency else None
        self.polish = Polish(features, code, polish, scale, hidden, sft_size) if polish else None
        self.register_codes(code)
        deep = blocks_radius(trunk, blocks) + count * (sft_size - 1)
        # Each step blurs and projects back, with a radius of half a kernel each.
        behind = 2 * consistency * -(-(_SIDE // 2) // scale) + (2 * polish + sft_size if polish else 0)
        self.info = ArchInfo(
            scale=scale,
            receptive_field=deep + receptive_field(scale, 0, upsampler) + behind,
            fp16_ok=True,
            fp32_sum=True,
            conditioning=("codes",),
        )

    def forward(self, x: Tensor, codes: Tensor | None = None) -> Tensor:
        """Upscale an image, or a piece of one, given the codes of its kernels.

        Args:
            x: (N, 3, h, w) in [0, 1].
            codes: (N, K, h, w), in terms of `basis`.

        Raises:
            UsageError: `codes` is None.
        """
        if codes is None:
            raise UsageError("NBSR was not given the codes of the image's kernels; give codes (N, K, h, w).")
        dtype = self.trunk.head.weight.dtype
        code = self.normalised(codes).to(dtype)
        shallow: Tensor = self.trunk.head(centred(x).to(dtype))
        h, modulations = shallow, iter(self.modulations)
        for i, block in enumerate(self.trunk.blocks):
            if i % self._every == 0:
                h = next(modulations)(h, code)
            h = block(h)
        if self._last:
            h = next(modulations)(h, code)
        h = shallow + self.trunk.tail(h)
        sr: Tensor = upscale(x, self.scale) + self.reconstruction(h).to(x.dtype)
        if self.consistency is None:
            return sr
        blur = CodeBlur(codes.float(), self.basis.float(), self.scale)
        pulled: Tensor = self.consistency(sr, x, blur, h)
        if self.polish is None:
            return pulled
        polished: Tensor = self.polish(pulled - upscale(x, self.scale), h, code)
        return pulled + polished.float()
