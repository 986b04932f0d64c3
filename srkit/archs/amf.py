"""Adaptive multi-modal fusion: what kernels, depth and LR say scales and shifts a denoiser's features (SSR, Eq. 3).

Lin et al. 2024, ECCV (arXiv 2403.05808), Section 3.2: for each modality in turn F <- (1 + M_a(f)) BN(F) + M_b(f), with
M a perceptron on each pixel. Statistics of a batch, or of an image, would make the result depend on batches and tiles,
so that here F is normalised only where it is asked for.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, get_args

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from srkit.archs.blocks import begin_at_zero
from srkit.errors import UsageError, nearest

Fusion = Literal["amf", "batch", "concat"]


class AMF(nn.Module):
    """Features (N, C, h, w) modulated by the maps of several modalities, one after another; the identity at first.

    Args:
        features: C.
        modalities: channels of each modality's map.
        hidden: channels of the perceptrons between (the paper's 128).
        normalise: with the paper's batch normalisation, without parameters of its own; then no identity at first.
    """

    def __init__(
        self, features: int, modalities: Sequence[int], hidden: int = 32, *, normalise: bool = False
    ) -> None:
        super().__init__()
        self.perceptrons = nn.ModuleList(_perceptron(c, hidden, 2 * features) for c in modalities)
        self.norms = nn.ModuleList(nn.BatchNorm2d(features, affine=False) for _ in modalities if normalise)

    def forward(self, h: Tensor, maps: Sequence[Tensor]) -> Tensor:
        """h (N, C, h, w) and a map (N, c, h, w) for each modality, of one dtype, to the shape of h."""
        for i, (perceptron, condition) in enumerate(zip(self.perceptrons, maps, strict=True)):
            scale, shift = perceptron(condition).chunk(2, dim=1)
            if self.norms:
                h = self.norms[i](h)
            h = torch.addcmul(h + shift, scale, h)
        return h


class Concatenation(nn.Module):
    """The ablation's other way: a perceptron of features and maps, side by side, is added; nothing at first.

    Args:
        features, modalities: as for `AMF`.
        hidden: that of the `AMF` which it has as many weights as.
    """

    def __init__(self, features: int, modalities: Sequence[int], hidden: int = 32) -> None:
        super().__init__()
        wanted = sum((c + 1) * hidden + (hidden + 1) * 2 * features for c in modalities)
        between = max(1, round((wanted - features) / (2 * features + sum(modalities) + 1)))
        self.perceptron = _perceptron(features + sum(modalities), between, features)

    def forward(self, h: Tensor, maps: Sequence[Tensor]) -> Tensor:
        """As `AMF.forward`."""
        added: Tensor = self.perceptron(torch.cat([h, *maps], dim=1))
        return h + added


def make_fusion(kind: Fusion, features: int, modalities: Sequence[int], hidden: int) -> nn.Module:
    """A fusion by its name: `amf`, `batch` (the paper's batch normalisation) or `concat`.

    Raises:
        UsageError: there is none of that name.
    """
    known = get_args(Fusion)
    if kind not in known:  # it comes from a recipe or a header
        raise UsageError(
            f"There is no fusion '{kind}'; known are {', '.join(known)}.{nearest(str(kind), known)}"
        )
    if kind == "concat":
        return Concatenation(features, modalities, hidden)
    return AMF(features, modalities, hidden, normalise=kind == "batch")


def _perceptron(channels: int, hidden: int, out: int) -> nn.Sequential:
    """1x1 convolution, ReLU, 1x1 convolution, whose result is zero at first."""
    last = nn.Conv2d(hidden, out, 1)
    begin_at_zero(last.weight, last.bias)
    return nn.Sequential(nn.Conv2d(channels, hidden, 1), nn.ReLU(), last)


def resized(x: Tensor, height: int, width: int) -> Tensor:
    """A map (N, c, h, w) on another grid, of a whole number of times the sides or a whole part of them.

    Each place depends on the places that it covers alone, so that windows give what the whole gives.
    """
    if x.shape[2] <= height:
        return F.interpolate(x, (height, width), mode="nearest")
    return F.adaptive_avg_pool2d(x, (height, width))
