"""Training and validation of the fusion of conditions into a latent diffusion model."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from statistics import fmean

import torch
from torch import Tensor, nn

from srkit.archs.latent_fusion import LatentFusion
from srkit.data.pairs import Batch
from srkit.ops.layout import in_precision
from srkit.ops.resize import upscale
from srkit.training.trainer import Measure

NOISE_ERROR = Measure("val_noise_error", "held-out noise is missed by {:.4f} (mean square)", -1.0)


class NoiseEstimate(nn.Module):
    """A fusion and its prior, as a module for one estimate of the noise."""

    def __init__(self, network: LatentFusion) -> None:
        super().__init__()
        self.network = network

    def forward(
        self, x: Tensor, codes: Tensor, depth: Tensor, latent: Tensor, time: Tensor, eps: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Mean square error of the estimate of `eps`, and mean absolute value of the maps; scalars.

        Args:
            x: LR (N, 3, h, w) in [0, 1].
            codes, depth: (N, K, h, w) and (N, 1, h, w).
            latent: (N, 4, h / 2, w / 2), latent of HR.
            time: (N,), time steps of the prior's training schedule.
            eps: noise in the shape of latent, standard normal.
        """
        maps = self.network.maps(upscale(x, self.network.scale), codes, depth)
        prior = self.network.prior
        found = prior.epsilon(prior.noised(latent, eps, time), time, self.network.fused(maps))
        size = torch.stack([m.float().abs().mean() for level in maps for m in level]).mean()
        return (found.float() - eps).square().mean(), size


def noise_validator(batches: Sequence[Batch], dtype: torch.dtype | None) -> Callable[[nn.Module], float]:
    """Validation function: negative mean error of a fusion's noise estimates.

    Args:
        dtype: autocast's; None: fp32.
    """

    @torch.no_grad()
    def score(network: nn.Module) -> float:
        assert isinstance(network, LatentFusion)
        errors = []
        for batch in batches:
            with in_precision(batch.lr, dtype):
                errors.append(float(NoiseEstimate(network)(batch.lr, **batch.conditions)[0]))
        return -fmean(errors)

    return score
