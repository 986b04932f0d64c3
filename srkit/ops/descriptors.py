"""Descriptors of images and feature maps: the Haar transform, and the Gram matrix."""

from __future__ import annotations

from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor

from srkit.ops.layout import in_precision


def gram_descriptors(maps: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and maximum of each row of the Gram matrix G = e e^T / (h w) (HR-aware, arXiv 2411.16175, Eq. 9).

    Args:
        maps: e, (N, C, h, w), C and h w at least 1; channels_last is fastest.

    Returns:
        S_avg and S_max, (N, C) each, float32 for any dtype of the maps and under autocast, since the sums over an
        image's positions exceed the precision of bf16.
    """
    places = maps.permute(0, 2, 3, 1).flatten(1, 2)
    with in_precision(maps, None):
        gram = cast(Tensor, _Gram.apply(places)) / places.shape[1]
        return gram.mean(2), gram.amax(2)


class _Gram(torch.autograd.Function):
    """x^T x of x (N, P, C), in fp32.

    Autograd would keep one fp32 gradient of the size of the maps for each of the two factors, at a higher cost than
    the rest of the Gram matrix.
    """

    @staticmethod
    def forward(ctx: Any, places: Tensor) -> Tensor:
        ctx.save_for_backward(places)
        x = places.float()
        return x.transpose(1, 2) @ x

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, slope: Tensor) -> Tensor:
        (places,) = ctx.saved_tensors
        with in_precision(places, None):
            both = (slope + slope.transpose(1, 2)).to(places.dtype)
            gradient: Tensor = places @ both
        return gradient


def haar(x: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """LL, LH, HL and HH of (N, C, H, W), each (N, C, ceil(H / 2), ceil(W / 2)).

    Orthonormal (Haar 1910; Mallat 1989, IEEE TPAMI, Section IV): the squares of all four sum to those of x. LH has the
    differences of rows, HL those of columns. A last row or column that has no partner is repeated.
    """
    x = F.pad(x, (0, x.shape[3] % 2, 0, x.shape[2] % 2), mode="replicate")
    above_left, above_right = x[:, :, 0::2, 0::2], x[:, :, 0::2, 1::2]
    below_left, below_right = x[:, :, 1::2, 0::2], x[:, :, 1::2, 1::2]
    above, below = above_left + above_right, below_left + below_right
    above_step, below_step = above_left - above_right, below_left - below_right
    return (
        (above + below) / 2,
        (above - below) / 2,
        (above_step + below_step) / 2,
        (above_step - below_step) / 2,
    )
