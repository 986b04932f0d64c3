"""Fine-tuning on a few images with validation on others, which never returns a state of lower validation score.

The moving average of the weights is validated at intervals. If it is not a new best, interpolations between it and the
base are validated too, which often keep the gain on the new images without the loss on others (Wortsman et al. 2022,
Robust fine-tuning of zero-shot models). States are compared by a lower confidence bound of their gain: the mean over
the validation images minus two standard errors, since these images are few, and a validation strip of an image whose
rest is trained on gains easily. The best state is kept; the base if no state's bound is above 0.
"""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from statistics import fmean
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase
from torch.nn.modules.dropout import _DropoutNd

from srkit.data.pairs import Batch, PairSource
from srkit.losses.images import l1
from srkit.ops.layout import in_precision
from srkit.progress import Progress, Silent
from srkit.training.inner import ADAM, InnerRule, InnerSteps, Rates

Score = Callable[[nn.Module], Sequence[float]]
"""Function from a network to its scores on the validation images; higher is better."""
Loss = Callable[[Tensor, Batch], Tensor]
"""Function from SR and its batch to a scalar loss."""
Gain = Callable[[Sequence[float], Sequence[float]], float]
"""Function from the scores of the base and of another state to a lower confidence bound of the gain; NaN: the state is
rejected."""
Stop = Literal["steps", "minutes", "judges", "diverged"]


@dataclass(frozen=True)
class Interpolation:
    """A state between the base and the trained weights."""

    of: Literal["average", "raw"]
    """Trained weights: their moving average, or the raw weights."""
    alpha: float
    """Weight of the trained weights: the state is (1 - alpha) base + alpha trained."""


AVERAGED = (Interpolation("average", 1.0), Interpolation("average", 0.5), Interpolation("average", 0.25))


@dataclass(frozen=True)
class Validated:
    """Scores of a state."""

    step: int
    interpolation: Interpolation
    scores: tuple[float, ...]


def pairs_loss(loss: Callable[[Tensor, Tensor], Tensor]) -> Loss:
    """Loss for batches of pairs, from a loss of SR and target."""
    return lambda sr, batch: loss(sr, batch.target)


@dataclass(frozen=True)
class AdaptSettings:
    """Settings of fine-tuning.

    Attributes:
        rates: logarithms, by parameter name (`srkit.training.inner`).
        rule: the direction of a step.
        loss: the loss that is minimised.
        minutes: time limit beside the steps; with it, runs are not exactly reproducible.
        warmup_steps: steps of linear warm-up of the rates; afterwards they fall along half a cosine.
        ema: decay of the moving average that is validated and kept.
        ema_warmup: use a smaller decay early; otherwise the base has a large weight in an average over few steps.
        interpolations: states that are validated in order, until one is a new best.
        all_interpolations: validate all interpolations and take the best.
        judge_every: steps between validations.
        patience: number of validations in a row without a new best before training stops.
        gain: lower confidence bound of the gain.
        min_gain: minimal bound, in the scores' unit, below which the base is kept.
        unit: unit of the scores, for messages.
        autocast: precision of the network's arithmetic; None: fp32.
        training_mode: train in training mode, except for normalisation and dropout; for networks that use other
            parameters in evaluation than in training.
    """

    rates: Rates
    rule: InnerRule = ADAM
    loss: Loss = field(default_factory=lambda: pairs_loss(l1))
    minutes: float | None = None
    warmup_steps: int = 10
    ema: float = 0.98
    ema_warmup: bool = True
    interpolations: tuple[Interpolation, ...] = AVERAGED
    all_interpolations: bool = False
    judge_every: int = 50
    patience: int = 4
    gain: Gain = field(default_factory=lambda: lower_bound_of_gain)
    min_gain: float = 0.005
    unit: str = "dB"
    autocast: torch.dtype | None = None
    training_mode: bool = False


