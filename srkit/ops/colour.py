"""Colour conversions of the field's protocols, and colour of transparent pixels."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

# ITU-R BT.601, limited range, for R, G, B in [0, 1]: the luma of MATLAB's `rgb2ycbcr` in units of 1/255.
_LIMITED = (65.481, 128.553, 24.966)
_LIMITED_OFFSET = 16.0
LUMA = (0.299, 0.587, 0.114)
"""Weights of R, G, B in BT.601 full-range luma; they sum to one."""
TO_YCC = (LUMA, (-0.168736, -0.331264, 0.5), (0.5, -0.418688, -0.081312))
"""Rows of Y, Cb and Cr in JPEG's transform (JFIF), without the offset of the chroma."""

_STRIP = 64  # rows converted at a time, so that they stay in a core's cache


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
    return _weighted_bytes(rgb, LUMA, 255, 0.0) if rgb.dtype == torch.uint8 else _weighted(rgb, LUMA)


def _weighted(rgb: Tensor, weights: tuple[float, float, float]) -> Tensor:
    # Channel by channel: avoids a second (N, 3, H, W) array for a large image.
    red, green, blue = (rgb[:, c : c + 1] for c in range(3))
    return (red * weights[0]).add_(green, alpha=weights[1]).add_(blue, alpha=weights[2])


def _weighted_bytes(rgb: Tensor, weights: tuple[float, float, float], divisor: int, offset: float) -> Tensor:
    """Weighted sum of uint8 channels, divided by `divisor`, plus `offset`, in float64."""
    count, _, height, width = rgb.shape
    factors = torch.tensor([weights], dtype=torch.float64, device=rgb.device) / divisor
    out = torch.empty(count, 1, height, width, dtype=torch.float64, device=rgb.device)
    for image, luma in zip(rgb, out, strict=True):
        for top in range(0, height, _STRIP):
            rows = slice(top, top + _STRIP)
            channels = image[:, rows].to(torch.float64, memory_format=torch.contiguous_format)
            torch.mm(factors, channels.flatten(1), out=luma[:, rows].view(1, -1)).add_(offset)
    return out


def bleed(colour: Tensor, alpha: Tensor) -> Tensor:
    """Give transparent pixels the colours around them, in proportion to their transparency.

    The colour under alpha 0 is arbitrary (often black), and the colour under a small alpha is often the former
    backdrop of the image; sharpening would show both as a fringe. A pixel keeps its own colour in proportion to its
    alpha; the rest is the alpha-weighted mean of its 3 x 3 neighbours, or, if none of them is visible, of the
    smallest 2^k x 2^k block with a visible pixel (a pull-push pyramid).

    Args:
        colour: (N, C, H, W) float.
        alpha: (N, 1, H, W) in [0, 1].

    Returns:
        colour, unchanged where alpha is 1.
    """
    if bool((alpha == 1).all()) or bool((alpha == 0).all()):
        return colour
    weight = F.avg_pool2d(alpha, 3, 1, 1)
    mean = F.avg_pool2d(colour * alpha, 3, 1, 1) / weight.clamp_min(1e-6)
    around = torch.where(weight > 0, mean, _fill(colour * alpha, alpha))
    return torch.lerp(around, colour, alpha)


def _fill(weighted: Tensor, weight: Tensor) -> Tensor:
    mean = weighted / weight.clamp_min(1e-6)
    if max(weight.shape[-2:]) == 1:
        return mean
    coarse = _fill(_halved(weighted), _halved(weight))
    coarse = F.interpolate(coarse, size=weight.shape[-2:], mode="bilinear", align_corners=False)
    return torch.where(weight > 0, mean, coarse)


def _halved(x: Tensor) -> Tensor:
    return F.avg_pool2d(x, 2, ceil_mode=True, count_include_pad=False)


def clamp_to_neighbours(sr: Tensor, lr: Tensor, reach: int = 1) -> Tensor:
    """Clamp an upscaled alpha channel to the minimum and maximum of the LR pixels around each pixel.

    Opaque and empty regions then stay exactly opaque and empty.

    Args:
        sr: (N, 1, H, W).
        lr: (N, 1, h, w), any sizes with H >= h and W >= w.
        reach: radius of the neighbourhood in LR pixels.
    """
    size = 2 * reach + 1
    high = F.max_pool2d(lr, size, 1, reach)
    low = -F.max_pool2d(-lr, size, 1, reach)
    low, high = (F.interpolate(t, size=sr.shape[-2:], mode="nearest-exact") for t in (low, high))
    return torch.minimum(torch.maximum(sr, low), high)
