"""The eight flips and quarter turns of an image (the symmetries of a square)."""

from __future__ import annotations

from torch import Tensor

TURNS = 8
"""Numbered 0..7: bit 0 transposes, then bit 1 flips rows and bit 2 columns."""


def turn(x: Tensor, kind: int) -> Tensor:
    """(N, C, H, W) turned; H and W change places where bit 0 is set. A view."""
    if kind & 1:
        x = x.transpose(2, 3)
    flips = [dim for dim, bit in ((2, 2), (3, 4)) if kind & bit]
    return x.flip(flips) if flips else x


def turn_back(x: Tensor, kind: int) -> Tensor:
    """The inverse of `turn`."""
    flips = [dim for dim, bit in ((2, 2), (3, 4)) if kind & bit]
    if flips:
        x = x.flip(flips)
    return x.transpose(2, 3) if kind & 1 else x
