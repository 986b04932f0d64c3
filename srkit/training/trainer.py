"""Trainer for every kind of training: batches, steps, moving average, validations and checkpoints."""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol

import torch
from torch import Tensor, nn

from srkit.data.pairs import Batch
from srkit.errors import SrkitError
from srkit.losses.images import l1
from srkit.losses.table import Losses
from srkit.ops.layout import in_precision
from srkit.progress import Progress
from srkit.recipes.train import OptimPart, RunPart
from srkit.training.distributed import World, agreed, mean_over, parallel
from srkit.training.interrupt import whole_step
from srkit.training.optim import learning_rate, set_rate
from srkit.training.run_log import RunLog
from srkit.training.state import CHECKPOINT, Snapshot, TrainState, save_checkpoint, update_ema

LOG_EVERY = 100
_CLOCKED_EVERY = 20  # steps on CUDA, where timing synchronises with the device


@dataclass(frozen=True)
class Limits:
    """Limits of a run: a number of steps, or of minutes of training time (resumed parts included)."""

    steps: int
    minutes: float | None = None
    clock: Literal["wall", "cpu"] = "wall"
    """Clock of `minutes`; cpu: computing time of this process's threads."""

    def progress(self, step: int, seconds: float) -> float:
        """Fraction of the run that is done; at least 1 at its end."""
        if self.minutes is None:
            return step / self.steps
        return seconds / (60 * self.minutes)

    def now(self) -> float:
        """Seconds on the clock."""
        return time.process_time() if self.clock == "cpu" else time.monotonic()


@dataclass(frozen=True)
class Validation:
    """Result of a validation."""

    score: float
    """Score; higher is better."""
    logged: Mapping[str, float]
    """Values for metrics.jsonl, by name."""
    message: str


@dataclass(frozen=True)
class Measure:
    """Name and message of a validation's value."""

    name: str
    """Name in metrics.jsonl."""
    message: str
    """Message with `{}` in place of the value."""
    sign: float = 1.0
    """Factor from the value to the score: -1 for errors, since the trainer keeps the highest score."""

    def of(self, score: Callable[[nn.Module], float]) -> Callable[[nn.Module], Validation]:
        """Validation function from a function that scores a network."""

        def validate(network: nn.Module) -> Validation:
            found = score(network)
            value = self.sign * found
            return Validation(found, {self.name: value}, self.message.format(value))

        return validate


PSNR = Measure("val_psnr", "{:.3f} dB on the held-out images")


@dataclass(frozen=True)
class StepResult:
    """Logged values of a step."""

    terms: Mapping[str, Tensor]
    """Scalars by name, without a graph; `loss` is the minimised one."""
    norms: Mapping[str, float] = field(default_factory=dict)
    """Gradient norms of the weighted terms, by name, if requested."""


class DivergedError(SrkitError):
    """Training cannot continue from its current state.

    Args:
        what: the problem, as the first part of a sentence.
        remedy: the suggested remedy, as the rest of the sentence.
    """

    def __init__(self, what: str, remedy: str) -> None:
        super().__init__(f"{what}; {remedy}.")
        self.what = what


class Step(Protocol):
    """Update of the networks by one batch."""

    @property
    def is_sound(self) -> bool:
        """True if the current state may be kept as a snapshot."""

    def module(self, network: nn.Module) -> nn.Module:
        """Module that is called with a batch: the network, or a wrapper that returns more than SR."""

    def __call__(
        self, state: TrainState, forward: Callable[..., Any], batch: Any, rate: float, look: bool
    ) -> StepResult:
        """Update the network, and other trained parts, by one batch.

        Args:
            forward: `module` of the state's network, wrapped for data-parallel training.
            rate: learning rate, already set in the network's optimiser.
            look: compute gradient norms.

        Raises:
            DivergedError: training cannot continue.
        """


@dataclass(frozen=True)
class PairStep:
    """Minimise losses between a network's result and its target."""

    losses: Losses
    clip_norm: float
    autocast: torch.dtype | None
    teaching: float = 0.0
    """Weight of the L1 to the teacher's SR of batches that have one."""

    is_sound = True

    def module(self, network: nn.Module) -> nn.Module:
        return network

    def __call__(
        self, state: TrainState, forward: Callable[..., Tensor], batch: Batch, rate: float, look: bool
    ) -> StepResult:
        with in_precision(batch.lr, self.autocast):
            sr = forward(batch.lr, **batch.conditions)
        loss, terms = self.losses(sr, batch.target, state.step + 1)
        if batch.distilled is not None:
            distilled = l1(sr.float(), batch.distilled)
            loss, terms = loss + self.teaching * distilled, {**terms, "teacher": distilled.detach()}
        descend(state, loss, self.clip_norm)
        asked = look and len(self.losses.weights) > 1
        norms = self.losses.gradient_norms(sr.detach(), batch.target) if asked else {}
        return StepResult({"loss": loss.detach(), **terms}, norms)


