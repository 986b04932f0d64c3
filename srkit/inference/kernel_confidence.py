"""Confidence of a map's kernels: the information per pixel that an image has on its blur."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from srkit.ops.colour import luma_full

WINDOW = 3.0
"""Standard deviation in LR pixels of the window of the structure tensor: about a kernel's radius at x2."""
_HALF = 4 / 255
"""Root mean square gradient per pixel at half of the confidence: about ten times 8-bit rounding."""
_DISAGREEMENT = 0.2
"""Relative change of a kernel in the last round at which the confidence is halved."""
# A quarter of a normal variable lies within this many standard deviations of 0.
_QUARTILE = 0.31864
_NOISE_MARGIN = 1.5  # factor by which gradients of pure noise exceed their expectation


def confidence(lr: Tensor, change: Tensor | None = None) -> Tensor:
    """Confidence of the blur at each pixel, in [0, 1].

    Blur along a direction is visible only if the image varies along it. The gradient energy around a pixel, less that
    of noise, is therefore measured along its strongest direction and across it (eigenvalues of the structure tensor),
    and each contributes up to a half: a straight edge shows only the blur across it. The result is reduced by the
    change of the kernel in the last round of refinement.

    Args:
        lr: (1, 3, h, w) in [0, 1].
        change: (h, w), relative change of each kernel in the last round; None if there was no round.

    Returns:
        (h, w) in [0, 1]; exactly 0 in constant areas.
    """
    luma = luma_full(lr.float())
    noise = noise_deviation(luma)
    strong, weak = _eigenvalues(luma)
    # Central differences halve the variance of white noise.
    floor = _NOISE_MARGIN * noise * noise / 2
    known = (_worth(strong - floor) + _worth(weak - floor)) / 2
    if change is not None:
        known = known / (1 + (change / _DISAGREEMENT).square())
    return known.clamp_(0, 1)


def noise_deviation(luma: Tensor) -> float:
    """Standard deviation of an image's noise, from the smoothest quarter of its pixels.

    The second difference along both axes is insensitive to slopes (Immerkaer 1996, "Fast noise variance estimation");
    its lower quartile instead of the mean is insensitive to texture.

    Args:
        luma: (1, 1, h, w).

    Returns:
        Deviation in the unit of the image; 0 for images below 3 x 3.
    """
    if min(luma.shape[2:]) < 3:
        return 0.0
    one = torch.tensor([1.0, -2.0, 1.0], dtype=luma.dtype, device=luma.device)
    response = F.conv2d(luma, torch.outer(one, one)[None, None]).abs_().flatten()
    stride = max(1, len(response) // 1_000_000)  # a sample is enough, and sorting is slow
    sample = response[::stride]
    quartile = sample.kthvalue(max(1, len(sample) // 4)).values
    return float(quartile) / (_QUARTILE * float(one.square().sum()))


def _worth(energy: Tensor) -> Tensor:
    """Map energies (squared gradients) to [0, 1)."""
    energy = energy.clamp_min(0)
    return energy / (energy + _HALF * _HALF)


def _eigenvalues(luma: Tensor) -> tuple[Tensor, Tensor]:
    """Larger and smaller eigenvalue (h, w) of the structure tensor over `WINDOW`."""
    around = F.pad(luma, (1, 1, 1, 1), mode="replicate")
    x = (around[..., 1:-1, 2:] - around[..., 1:-1, :-2]) / 2
    y = (around[..., 2:, 1:-1] - around[..., :-2, 1:-1]) / 2
    xx, xy, yy = (_gathered(product)[0, 0] for product in (x * x, x * y, y * y))
    mean, radius = (xx + yy) / 2, torch.hypot((xx - yy) / 2, xy)
    return mean + radius, mean - radius


def _gathered(x: Tensor) -> Tensor:
    """Weighted mean of (1, 1, h, w) over a Gaussian window, truncated at the border."""
    reach = math.ceil(3 * WINDOW)
    position = torch.arange(-reach, reach + 1, dtype=x.dtype, device=x.device)
    weight = torch.exp(-0.5 * (position / WINDOW).square())
    for shape, padding in (((1, 1, -1, 1), (reach, 0)), ((1, 1, 1, -1), (0, reach))):
        kernel = weight.view(shape)
        x = F.conv2d(x, kernel, padding=padding) / F.conv2d(torch.ones_like(x), kernel, padding=padding)
    return x
