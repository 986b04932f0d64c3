"""Step of meta-learning and the validation of the rates."""

from __future__ import annotations

import copy
import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from statistics import fmean
from typing import Any

import torch
from torch import Tensor, nn

from srkit.data.episodes import Episode, EpisodePlan, TaskDomain, draw_episode
from srkit.recipes.meta import MetaRecipe
from srkit.training.meta import Inner, MetaLearner
from srkit.training.state import TrainState
from srkit.training.trainer import StepResult, Validation

_VALIDATION = 1_000_003  # added to the seed, so that validation episodes differ from training ones


@dataclass(frozen=True)
class MetaStep:
    """A `srkit.training.trainer.Step` along the mean derivative of a batch of episodes (CDASR, Eq. 11).

    All processes of a group compute the same step.
    """

    recipe: MetaRecipe
    inner: Inner

    is_sound = True

    def module(self, network: nn.Module) -> nn.Module:
        return network

    def __call__(
        self,
        state: TrainState,
        forward: Callable[..., Any],
        batch: Sequence[Episode],
        rate: float,
        look: bool,
    ) -> StepResult:
        outer, learner = self.recipe.outer, learner_of(state.network)
        if outer.weights_lr > 0:
            # The rate of the weights decays to 0, that of the rates to lr_final.
            span = outer.lr - outer.lr_final
            share = (rate - outer.lr_final) / span if span else 1.0
            state.optimizer.param_groups[1]["lr"] = outer.weights_lr * share
        state.optimizer.zero_grad(set_to_none=True)
        weights = outer.weights_lr > 0
        losses = [learner.accumulate(self.inner, one, 1 / len(batch), weights=weights) for one in batch]
        mean = fmean(losses)
        if math.isfinite(
            mean
        ):  # otherwise the trainer, which sees the loss, ends the run before its state is invalid
            state.optimizer.step()
        return StepResult({"loss": torch.tensor(mean, dtype=torch.float64)})


def episodes(
    recipe: MetaRecipe, domains: Sequence[TaskDomain], first_step: int
) -> Iterator[tuple[Episode, ...]]:
    """Episodes of steps first_step, first_step + 1, ...; a function of seed and step alone."""
    count = recipe.outer.tasks
    for step in itertools.count(first_step):
        yield tuple(_drawn(recipe, domains, step * count + i) for i in range(count))


def gains_of(
    recipe: MetaRecipe, inner: Inner, domains: Sequence[TaskDomain], learner: MetaLearner
) -> dict[str, float]:
    """Gain of adaptation with the rates on each held-out domain: mean increase of the query PSNR (RGB) in dB."""
    return {domain.name: _gain(recipe, inner, domain, learner) for domain in domains}


def gain_validator(
    recipe: MetaRecipe, inner: Inner, domains: Sequence[TaskDomain]
) -> Callable[[nn.Module], Validation]:
    """Validation function of a `MetaLearner` by `gains_of`."""

    def validate(network: nn.Module) -> Validation:
        found = gains_of(recipe, inner, domains, learner_of(network))
        words = ", ".join(f"{name} {gain:+.3f}" for name, gain in found.items())
        return Validation(
            fmean(found.values()),
            {f"gain/{name}": gain for name, gain in found.items()},
            f"{recipe.inner.steps} inner steps gain {words} dB",
        )

    return validate


def _drawn(recipe: MetaRecipe, domains: Sequence[TaskDomain], number: int, seed: int = 0) -> Episode:
    plan = EpisodePlan(recipe.tasks.shots, recipe.inner.steps, recipe.seed + seed)
    return draw_episode(domains, plan, number)


def _gain(recipe: MetaRecipe, inner: Inner, domain: TaskDomain, learner: MetaLearner) -> float:
    inner = replace(inner, network=learner.network, second_order=False)
    rates = {name: log.detach() for name, log in learner.rates.items()}
    gains = []
    for number in range(recipe.outer.judged):
        drawn = _drawn(recipe, [domain], number, _VALIDATION)
        start = inner.parameters()
        with torch.enable_grad():
            end = inner.adapt(start, rates, drawn.support)
        errors = [_error(inner, parameters, drawn) for parameters in (start, end)]
        gains.append(10 * math.log10(errors[0] / errors[1]) if min(errors) > 0 else 0.0)
    return fmean(gains)


@torch.no_grad()
def _error(inner: Inner, parameters: dict[str, Tensor], drawn: Episode) -> float:
    squared = replace(inner, loss=_clipped_squares)
    return float(squared.loss_of(parameters, drawn.query))


def new_meta_state(learner: MetaLearner, recipe: MetaRecipe) -> TrainState:
    """Initial state of a run: Adam on the rates, and on the weights if these are learned too."""
    weights = recipe.outer.weights_lr > 0
    learner.network.requires_grad_(weights)
    groups = [{"params": list(learner.logs.parameters()), "lr": recipe.outer.lr}]
    if weights:
        groups.append({"params": list(learner.network.parameters()), "lr": recipe.outer.weights_lr})
    return TrainState(learner, copy.deepcopy(learner), torch.optim.Adam(groups))


def learner_of(network: nn.Module) -> MetaLearner:
    """The MetaLearner of a training state.

    Raises:
        TypeError: the network is not a MetaLearner.
    """
    if not isinstance(network, MetaLearner):
        raise TypeError(f"a state of {type(network).__name__} is none of a MetaLearner")
    return network


def _clipped_squares(sr: Tensor, hr: Tensor) -> Tensor:
    return (sr.clamp(0, 1) - hr).square().mean()
