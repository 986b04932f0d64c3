"""What an image's detail says of its blur, whatever the contrast: fixed features for networks that estimate blur."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

DETAIL_RADIUS = 6
"""Pixels that `normalised_detail` sees to each side."""
_SMOOTH, _AROUND = 2, 4  # radii of the squares in `normalised_detail`
_STILL = 4 / 255
_ORDERS = 3  # of the differences in `detail_energies`
_DIRECTIONS = ((0, 1), (1, 0), (1, 1), (1, -1))  # rows, columns
_LEVELS = 255.0
_FLOOR = 1.0  # squared levels of 8 bit: what rounding leaves of no detail at all


def normalised_detail(x: Tensor) -> Tensor:
    """Images (N, 3, h, w) in [0, 1] less their means over 5 x 5, divided by the deviation of that around; float32.

    The deviation is over 9 x 9 and the channels, and never below 4 levels of 8 bit, so that noise stays small where a
    image is flat.
    """
    x = x.float()
    detail = x - _means(x, _SMOOTH)
    energy = _means(detail.square().mean(1, keepdim=True), _AROUND)
    return detail * torch.rsqrt(energy + _STILL**2)


def detail_energies(x: Tensor, radii: Sequence[int]) -> Tensor:
    """How strong differences of an image (N, 3, h, w) in [0, 1] are around each pixel; (N, C, h, w), float32.

    Logarithms of the mean squares of differences, over the colours and over squares: those of order 1 to 3 between
    neighbours to the right, below, and along both diagonals. Blur along a direction is in how they fall with the order
    there, so their mean is taken away from all twelve, and stands behind them, roughly in [-2, 3].

    Args:
        radii: of the squares, in pixels; each gives 13 channels.
    """
    squares = _squared_differences(x.float() * _LEVELS)
    found = []
    for radius in radii:
        energies = (_means(squares, radius) + _FLOOR).log()
        mean = energies.mean(1, keepdim=True)
        found += [energies - mean, mean / 2 - 2]
    return torch.cat(found, dim=1)


def energies_count(radii: Sequence[int]) -> int:
    """Channels of `detail_energies`."""
    return len(radii) * (len(_DIRECTIONS) * _ORDERS + 1)


def energies_radius(radii: Sequence[int]) -> int:
    """Pixels that `detail_energies` sees to each side."""
    return max(radii, default=0) + _ORDERS


def _squared_differences(x: Tensor) -> Tensor:
    """(N, 12, h, w): mean over the colours, scaled so that white noise of variance 1 gives 1."""
    padded = F.pad(x, (_ORDERS,) * 4, mode="replicate")
    inside = slice(_ORDERS, -_ORDERS)
    found = []
    for rows, columns in _DIRECTIONS:
        difference = padded
        for order in range(1, _ORDERS + 1):
            # What comes round from the other side stays in the border, which is cut off.
            difference = difference.roll((-rows, -columns), (2, 3)) - difference
            squares = difference[:, :, inside, inside].square().mean(1, keepdim=True)
            found.append(squares / math.comb(2 * order, order))
    return torch.cat(found, dim=1).contiguous(memory_format=torch.channels_last)  # twice as fast to average


def _means(x: Tensor, radius: int) -> Tensor:
    """Over squares about each pixel; the border is repeated."""
    side = 2 * radius + 1
    padded = F.pad(x, (radius,) * 4, mode="replicate")
    return F.avg_pool2d(F.avg_pool2d(padded, (side, 1), 1), (1, side), 1)
