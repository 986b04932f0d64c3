"""How well a low-resolution image was made once more: L_rec of self-supervised adaptation, and a margin of it.

HR-aware (Zhang and Yao 2024, arXiv 2411.16175) takes it from LWay (Chen et al. 2024, "Low-Res Leads the Way", CVPR,
Section 3.2): L1 and a perceptual distance, where adapting weighted by how much detail the image has at each place.

The feature-alignment regulariser (FAR): whether two encoders agree on what an image is made of.

HR-aware (Zhang and Yao 2024, arXiv 2411.16175, Eqs. 9 to 11). T_a and T_m learn to predict the descriptors of a frozen
encoder's maps from those of the image encoder's, on images without flaws; where an image has flaws, or is none, the
prediction fails.
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

MARGIN = 0.25
"""By how much of its error LR is to be made less well from an image with a flaw than from the one without."""
_FLAT = 1e-6  # range of detail in an image that has none


def detail_weights(lr: Tensor) -> Tensor:
    """w = norm_[0,1]( sqrt(LH^2 + HL^2 + HH^2) ) of each image's one-level Haar transform, at the image's size.

    Of the mean of the channels; from 0 where an image has the least detail to 1 where it has the most. An image that
    is flat everywhere has none to prefer: all 1.

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
    """mean(w |x~ - x|) + p mean(w d(x~, x)), d the perceptual distance's map."""

    distance: PerceptualDistance
    perceptual: float = 0.1
    """p."""
    autocast: torch.dtype | None = None
    """Precision of the distance's arithmetic; None: fp32."""

    def __call__(self, made: Tensor, lr: Tensor, weights: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """The two terms, scalars in fp32, the second one not yet times p; `total` adds them up.

        Args:
            made: x~ (N, 3, h, w), float32, from outside autocast.
            lr: x, of the same shape; no gradient reaches it.
            weights: w (N, 1, h, w), as `detail_weights` gives them; None: 1 everywhere.

        Raises:
            UsageError: other shapes.
        """
        if made.shape != lr.shape or (weights is not None and weights.shape != made[:, :1].shape):
            raise UsageError(
                f"A reconstruction of shape {tuple(made.shape)} was to be compared with an image of shape "
                f"{tuple(lr.shape)}; they must be the same, and weights of one channel."
            )
        lr = lr.detach()
        with torch.autocast(made.device.type, self.autocast, enabled=self.autocast is not None):
            if weights is None:
                seen = self.distance.distance(made, lr)
                return (made.float() - lr).abs().mean(), seen.mean()
            seen = self.distance.map(made, lr)
        return ((made.float() - lr).abs() * weights).mean(), (seen * weights).mean()

    def total(self, made: Tensor, lr: Tensor, weights: Tensor | None = None) -> Tensor:
        """L_rec; arguments and errors as the call's."""
        pixel, seen = self(made, lr, weights)
        return pixel + self.perceptual * seen


def flaw_margin(made: Tensor, lr: Tensor) -> Tensor:
    """What is missing of `MARGIN` between the L1 errors of LR made from images and from the same ones with a flaw.

    A reconstructor that was shown images without flaws alone makes LR better from a blurred or noisy image than
    from a good one, since LR has the same noise, and less to be taken away (the paper's Fig. 7): a network would be led
    towards its own input.

    Args:
        made: (M, 3, h, w), M from N to 2 N: from the N images, and behind them from the first of them with flaws.
        lr: (N, 3, h, w).

    Returns:
        a scalar; 0 where M is N.
    """
    flawed = made[len(lr) :]
    if not len(flawed):
        return made.new_zeros(())
    errors = [(x.float() - lr[: len(flawed)]).abs().mean((1, 2, 3)) for x in (made[: len(flawed)], flawed)]
    # Both may move: were the first one fixed, larger errors of both would widen what is asked, without end.
    return ((1 + MARGIN) * errors[0] - errors[1]).clamp_min(0).mean()


def pinball(estimate: Tensor, found: Tensor, quantile: float) -> Tensor:
    """Smallest where `estimate` is that quantile of what is found (Koenker and Bassett 1978, "Regression quantiles").

    Args:
        estimate, found: (N,); no gradient reaches what was found.
        quantile: between 0 and 1; 0.5 gives half the mean absolute difference.

    Returns:
        a scalar.
    """
    missing = found.detach() - estimate
    return torch.maximum(quantile * missing, (quantile - 1) * missing).mean()


FLAWED_OFFSET = 1.0
"""By how much descriptors of flawed images are to be predicted too high, in their usual deviations."""


def far(
    predicted: tuple[Tensor, Tensor], found: tuple[Tensor, Tensor], offset: Tensor | None = None
) -> Tensor:
    """(|T_a S_avg(e_im) - S_avg(e_cl)| + |T_m S_max(e_im) - S_max(e_cl)|) / sqrt(C), of each image.

    Trained on images without flaws alone, as the paper has it, predictions of images with flaws are off only by
    what chance makes of them. They can be trained to be: with `offset` this is 0 where they are off by that. (To ask
    for a larger FAR of flawed images, whatever way, trains next to nothing: each is off in another direction.)

    Args:
        predicted: what `Reconstructor.predict` gives, (N, C) twice.
        found: what `Reconstructor.relative` gives, the same.
        offset: (N,), how much too high predictions should be: 0 of images without flaws, `FLAWED_OFFSET` of others.
            None: 0.

    Returns:
        (N,), float32; some 2 where nothing is predicted but the mean.
    """
    wanted = found if offset is None else (found[0] + offset[:, None], found[1] + offset[:, None])
    apart = [(a - b).float().norm(dim=1) for a, b in zip(predicted, wanted, strict=True)]
    return torch.stack(apart).sum(0) / math.sqrt(predicted[0].shape[1])


@dataclass(frozen=True)
class Far:
    """FAR of images by a reconstructor and the stage of an encoder that it was trained with."""

    stage: EncoderStage
    autocast: torch.dtype | None = None
    """Precision of the encoder's arithmetic, and of E_img's; None: fp32. Descriptors are always taken in fp32."""

    def descriptors(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """S_avg and S_max of the encoder's maps of images (N, 3, H, W) in [0, 1]: (N, C) each, float32."""
        with torch.autocast(images.device.type, self.autocast, enabled=self.autocast is not None):
            maps = self.stage.maps(images)
        return gram_descriptors(maps)

    def __call__(self, network: Reconstructor, images: Tensor, features: Tensor | None = None) -> Tensor:
        """FAR (N,) of images (N, 3, H, W) in [0, 1], with its gradient through both encoders.

        Args:
            features: e_im of the images, where it is known.
        """
        if features is None:
            with torch.autocast(images.device.type, self.autocast, enabled=self.autocast is not None):
                features = network.image_features(images)
        return far(network.predict(features), network.relative(*self.descriptors(images)))