@dataclass(frozen=True)
class Adapted:
    """Result of fine-tuning."""

    state_dict: dict[str, Tensor]
    """The network's best state, on the CPU; the base's if `kept` is false."""
    kept: bool
    """True if the best state differs from the base."""
    steps: int
    """Steps taken."""
    best_step: int
    """Step of the best state; 0: the base."""
    best_interpolation: Interpolation | None
    """Interpolation of the best state; None: the base."""
    before: tuple[float, ...]
    """Scores of the base on the validation images."""
    best: tuple[float, ...]
    """Scores of the best state."""
    validated: tuple[Validated, ...]
    """Validated states except the base, in order."""
    seconds: float
    stopped: Stop
    """Reason of the end; diverged: the loss was no longer finite, and the best state until then is returned."""

    @property
    def best_blend(self) -> float:
        """Alpha of the best state; 0: the base."""
        return 0.0 if self.best_interpolation is None else self.best_interpolation.alpha

    @property
    def curve(self) -> tuple[tuple[int, float], ...]:
        """Step and mean score of the first state validated at each step, the base first."""
        means = {0: fmean(self.before)}
        for one in self.validated:
            means.setdefault(one.step, fmean(one.scores))
        return tuple(means.items())


def adapt(
    network: nn.Module,
    pairs: PairSource,
    steps: int,
    score: Score,
    settings: AdaptSettings,
    progress: Progress | None = None,
) -> Adapted:
    """Fine-tune a copy of a network; the network itself is not changed.

    Reproducible for equal steps, device and precision, unless `settings.minutes` ends it.

    Args:
            network: on the device of the pairs. It is trained in evaluation mode (but see `training_mode`): batch
                statistics and dropout are as in deployment.
            pairs: endless batches.
            steps: maximal number of steps.
            score: scores a network on images that are not among the pairs.
    """
    return _Run(network, steps, score, settings, progress or Silent()).run(pairs)


def unchanged(network: nn.Module, score: Score) -> Adapted:
    """Result for a network that is not fine-tuned."""
    scores = tuple(score(network))
    return Adapted(_state(network), False, 0, 0, None, scores, scores, (), 0.0, "steps")


