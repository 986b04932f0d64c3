"""Colour under transparency: what an upscaling network sees at the edge of a cut-out."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def bleed(colour: Tensor, alpha: Tensor) -> Tensor:
    """Give transparent pixels the colours around them, in proportion to their transparency.

    What lies under alpha 0 is arbitrary (often black), and what lies under a small alpha is often the backdrop
    that the image was cut from; a sharpened edge would show both as a fringe. A pixel keeps its own colour as
    far as it is visible; the rest is the alpha-weighted mean of its 3 x 3 neighbours, and where none of them is
    visible, of the smallest 2^k x 2^k block with any visible pixel (a pull-push pyramid).

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
    """Hold an upscaled alpha between the least and the greatest value of the LR pixels around each pixel.

    So opaque and empty regions stay exactly so, whatever a network does to them.

    Args:
        sr: (N, 1, H, W).
        lr: (N, 1, h, w), any sizes with H >= h and W >= w.
        reach: LR pixels to each side that count as around.
    """
    size = 2 * reach + 1
    high = F.max_pool2d(lr, size, 1, reach)
    low = -F.max_pool2d(-lr, size, 1, reach)
    low, high = (F.interpolate(t, size=sr.shape[-2:], mode="nearest-exact") for t in (low, high))
    return torch.minimum(torch.maximum(sr, low), high)
