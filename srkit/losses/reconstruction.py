"""How well a low-resolution image was made once more: L_rec of self-supervised adaptation, and a margin of it.

HR-aware (Zhang and Yao 2024, arXiv 2411.16175) takes it from LWay (Chen et al. 2024, "Low-Res Leads the Way", CVPR,
Section 3.2): L1 and a perceptual distance, where adapting weighted by how much detail the image has at each place.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from srkit.encoders.distance import PerceptualDistance
from srkit.errors import UsageError
from srkit.ops.wavelets import haar

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
        least, most = detail.amin((2, 3), keepdim=True), detail.amax((2, 3), keepdim=True)
        weight = torch.where(most - least > _FLAT, (detail - least) / (most - least).clamp_min(_FLAT), 1.0)
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


def pinball(told: Tensor, found: Tensor, quantile: float) -> Tensor:
    """Smallest where `told` is that quantile of what is found (Koenker and Bassett 1978, "Regression quantiles").

    Args:
        told, found: (N,); no gradient reaches what was found.
        quantile: between 0 and 1; 0.5 gives half the mean absolute difference.

    Returns:
        a scalar.
    """
    missing = found.detach() - told
    return torch.maximum(quantile * missing, (quantile - 1) * missing).mean()
