"""The a-trous wavelet transform, of which its low pass alone is wanted."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor


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
