"""Summary of a kernel map."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from srkit.io.kernel_map import Floats, KernelMap


@dataclass(frozen=True)
class Blur:
    """Summary of an image's blur; pixels are weighted by confidence, or equally if it is 0 everywhere."""

    width: float
    """Standard deviation of the mean kernel in HR pixels, the root mean square over both axes."""
    axes: tuple[float, float]
    """Standard deviations of the mean kernel along its axes, the longer first."""
    angle: float
    """Angle of the longer axis in degrees, from x (right) towards y (down), in [0, 180)."""
    spread: float
    """Standard deviation of the kernels' widths over the image, in HR pixels."""


def summary(kernels: KernelMap) -> Blur:
    """Summarise a kernel map."""
    weight = kernels.confidence if kernels.confidence.any() else np.ones_like(kernels.confidence)
    weight = weight / weight.sum(dtype=np.float64)
    xx, xy, yy = (float((weight * part).sum()) for part in kernels.covariance)
    middle, radius = (xx + yy) / 2, math.hypot((xx - yy) / 2, xy)
    widths = kernel_widths(kernels)
    mean = float((weight * widths).sum())
    return Blur(
        width=math.sqrt(max(0.0, middle)),
        axes=(math.sqrt(max(0.0, middle + radius)), math.sqrt(max(0.0, middle - radius))),
        angle=math.degrees(math.atan2(xy, (xx - yy) / 2) / 2) % 180.0,
        spread=math.sqrt(float((weight * np.square(widths - mean)).sum())),
    )


def kernel_widths(kernels: KernelMap) -> Floats:
    """Standard deviation of each kernel in HR pixels, root mean square over both axes, (h, w).

    0 if the second moment is negative, as for sharpening kernels.
    """
    widths: Floats = np.sqrt(np.maximum(0, (kernels.covariance[0] + kernels.covariance[2]) / 2))
    return widths