class _Run:
    """A running fine-tuning."""

    def __init__(
        self, network: nn.Module, steps: int, score: Score, settings: AdaptSettings, progress: Progress
    ) -> None:
        self._steps, self._score, self._settings, self._progress = steps, score, settings, progress
        self._average = copy.deepcopy(network).eval().requires_grad_(False)
        self._network = copy.deepcopy(network).eval().requires_grad_(True)
        if settings.training_mode:
            _set_training(self._network)
        self._inner = InnerSteps(self._network, settings.rates, settings.rule)
        self._averaged: list[Tensor] = list(self._average.parameters())
        self._blended = copy.deepcopy(self._average)
        self._start = [p.clone() for p in self._averaged]
        self._step = 0
        self._seconds = 0.0
        self._before = self._best = tuple(score(self._average))
        self._bound = settings.min_gain
        self._best_step = 0
        self._best_interpolation: Interpolation | None = None
        self._best_state = _state(self._average)
        self._validated: list[Validated] = []
        self._worse = 0

    def run(self, pairs: PairSource) -> Adapted:
        self._progress.start("adapting", 1.0)
        self._report(self._before)
        stopped = self._loop(pairs)
        self._progress.finish()
        kept = self._best_step > 0
        return Adapted(
            state_dict=self._best_state,
            kept=kept,
            steps=self._step,
            best_step=self._best_step,
            best_interpolation=self._best_interpolation,
            before=self._before,
            best=self._best,
            validated=tuple(self._validated),
            seconds=self._seconds,
            stopped=stopped,
        )

    def _loop(self, pairs: PairSource) -> Stop:
        started = time.monotonic()
        for batch in pairs.batches(0):
            done = self._done()
            sound = self._take_step(batch, done)
            self._step += sound
            self._seconds = time.monotonic() - started
            self._progress.advance(self._done() - done)
            ended = not sound or self._done() >= 1
            if ended or self._step % self._settings.judge_every == 0:
                self._validate()
                self._seconds = time.monotonic() - started
            if not sound:
                return "diverged"
            if self._worse >= self._settings.patience:
                return "judges"
            if ended:
                break
        return "steps" if self._step >= self._steps else "minutes"

    def _done(self) -> float:
        """Fraction of the limits that is used up, 0 to 1."""
        minutes = self._settings.minutes
        used = 0.0 if minutes is None else self._seconds / (60 * minutes)
        return min(1.0, max(self._step / self._steps, used))

    def _take_step(self, batch: Batch, done: float) -> bool:
        """Take a step; return False, without changes, if the loss is not finite."""
        settings = self._settings
        with in_precision(batch.lr, settings.autocast):
            sr = self._network(batch.lr, **batch.conditions)
        loss = settings.loss(sr.float(), batch)
        if not math.isfinite(float(loss.detach())):
            return False
        self._inner.clear()
        torch.autograd.backward(loss)
        if not all(bool(p.grad.isfinite().all()) for p in self._inner.parameters if p.grad is not None):
            return False
        rising = min(1.0, (self._step + 1) / settings.warmup_steps) if settings.warmup_steps else 1.0
        self._inner.step(rising * 0.5 * (1 + math.cos(math.pi * done)))
        decay = settings.ema
        if settings.ema_warmup:
            decay = min(decay, (1 + self._step) / (10 + self._step))
        torch._foreach_lerp_(self._averaged, self._inner.parameters, 1 - decay)
        return True

    def _validate(self) -> None:
        if self._validated and self._validated[-1].step == self._step:
            return
        better = False
        for interpolation in self._settings.interpolations:
            learned = self._averaged if interpolation.of == "average" else self._inner.parameters
            states = (
                torch._foreach_lerp(self._start, learned, interpolation.alpha)
                if interpolation.alpha < 1
                else learned
            )
            for parameter, value in zip(self._blended.parameters(), states, strict=True):
                parameter.copy_(value)
            scores = tuple(self._score(self._blended))
            if interpolation is self._settings.interpolations[0]:
                self._report(scores)
            self._validated.append(Validated(self._step, interpolation, scores))
            better |= self._offer(scores, interpolation)
            if better and not self._settings.all_interpolations:
                break
        self._worse = 0 if better else self._worse + 1

    def _offer(self, scores: tuple[float, ...], interpolation: Interpolation) -> bool:
        """Keep the validated state if it is the best so far; True if it is."""
        bound = self._settings.gain(self._before, scores)
        if not bound > self._bound:
            return False
        self._bound, self._best = bound, scores
        self._best_step, self._best_interpolation = self._step, interpolation
        self._best_state = _state(self._blended)
        return True

    def _report(self, scores: Sequence[float]) -> None:
        unit = self._settings.unit
        self._progress.info(f"step {self._step}: {fmean(scores):.3f} {unit} on the validation images")


def lower_bound_of_gain(before: Sequence[float], after: Sequence[float]) -> float:
    """Mean gain minus two standard errors; for a single image, its gain."""
    return lower_bound([new - old for new, old in zip(after, before, strict=True)])


def lower_bound(gains: Sequence[float]) -> float:
    """Mean minus two standard errors; for a single number, itself."""
    mean = fmean(gains)
    if len(gains) < 2:
        return mean
    spread = math.fsum((gain - mean) ** 2 for gain in gains) / (len(gains) - 1)
    return mean - 2 * math.sqrt(spread / len(gains))


def _set_training(network: nn.Module) -> None:
    """Set training mode, with normalisation and dropout as in evaluation."""
    network.train()
    for module in network.modules():
        # Networks define their own stochastic depth, under this name since Huang et al. 2016.
        if isinstance(module, (_NormBase, _DropoutNd)) or "DropPath" in type(module).__name__:
            module.eval()


def _state(network: nn.Module) -> dict[str, Tensor]:
    return {name: tensor.detach().cpu().clone() for name, tensor in network.state_dict().items()}
