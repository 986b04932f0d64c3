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
    """BT.601 limited-range luma, (N, 3, H, W) in [0, 1] to (N, 1, H, W) in [16/255, 235/255], not rounded."""
    weight = torch.tensor(_LIMITED, dtype=rgb.dtype, device=rgb.device).view(1, 3, 1, 1)
    return ((rgb * weight).sum(1, keepdim=True) + _LIMITED_OFFSET) / 255


def luma_full(rgb: Tensor) -> Tensor:
    """BT.601 full-range luma, (N, 3, H, W) to (N, 1, H, W), same range as the input."""
    weight = torch.tensor(_FULL, dtype=rgb.dtype, device=rgb.device).view(1, 3, 1, 1)
    return (rgb * weight).sum(1, keepdim=True)
