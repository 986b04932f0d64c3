"""Distances of maps: blur kernels, and depth, exact or up to a scale and a shift (MiDaS, Ranftl et al. 2022, TPAMI,
Section 5)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

_SCALES = 4  # scales of the gradient term
_WEIGHT = 0.5  # weight of the gradient term
_MIN_SPREAD = 1e-3  # lower bound for flat maps, whose scale is undefined


def aligned_distance(estimated: Tensor, true: Tensor) -> Tensor:
    """Mean absolute difference of the aligned maps, over pixels and images, in fp32; a scalar.

    Args:
        estimated, true: (N, 1, h, w); the result is invariant to a positive scale and a shift of each map.
    """
    return (aligned(estimated) - aligned(true)).abs().mean()


def depth_l1(estimated: Tensor, true: Tensor) -> Tensor:
    """Mean absolute difference of maps (N, 1, h, w), in fp32; a scalar.

    Only for true depth of known scale and shift, as in rendered scenes. Networks train many times faster with it from
    a random start than with `depth_loss`, which divides by the initially small spread of their output.
    """
    return F.l1_loss(estimated.float(), true.float())


def depth_loss(estimated: Tensor, true: Tensor) -> Tensor:
    """`aligned_distance`, plus half the sum over four scales of the absolute gradient of the difference.

    MiDaS, Eqs. 6, 7 and 11; the gradient term keeps edges sharp and planes flat.
    """
    error = aligned(estimated) - aligned(true)
    return error.abs().mean() + _WEIGHT * _slopes(error)


def aligned(depth: Tensor) -> Tensor:
    """Maps (N, 1, h, w) less their median, divided by their mean absolute deviation; float32. MiDaS, Eq. 5.

    Flat maps become zeros.
    """
    flat = depth.float().flatten(1)
    flat = flat - flat.median(1, keepdim=True).values
    spread = flat.abs().mean(1, keepdim=True)
    return (flat / spread.clamp_min(_MIN_SPREAD)).view(depth.shape)


def _slopes(error: Tensor) -> Tensor:
    total = error.new_zeros(())
    for _ in range(_SCALES):
        if min(error.shape[2:]) < 2:
            break
        down = (error[:, :, 1:] - error[:, :, :-1]).abs().mean()
        across = (error[:, :, :, 1:] - error[:, :, :, :-1]).abs().mean()
        total = total + down + across
        error = F.avg_pool2d(error, 2)
    return torch.as_tensor(total)


FACTOR = 1e4
"""Factor on the distance in the loss (MANet, Liang et al. 2021, ICCV: its training code)."""
_TINY = 1e-8  # keeps the logarithm of a tap finite


def kernel_distance(estimated: Tensor, true: Tensor) -> Tensor:
    """Sum over the taps of the absolute difference, mean over pixels and images, in fp32; a scalar.

    0 for equal kernels, 2 for non-negative kernels without common support.

    Args:
        estimated, true: kernels (N, taps, h, w), each of sum 1.
    """
    return (estimated.float() - true.float()).abs().sum(1).mean()


def kernel_l1(estimated: Tensor, true: Tensor) -> Tensor:
    """`FACTOR` times `kernel_distance`: the training loss of DKENet."""
    return FACTOR * kernel_distance(estimated, true)


def kernel_entropy(estimated: Tensor, true: Tensor) -> Tensor:
    """Cross entropy of the taps as probabilities, mean over pixels and images, in fp32; a scalar.

    Its gradient before a softmax is the difference of the kernels, so it trains a network from the start, where the
    gradient of `kernel_l1` nearly vanishes, since all taps are small and the mean kernel is a stationary point.

    Args:
        estimated, true: as in `kernel_distance`; negative taps of the true kernels count as 0.
    """
    return -(true.float().clamp_min(0) * (estimated.float() + _TINY).log()).sum(1).mean()
