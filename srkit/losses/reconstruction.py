"""LR reconstruction loss L_rec of self-supervised adaptation, and a margin for it.

HR-aware (Zhang and Yao 2024, arXiv 2411.16175) takes it from LWay (Chen et al. 2024, "Low-Res Leads the Way", CVPR,
Section 3.2): L1 and a perceptual distance, during adaptation weighted by the local detail of the image.

The feature-alignment regulariser (FAR) measures how well features of two encoders agree.

HR-aware (Zhang and Yao 2024, arXiv 2411.16175, Eqs. 9 to 11). T_a and T_m learn to predict the descriptors of a frozen
encoder's maps from those of the image encoder, on images without flaws; on flawed or unnatural images the prediction
fails.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from srkit.archs.reconstructor import Reconstructor
from srkit.encoders.distance import PerceptualDistance
from srkit.encoders.stages import EncoderStage
from srkit.errors import UsageError
from srkit.ops.descriptors import gram_descriptors, haar
from srkit.ops.layout import in_precision

MARGIN = 0.25
"""Relative margin by which LR is to be reconstructed less accurately from a flawed image than from a flawless one."""
_FLAT = 1e-6  # minimum range of detail; below, the image counts as flat


def detail_weights(lr: Tensor) -> Tensor:
    """w = norm_[0,1]( sqrt(LH^2 + HL^2 + HH^2) ) of each image's one-level Haar transform, at the image's size.

    Computed on the mean of the channels; 0 at the least and 1 at the most detail of an image. 1 everywhere for a flat
    image.

    Args:
        lr: (N, C, h, w).

    Returns:
        (N, 1, h, w), float32, without a gradient.
    """
    with torch.no_grad():
        _, lh, hl, hh = haar(lr.float().mean(1, keepdim=True))
        detail = (lh.square() + hl.square() + hh.square()).sqrt()
        low, high = detail.amin((2, 3), keepdim=True), detail.amax((2, 3), keepdim=True)
        weight = torch.where(high - low > _FLAT, (detail - low) / (high - low).clamp_min(_FLAT), 1.0)
        fine = F.interpolate(weight, scale_factor=2.0, mode="nearest")
        return fine[:, :, : lr.shape[2], : lr.shape[3]]


@dataclass(frozen=True)
class ReconstructionLoss:
    """mean(w |x~ - x|) + p mean(w d(x~, x)), with the map d of the perceptual distance."""

    distance: PerceptualDistance
    perceptual: float = 0.1
    """Weight p of the perceptual distance."""
    autocast: torch.dtype | None = None
    """Precision of the distance; None: fp32."""

    def __call__(self, made: Tensor, lr: Tensor, weights: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """The two terms, scalars in fp32, the second without the factor p; `total` adds them up.

        Args:
            made: x~ (N, 3, h, w), float32, computed outside autocast.
            lr: x, of the same shape; receives no gradient.
            weights: w (N, 1, h, w), from `detail_weights`; None: 1 everywhere.

        Raises:
            UsageError: mismatched shapes.
        """
        if made.shape != lr.shape or (weights is not None and weights.shape != made[:, :1].shape):
            raise UsageError(
                f"A reconstruction of shape {tuple(made.shape)} was to be compared with an image of shape "
                f"{tuple(lr.shape)}; they must be the same, and weights of one channel."
            )
        lr = lr.detach()
        with in_precision(made, self.autocast):
            if weights is None:
                seen = self.distance.distance(made, lr)
                return (made.float() - lr).abs().mean(), seen.mean()
            seen = self.distance.map(made, lr)
        return ((made.float() - lr).abs() * weights).mean(), (seen * weights).mean()

    def total(self, made: Tensor, lr: Tensor, weights: Tensor | None = None) -> Tensor:
        """L_rec; same arguments and errors as the call."""
        pixel, seen = self(made, lr, weights)
        return pixel + self.perceptual * seen


def flaw_margin(made: Tensor, lr: Tensor) -> Tensor:
    """Hinge loss for a margin `MARGIN` between the L1 errors of LR from images and from the same images with a flaw.

    A reconstructor trained only on flawless images reconstructs LR better from a blurred or noisy image than from a
    good one, since LR has the same noise and less detail to remove (the paper's Fig. 7), and would lead a network
    towards its own input.

    Args:
        made: (M, 3, h, w), M from N to 2 N: LR from the N images, then from the first of them with flaws.
        lr: (N, 3, h, w).

    Returns:
        scalar; 0 if M is N.
    """
    flawed = made[len(lr) :]
    if not len(flawed):
        return made.new_zeros(())
    errors = [(x.float() - lr[: len(flawed)]).abs().mean((1, 2, 3)) for x in (made[: len(flawed)], flawed)]
    # Gradients flow into both errors: with the first one fixed, larger errors of both would widen the margin endlessly.
    return ((1 + MARGIN) * errors[0] - errors[1]).clamp_min(0).mean()


def pinball(estimate: Tensor, found: Tensor, quantile: float) -> Tensor:
    """Quantile loss, minimal if `estimate` is that quantile of `found` (Koenker and Bassett 1978).

    Args:
        estimate, found: (N,); `found` receives no gradient.
        quantile: between 0 and 1; 0.5 gives half the mean absolute difference.

    Returns:
        scalar.
    """
    missing = found.detach() - estimate
    return torch.maximum(quantile * missing, (quantile - 1) * missing).mean()


FLAWED_OFFSET = 1.0
"""Training offset of the predicted descriptors of flawed images, in units of their typical deviation."""


def far(
    predicted: tuple[Tensor, Tensor], found: tuple[Tensor, Tensor], offset: Tensor | None = None
) -> Tensor:
    """(|T_a S_avg(e_im) - S_avg(e_cl)| + |T_m S_max(e_im) - S_max(e_cl)|) / sqrt(C), of each image.

    With training on flawless images alone, as in the paper, predictions for flawed images are off only by chance. With
    `offset` they are trained to be off by a fixed amount: the result is 0 at that offset. (Training for a larger FAR
    of flawed images hardly succeeds: each is off in another direction.)

    Args:
        predicted: result of `Reconstructor.predict`, (N, C) twice.
        found: result of `Reconstructor.relative`, (N, C) twice.
        offset: (N,), target offset of the predictions: 0 for flawless images, `FLAWED_OFFSET` for others. None: 0.

    Returns:
        (N,), float32; about 2 if only the mean is predicted.
    """
    wanted = found if offset is None else (found[0] + offset[:, None], found[1] + offset[:, None])
    apart = [(a - b).float().norm(dim=1) for a, b in zip(predicted, wanted, strict=True)]
    return torch.stack(apart).sum(0) / math.sqrt(predicted[0].shape[1])


@dataclass(frozen=True)
class Far:
    """FAR of images by a reconstructor and the encoder stage of its training."""

    stage: EncoderStage
    autocast: torch.dtype | None = None
    """Precision of the encoder and of E_img; None: fp32. Descriptors are always computed in fp32."""

    def descriptors(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Descriptors S_avg and S_max of the encoder's maps of images (N, 3, H, W) in [0, 1]: (N, C) each, float32."""
        with in_precision(images, self.autocast):
            maps = self.stage.maps(images)
        return gram_descriptors(maps)

    def __call__(self, network: Reconstructor, images: Tensor, features: Tensor | None = None) -> Tensor:
        """FAR (N,) of images (N, 3, H, W) in [0, 1], with gradients through both encoders.

        Args:
            features: e_im of the images, if already computed.
        """
        if features is None:
            with in_precision(images, self.autocast):
                features = network.image_features(images)
        return far(network.predict(features), network.relative(*self.descriptors(images)))
