"""Low pass of the a-trous wavelet transform."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor


def low_pass(x: Tensor, levels: int) -> Tensor:
    """Low-pass part of (N, C, H, W) after `levels` levels of an a-trous wavelet transform.

    The kernel is the binomial [1 2 1] / 4 in both directions with taps 1, 2, 4, ... pixels apart (Holschneider et al.
    1989); the edge is repeated. StableSR corrects colours with this part (Wang et al. 2024, IJCV, Section 3.3).
    """
    for level in range(levels):
        step = 1 << level
        x = F.pad(x, (step, step, step, step), mode="replicate")
        across = (x[..., : -2 * step] + x[..., 2 * step :]) / 4 + x[..., step:-step] / 2
        x = (across[:, :, : -2 * step] + across[:, :, 2 * step :]) / 4 + across[:, :, step:-step] / 2
    return x
