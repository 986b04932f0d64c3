"""Distance of blur kernels."""

from __future__ import annotations

from torch import Tensor

FACTOR = 1e4
"""Of the distance in the loss (MANet, Liang et al. 2021, ICCV: its training code)."""


def kernel_distance(estimated: Tensor, true: Tensor) -> Tensor:
    """Sum over the taps of the absolute difference, mean over pixels and pictures, in fp32; a scalar.

    0 where they are the same, 2 where kernels without negative taps have nothing in common.

    Args:
        estimated, true: kernels (N, taps, h, w), each of which sums to 1.
    """
    return (estimated.float() - true.float()).abs().sum(1).mean()


def kernel_l1(estimated: Tensor, true: Tensor) -> Tensor:
    """`FACTOR` times `kernel_distance`: what DKENet is trained with."""
    return FACTOR * kernel_distance(estimated, true)
