"""The loop that learns rates: episodes, a step of Adam on the rates, and now and then the domains held out."""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor, nn

from srkit.data.episodes import Episode, EpisodePlan, TaskDomain, draw_episode
from srkit.errors import SrkitError
from srkit.progress import Progress
from srkit.recipes.load import to_mapping
from srkit.recipes.meta import MetaRecipe
from srkit.training.distributed import World, agreed
from srkit.training.interrupt import whole_step
from srkit.training.loop import Limits
from srkit.training.meta import Inner, MetaLearner
from srkit.training.run_log import RunLog
from srkit.training.state import CHECKPOINT, TrainState, save_checkpoint

_JUDGING = 1_000_003  # added to the seed, so that episodes that judge are not those that teach


@dataclass(frozen=True)
class MetaTrainer:
    """The fixed things around a state: what episodes are drawn from, and where to write.

    Every process of a group does the same, from the same numbers; the first one writes.
    """

    recipe: MetaRecipe
    inner: Inner
    domains: Sequence[TaskDomain]
    judges: Sequence[TaskDomain]
    folder: Path
    limits: Limits
    device: torch.device
    world: World
    progress: Progress

    def run(self, state: TrainState) -> None:
        """Learn until the limits; the state's `best` holds what judged best at the end.

        Raises:
            SrkitError: the rates or the weights are no longer finite.
        """
        self.progress.start("learning rates", 1.0)
        self.progress.advance(self.limits.progress(state.step, state.seconds))
        with RunLog(self.folder) if self.world.is_main else nullcontext() as log:
            try:
                self._loop(state, log)
                if state.best is None or state.step % self.recipe.outer.validate_every:
                    self._validate(state, log)
            except KeyboardInterrupt:
                self._save(state)  # what was learnt so far is not lost
                raise
        self._save(state)
        self.progress.finish()

    def gains(self, learner: MetaLearner) -> dict[str, float]:
        """What adapting with the rates gains on each domain that judges: mean decibels of PSNR (RGB) of the query."""
        return {domain.name: self._gain(learner, domain) for domain in self.judges}

    def _loop(self, state: TrainState, log: RunLog | None) -> None:
        saved_at = started = time.monotonic()
        while True:
            done = agreed(self.limits.progress(state.step, state.seconds), self.world, self.device)
            if done >= 1.0:
                return
            with whole_step():
                rate, loss = self._step(state, done)
                state.step += 1
            state.seconds += time.monotonic() - started
            if log is not None:
                log.write(state.step, {"loss": loss, "lr": rate, "seconds": round(state.seconds, 3)})
            self.progress.advance(self.limits.progress(state.step, state.seconds) - done)
            if state.step % self.recipe.outer.validate_every == 0:
                self._validate(state, log)
            if time.monotonic() - saved_at > 60 * self.recipe.run.checkpoint_minutes:
                self._save(state)
                saved_at = time.monotonic()
            started = time.monotonic()

    def _step(self, state: TrainState, done: float) -> tuple[float, float]:
        """The learning rate and the mean query loss after adapting."""
        outer, learner = self.recipe.outer, _learner(state.network)
        share = 0.5 * (1 + math.cos(math.pi * min(1.0, done)))
        rates = [outer.lr_final + (outer.lr - outer.lr_final) * share, outer.weights_lr * share]
        for group, rate in zip(state.optimizer.param_groups, rates, strict=False):
            group["lr"] = rate
        state.optimizer.zero_grad(set_to_none=True)
        losses = [
            learner.accumulate(
                self.inner,
                self._drawn(self.domains, state.step * outer.tasks + i),
                1 / outer.tasks,
                weights=outer.weights_lr > 0,
            )
            for i in range(outer.tasks)
        ]
        mean = math.fsum(losses) / len(losses)
        if not math.isfinite(mean):
            raise self._diverged(state.step)
        state.optimizer.step()
        return rates[0], mean

    def _drawn(self, domains: Sequence[TaskDomain], number: int, seed: int = 0) -> Episode:
        plan = EpisodePlan(self.recipe.tasks.shots, self.recipe.inner.steps, self.recipe.seed + seed)
        return draw_episode(domains, plan, number)

    def _gain(self, learner: MetaLearner, domain: TaskDomain) -> float:
        inner = replace(self.inner, network=learner.network, second_order=False)
        rates = {name: log.detach() for name, log in learner.rates.items()}
        gains = []
        for number in range(self.recipe.outer.judged):
            drawn = self._drawn([domain], number, _JUDGING)
            start = inner.parameters()
            end = inner.adapt(start, rates, drawn.support)
            errors = [self._error(inner, parameters, drawn) for parameters in (start, end)]
            gains.append(10 * math.log10(errors[0] / errors[1]) if min(errors) > 0 else 0.0)
        return math.fsum(gains) / len(gains)

    @torch.no_grad()
    def _error(self, inner: Inner, parameters: dict[str, Tensor], drawn: Episode) -> float:
        squared = replace(inner, loss=_clipped_squares)
        return float(squared.loss_of(parameters, drawn.query))

    def _validate(self, state: TrainState, log: RunLog | None) -> None:
        """Score the rates on the domains held out and keep them where they are the best so far."""
        self._check_finite(state)
        found = self.gains(_learner(state.network))
        score = math.fsum(found.values()) / len(found)
        if log is not None:
            log.write(state.step, {f"gain/{name}": gain for name, gain in found.items()})
        words = ", ".join(f"{name} {gain:+.3f}" for name, gain in found.items())
        self.progress.info(f"step {state.step}: {self.recipe.inner.steps} inner steps gain {words} dB")
        if score > state.best_score:
            state.best_score = score
            state.best = {k: v.detach().clone() for k, v in state.network.state_dict().items()}

    def _save(self, state: TrainState) -> None:
        self._check_finite(state)
        if self.world.is_main:
            save_checkpoint(state, self.folder, to_mapping(self.recipe))

    def _check_finite(self, state: TrainState) -> None:
        if not all(bool(parameter.isfinite().all()) for parameter in state.network.parameters()):
            raise self._diverged(state.step)

    def _diverged(self, step: int) -> SrkitError:
        way = "start again with a smaller outer.lr or inner.rate"
        if (self.folder / CHECKPOINT).is_file():
            way = f"the checkpoint in '{self.folder}' is sound: resume from it with a smaller outer.lr"
        return SrkitError(f"The loss or the rates are no longer finite at step {step}; {way}.")


def new_meta_state(learner: MetaLearner, recipe: MetaRecipe) -> TrainState:
    """The start of a run: Adam on the rates, and on the weights where these are learned too."""
    weights = recipe.outer.weights_lr > 0
    learner.network.requires_grad_(weights)
    groups = [{"params": list(learner.logs.parameters()), "lr": recipe.outer.lr}]
    if weights:
        groups.append({"params": list(learner.network.parameters()), "lr": recipe.outer.weights_lr})
    return TrainState(learner, copy.deepcopy(learner), torch.optim.Adam(groups))


def _learner(network: nn.Module) -> MetaLearner:
    if not isinstance(network, MetaLearner):
        raise TypeError(f"a state of {type(network).__name__} is none of a MetaLearner")
    return network


def _clipped_squares(sr: Tensor, hr: Tensor) -> Tensor:
    return (sr.clamp(0, 1) - hr).square().mean()
