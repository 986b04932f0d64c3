"""Distance of blur kernels."""

from __future__ import annotations

from torch import Tensor

FACTOR = 1e4
"""Of the distance in the loss (MANet, Liang et al. 2021, ICCV: its training code)."""
_TINY = 1e-8  # lest the logarithm of a tap be minus infinity


def kernel_distance(estimated: Tensor, true: Tensor) -> Tensor:
    """Sum over the taps of the absolute difference, mean over pixels and images, in fp32; a scalar.

    0 where they are the same, 2 where kernels without negative taps have nothing in common.

    Args:
        estimated, true: kernels (N, taps, h, w), each of which sums to 1.
    """
    return (estimated.float() - true.float()).abs().sum(1).mean()


def kernel_l1(estimated: Tensor, true: Tensor) -> Tensor:
    """`FACTOR` times `kernel_distance`: what DKENet is trained with."""
    return FACTOR * kernel_distance(estimated, true)


def kernel_entropy(estimated: Tensor, true: Tensor) -> Tensor:
    """Cross entropy of the taps as probabilities, mean over pixels and images, in fp32; a scalar.

    Its gradient before a softmax is the difference of the kernels, so it moves a network from the start, where that of
    `kernel_l1` nearly vanishes: all taps are small, and the mean of all kernels is a place to stay.

    Args:
        estimated, true: as `kernel_distance` takes them; negative taps of the true ones count as 0.
    """
    return -(true.float().clamp_min(0) * (estimated.float() + _TINY).log()).sum(1).mean()
