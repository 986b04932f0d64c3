"""Noise as a function of position: normal numbers by a counter-based hash, alike for all tiles, batches and devices."""

from __future__ import annotations

import math

import torch
from torch import Tensor

_STREAM = 0x9E3779B1
_MIX = (0x21F0AAAD, 0x735A2D97)  # of the 32-bit finaliser "lowbias32" (Wellons 2018, "Hash Prospector")
_MASK = 0xFFFFFFFF


def noise_field(seed: int, rows: Tensor, columns: Tensor, channels: int) -> Tensor:
    """Independent normal numbers for positions of a grid, each a function of seed, row, column and channel alone.

    The hash uses integers, which give the same result on every device. The two halves of a 32-bit hash are the radius
    and the angle of the Box-Muller transform, in fp32: devices agree to the last bits, absolute values are below 4.9.

    Args:
        seed: at least 0.
            rows: (h,) integers below 2^31.
            columns: (w,) integers below 2^31, on the same device.
            channels: number of channels.

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
    """Permutation of the 32-bit unsigned integers, stored as int64."""
    for shift, factor in ((16, _MIX[0]), (15, _MIX[1])):
        x = _times(x ^ (x >> shift), factor)
    return x ^ (x >> 15)


def _times(x: Tensor, factor: int) -> Tensor:
    """x times a factor below 2^32, modulo 2^32, without overflow of int64."""
    low, high = x & 0xFFFF, x >> 16
    return (low * factor + ((high * factor & 0xFFFF) << 16)) & _MASK
