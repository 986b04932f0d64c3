"""Controller of self-supervised adaptation: strength with which the reconstructor degrades an image.

HR-aware (Zhang and Yao 2024, arXiv 2411.16175, Eqs. 4, 7 and 8): the embedding of the degradation is multiplied by a
factor s, computed from the perceptual distance l = d(up(X), Y') of an image Y' from the enlarged low-resolution image
X. HQI, the paper's quality indicator, is 1 - l.

The paper's s = 1 - l in adaptation is right only for images with l = 0.5: R was trained with s = l, so s = 2 l* - l,
with l* the distance of the true image, leaves an image unchanged if l = l*. The paper's single l* for all images is
wrong for most, which have little or much detail, so E_deg estimates it for each image
(`srkit.archs.reconstructor.DegradationEstimate`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from srkit.encoders.distance import PerceptualDistance
from srkit.ops.layout import in_precision
from srkit.ops.resize import upscale

Factor = Callable[[Tensor, Tensor, int, torch.Generator | None], Tensor]
"""Function that returns the factor of the embeddings, (N, D), float32, without gradient.

Its arguments are l (N,), l* (N,), the length D of an embedding, and the generator of the noise n, on their device
(None: n is 0).
"""
_PAPER = 0.5  # l* of all images


@torch.no_grad()
def quality_distance(
    distance: PerceptualDistance, lr: Tensor, hr: Tensor, autocast: torch.dtype | None = None
) -> Tensor:
    """l = d(up(X), Y') in [0, 1], 0 for images as blurred as bicubic ones; without gradient.

    With a gradient, a network could lower its loss by changing s instead of its image. LPIPS can exceed 1, against the
    paper's statement, and is clipped.

    Args:
        lr: X (N, 3, h, w) in [0, 1].
        hr: Y' (N, 3, s h, s w), clipped to [0, 1].
        autocast: precision of the distance's arithmetic; None: fp32.

    Returns:
        (N,), float32.
    """
    scale = hr.shape[2] // lr.shape[2]
    blurred = upscale(lr.float(), scale).clamp(0, 1)
    with in_precision(lr, autocast):
        return distance.distance(blurred, hr.float().clamp(0, 1)).clamp(0, 1)


def no_factor(distance: Tensor, expected: Tensor, dim: int, rng: torch.Generator | None = None) -> Tensor:
    """`Factor` of 1, for a reconstructor that was trained without a controller."""
    return torch.ones(len(distance), dim, device=distance.device)


@dataclass(frozen=True)
class Controller:
    """Controller, whose methods are `Factor`s."""

    noise_std: float = 0.1
    """Standard deviation of the noise n, drawn for each element of an embedding; 1 in the paper, which hides s."""

    def pretraining(
        self, distance: Tensor, expected: Tensor, dim: int, rng: torch.Generator | None = None
    ) -> Tensor:
        """s = n + l: images further from the enlarged ones are degraded more strongly."""
        return self._noisy(distance, dim, rng)

    def adapting(
        self, distance: Tensor, expected: Tensor, dim: int, rng: torch.Generator | None = None
    ) -> Tensor:
        """s = n + 2 l* - l: an image that is too blurred is degraded too strongly, so that it must become sharper."""
        return self._noisy(2 * expected - distance, dim, rng)

    def paper(
        self, distance: Tensor, expected: Tensor, dim: int, rng: torch.Generator | None = None
    ) -> Tensor:
        """s = n + 1 - l (Eq. 8)."""
        return self._noisy(2 * _PAPER - distance, dim, rng)

    def neutral(
        self, distance: Tensor, expected: Tensor, dim: int, rng: torch.Generator | None = None
    ) -> Tensor:
        """s = l*, independent of the image, without noise."""
        return self._noisy(expected, dim, None)

    def _noisy(self, factor: Tensor, dim: int, rng: torch.Generator | None) -> Tensor:
        factor = factor.detach().float()[:, None]
        if rng is None or self.noise_std == 0:
            return factor.expand(-1, dim)
        noise = torch.randn((len(factor), dim), generator=rng, device=factor.device)
        return factor + self.noise_std * noise
