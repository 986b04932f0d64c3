"""The controller of self-supervised adaptation: how strongly the reconstructor is to degrade a picture.

HR-aware (Zhang and Yao 2024, arXiv 2411.16175, Eqs. 4, 7 and 8): a factor s on the embedding of the degradation, from
how far l = d(up(X), Y') a picture Y' looks from the enlarged low-resolution picture X. HQI, the paper's quality
indicator, is 1 - l.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from srkit.encoders.distance import PerceptualDistance
from srkit.ops.resize import upscale

PAPER_REFERENCE = 0.5
"""Of the paper's formula: s = 1 - l where adapting."""


@torch.no_grad()
def quality_distance(
    distance: PerceptualDistance, lr: Tensor, hr: Tensor, autocast: torch.dtype | None = None
) -> Tensor:
    """l = d(up(X), Y'), from 0, blurred as bicubic is, to 1; no gradient goes through it.

    With one, a network could lower its loss by moving s instead of its picture. LPIPS is not bounded by 1, as the
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


@dataclass(frozen=True)
class Controller:
    """Makes the factor s (N, D) of an embedding from l."""

    reference: float
    """l_ref: mean l of pictures as they should be. Adapting leaves a network alone where l is this (spec 2.6.3)."""
    noise_std: float = 0.1
    """Deviation of the noise n, another one for each number of an embedding; the paper has 1, which drowns s."""

    def pretraining(self, distance: Tensor, dim: int, rng: torch.Generator | None = None) -> Tensor:
        """s = n + l: pictures that look further from the enlarged ones were degraded more strongly.

        Args:
            distance: l (N,).
            dim: D.
            rng: of n, on the distance's device; None: n is 0.
        """
        return self._noisy(distance, dim, rng)

    def adapting(
        self,
        distance: Tensor,
        dim: int,
        rng: torch.Generator | None = None,
        reference: Tensor | None = None,
    ) -> Tensor:
        """s = n + 2 l_ref - l: a picture that is too blurred is degraded too strongly, so that it must get sharper.

        The paper's n + 1 - l is that of l_ref = 0.5. Arguments as `pretraining`, and:

        Args:
            reference: l of each picture as it should be (N,), where that is known: in place of l_ref.
        """
        wanted = self.reference if reference is None else reference
        return self._noisy(2 * wanted - distance, dim, rng)

    def _noisy(self, factor: Tensor, dim: int, rng: torch.Generator | None) -> Tensor:
        factor = factor.detach().float()[:, None]
        if rng is None or self.noise_std == 0:
            return factor.expand(-1, dim)
        noise = torch.randn((len(factor), dim), generator=rng, device=factor.device)
        return factor + self.noise_std * noise
