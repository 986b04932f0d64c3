"""Trunks of networks, by name, and the trunk of residual-in-residual dense blocks (RRDB)."""

from __future__ import annotations

from typing import Literal, get_args

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from srkit.archs.blocks import ResidualTrunk, begin_at_zero, conv3x3
from srkit.errors import check_known

RESIDUAL_SCALE = 0.2
RADIUS = 15
"""Receptive field radius of one RRDB: three dense blocks of five convolutions."""
_SLOPE = 0.2
_GAIN = 0.1  # gain of the initial weights (ESRGAN, Section 3.1: "smaller initialization")


class ResidualDenseBlock(nn.Module):
    """Five densely connected convolutions with a skip; no normalisation.

    Args:
        features: input and output channels.
        growth: channels that each of the first four convolutions adds.
    """

    def __init__(self, features: int = 64, growth: int = 32) -> None:
        super().__init__()
        self.conv1 = conv3x3(features, growth)
        self.conv2 = conv3x3(features + growth, growth)
        self.conv3 = conv3x3(features + 2 * growth, growth)
        self.conv4 = conv3x3(features + 3 * growth, growth)
        self.conv5 = conv3x3(features + 4 * growth, features)
        for layer in (self.conv1, self.conv2, self.conv3, self.conv4, self.conv5):
            nn.init.kaiming_normal_(layer.weight, _SLOPE)
            with torch.no_grad():
                layer.weight.mul_(_GAIN)
            begin_at_zero(layer.bias)

    def forward(self, x: Tensor) -> Tensor:
        """Map x (N, features, h, w) to the same shape."""
        seen = [x]
        for layer in (self.conv1, self.conv2, self.conv3, self.conv4):
            seen.append(F.leaky_relu(layer(torch.cat(seen, dim=1)), _SLOPE))
        last: Tensor = self.conv5(torch.cat(seen, dim=1))
        return torch.add(x, last, alpha=RESIDUAL_SCALE)


class RRDB(nn.Module):
    """Three dense blocks with a skip around them."""

    def __init__(self, features: int = 64, growth: int = 32) -> None:
        super().__init__()
        self.rdb1 = ResidualDenseBlock(features, growth)
        self.rdb2 = ResidualDenseBlock(features, growth)
        self.rdb3 = ResidualDenseBlock(features, growth)

    def forward(self, x: Tensor) -> Tensor:
        """Map x (N, features, h, w) to the same shape."""
        deep: Tensor = self.rdb3(self.rdb2(self.rdb1(x)))
        return torch.add(x, deep, alpha=RESIDUAL_SCALE)


class RRDBTrunk(nn.Module):
    """RGB to features: convolution, RRDBs, convolution, long skip (ESRGAN's body; parts named as in `ResidualTrunk`).

    Args:
        features: output channels.
        blocks: RRDBs.
        growth: see `ResidualDenseBlock`.
        channels: input channels, 3 for RGB.
    """

    def __init__(self, features: int, blocks: int, growth: int = 32, channels: int = 3) -> None:
        super().__init__()
        self.head = conv3x3(channels, features)
        self.blocks = nn.Sequential(*(RRDB(features, growth) for _ in range(blocks)))
        self.tail = conv3x3(features, features)

    def forward(self, x: Tensor) -> Tensor:
        """Map x (N, channels, h, w) to (N, features, h, w)."""
        shallow: Tensor = self.head(x)
        deep: Tensor = self.tail(self.blocks(shallow))
        return shallow + deep


Trunk = Literal["rrdb", "edsr"]


def make_trunk(trunk: Trunk, features: int, blocks: int, growth: int) -> ResidualTrunk | RRDBTrunk:
    """Build a trunk from RGB to features; both kinds have the parts `head`, `blocks` and `tail`.

    Args:
        trunk: `rrdb` (residual-in-residual dense blocks), or `edsr`, whose tensors have the names and shapes of the
            trunk of `srkit.archs.edsr.EDSR`, so that a network on it can start from one.
        features: output channels.
        blocks: RRDBs, or residual blocks.
        growth: channels that each convolution of a dense block adds (`rrdb`).

    Raises:
        UsageError: unknown trunk.
    """
    check_known("trunk", trunk, get_args(Trunk))
    return ResidualTrunk(features, blocks) if trunk == "edsr" else RRDBTrunk(features, blocks, growth)


def blocks_radius(trunk: Trunk, blocks: int) -> int:
    """Receptive field radius of a trunk's blocks, without its first and last convolution."""
    return blocks * (2 if trunk == "edsr" else RADIUS)
