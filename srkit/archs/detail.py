"""Fixed, contrast-invariant features of an image's fine detail, for networks that estimate blur."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

DETAIL_RADIUS = 6
"""Radius in pixels of `normalised_detail`."""
_SMOOTH, _AROUND = 2, 4  # radii of the squares in `normalised_detail`
_STILL = 4 / 255
_ORDERS = 3  # orders of the differences in `detail_energies`
_DIRECTIONS = ((0, 1), (1, 0), (1, 1), (1, -1))  # rows, columns
_LEVELS = 255.0
_FLOOR = 1.0  # squared levels of 8 bit: the energy that rounding alone leaves


def normalised_detail(x: Tensor) -> Tensor:
    """High-pass of images (N, 3, h, w) in [0, 1] (5 x 5 mean removed) divided by its local deviation; float32.

    The deviation is taken over 9 x 9 pixels and the channels, with a floor of 4 levels of 8 bit, so that noise stays
    small in flat regions.
    """
    x = x.float()
    detail = x - _means(x, _SMOOTH)
    energy = _means(detail.square().mean(1, keepdim=True), _AROUND)
    return detail * torch.rsqrt(energy + _STILL**2)


def detail_energies(x: Tensor, radii: Sequence[int]) -> Tensor:
    """Log energies of differences of an image (N, 3, h, w) in [0, 1] around each pixel; (N, C, h, w), float32.

    Logarithms of the mean squares, over the colours and over squares, of differences of order 1 to 3 between neighbours
    to the right, below, and along both diagonals. Blur along a direction shows in how the energies fall with the order,
    so the mean of all twelve is subtracted and appended as a channel of its own, roughly in [-2, 3].

    Args:
        radii: radii of the squares, in pixels; each gives 13 channels.
    """
    squares = _squared_differences(x.float() * _LEVELS)
    found = []
    for radius in radii:
        energies = (_means(squares, radius) + _FLOOR).log()
        mean = energies.mean(1, keepdim=True)
        found += [energies - mean, mean / 2 - 2]
    return torch.cat(found, dim=1)


def energies_count(radii: Sequence[int]) -> int:
    """Number of channels of `detail_energies`."""
    return len(radii) * (len(_DIRECTIONS) * _ORDERS + 1)


def energies_radius(radii: Sequence[int]) -> int:
    """Radius in pixels of `detail_energies`."""
    return max(radii, default=0) + _ORDERS


def _squared_differences(x: Tensor) -> Tensor:
    """Squared differences (N, 12, h, w): mean over the colours, scaled so that white noise of variance 1 gives 1."""
    padded = F.pad(x, (_ORDERS,) * 4, mode="replicate")
    inside = slice(_ORDERS, -_ORDERS)
    found = []
    for rows, columns in _DIRECTIONS:
        difference = padded
        for order in range(1, _ORDERS + 1):
            # Values that wrap around stay in the border, which is cut off.
            difference = difference.roll((-rows, -columns), (2, 3)) - difference
            squares = difference[:, :, inside, inside].square().mean(1, keepdim=True)
            found.append(squares / math.comb(2 * order, order))
    return torch.cat(found, dim=1).contiguous(memory_format=torch.channels_last)  # twice as fast to average


def _means(x: Tensor, radius: int) -> Tensor:
    """Means over squares around each pixel; the border is replicated."""
    side = 2 * radius + 1
    padded = F.pad(x, (radius,) * 4, mode="replicate")
    return F.avg_pool2d(F.avg_pool2d(padded, (side, 1), 1), (1, side), 1)
