"""Patterns that repeat with the scale: what upsampling by sub-pixels leaves where no loss sees it.

Each of the s x s pixels that an LR pixel becomes has its own weights (Odena et al. 2016, "Deconvolution and
checkerboard artifacts"; Sugawara et al. 2018), and adversarial training makes some of them always the sharper ones:
dots along edges. In photographs no place of the grid is sharper than another.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from srkit.errors import UsageError

_LEAST = 1e-3  # of the mean detail: in what is flat everywhere, rounding is no pattern


def checkerboard(sr: Tensor, scale: int) -> Tensor:
    """How much more detail some places of the grid have than others, over a batch.

    The variance over the s x s places of the mean absolute Laplacian, and of the mean Laplacian, over the square of the
    former's mean. 0 where all places are alike; photographs have 0.001 or so, what a network makes that was led by
    their pixels alone 0.01, and with dots along its edges 0.04.

    Args:
        sr: (N, C, H, W), sides multiples of the scale and at least 3 times it, the grid's first pixel in its corner.
        scale: s, at least 2.

    Returns:
        a scalar, float32.

    Raises:
        UsageError: other sides or scales.
    """
    if scale < 2 or sr.ndim != 4 or any(side % scale or side < 3 * scale for side in sr.shape[2:]):
        raise UsageError(
            f"A pattern of {scale} pixels was to be found in images of shape {tuple(sr.shape)}; it takes at least 2, "
            "and sides of at least three whole periods."
        )
    x = sr.float()
    around = x[:, :, :-2, 1:-1] + x[:, :, 2:, 1:-1] + x[:, :, 1:-1, :-2] + x[:, :, 1:-1, 2:]
    detail = 4 * x[:, :, 1:-1, 1:-1] - around
    whole = slice(scale - 1, 1 - scale)  # begins with the second period, one pixel having been lost already
    places = F.pixel_unshuffle(detail[:, :, whole, whole].flatten(0, 1)[:, None], scale)
    strength, lean = places.abs().mean((0, 2, 3)), places.mean((0, 2, 3))
    size = strength.detach().mean().clamp_min(_LEAST)
    return (strength.var(correction=0) + lean.var(correction=0)) / torch.square(size)
