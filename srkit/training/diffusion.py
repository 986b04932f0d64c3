"""Training and validation of a diffusion model: the residual that it estimates, and the images from it."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

import torch
from torch import Tensor, nn

from srkit.archs.diffusion import SIGMA, DiffusionSR, noisy
from srkit.data.pairs import Batch
from srkit.metrics.psnr import psnr
from srkit.ops.layout import in_precision
from srkit.ops.noise_field import noise_field
from srkit.training.gan_step import GanStep
from srkit.training.state import TrainState
from srkit.training.trainer import StepResult, Validation, descend

_MAX_DB = 60.0  # limit for flat crops, which would outweigh all others
_SAMPLE_SEED = 0


def denoising_batch(
    lr: Tensor, hr: Tensor, codes: Tensor, depth: Tensor, base: Tensor, level: Tensor, eps: Tensor
) -> Batch:
    """Batch of crops, with the further arguments of `Denoising`.

    Args:
        lr, hr, codes, depth: (B, ...), see `srkit.archs.diffusion.DiffusionSR`.
        base: (B, 3, s p, s p), image from which the residual is taken.
        level: (B,), noise levels.
        eps: noise in the shape of base, standard normal.
    """
    truth = (hr - base) / SIGMA
    state = noisy(truth, level, eps)
    conditions = {"codes": codes, "depth": depth, "base": base, "level": level, "state": state}
    return Batch(lr, hr, {**conditions, "truth": truth})


class Denoising(nn.Module):
    """Diffusion model as a module for one estimate of the residual.

    Args:
        network: the diffusion model.
        prior: estimate without conditions.
    """

    def __init__(self, network: DiffusionSR, *, prior: bool) -> None:
        super().__init__()
        self.network, self._prior = network, prior

    def forward(
        self,
        x: Tensor,
        codes: Tensor,
        depth: Tensor,
        base: Tensor,
        level: Tensor,
        state: Tensor,
        truth: Tensor,
    ) -> tuple[Tensor, Tensor]:
        """Mean square error of the estimated residual against `truth`, and mean absolute value of the conditions' maps;
        scalars."""
        known = self.network.known(x, codes, depth, base=base, prior=self._prior)
        sizes = [m.float().abs().mean() for maps in known.maps or () for m in maps]
        size = torch.stack(sizes).mean() if sizes else base.new_zeros(())
        found = self.network.residual(state, level, known)
        return (found.float() - truth).square().mean(), size


class Imaging(nn.Module):
    """Diffusion model as a module for one estimate of the image (B, 3, s p, s p)."""

    def __init__(self, network: DiffusionSR) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor, codes: Tensor, depth: Tensor, base: Tensor, **noised: Tensor) -> Tensor:
        """Image of one estimate; arguments as `Denoising`, of which `truth` is unused."""
        known = self.network.known(x, codes, depth, base=base)
        return self.network.image(self.network.residual(noised["state"], noised["level"], known), known)


@dataclass(frozen=True)
class DenoisingStep:
    """Minimise the squared error of an estimate, and the conditions' maps (Lin et al. 2024, Eqs. 4 and 5)."""

    wrapped: Callable[[Any], nn.Module]
    """Wrapper of the network that returns both terms, such as `Denoising`."""
    name: str
    """Name of the error in the log."""
    weight: float
    """Weight of the error."""
    features: float
    """Weight of the conditions' maps."""
    clip_norm: float
    autocast: torch.dtype | None

    is_sound = True

    def module(self, network: nn.Module) -> nn.Module:
        return self.wrapped(network)

    def __call__(
        self,
        state: TrainState,
        forward: Callable[..., tuple[Tensor, Tensor]],
        batch: Batch,
        rate: float,
        look: bool,
    ) -> StepResult:
        with in_precision(batch.lr, self.autocast):
            error, size = forward(batch.lr, **batch.conditions)
        loss = self.weight * error + self.features * size
        descend(state, loss, self.clip_norm)
        return StepResult({"loss": loss.detach(), self.name: error.detach(), "features": size.detach()})


@dataclass(frozen=True)
class ImagingStep(GanStep):
    """Step against a discriminator, whose inputs are images from single estimates."""

    def module(self, network: nn.Module) -> nn.Module:
        assert isinstance(network, DiffusionSR)
        return Imaging(network)


def residual_validator(
    batches: Sequence[Batch], dtype: torch.dtype | None, *, prior: bool
) -> Callable[[nn.Module], Validation]:
    """Validation function that scores a diffusion model by its estimates, and logs the PSNR of its samples.

    Args:
        dtype: autocast's; None: fp32.
        prior: score the estimates without conditions.
    """

    @torch.no_grad()
    def validate(network: nn.Module) -> Validation:
        assert isinstance(network, DiffusionSR)
        errors, scores = [], []
        for batch in batches:
            rows, columns = (torch.arange(side, device=batch.hr.device) for side in batch.hr.shape[2:])
            eps = noise_field(_SAMPLE_SEED, rows, columns, 3).expand_as(batch.hr)
            with in_precision(batch.lr, dtype):
                error, _ = Denoising(network, prior=prior)(batch.lr, **batch.conditions)
                sr = network(batch.lr, batch.conditions["codes"], batch.conditions["depth"], eps)
            errors.append(float(error))
            rounded = (sr.float().clamp(0, 1) * 255).round() / 255
            scores.append(float(psnr(rounded, batch.hr).clamp_max(_MAX_DB).mean()))
        rms, db = math.sqrt(fmean(errors)), fmean(scores)
        message = (
            f"held-out residuals are missed by {rms:.4f} (rms, NBSR's own is near 1); samples {db:.3f} dB"
        )
        return Validation(-rms, {"val_residual_error": rms, "val_psnr": db}, message)

    return validate
