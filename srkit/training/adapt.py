"""Fine-tuning on a few images, validated on others, so that it never makes a model worse by what they say.

The weights' moving average is validated now and then, and where it is no better than before, so are interpolations
between the base and it: these often keep what was gained on the new images and not what was lost on others
(Wortsman et al. 2022, Robust fine-tuning of zero-shot models). States are compared by a lower confidence bound of
their gain: the mean over the images that validate less two standard errors, since these are few, and with a strip of an
image the rest of which was learned from a gain is easy. The best is kept; the base itself where no bound is above 0.
"""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase
from torch.nn.modules.dropout import _DropoutNd

from srkit.data.pairs import Batch, PairSource
from srkit.losses.images import l1
from srkit.progress import Progress, Silent
from srkit.training.inner import ADAM, InnerRule, InnerSteps, Rates

Score = Callable[[nn.Module], Sequence[float]]
"""A network's score on every image that validates, higher is better."""
Loss = Callable[[Tensor, Batch], Tensor]
"""SR and the batch that it was made from to a scalar."""
Gain = Callable[[Sequence[float], Sequence[float]], float]
"""The base's scores and another state's to a lower confidence bound of its gain; NaN: it must not be taken."""
Stop = Literal["steps", "minutes", "judges", "diverged"]


@dataclass(frozen=True)
class Interpolation:
    """A state between the base and what was learned."""

    of: Literal["average", "raw"]
    """Whether what was learned are the weights' moving average or the weights as they are."""
    alpha: float
    """The state is (1 - alpha) times the base plus alpha times that."""


AVERAGED = (Interpolation("average", 1.0), Interpolation("average", 0.5), Interpolation("average", 0.25))


@dataclass(frozen=True)
class Validated:
    """The scores of a state."""

    step: int
    interpolation: Interpolation
    scores: tuple[float, ...]


def pairs_loss(loss: Callable[[Tensor, Tensor], Tensor]) -> Loss:
    """A loss of SR and the target, for batches of pairs."""
    return lambda sr, batch: loss(sr, batch.target)


@dataclass(frozen=True)
class AdaptSettings:
    """How a network is fine-tuned.

    Attributes:
        rates: logarithms, by parameter name (`srkit.training.inner`).
        rule: the direction of a step.
        loss: what is made smaller.
        minutes: a limit beside the steps; with it a run does not repeat exactly.
        warmup_steps: over which the rates rise linearly; afterwards they fall along half a cosine.
        ema: decay of the average that is validated and kept.
        ema_warmup: with a smaller decay early, so that the base is forgotten as soon as there is something better;
            without, much of the base stays in an average over few steps.
        interpolations: states that are validated, one after another until there is a new best.
        all_interpolations: score the others too then, and take the best.
        judge_every: steps between validations.
        patience: validations in a row without a new best after which it stops.
        gain: a lower confidence bound of what is gained.
        min_gain: of that, in the scores' unit, below which the base is kept.
        unit: of scores, for messages.
        autocast: precision of the network's arithmetic; None: fp32.
        training_mode: train in training mode, all but normalisation and dropout, a network that evaluates other
            parameters than it learns.
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
    """What came of fine-tuning."""

    state_dict: dict[str, Tensor]
    """The network's state that scored best, on the CPU: the base's where `kept` is false."""
    kept: bool
    """Whether that is another state than the base's."""
    steps: int
    """Steps taken."""
    best_step: int
    """The step after which the best state was; 0: the base."""
    best_interpolation: Interpolation | None
    """Where the best state lies; None: the base."""
    before: tuple[float, ...]
    """Scores of the base on the validation images."""
    best: tuple[float, ...]
    """Scores of that state."""
    validated: tuple[Validated, ...]
    """All but the base, in their order."""
    seconds: float
    stopped: Stop
    """By what it ended; diverged: the loss was no longer a number, and the last good state counts."""

    @property
    def best_blend(self) -> float:
        """Alpha of the best state; 0: the base."""
        return 0.0 if self.best_interpolation is None else self.best_interpolation.alpha

    @property
    def curve(self) -> tuple[tuple[int, float], ...]:
        """Steps and mean score, the base's first, of the state that was validated first at each."""
        means = {0: _mean(self.before)}
        for one in self.validated:
            means.setdefault(one.step, _mean(one.scores))
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

    The same for the same steps, device and precision, unless `settings.minutes` ends it.

    Args:
        network: on the device of the pairs. It learns in evaluation mode (but see `training_mode`): batch statistics
            and dropout are those of its deployment.
        pairs: endless batches.
        steps: at most so many.
        score: scores a network on images that are not among the pairs.
    """
    return _Run(network, steps, score, settings, progress or Silent()).run(pairs)


def unchanged(network: nn.Module, score: Score) -> Adapted:
    """What comes of not fine-tuning a network."""
    scores = tuple(score(network))
    return Adapted(_state(network), False, 0, 0, None, scores, scores, (), 0.0, "steps")


class _Run:
    """One fine-tuning while it lasts."""

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
        """Share of the limits that is used up."""
        minutes = self._settings.minutes
        used = 0.0 if minutes is None else self._seconds / (60 * minutes)
        return min(1.0, max(self._step / self._steps, used))

    def _take_step(self, batch: Batch, done: float) -> bool:
        """One step; False, and nothing changed, where the loss is no number."""
        settings = self._settings
        with torch.autocast(batch.lr.device.type, settings.autocast, enabled=settings.autocast is not None):
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
        """Keep the state that is validated if it is the best so far; whether it is."""
        bound = self._settings.gain(self._before, scores)
        if not bound > self._bound:
            return False
        self._bound, self._best = bound, scores
        self._best_step, self._best_interpolation = self._step, interpolation
        self._best_state = _state(self._blended)
        return True

    def _report(self, scores: Sequence[float]) -> None:
        unit = self._settings.unit
        self._progress.info(f"step {self._step}: {_mean(scores):.3f} {unit} on the validation images")


def lower_bound_of_gain(before: Sequence[float], after: Sequence[float]) -> float:
    """Mean gain less two standard errors; of a single image the gain."""
    return lower_bound([new - old for new, old in zip(after, before, strict=True)])


def lower_bound(gains: Sequence[float]) -> float:
    """Mean less two standard errors; of a single number itself."""
    mean = _mean(gains)
    if len(gains) < 2:
        return mean
    spread = math.fsum((gain - mean) ** 2 for gain in gains) / (len(gains) - 1)
    return mean - 2 * math.sqrt(spread / len(gains))


def _set_training(network: nn.Module) -> None:
    """Training mode, but with the statistics and without the chance of evaluation."""
    network.train()
    for module in network.modules():
        # Networks bring their own stochastic depth, under this name since Huang et al. 2016.
        if isinstance(module, (_NormBase, _DropoutNd)) or "DropPath" in type(module).__name__:
            module.eval()


def _state(network: nn.Module) -> dict[str, Tensor]:
    return {name: tensor.detach().cpu().clone() for name, tensor in network.state_dict().items()}


def _mean(scores: Sequence[float]) -> float:
    return math.fsum(scores) / len(scores)
