"""Mutual affine convolution (MANet, Liang et al. 2021, ICCV, Fig. 3 and Eq. 4)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from srkit.archs.blocks import conv3x3


class MAConv(nn.Module):
    """3x3 convolution in two halves of the channels, each first scaled and shifted by a function of the other.

    Mixes the channels without enlarging the receptive field, which must stay small where blur varies over the image,
    with about half the weights of a plain convolution.

    Args:
        features: input and output channels; an even number.
    """

    def __init__(self, features: int) -> None:
        super().__init__()
        half = features // 2
        self.affine = nn.ModuleList(_Affine(half) for _ in range(2))
        self.convs = nn.ModuleList(conv3x3(half, half) for _ in range(2))

    def forward(self, x: Tensor) -> Tensor:
        """Map x (N, features, h, w) to the same shape."""
        first, second = x.chunk(2, dim=1)
        pairs = ((first, second), (second, first))
        return torch.cat(
            [
                conv(affine(own, other))
                for (own, other), affine, conv in zip(pairs, self.affine, self.convs, strict=True)
            ],
            dim=1,
        )


class _Affine(nn.Module):
    """own * sigmoid(a) + b with (a, b) = 1x1 - ReLU - 1x1 of the other half, with half the channels between."""

    def __init__(self, half: int) -> None:
        super().__init__()
        between = max(1, half // 2)
        self.reduce = nn.Conv2d(half, between, 1)
        self.expand = nn.Conv2d(between, 2 * half, 1)

    def forward(self, own: Tensor, other: Tensor) -> Tensor:
        scale, shift = self.expand(F.relu(self.reduce(other))).chunk(2, dim=1)
        return torch.addcmul(shift, own, torch.sigmoid(scale))
