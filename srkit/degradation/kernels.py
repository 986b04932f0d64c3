"""Blur kernels on a fixed grid: Gaussian, motion, bicubic; their moments and centre.

The convention of the package: a kernel has 21 x 21 taps on the HR grid, belongs to one LR pixel, and is correlated, not
flipped:

    LR[i, j] = sum over u, v of K[u, v] HR[s i + u - 10, s j + v - 10]

with rows u, columns v and the edge of HR repeated. LR[i, j] therefore samples HR at the kernel's centroid. The centre
of LR pixel (i, j) is HR position s i + (s - 1) / 2, and LR stays aligned with HR, as in antialiased bicubic, if the
centroid is at 10 + (s - 1) / 2 in both directions. Kernels centred on the middle tap, or towards the top left as in
MANet's code (Liang et al. 2021, `utils_sisr`), belong to the other sampling phases.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from srkit.errors import UsageError
from srkit.ops.resize import taps

SIZE = 21
RADIUS = SIZE // 2
TAPS = SIZE * SIZE
SCALES = (2, 3, 4)
"""Scales whose kernels fit into 21 x 21 taps."""


def check_scale(scale: int) -> None:
    """Check that kernels of 21 x 21 taps support a scale.

    Raises:
        UsageError: scale is none of `SCALES`.
    """
    if scale not in SCALES:
        raise UsageError(
            f"Blur kernels were asked for at scale {scale}; those of 21 x 21 serve x2, x3 and x4."
        )


def centre(scale: int) -> float:
    """Position of an aligned kernel's centroid, in taps from the first: 10 + (scale - 1) / 2.

    Raises:
        UsageError: scale is none of `SCALES`.
    """
    check_scale(scale)
    return RADIUS + (scale - 1) / 2


def smallest_width(scale: int) -> float:
    """Smallest eigenvalue of a Gaussian kernel's covariance in MANet's range, 0.175 s, in squared HR pixels."""
    return 0.175 * scale


def largest_width(scale: int) -> float:
    """Largest eigenvalue in MANet's range, 2.5 s, in squared HR pixels (Liang et al. 2021, section 4.1)."""
    return 2.5 * scale


def covariance_of(lam1: Tensor | float, lam2: Tensor | float, theta: Tensor | float) -> Tensor:
    """Covariance from its eigenvalues and the direction of the first.

    Args:
        lam1: eigenvalue along theta, in squared HR pixels (a squared width, not a sigma).
        lam2: eigenvalue across it.
        theta: angle in radians from x (right) towards y (down). All three broadcast.

    Returns:
        (..., 3): xx, xy, yy in squared HR pixels.
    """
    lam1, lam2, theta = (torch.as_tensor(t) for t in (lam1, lam2, theta))
    cos, sin = theta.cos(), theta.sin()
    xx = lam1 * cos.square() + lam2 * sin.square()
    yy = lam1 * sin.square() + lam2 * cos.square()
    return torch.stack([xx, (lam1 - lam2) * sin * cos, yy], dim=-1)


