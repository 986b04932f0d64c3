"""The Haar wavelet transform of images, one level."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor


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


def low_pass(x: Tensor, levels: int) -> Tensor:
    """What is left of (N, C, H, W) once `levels` levels of an a-trous wavelet transform are taken away.

    The binomial kernel [1 2 1] / 4 in both directions, its taps 1, 2, 4, ... pixels apart (Holschneider et al. 1989);
    the edge is repeated. StableSR keeps the colours of its input by this part (Wang et al. 2024, IJCV, Section 3.3).
    """
    for level in range(levels):
        step = 1 << level
        x = F.pad(x, (step, step, step, step), mode="replicate")
        across = (x[..., : -2 * step] + x[..., 2 * step :]) / 4 + x[..., step:-step] / 2
        x = (across[:, :, : -2 * step] + across[:, :, 2 * step :]) / 4 + across[:, :, step:-step] / 2
    return x
