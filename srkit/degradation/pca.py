"""Compact codes of kernels: coordinates in a basis that is common to all pixels of a scale."""

from __future__ import annotations

import math
from functools import lru_cache

import torch
from torch import Tensor

from srkit.degradation.kernels import (
    SCALES,
    SIZE,
    TAPS,
    bicubic_kernel,
    check_scale,
    covariance_of,
    gaussian,
    largest_width,
    motion,
    smallest_width,
)
from srkit.errors import UsageError
from srkit.ops.code_blur import code_sums

COMPONENTS = 15
LONGEST_MOTION = 3.0
"""Longest sampled motion, in LR pixels."""

_GAUSSIANS, _MOTIONS, _BICUBICS = 4000, 800, 400  # sampled kernels of each kind


def sample_covariance(scale: int, count: int, rng: torch.Generator, *, elongated: float = 1.0) -> Tensor:
    """Sample covariances (count, 3): lam1 ~ U(0.175 s, 2.5 s), lam2 ~ U(0.175 s, lam1), theta ~ U(0, pi), as in MANet.

    Liang et al. 2021 (MANet), section 4.1; eigenvalues in squared HR pixels.

    Args:
        elongated: values above 1 move lam1 towards its maximum and lam2 towards its minimum, by raising their uniform
            samples to the power of 1 / elongated and of elongated.
    """
    uniform = torch.rand(3, count, generator=rng, dtype=torch.float64)
    narrow = smallest_width(scale)
    lam1 = narrow + (largest_width(scale) - narrow) * uniform[0] ** (1 / elongated)
    return covariance_of(lam1, narrow + (lam1 - narrow) * uniform[1] ** elongated, math.pi * uniform[2])


def sample_motion(scale: int, count: int, rng: torch.Generator) -> Tensor:
    """Sample motion kernels (count, 21, 21) of 1 HR pixel to `LONGEST_MOTION` LR pixels, in any direction."""
    uniform = torch.rand(2, count, generator=rng, dtype=torch.float64)
    return motion(1 + (LONGEST_MOTION * scale - 1) * uniform[0], math.pi * uniform[1], scale)


def kernel_basis(scale: int, components: int = COMPONENTS) -> Tensor:
    """First principal directions of sampled kernels (Gaussian of MANet's range, motion, bicubic), uncentred.

    The sample and its decomposition are deterministic; signs are chosen such that a direction's largest tap is
    positive. With 15 components at x4, the summed absolute difference between decoded and true kernels is on average
    0.036 for Gaussian, 0.15 for motion, 0.025 for bicubic kernels (x2: 0.029, 0.071, 0.006).

    Args:
        scale: 2, 3 or 4.
        components: 1 to 441.

    Returns:
        (components, 21, 21) float32, orthonormal.

    Raises:
        UsageError: unsupported scale or number of components.
    """
    check_scale(scale)
    if not 1 <= components <= TAPS:
        raise UsageError(f"A basis of {components} kernels was asked for; it has 1 to {TAPS}.")
    return _directions(scale)[:components].clone()


@lru_cache(maxsize=len(SCALES))
@torch.inference_mode(False)
def _directions(scale: int) -> Tensor:
    """All directions (441, 21, 21), by descending share of the sample's energy."""
    rng = torch.Generator().manual_seed(scale)
    kernels = torch.cat(
        [
            gaussian(sample_covariance(scale, _GAUSSIANS, rng), scale),
            sample_motion(scale, _MOTIONS, rng).double(),
            bicubic_kernel(scale).double().expand(_BICUBICS, -1, -1),
        ]
    ).flatten(1)
    _, vectors = torch.linalg.eigh(kernels.T @ kernels)
    found: Tensor = vectors.T.flip(0)
    largest = found.gather(1, found.abs().argmax(1, keepdim=True))
    return (found * largest.sign()).float().view(TAPS, SIZE, SIZE)


def encode(kernels: Tensor, basis: Tensor) -> Tensor:
    """Coordinates of kernels in an orthonormal basis.

    Args:
        kernels: (N, 441, h, w).
        basis: (K, 21, 21).

    Returns:
        codes (N, K, h, w), of the kernels' dtype.
    """
    _check(kernels, TAPS, basis)
    codes = basis.flatten(1).to(kernels.dtype).matmul(kernels.flatten(2))
    return codes.view(len(kernels), -1, *kernels.shape[2:])


def decode(codes: Tensor, basis: Tensor) -> Tensor:
    """Kernels from codes, each divided by its sum, so that truncation of the basis does not change brightness.

    Args:
        codes: (N, K, h, w), of kernels whose decoded sums are near 1.
        basis: (K, 21, 21).

    Returns:
        kernels (N, 441, h, w), each sums to 1; taps may be slightly negative.
    """
    _check(codes, len(basis), basis)
    kernels = basis.flatten(1).to(codes.dtype).T.matmul(codes.flatten(2))
    return kernels.view(len(codes), TAPS, *codes.shape[2:]) / code_sums(codes, basis)


def _check(values: Tensor, channels: int, basis: Tensor) -> None:
    if basis.shape[1:] != (SIZE, SIZE) or values.ndim != 4 or values.shape[1] != channels:
        raise UsageError(
            f"A map of shape {tuple(values.shape)} and a basis of shape {tuple(basis.shape)} do not belong together; "
            f"kernels are (N, {TAPS}, h, w), codes (N, K, h, w), a basis (K, {SIZE}, {SIZE})."
        )
