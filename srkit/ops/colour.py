"""Colour conversions that the field's protocols define."""

from __future__ import annotations

import torch
from torch import Tensor

# ITU-R BT.601, limited range, for R, G, B in [0, 1]: the luma of MATLAB's `rgb2ycbcr` in units of 1/255.
_LIMITED = (65.481, 128.553, 24.966)
_LIMITED_OFFSET = 16.0
# BT.601, full range: weights of R, G, B that sum to one.
_FULL = (0.299, 0.587, 0.114)


_STRIP = 64  # rows that are converted at a time, so that they stay in a core's cache


def luma_limited(rgb: Tensor) -> Tensor:
    """BT.601 limited-range luma, (N, 3, H, W) in [0, 1] to (N, 1, H, W) in [16/255, 235/255], not rounded.

    uint8 counts as n/255 and gives float64.
    """
    if rgb.dtype == torch.uint8:
        return _weighted_bytes(rgb, _LIMITED, 255 * 255, _LIMITED_OFFSET / 255)
    return _weighted(rgb, _LIMITED).add_(_LIMITED_OFFSET).div_(255)


def luma_full(rgb: Tensor) -> Tensor:
    """BT.601 full-range luma, (N, 3, H, W) to (N, 1, H, W), same range as the input.

    uint8 counts as n/255 and gives float64 in [0, 1].
    """
    return _weighted_bytes(rgb, _FULL, 255, 0.0) if rgb.dtype == torch.uint8 else _weighted(rgb, _FULL)


def _weighted(rgb: Tensor, weights: tuple[float, float, float]) -> Tensor:
    # Channel by channel, so that no second (N, 3, H, W) array is made of a large image.
    red, green, blue = (rgb[:, c : c + 1] for c in range(3))
    return (red * weights[0]).add_(green, alpha=weights[1]).add_(blue, alpha=weights[2])


def _weighted_bytes(rgb: Tensor, weights: tuple[float, float, float], divisor: int, offset: float) -> Tensor:
    """Weighted sum of uint8 channels, divided, plus the offset; in float64."""
    count, _, height, width = rgb.shape
    factors = torch.tensor([weights], dtype=torch.float64, device=rgb.device) / divisor
    out = torch.empty(count, 1, height, width, dtype=torch.float64, device=rgb.device)
    for picture, luma in zip(rgb, out, strict=True):
        for top in range(0, height, _STRIP):
            rows = slice(top, top + _STRIP)
            channels = picture[:, rows].to(torch.float64, memory_format=torch.contiguous_format)
            torch.mm(factors, channels.flatten(1), out=luma[:, rows].view(1, -1)).add_(offset)
    return out