def descend(state: TrainState, loss: Tensor, clip_norm: float) -> None:
    """Step of the network's optimiser along a loss's gradient, clipped to the norm `clip_norm` (0: not clipped)."""
    state.optimizer.zero_grad(set_to_none=True)
    torch.autograd.backward(loss)
    if clip_norm:
        nn.utils.clip_grad_norm_(state.network.parameters(), clip_norm)
    state.optimizer.step()


@dataclass(frozen=True)
class Trainer:
    """Training loop over a state, with fixed batches, step, validation, schedule and output."""

    batches: Callable[[int], Iterator[Any]]
    """Function from n to the batches of steps n, n + 1, ...; depends on seed and step alone."""
    step: Step
    validate: Callable[[nn.Module], Validation]
    """Validation function, called with the state's `ema`."""
    optim: OptimPart
    run: RunPart
    limits: Limits
    folder: Path
    device: torch.device
    world: World
    progress: Progress
    recipe: Mapping[str, Any]
    """Plain values of the recipe, stored in checkpoints."""
    keeps_best: bool = True
    """True: the state's `best` is the best validated one; False: the last validated one."""
    snapshot: Snapshot | None = None
    """Snapshot to which a diverged run returns before it ends; None: it ends with an error."""
    log_every: int | None = None
    """Steps between lines of the log; None: `LOG_EVERY`."""
    rate_key: str = "optim.lr"
    """Key of the learning rate in the recipe, named in the message of a diverged run."""

    def fit(self, state: TrainState) -> None:
        """Train until the limits; afterwards the state's `best` holds the weights to be shipped.

        Raises:
            DivergedError: the loss is no longer finite, and there is no snapshot to return to.
        """
        forward = self._compiled(parallel(self.step.module(state.network), self.world))
        clock = DataClock(self.device)
        self.progress.start("training", 1.0)
        self.progress.advance(self.limits.progress(state.step, state.seconds))
        with RunLog(self.folder) if self.world.is_main else nullcontext() as log:
            try:
                went_back = self._loop_or_go_back(state, forward, log, clock)
                if went_back or state.best is None or state.step % self.run.validate_every:
                    self._validate(state, log)
            except KeyboardInterrupt:
                self._save(state)  # training so far is not lost
                raise
        self._save(state)
        self.progress.finish()
        if clock.whole > 0:
            self.progress.info(f"drawing the data took {clock.share:.1%} of the time of the steps")

    def _loop_or_go_back(
        self, state: TrainState, forward: Callable[..., Any], log: RunLog | None, clock: DataClock
    ) -> bool:
        """Train; True if the run diverged and ended at its last snapshot."""
        try:
            self._loop(state, forward, log, clock)
        except DivergedError as why:
            if self.snapshot is None or not self.snapshot.restore(state):
                raise
            self.progress.warn(f"{why.what}; the run ends with its last good state, of step {state.step}.")
            return True
        return False

    def _loop(
        self, state: TrainState, forward: Callable[..., Any], log: RunLog | None, clock: DataClock
    ) -> None:
        saved_at, started = time.monotonic(), self.limits.now()
        clock.begin(state.step)
        for batch in self.batches(state.step):
            clock.drawn()
            done = agreed(self.limits.progress(state.step, state.seconds), self.world, self.device)
            if done >= 1.0:
                return
            if self.snapshot is not None and state.step % LOG_EVERY == 0 and self.step.is_sound:
                self.snapshot.take(state)
            with whole_step():
                rate, result = self._step(state, forward, batch, done)
                state.step += 1
            clock.end()
            if state.step % (self.log_every or LOG_EVERY) == 0:
                self._log_step(log, state, result, {"lr": rate, "data share": clock.share})
            state.seconds += self.limits.now() - started
            self.progress.advance(self.limits.progress(state.step, state.seconds) - done)
            if state.step % self.run.validate_every == 0:
                self._validate(state, log)
            if time.monotonic() - saved_at > 60 * self.run.checkpoint_minutes and self.step.is_sound:
                self._save(state)
                saved_at = time.monotonic()
            started = self.limits.now()
            clock.begin(state.step)

    def _step(
        self, state: TrainState, forward: Callable[..., Any], batch: Any, progress: float
    ) -> tuple[float, StepResult]:
        """Take a step; return the learning rate and the step's result."""
        every = self.run.gradients_every
        rate = learning_rate(self.optim, state.step, progress)
        set_rate(state.optimizer, rate)
        step = state.step + 1
        look = bool(every) and step % LOG_EVERY == 0 and step % every == 0
        result = self.step(state, forward, batch, rate, look)
        update_ema(state, self.optim.ema)
        return rate, result

    def _log_step(
        self, log: RunLog | None, state: TrainState, result: StepResult, more: Mapping[str, float]
    ) -> None:
        values = {name: float(mean_over(value, self.world)) for name, value in result.terms.items()}
        if not math.isfinite(values["loss"]):
            raise self._diverged(state.step)
        if log is not None:
            values |= gradient_ratios(result.norms)
            log.write(state.step, {**values, **more, "seconds": round(state.seconds, 3)})

    def _validate(self, state: TrainState, log: RunLog | None) -> None:
        """Validate the moving average, and keep it if it is the best so far."""
        self._check_finite(state)
        found = self.validate(state.ema) if log is not None else None
        score = agreed(0.0 if found is None else found.score, self.world, self.device)
        if log is not None and found is not None:
            log.write(state.step, {**found.logged, "seconds": round(state.seconds, 3)})
            self.progress.info(f"step {state.step}: {found.message}")
        if score > state.best_score or not self.keeps_best:
            state.best_score = score
            state.best = {k: v.detach().clone() for k, v in state.ema.state_dict().items()}

    def _save(self, state: TrainState) -> None:
        self._check_finite(state)  # the last checkpoint must remain resumable
        if self.world.is_main:
            save_checkpoint(state, self.folder, dict(self.recipe))

    def _compiled(self, network: nn.Module) -> Callable[..., Any]:
        if self.run.compile == "on" or (self.run.compile == "auto" and self.device.type == "cuda"):
            return torch.compile(network)
        return network

    def _check_finite(self, state: TrainState) -> None:
        others = (other for other in state.others.values() if isinstance(other, nn.Module))
        parameters = itertools.chain.from_iterable(one.parameters() for one in (state.network, *others))
        if not all(bool(parameter.isfinite().all()) for parameter in parameters):
            raise self._diverged(state.step)

    def _diverged(self, step: int) -> DivergedError:
        if (self.folder / CHECKPOINT).is_file():
            remedy = (
                f"the checkpoint in '{self.folder}' is sound: resume from it with a smaller {self.rate_key}"
            )
        else:
            remedy = f"start again with a smaller {self.rate_key}"
        return DivergedError(f"The loss or the weights are no longer finite at step {step}", remedy)


