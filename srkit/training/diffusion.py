"""Steps of a diffusion model: the residual that it estimates, the images that these make, and how both are scored."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from srkit.archs.diffusion import SIGMA, DiffusionSR, noisy
from srkit.data.pairs import Batch
from srkit.metrics.psnr import psnr
from srkit.ops.noise_field import noise_field
from srkit.recipes.diffusion import DiffusionWeights
from srkit.training.gan_step import GanStep
from srkit.training.state import TrainState
from srkit.training.trainer import StepResult, Validation, descend

_MAX_DB = 60.0  # of a flat crop, lest it outweigh all others
_SAMPLE_SEED = 0


def denoising_batch(
    lr: Tensor, hr: Tensor, codes: Tensor, depth: Tensor, base: Tensor, level: Tensor, eps: Tensor
) -> Batch:
    """Crops, and what `Denoising` is called with beside LR.

    Args:
        lr, hr, codes, depth: (B, ...), see `srkit.archs.diffusion.DiffusionSR`.
        base: (B, 3, s p, s p), what the residual is of.
        level: (B,) of the noise.
        eps: as base, standard normal.
    """
    state = noisy((hr - base) / SIGMA, level, eps)
    return Batch(lr, hr, {"codes": codes, "depth": depth, "base": base, "level": level, "state": state})


class Denoising(nn.Module):
    """A diffusion model, called for one estimate.

    Args:
        network: it.
        prior: without its conditions.
    """

    def __init__(self, network: DiffusionSR, *, prior: bool) -> None:
        super().__init__()
        self.network, self._prior = network, prior

    def forward(
        self, x: Tensor, codes: Tensor, depth: Tensor, base: Tensor, level: Tensor, state: Tensor
    ) -> tuple[Tensor, Tensor]:
        """The residual (B, 3, s p, s p), and the mean absolute value of the conditions' maps, a scalar."""
        known = self.network.known(x, codes, depth, base=base, prior=self._prior)
        size = base.new_zeros(()) if known.maps is None else mean_size(known.maps)
        return self.network.residual(state, level, known), size


class Imaging(Denoising):
    """The same, for the image."""

    def forward(  # type: ignore[override]
        self, x: Tensor, codes: Tensor, depth: Tensor, base: Tensor, level: Tensor, state: Tensor
    ) -> Tensor:
        """(B, 3, s p, s p)."""
        known = self.network.known(x, codes, depth, base=base, prior=self._prior)
        return self.network.image(self.network.residual(state, level, known), known)


@dataclass(frozen=True)
class EstimateStep:
    """Minimise the squared error of an estimate, and the conditions' maps (Lin et al. 2024, Eqs. 4 and 5)."""

    name: str
    """Of what is estimated, in the log."""
    estimator: Callable[[nn.Module], nn.Module]
    """Wraps the network into what gives the estimate and the maps' size for a batch."""
    truth: Callable[[Batch], Tensor]
    """What is to be estimated."""
    weight: float
    """Of the error."""
    features: float
    """Weight of the maps' size."""
    clip_norm: float
    autocast: torch.dtype | None

    is_sound = True

    def module(self, network: nn.Module) -> nn.Module:
        return self.estimator(network)

    def __call__(
        self,
        state: TrainState,
        forward: Callable[..., tuple[Tensor, Tensor]],
        batch: Batch,
        rate: float,
        look: bool,
    ) -> StepResult:
        with torch.autocast(batch.lr.device.type, self.autocast, enabled=self.autocast is not None):
            found, size = forward(batch.lr, **batch.conditions)
        error = (found.float() - self.truth(batch)).square().mean()
        loss = self.weight * error + self.features * size
        descend(state, loss, self.clip_norm)
        return StepResult({"loss": loss.detach(), self.name: error.detach(), "features": size.detach()})


def mean_size(maps: Iterable[Iterable[Tensor]]) -> Tensor:
    """The mean absolute value of conditions' maps, a scalar in which each map counts the same."""
    return torch.stack([m.float().abs().mean() for level in maps for m in level]).mean()


def denoising_step(
    weights: DiffusionWeights, clip_norm: float, autocast: torch.dtype | None, *, prior: bool
) -> EstimateStep:
    """The step of a diffusion model that estimates the residual; `prior`: without its conditions."""

    def estimator(network: nn.Module) -> nn.Module:
        assert isinstance(network, DiffusionSR)
        return Denoising(network, prior=prior)

    return EstimateStep(
        "residual", estimator, true_residual, weights.residual, weights.features, clip_norm, autocast
    )


@dataclass(frozen=True)
class ImagingStep(GanStep):
    """A step against a discriminator, which sees the images that single estimates make."""

    def module(self, network: nn.Module) -> nn.Module:
        assert isinstance(network, DiffusionSR)
        return Imaging(network, prior=False)


def true_residual(batch: Batch) -> Tensor:
    """What is to be estimated."""
    return (batch.hr - batch.conditions["base"]) / SIGMA


def residual_validator(
    batches: Sequence[Batch], dtype: torch.dtype | None, *, prior: bool
) -> Callable[[nn.Module], Validation]:
    """A function that scores a diffusion model by its estimates, and gives the PSNR of its samples too.

    Args:
        dtype: autocast's; None: fp32.
        prior: whether the estimates are those without conditions.
    """

    @torch.no_grad()
    def validate(network: nn.Module) -> Validation:
        assert isinstance(network, DiffusionSR)
        errors, scores = [], []
        for batch in batches:
            rows, columns = (torch.arange(side, device=batch.hr.device) for side in batch.hr.shape[2:])
            eps = noise_field(_SAMPLE_SEED, rows, columns, 3).expand_as(batch.hr)
            with torch.autocast(batch.lr.device.type, dtype, enabled=dtype is not None):
                found, _ = Denoising(network, prior=prior)(batch.lr, **batch.conditions)
                sr = network(batch.lr, batch.conditions["codes"], batch.conditions["depth"], eps)
            errors.append(float((found.float() - true_residual(batch)).square().mean()))
            rounded = (sr.float().clamp(0, 1) * 255).round() / 255
            scores.append(float(psnr(rounded, batch.hr).clamp_max(_MAX_DB).mean()))
        error, db = math.sqrt(math.fsum(errors) / len(errors)), math.fsum(scores) / len(scores)
        message = (
            f"held-out residuals are missed by {error:.4f} (rms, NBSR's own is near 1); samples {db:.3f} dB"
        )
        return Validation(-error, {"val_residual_error": error, "val_psnr": db}, message)

    return validate