def axes(covariance: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Invert `covariance_of`: (..., 3) to lam1 >= lam2 and theta in [0, pi), (...) each."""
    xx, xy, yy = covariance.unbind(-1)
    mean, half = (xx + yy) / 2, (xx - yy) / 2
    radius = torch.hypot(half, xy)
    # The remainder of a tiny negative number rounds to pi itself.
    theta = torch.remainder(torch.atan2(xy, half) / 2, math.pi)
    return mean + radius, mean - radius, torch.where(theta < math.pi, theta, torch.zeros_like(theta))


def gaussian(covariance: Tensor, scale: int) -> Tensor:
    """Gaussian kernels, sampled at the taps and normalised to sum 1; differentiable.

    They are sampled on the 21 - s + 1 rows and columns symmetric about the centre, so that the centroid is exact (18
    at x4, as in MANet); at the largest width, 2.5 s at x4, this truncates 4 % of the second moment.

    Args:
        covariance: (..., 3), positive definite: see `covariance_of`.
        scale: 2, 3 or 4.

    Returns:
        (..., 21, 21), same dtype; each sums to 1.

    Raises:
        UsageError: a covariance that is not positive definite, or another scale.
    """
    flat = covariance.reshape(1, -1, 1, 3).permute(0, 3, 1, 2)
    return from_map(gaussian_map(flat, scale)).reshape(*covariance.shape[:-1], SIZE, SIZE)


def gaussian_map(covariance: Tensor, scale: int) -> Tensor:
    """`gaussian` in map layout, computed directly: covariance (N, 3, h, w) to kernels (N, 441, h, w)."""
    check_scale(scale)
    xx, xy, yy = covariance.flatten(2).unbind(1)
    determinant = xx * yy - xy * xy
    if not bool(((determinant > 0) & (xx > 0)).all()):
        raise UsageError(
            "A Gaussian kernel was asked for with a covariance that is not positive definite; "
            "make covariances with covariance_of and eigenvalues above 0."
        )
    side = SIZE - scale + 1
    offset = torch.arange(side, device=covariance.device, dtype=covariance.dtype) - (side - 1) / 2
    y, x = (t.flatten() for t in torch.meshgrid(offset, offset, indexing="ij"))
    # -1/2 of the quadratic form of the inverse covariance, as one product for all taps and pixels.
    form = torch.stack([yy, -2 * xy, xx], dim=1) / (-2 * determinant[:, None])
    weights = torch.stack([x * x, x * y, y * y], dim=1).matmul(form).softmax(dim=1)
    kernels = weights.view(len(covariance), side, side, *covariance.shape[2:])
    return F.pad(kernels, (0, 0, 0, 0, scale - 1, 0, scale - 1, 0)).flatten(1, 2)


def motion(length_px: Tensor | float, angle: Tensor | float, scale: int) -> Tensor:
    """Kernels of linear uniform motion: a segment about the centre, blurred by the smallest Gaussian, 0.175 s.

    The Gaussian models the lens and the sensor's pixels; without it sampling would alias. The kernel has a closed form:
    a difference of two error functions along the segment, a Gaussian across it.

    Args:
        length_px: length of the segment in HR pixels, at least 0; beyond 4 s the kernel's ends are truncated.
        angle: direction of the segment in radians, from x (right) towards y (down). Both broadcast to (...).
        scale: 2, 3 or 4.

    Returns:
        (..., 21, 21), each sums to 1.
    """
    side, sigma = SIZE - scale + 1, math.sqrt(smallest_width(scale))
    check_scale(scale)
    length, angle = (torch.as_tensor(t, dtype=torch.float64)[..., None, None] for t in (length_px, angle))
    offset = torch.arange(side, dtype=torch.float64, device=angle.device) - (side - 1) / 2
    y, x = offset[:, None], offset[None, :]
    along, across = x * angle.cos() + y * angle.sin(), y * angle.cos() - x * angle.sin()
    half = length.clamp(min=1e-3) / 2  # a segment of length 0 gives the Gaussian
    ends = [torch.special.erf((along + sign * half) / (sigma * math.sqrt(2))) for sign in (1, -1)]
    weights = (ends[0] - ends[1]) * torch.exp(-0.5 * (across / sigma).square())
    weights = weights / weights.sum((-2, -1), keepdim=True)
    return F.pad(weights, (scale - 1, 0, scale - 1, 0)).to(torch.get_default_dtype())


def bicubic_kernel(scale: int) -> Tensor:
    """Kernel equivalent to antialiased bicubic (`srkit.ops.resize`) inside an image.

    Returns:
        (21, 21) float32 of sum 1, with negative taps and a second moment of nearly 0: Keys' cubic preserves squares.
    """
    check_scale(scale)
    index, weight = taps(SIZE * scale, SIZE, 1 / scale)
    one = torch.zeros(SIZE, dtype=torch.float64)
    one[index[:, RADIUS] - scale * RADIUS + RADIUS] = weight[:, RADIUS]
    return torch.outer(one, one).float()


def moments(kernels: Tensor) -> tuple[Tensor, Tensor]:
    """Centroid of kernels and covariance about it, weighted by their taps; the kernels need not sum to 1.

    Args:
        kernels: (..., 21, 21); the sum of each must not be 0.

    Returns:
        Centroid (..., 2) as x, y in taps from the first, and covariance (..., 3) as xx, xy, yy in squared HR pixels.
    """
    offset = torch.arange(SIZE, dtype=kernels.dtype, device=kernels.device) - RADIUS
    mass = kernels.sum((-2, -1))
    columns, rows = kernels.sum(-2), kernels.sum(-1)
    x, y = (columns @ offset) / mass, (rows @ offset) / mass
    xx = (columns @ offset.square()) / mass - x * x
    yy = (rows @ offset.square()) / mass - y * y
    xy = ((kernels @ offset) @ offset) / mass - x * y
    return torch.stack([x, y], dim=-1) + RADIUS, torch.stack([xx, xy, yy], dim=-1)


def from_map(kernels: Tensor) -> Tensor:
    """View of a map (N, 441, h, w) as kernels (N, h, w, 21, 21)."""
    return kernels.permute(0, 2, 3, 1).view(len(kernels), *kernels.shape[2:], SIZE, SIZE)