class DataClock:
    """Fraction of the steps' time that is spent on drawing data.

    On CUDA, which runs asynchronously, only every 20th step is timed.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self.drawing, self.whole = 0.0, 0.0
        self._counts, self._begun, self._drawn = False, 0.0, 0.0

    @property
    def share(self) -> float:
        """Fraction in [0, 1]."""
        return self.drawing / self.whole if self.whole > 0 else 0.0

    def begin(self, step: int) -> None:
        """Mark the start of drawing a step's batch."""
        self._counts = self._device.type != "cuda" or step % _CLOCKED_EVERY == 0
        self._begun = self._now()

    def drawn(self) -> None:
        """Mark the end of drawing the batch."""
        self._drawn = self._now()

    def end(self) -> None:
        """Mark the end of the step."""
        if self._counts:
            self.drawing += self._drawn - self._begun
            self.whole += self._now() - self._begun

    def _now(self) -> float:
        if self._counts and self._device.type == "cuda":
            torch.cuda.synchronize(self._device)
        return time.monotonic()


def gradient_ratios(norms: Mapping[str, float]) -> dict[str, float]:
    """Gradient norms of the weighted loss terms, and their ratios to the first term's, for the log."""
    first = next(iter(norms.values()), 0.0)
    found = {f"gradient/{name}": norm for name, norm in norms.items()}
    if first > 0:
        found |= {f"gradient ratio/{name}": norm / first for name, norm in list(norms.items())[1:]}
    return found
