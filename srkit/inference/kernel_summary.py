"""A kernel map in a few numbers."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from srkit.io.kernel_map import Floats, KernelMap


@dataclass(frozen=True)
class Blur:
    """An image's blur in a few numbers; pixels count by their confidence, or alike where there is none."""

    width: float
    """Standard deviation of the mean kernel in HR pixels, the root mean square over both axes."""
    axes: tuple[float, float]
    """Standard deviations of the mean kernel along its axes, the longer first."""
    angle: float
    """Angle of the longer axis in degrees, from x (right) towards y (down), in [0, 180)."""
    spread: float
    """Standard deviation of the kernels' widths over the image, in HR pixels."""


def summary(kernels: KernelMap) -> Blur:
    """A kernel map in a few numbers."""
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
    """(h, w): standard deviation of each kernel in HR pixels, the root mean square over both axes.

    0 where the second moment is negative, as those of sharpening kernels are.
    """
    widths: Floats = np.sqrt(np.maximum(0, (kernels.covariance[0] + kernels.covariance[2]) / 2))
    return widths
