"""The controller of self-supervised adaptation: how strongly the reconstructor is to degrade an image.

HR-aware (Zhang and Yao 2024, arXiv 2411.16175, Eqs. 4, 7 and 8): a factor s on the embedding of the degradation, from
how far l = d(up(X), Y') an image Y' looks from the enlarged low-resolution image X. HQI, the paper's quality
indicator, is 1 - l.

The paper's s = 1 - l where adapting is right for an image of l = 0.5 alone: R was trained s = l, so s = 2 l* - l leaves
an image as it is where l is that of the true one, l*. One l* for all images would be wrong for most,
which have little detail or much, so E_deg learns to estimate it for each
(`srkit.archs.reconstructor.DegradationEstimate`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from srkit.encoders.distance import PerceptualDistance
from srkit.ops.resize import upscale

Factor = Callable[[Tensor, Tensor, int, torch.Generator | None], Tensor]
"""What embeddings are multiplied by, (N, D), float32, without a gradient.

Of l (N,); l* (N,); the length D of an embedding; and the generator of the noise n, on their device, or None: n is 0.
"""
_PAPER = 0.5  # l* for all images


@torch.no_grad()
def quality_distance(
    distance: PerceptualDistance, lr: Tensor, hr: Tensor, autocast: torch.dtype | None = None
) -> Tensor:
    """l = d(up(X), Y'), from 0, blurred as bicubic is, to 1; no gradient goes through it.

    With one, a network could lower its loss by moving s instead of its image. LPIPS is not bounded by 1, as the
    paper says it is: it is cut off there.

    Args:
        lr: X (N, 3, h, w) in [0, 1].
        hr: Y' (N, 3, s h, s w); what leaves [0, 1] is cut off.
        autocast: precision of the distance's arithmetic; None: fp32.

    Returns:
        (N,), float32.
    """
    scale = hr.shape[2] // lr.shape[2]
    blurred = upscale(lr.float(), scale).clamp(0, 1)
    with torch.autocast(lr.device.type, autocast, enabled=autocast is not None):
        return distance.distance(blurred, hr.float().clamp(0, 1)).clamp(0, 1)


def no_factor(distance: Tensor, expected: Tensor, dim: int, rng: torch.Generator | None = None) -> Tensor:
    """A `Factor` of 1: of a reconstructor that was trained without a controller."""
    return torch.ones(len(distance), dim, device=distance.device)


@dataclass(frozen=True)
class Controller:
    """Each method is a `Factor`."""

    noise_std: float = 0.1
    """Deviation of the noise n, another one for each number of an embedding; the paper has 1, which drowns s."""

    def pretraining(
        self, distance: Tensor, expected: Tensor, dim: int, rng: torch.Generator | None = None
    ) -> Tensor:
        """s = n + l: images that look further from the enlarged ones were degraded more strongly."""
        return self._noisy(distance, dim, rng)

    def adapting(
        self, distance: Tensor, expected: Tensor, dim: int, rng: torch.Generator | None = None
    ) -> Tensor:
        """s = n + 2 l* - l: an image that is too blurred is degraded too strongly, so that it must get sharper."""
        return self._noisy(2 * expected - distance, dim, rng)

    def paper(
        self, distance: Tensor, expected: Tensor, dim: int, rng: torch.Generator | None = None
    ) -> Tensor:
        """s = n + 1 - l, as Eq. 8 has it."""
        return self._noisy(2 * _PAPER - distance, dim, rng)

    def neutral(
        self, distance: Tensor, expected: Tensor, dim: int, rng: torch.Generator | None = None
    ) -> Tensor:
        """s = l*, whatever the image looks like, without noise."""
        return self._noisy(expected, dim, None)

    def _noisy(self, factor: Tensor, dim: int, rng: torch.Generator | None) -> Tensor:
        factor = factor.detach().float()[:, None]
        if rng is None or self.noise_std == 0:
            return factor.expand(-1, dim)
        noise = torch.randn((len(factor), dim), generator=rng, device=factor.device)
        return factor + self.noise_std * noise
