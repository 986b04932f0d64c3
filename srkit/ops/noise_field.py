"""Noise as a function of place: normal numbers by a counter-based hash, whatever tiles, batches and devices."""

from __future__ import annotations

import math

import torch
from torch import Tensor

_STREAM = 0x9E3779B1
_MIX = (0x21F0AAAD, 0x735A2D97)  # of the 32-bit finaliser "lowbias32" (Wellons 2018, "Hash Prospector")
_MASK = 0xFFFFFFFF


def noise_field(seed: int, rows: Tensor, columns: Tensor, channels: int) -> Tensor:
    """Independent normal numbers for places of a grid, each a function of seed, row, column and channel alone.

    Whole numbers are hashed, which every device does alike. The halves of a hash of 32 bits are the radius and the
    angle of the Box-Muller transform, in fp32: devices agree to the last bits, and no number is beyond 4.9.

    Args:
        seed: at least 0.
        rows: (h,) whole numbers, below 2^31.
        columns: (w,), likewise, on the same device.
        channels: how many.

    Returns:
        (1, channels, h, w), float32.
    """
    device = rows.device
    channel = torch.arange(channels, device=device)[:, None, None]
    low, high = (torch.tensor(part & _MASK, device=device) for part in (seed, (seed >> 32) + _STREAM))
    line = _hashed(rows.long()[:, None] ^ _hashed(low) ^ _hashed(high))
    place = _hashed(_hashed(columns.long()) ^ line)
    found = _hashed((place + (channel + 1) * _STREAM) & _MASK)
    radius = torch.sqrt(-2 * torch.log(((found >> 16).float() + 0.5) / 2**16))
    return (radius * torch.cos((2 * math.pi / 2**16) * (found & 0xFFFF).float()))[None]


def _hashed(x: Tensor) -> Tensor:
    """A permutation of the 32-bit whole numbers, held as int64."""
    for shift, factor in ((16, _MIX[0]), (15, _MIX[1])):
        x = _times(x ^ (x >> shift), factor)
    return x ^ (x >> 15)


def _times(x: Tensor, factor: int) -> Tensor:
    """x times a factor below 2^32, modulo 2^32, without leaving the 63 bits that int64 has."""
    low, high = x & 0xFFFF, x >> 16
    return (low * factor + ((high * factor & 0xFFFF) << 16)) & _MASK
