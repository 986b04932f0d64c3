"""Adaptive multi-modal fusion: features of a denoiser scaled and shifted by kernels, depth and LR (SSR, Eq. 3).

Lin et al. 2024, ECCV (arXiv 2403.05808), Section 3.2: for each modality in turn F <- (1 + M_a(f)) BN(F) + M_b(f), with
M a perceptron on each pixel. Batch or image statistics would make the result depend on batches and tiles, so BN is
applied only if requested.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, get_args

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from srkit.archs.blocks import begin_at_zero
from srkit.errors import check_known

Fusion = Literal["amf", "batch", "concat"]


class AMF(nn.Module):
    """Features (N, C, h, w) modulated by the maps of several modalities in turn; initialised as the identity.

    Args:
        features: C.
        modalities: channels of each modality's map.
        hidden: hidden channels of the perceptrons (128 in the paper).
        normalise: apply the paper's batch normalisation, without affine parameters; the start is then not the identity.
    """

    def __init__(
        self, features: int, modalities: Sequence[int], hidden: int = 32, *, normalise: bool = False
    ) -> None:
        super().__init__()
        self.perceptrons = nn.ModuleList(_perceptron(c, hidden, 2 * features) for c in modalities)
        self.norms = nn.ModuleList(nn.BatchNorm2d(features, affine=False) for _ in modalities if normalise)

    def forward(self, h: Tensor, maps: Sequence[Tensor]) -> Tensor:
        """Map h (N, C, h, w) and one map (N, c, h, w) per modality, all of one dtype, to the shape of h."""
        for i, (perceptron, condition) in enumerate(zip(self.perceptrons, maps, strict=True)):
            scale, shift = perceptron(condition).chunk(2, dim=1)
            if self.norms:
                h = self.norms[i](h)
            h = torch.addcmul(h + shift, scale, h)
        return h


class Concatenation(nn.Module):
    """Fusion by concatenation (ablation of `AMF`): adds a perceptron of features and maps; zero at initialisation.

    Args:
        features, modalities: as for `AMF`.
        hidden: `hidden` of the `AMF` whose number of weights is matched.
    """

    def __init__(self, features: int, modalities: Sequence[int], hidden: int = 32) -> None:
        super().__init__()
        wanted = sum((c + 1) * hidden + (hidden + 1) * 2 * features for c in modalities)
        between = max(1, round((wanted - features) / (2 * features + sum(modalities) + 1)))
        self.perceptron = _perceptron(features + sum(modalities), between, features)

    def forward(self, h: Tensor, maps: Sequence[Tensor]) -> Tensor:
        """Same arguments and result as `AMF.forward`."""
        added: Tensor = self.perceptron(torch.cat([h, *maps], dim=1))
        return h + added


def make_fusion(kind: Fusion, features: int, modalities: Sequence[int], hidden: int) -> nn.Module:
    """Build a fusion by name: `amf`, `batch` (with the paper's batch normalisation) or `concat`.

    Raises:
        UsageError: unknown name.
    """
    check_known("fusion", kind, get_args(Fusion))
    if kind == "concat":
        return Concatenation(features, modalities, hidden)
    return AMF(features, modalities, hidden, normalise=kind == "batch")


def _perceptron(channels: int, hidden: int, out: int) -> nn.Sequential:
    """1x1 convolution, ReLU, 1x1 convolution; the output is zero at initialisation."""
    last = nn.Conv2d(hidden, out, 1)
    begin_at_zero(last.weight, last.bias)
    return nn.Sequential(nn.Conv2d(channels, hidden, 1), nn.ReLU(), last)


def resized(x: Tensor, height: int, width: int) -> Tensor:
    """Resize a map (N, c, h, w) to a grid whose sides are integer multiples or integer fractions of its own.

    Each output pixel depends only on the input pixels it covers, so windows give the values of the whole image.
    """
    if x.shape[2] <= height:
        return F.interpolate(x, (height, width), mode="nearest")
    return F.adaptive_avg_pool2d(x, (height, width))
