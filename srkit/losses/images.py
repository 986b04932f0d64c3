"""Losses that compare two images: pixels, features, embeddings, and periodic patterns of the scale."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from srkit.encoders.features import PerceptualFeatures
from srkit.encoders.semantic import SemanticEncoder
from srkit.errors import UsageError
from srkit.ops.colour import LUMA
from srkit.ops.layout import in_precision


def feature_l1(sr: Sequence[Tensor], hr: Sequence[Tensor]) -> Tensor:
    """Mean over the maps of the mean absolute difference, in fp32; a scalar.

    The mean instead of the sum of Johnson et al. 2016 (ECCV, Eq. 2 and Section 3.2) makes the term's weight
    independent of the number of maps; for one map the two are equal.

    Args:
        sr: maps (N, C_i, h_i, w_i).
        hr: as many maps, of the same shapes.

    Raises:
        UsageError: no maps, different numbers of maps, or mismatched shapes.
    """
    if not sr or [x.shape for x in sr] != [y.shape for y in hr]:
        raise UsageError(
            f"Feature maps of the shapes {[tuple(x.shape) for x in sr]} and {[tuple(y.shape) for y in hr]} were "
            "to be compared; they must be the same, and at least one."
        )
    return torch.stack([(x.float() - y.float()).abs().mean() for x, y in zip(sr, hr, strict=True)]).mean()


@dataclass(frozen=True)
class PerceptualLoss:
    """`feature_l1` of a provider's maps (L1 before activation: ESRGAN, Wang et al. 2018, Section 3.3).

    Gradients flow through the provider into `sr`, but not into `hr`.
    """

    provider: PerceptualFeatures
    autocast: torch.dtype | None = None
    """Precision of the provider; None: fp32. The distance is always computed in fp32."""

    def __call__(self, sr: Tensor, hr: Tensor) -> Tensor:
        """Loss of images (N, 3, H, W) in [0, 1], of the same shape; a scalar."""
        with in_precision(sr, self.autocast):
            with torch.no_grad():
                wanted = self.provider.features(hr)
            return feature_l1(self.provider.features(sr), wanted)


def l1(sr: Tensor, hr: Tensor) -> Tensor:
    """Mean absolute difference of images of the same shape, in fp32; a scalar."""
    return (sr.float() - hr.float()).abs().mean()


def l2(sr: Tensor, hr: Tensor) -> Tensor:
    """Mean squared difference of images of the same shape, in fp32; a scalar. Determines PSNR."""
    return (sr.float() - hr.float()).square().mean()


def chroma(sr: Tensor, hr: Tensor) -> Tensor:
    """Mean absolute difference of the chroma, and of its steps between pixels along both axes; a scalar, fp32.

    Chroma is the channels less the luma. It varies so little that `l1` learns it last: networks that add to
    nearest-neighbour upscaling show its blocks in saturated colours long after they vanish from the luma.

    Args:
        sr: (N, 3, H, W) in [0, 1], RGB.
        hr: of the same shape.
    """
    away = sr.float() - hr.float()
    away = away - (away * away.new_tensor(LUMA).view(1, 3, 1, 1)).sum(1, keepdim=True)
    steps = [away.diff(dim=dim).abs().mean() for dim in (2, 3)]
    return away.abs().mean() + steps[0] + steps[1]


def unit_distance(a: Tensor, b: Tensor) -> Tensor:
    """Mean over N of the squared distance of unit vectors (N, D), which is 2 - 2 cos; in [0, 4], a scalar, fp32.

    Computed as a difference, since 2 - 2 cos cancels in fp32 for close vectors, such as those of an image and its
    reconstruction.
    """
    return (a.float() - b.float()).square().sum(1).mean()


@dataclass(frozen=True)
class SemanticLoss:
    """`unit_distance` of the encoder's vectors (CDASR's L_sem).

    Gradients flow through the frozen encoder into `sr`, but not into `hr`.
    """

    encoder: SemanticEncoder
    autocast: torch.dtype | None = None
    """Precision of the encoder; None: fp32. The distance is always computed in fp32."""

    def __call__(self, sr: Tensor, hr: Tensor) -> Tensor:
        """Loss of images (N, 3, H, W) in [0, 1], of the same shape; a scalar."""
        with in_precision(sr, self.autocast):
            with torch.no_grad():
                wanted = self.encoder.embed(hr).vector
            return unit_distance(self.encoder.embed(sr).vector, wanted)


_LEAST = 1e-3  # lower bound of the mean detail: in flat images, rounding is no pattern


def checkerboard(sr: Tensor, scale: int) -> Tensor:
    """Variation of detail between the positions of the s x s grid, over a batch.

    The variance over the s x s positions of the mean absolute Laplacian, plus that of the mean Laplacian, divided by
    the square of the former's mean. 0 if all positions are alike; photographs have about 0.001, results of networks
    trained on pixels alone 0.01, and results with dots along edges 0.04.

    Args:
        sr: (N, C, H, W), sides multiples of the scale and at least 3 times the scale, aligned with the grid.
        scale: s, at least 2.

    Returns:
        a scalar, float32.

    Raises:
        UsageError: unsupported sides or scales.
    """
    if scale < 2 or sr.ndim != 4 or any(side % scale or side < 3 * scale for side in sr.shape[2:]):
        raise UsageError(
            f"A pattern of {scale} pixels was to be found in images of shape {tuple(sr.shape)}; it takes at least 2, "
            "and sides of at least three whole periods."
        )
    x = sr.float()
    around = x[:, :, :-2, 1:-1] + x[:, :, 2:, 1:-1] + x[:, :, 1:-1, :-2] + x[:, :, 1:-1, 2:]
    detail = 4 * x[:, :, 1:-1, 1:-1] - around
    whole = slice(scale - 1, 1 - scale)  # starts at the second period, since one pixel is already cut off
    places = F.pixel_unshuffle(detail[:, :, whole, whole].flatten(0, 1)[:, None], scale)
    strength, lean = places.abs().mean((0, 2, 3)), places.mean((0, 2, 3))
    size = strength.detach().mean().clamp_min(_LEAST)
    return (strength.var(correction=0) + lean.var(correction=0)) / torch.square(size)
