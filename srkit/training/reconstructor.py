"""Training step and validation of a reconstructor."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn

from srkit.archs.reconstructor import Reconstructor
from srkit.data.pairs import Batch
from srkit.degradation.flaws import flawed
from srkit.losses.reconstruction import FLAWED_OFFSET, Far, ReconstructionLoss, far, flaw_margin, pinball
from srkit.ops.layout import in_precision
from srkit.training.controller import Controller, no_factor, quality_distance
from srkit.training.state import TrainState
from srkit.training.trainer import Measure, StepResult, descend

RECONSTRUCTION = Measure(
    "val_reconstruction_error", "held-out crops are made once more with an error of {:.4f}", -1.0
)


@dataclass(frozen=True)
class Objective:
    """L_pt = L_rec + m margin + lambda_pt (FAR(Y) + c FAR(flawed images, to be predicted with an offset)) + r error of
    l*."""

    reconstruction: ReconstructionLoss
    far: Far
    controller: Controller | None
    """Controller; None: the embedding is used unchanged."""
    far_weight: float
    """lambda_pt."""
    contrast: float
    """c; 0 in the paper."""
    flawed_share: float
    """Share of a batch's images that are repeated with a flaw."""
    enlarged: float
    """Share of the flawed images that are enlarged LR (`srkit.degradation.flaws.flawed`)."""
    margin: float
    """m, weight of `srkit.losses.reconstruction.flaw_margin`; 0 in the paper."""
    expected: float
    """r, weight of the estimate of l* (`srkit.losses.reconstruction.pinball`); the paper has one l* for all images."""
    quantile: float
    """Quantile of l of images without flaws that l* estimates."""
    autocast: torch.dtype | None

    def factor(
        self, lr: Tensor, shown: Tensor, dim: int, rng: torch.Generator | None
    ) -> tuple[Tensor, Tensor]:
        """Factors of the embeddings, (M, D), and l (N,) of the unflawed images.

        A flawed image has the factor that adaptation would give it if l* were that of the unflawed image: a factor
        larger than the embedding suggests marks an image as flawed.

        Args:
            lr: (N, 3, h, w).
            shown: (M, 3, s h, s w), the HR images of LR, followed by flawed copies of the first of them.
        """
        distance, count = self.reconstruction.distance, len(shown) - len(lr)
        found = quality_distance(distance, torch.cat([lr, lr[:count]]), shown, self.autocast)
        seen, flawed_seen = found[: len(lr)], found[len(lr) :]
        if self.controller is None:
            return no_factor(found, found, dim), seen
        factors = [
            self.controller.pretraining(seen, seen, dim, rng),
            self.controller.adapting(flawed_seen, seen[:count], dim, rng),
        ]
        return torch.cat(factors), seen


@dataclass(frozen=True)
class ReconstructorStep:
    """A `srkit.training.trainer.Step` that minimises `Objective` on HR images and their degraded versions."""

    objective: Objective
    clip_norm: float
    seed: int
    rank: int = 0

    is_sound = True

    def module(self, network: nn.Module) -> nn.Module:
        return network

    def __call__(
        self, state: TrainState, forward: Callable[..., Any], batch: Batch, rate: float, look: bool
    ) -> StepResult:
        aim, network = self.objective, cast(Reconstructor, state.network)
        draws = np.random.default_rng((self.seed, self.rank, state.step)).integers(2**62, size=2)
        rng = torch.Generator(batch.lr.device).manual_seed(int(draws[0]))
        shown = self._shown(batch, torch.Generator().manual_seed(int(draws[1])))
        with torch.no_grad():
            found = network.relative(*aim.far.descriptors(shown))
        factor, seen = aim.factor(batch.lr, shown, network.embedding, rng)
        with in_precision(batch.lr, aim.autocast):
            made, *predicted, expected = forward(batch.lr, shown, factor, rng)
        count = len(batch.hr)
        pixel, apart = aim.reconstruction(made[:count], batch.lr)
        margin = flaw_margin(made, batch.lr)
        offset = torch.zeros(len(shown), device=shown.device)
        offset[count:] = FLAWED_OFFSET
        unlike = far((predicted[0], predicted[1]), found, offset)
        regular = unlike[:count].mean()
        bad = unlike[count:].mean() if len(unlike) > count else torch.zeros_like(regular)
        loss = pixel + aim.reconstruction.perceptual * apart + aim.margin * margin
        missed = pinball(expected, seen, aim.quantile)
        loss = loss + aim.far_weight * (regular + aim.contrast * bad) + aim.expected * missed
        descend(state, loss, self.clip_norm)
        terms = {
            "loss": loss,
            "pixel": pixel,
            "perceptual": apart,
            "far": regular,
            "flawed": bad,
            "margin": margin,
            "l": seen.mean(),
            "l* error": missed,
        }
        return StepResult({name: term.detach() for name, term in terms.items()}, {})

    def _shown(self, batch: Batch, rng: torch.Generator) -> Tensor:
        """The batch's images, followed by flawed copies of the first of them."""
        aim = self.objective
        asked = aim.contrast > 0 or aim.margin > 0
        count = math.ceil(aim.flawed_share * len(batch.hr)) if asked else 0
        if not count:
            return batch.hr
        both = torch.cat([batch.hr, flawed(batch.hr[:count], batch.lr[:count], rng, aim.enlarged)])
        return both.contiguous(memory_format=torch.channels_last)


@torch.no_grad()
def set_usual(network: Reconstructor, regulariser: Far, batches: Sequence[Batch]) -> None:
    """Set the usual descriptors, relative to which a network predicts (`Reconstructor.relative`)."""
    found = [regulariser.descriptors(batch.hr) for batch in batches]
    network.set_usual(*(torch.cat(of) for of in zip(*found, strict=True)))


def reconstruction_validator(objective: Objective, batches: Sequence[Batch]) -> Callable[[nn.Module], float]:
    """Validation function: negative L_rec of a network over the batches, without the controller's noise."""
    factors: list[tuple[Tensor, ...]] = []

    @torch.no_grad()
    def score(network: nn.Module) -> float:
        learnt = cast(Reconstructor, network)
        if not factors:
            factors.extend(objective.factor(batch.lr, batch.hr, learnt.embedding, None) for batch in batches)
        errors = []
        for batch, (factor, _) in zip(batches, factors, strict=True):
            dtype = objective.autocast
            with in_precision(batch.lr, dtype):
                features = learnt.image_features(batch.hr)
                made = learnt.reconstruct(learnt.estimate(batch.lr).embedding * factor, features)
            errors.append(float(objective.reconstruction.total(made, batch.lr)))
        return -fmean(errors)

    return score
