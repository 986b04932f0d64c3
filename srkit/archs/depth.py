"""Small network for monocular depth: relative inverse depth from one image.

A U-Net of convolutions with group normalisation (Wu and He 2018, ECCV), without which it hardly trains. It is less
accurate than MiDaS, and serves where public weights cannot be downloaded.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import torch.nn.functional as F
from torch import Tensor, nn

from srkit.archs.blocks import begin_at_zero, check_min, conv3x3
from srkit.archs.info import ArchInfo
from srkit.errors import UsageError

_SLOPE = 0.1  # negative slope of the leaky ReLUs
_IN_A_GROUP = 8  # channels of a normalisation group


class CompactDepth(nn.Module):
    """Images (N, 3, H, W) in [0, 1] to inverse depth (N, 1, H, W), float32, up to a positive scale and a shift.

    Args:
        widths: channels at the image's resolution, at half of it, and so on.
        side: longer side that the caller resizes whole images to, as in training.

    Raises:
        UsageError: fewer than two widths, or a width or the side below 1.
    """

    def __init__(self, widths: Sequence[int] = (16, 32, 64, 96, 128), side: int = 256) -> None:
        super().__init__()
        if len(widths) < 2:
            raise UsageError(f"The depth network was given widths {list(widths)}; it takes at least two.")
        check_min("The depth network", 1, widths=widths, side=side)
        self.side = side
        self.head = conv3x3(3, widths[0])
        self.down = nn.ModuleList(
            nn.Conv2d(before, width, 3, stride=2, padding=1) for before, width in pairwise(widths)
        )
        self.encode = nn.ModuleList(_Block(width) for width in widths)
        self.context = nn.Linear(widths[-1], widths[-1])  # global context, added at every pixel
        self.up = nn.ModuleList(nn.Conv2d(width, before, 1) for before, width in pairwise(widths))
        self.decode = nn.ModuleList(_Block(width) for width in widths[:-1])
        self.tail = conv3x3(widths[0], 1)
        for layer in (self.head, *self.down):
            nn.init.kaiming_normal_(layer.weight, _SLOPE)
            begin_at_zero(layer.bias)
        # The context makes every pixel depend on every other, so the receptive field is the image.
        self.info = ArchInfo(scale=1, receptive_field=side, tiling="none")

    def forward(self, x: Tensor) -> Tensor:
        """Inverse depth of x (N, 3, H, W) of any size; most accurate at the size of training images."""
        h = F.leaky_relu(self.head((x * 4 - 2).to(self.head.weight.dtype)), _SLOPE)
        h = self.encode[0](h)
        skips = []
        for down, block in zip(self.down, self.encode[1:], strict=False):
            skips.append(h)
            h = block(F.leaky_relu(down(h), _SLOPE))
        h = h + self.context(h.mean((2, 3)))[:, :, None, None]
        for up, block, skip in zip(reversed(self.up), reversed(self.decode), reversed(skips), strict=True):
            coarse = F.interpolate(up(h), size=skip.shape[2:], mode="bilinear", align_corners=False)
            h = block(coarse + skip)
        depth: Tensor = self.tail(h)
        return depth.float()


class _Block(nn.Module):
    """x + 1x1(leaky ReLU(3x3(norm(x)))), initialised as the identity."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.GroupNorm(math.gcd(width, max(1, width // _IN_A_GROUP)), width)
        self.spatial = conv3x3(width, width)
        self.mix = nn.Conv2d(width, width, 1)
        nn.init.kaiming_normal_(self.spatial.weight, _SLOPE)
        begin_at_zero(self.spatial.bias, self.mix.weight, self.mix.bias)

    def forward(self, x: Tensor) -> Tensor:
        h: Tensor = self.mix(F.leaky_relu(self.spatial(self.norm(x)), _SLOPE))
        return x + h
