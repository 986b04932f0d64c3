"""Colour conversions that the field's protocols define."""

from __future__ import annotations

import torch
from torch import Tensor

# ITU-R BT.601, limited range, for R, G, B in [0, 1]: the luma of MATLAB's `rgb2ycbcr` in units of 1/255.
_LIMITED = (65.481, 128.553, 24.966)
_LIMITED_OFFSET = 16.0
# BT.601, full range: weights of R, G, B that sum to one.
_FULL = (0.299, 0.587, 0.114)


def luma_limited(rgb: Tensor) -> Tensor:
    """BT.601 limited-range luma, (N, 3, H, W) in [0, 1] to (N, 1, H, W) in [16/255, 235/255], not rounded.

    uint8 counts as n/255 and gives float64.
    """
    peak = 255.0 if rgb.dtype == torch.uint8 else 1.0
    return _weighted(rgb, _LIMITED).add_(_LIMITED_OFFSET * peak).div_(255 * peak)


def luma_full(rgb: Tensor) -> Tensor:
    """BT.601 full-range luma, (N, 3, H, W) to (N, 1, H, W), same range as the input.

    uint8 counts as n/255 and gives float64 in [0, 1].
    """
    luma = _weighted(rgb, _FULL)
    return luma.div_(255) if rgb.dtype == torch.uint8 else luma


def _weighted(rgb: Tensor, weights: tuple[float, float, float]) -> Tensor:
    dtype = torch.float64 if rgb.dtype == torch.uint8 else rgb.dtype
    # Channel by channel, so that no (N, 3, H, W) array of floats is made of a large picture.
    red, green, blue = (rgb[:, c : c + 1].to(dtype) for c in range(3))
    return (red * weights[0]).add_(green, alpha=weights[1]).add_(blue, alpha=weights[2])
