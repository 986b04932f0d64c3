"""Blur kernels of the second-order degradation: Gaussians, generalised Gaussians, plateaus and sinc filters.

All are symmetric about their middle tap, so filtering causes no shift. The generalised Gaussian and the plateau are
those of Liu et al. 2020 ("Estimating generalized Gaussian blur kernels for out-of-focus image deblurring"), as used by
Real-ESRGAN (Wang et al. 2021, section 3.1); sinc filters are its equation 6.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from srkit.recipes.degradation import KERNELS, FirstOrderPart, Range

SINC = len(KERNELS)
"""Index of sinc kernels, after those of `KERNELS`."""
_NARROW = 13  # taps; smaller sinc kernels cannot represent a low cutoff
_NARROW_CUTOFF = 1 / 3


def sample_kernels(part: FirstOrderPart, count: int, rng: torch.Generator) -> Tensor:
    """Draw kernels from a part's ranges, regardless of its probability of blur.

    Returns:
        (count, side, side) float32 with the part's largest side, smaller kernels zero-padded; each sums to 1.
    """
    sides = sample_sides(part.sides, count, rng)
    kind = _sample_kinds(part, count, rng)
    uniform = torch.rand(6, count, generator=rng, dtype=torch.float64)
    sigma = torch.stack([between(part.sigma, uniform[0]), between(part.sigma, uniform[1])])
    round_ = (kind == 0) | (kind == 2) | (kind == 4)
    sigma[1] = torch.where(round_, sigma[0], sigma[1])
    theta = torch.where(round_, 0.0, math.pi * (2 * uniform[2] - 1))
    plateau = (kind == 4) | (kind == 5)
    beta = torch.where(
        plateau,
        _shape(part.plateau, uniform[3], uniform[4]),
        _shape(part.generalized, uniform[3], uniform[4]),
    )
    beta = torch.where(kind < 2, 1.0, beta)
    lowest = torch.where(sides < _NARROW, max(part.cutoff[0], _NARROW_CUTOFF), part.cutoff[0])
    cutoff = lowest + (part.cutoff[1] - lowest).clamp(min=0) * uniform[5]
    widest = part.sides[1]
    smooth = smooth_kernels(sigma, theta, beta, plateau, sides, widest)
    ringing = sinc_kernels(math.pi * cutoff, sides, widest)
    return torch.where((kind == SINC)[:, None, None], ringing, smooth).float()


def sample_sincs(sides: tuple[int, int], cutoff: Range, count: int, rng: torch.Generator) -> Tensor:
    """Draw sinc kernels (count, side, side) float32 with `cutoff` in pi radians per pixel."""
    side = sample_sides(sides, count, rng)
    uniform = torch.rand(count, generator=rng, dtype=torch.float64)
    return sinc_kernels(math.pi * between(cutoff, uniform), side, sides[1]).float()


def smooth_kernels(
    sigma: Tensor, theta: Tensor, beta: Tensor, plateau: Tensor, sides: Tensor, widest: int
) -> Tensor:
    """Kernels of q = d' S^-1 d, with d the offset from the middle: exp(-q^beta / 2), or 1 / (1 + q^beta).

    Args:
        sigma: (2, B), widths in pixels along and across theta.
        theta: (B,), radians from x (right) towards y (down).
        beta: (B,); 1 is a Gaussian if `plateau` is not set.
        plateau: (B,) bool, use the second form.
        sides: (B,), side of each kernel in taps, odd.
        widest: side of the result in taps, at least `sides`.

    Returns:
        (B, widest, widest) float64; each sums to 1.
    """
    y, x, inside = _grid(sides, widest)
    cos, sin = theta.cos()[:, None, None], theta.sin()[:, None, None]
    along, across = (t[:, None, None] for t in sigma)
    form = ((x * cos + y * sin) / along).square() + ((y * cos - x * sin) / across).square()
    bent = form.pow(beta[:, None, None])
    kernels = torch.where(plateau[:, None, None], 1 / (1 + bent), torch.exp(-0.5 * bent)) * inside
    return kernels / kernels.sum((1, 2), keepdim=True)


def sinc_kernels(cutoff: Tensor, sides: Tensor, widest: int) -> Tensor:
    """Ideal circular low-pass filters: w / (2 pi r) J1(w r), truncated at the border.

    Args:
        cutoff: w, (B,), in radians per pixel.
        sides, widest: as in `smooth_kernels`.

    Returns:
        (B, widest, widest) float64; each sums to 1; some taps are negative.
    """
    y, x, inside = _grid(sides, widest)
    cutoff = cutoff.double()[:, None, None]
    radius = torch.hypot(y, x)
    away = radius.clamp(min=0.5)
    kernels = cutoff * torch.special.bessel_j1(cutoff * away) / (2 * math.pi * away)
    kernels = torch.where(radius == 0, cutoff.square() / (4 * math.pi), kernels) * inside
    return kernels / kernels.sum((1, 2), keepdim=True)


def sample_sides(sides: tuple[int, int], count: int, rng: torch.Generator) -> Tensor:
    """Odd numbers between the two `sides`, uniformly drawn, (count,) int64."""
    return sides[0] + 2 * torch.randint((sides[1] - sides[0]) // 2 + 1, (count,), generator=rng)


def between(limits: Range | tuple[int, int], uniform: Tensor) -> Tensor:
    """Map numbers in [0, 1) to a range."""
    return limits[0] + (limits[1] - limits[0]) * uniform


def _sample_kinds(part: FirstOrderPart, count: int, rng: torch.Generator) -> Tensor:
    """Kinds of kernels, (count,) int64: indices of `KERNELS`, or `SINC`."""
    shares = torch.tensor([part.kernels.get(kind, 0.0) for kind in KERNELS], dtype=torch.float64)
    kind = torch.multinomial(shares, count, replacement=True, generator=rng)
    return torch.where(torch.rand(count, generator=rng) < part.sinc, SINC, kind)


def _shape(limits: Range, side: Tensor, uniform: Tensor) -> Tensor:
    """Shapes beta: half drawn from the range below 1, half from that above, if the range includes both."""
    middle = min(max(1.0, limits[0]), limits[1])
    low, high = between((limits[0], middle), uniform), between((middle, limits[1]), uniform)
    return torch.where(side < 0.5, low, high)


def _grid(sides: Tensor, widest: int) -> tuple[Tensor, Tensor, Tensor]:
    """Rows and columns from the middle, (widest, 1) and (1, widest), and the mask of taps (B, widest, widest)."""
    offset = torch.arange(widest, dtype=torch.float64) - widest // 2
    within = offset.abs()[None] <= (sides // 2)[:, None]
    return offset[:, None], offset[None, :], within[:, :, None] & within[:, None, :]
