"""Encoders of a diffusion model's conditions: kernels (E_K), depth (E_D) and LR (E_L) as pyramids of maps.

SSR (Lin et al. 2024, ECCV), Section 3.2, gives no sizes for E_K and E_D ("smaller-scale encoders"), and takes
StableSR's half U-Net as E_L. All three are one small pyramid here, without attention and normalisation: maps are local.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor, nn

from srkit.archs.amf import resized
from srkit.archs.blocks import ResidualBlock, conv3x3


class Pyramid(nn.Module):
    """A map (N, channels, h, w) to maps (N, width, f h, f w), one for each factor f.

    Args:
        channels: channels of the input.
        width: channels of the output.
        factors: descending, each half of the previous: 2, 1 and 1/2, for example. Maps finer than the input repeat it.
    """

    def __init__(self, channels: int, width: int, factors: Sequence[float]) -> None:
        super().__init__()
        self._factors = tuple(factors)
        self.stem = conv3x3(channels, width)
        self.body = ResidualBlock(width)
        coarser = sum(factor < 1 for factor in factors)
        self.downs = nn.ModuleList(nn.Conv2d(width, width, 2, stride=2) for _ in range(coarser))
        self.blocks = nn.ModuleList(ResidualBlock(width) for _ in range(coarser))

    def forward(self, x: Tensor) -> list[Tensor]:
        """Maps of x at each factor; the sides of x must be multiples of 1 over the smallest factor."""
        height, width = x.shape[2:]
        h: Tensor = self.body(F.relu(self.stem(x)))
        found = [resized(h, int(height * f), int(width * f)) for f in self._factors if f >= 1]
        for down, block in zip(self.downs, self.blocks, strict=True):
            h = block(down(h))
            found.append(h)
        return found
