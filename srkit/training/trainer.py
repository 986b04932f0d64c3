"""One trainer for every kind of training: batch, step, average, and now and then a validation and a checkpoint."""

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
from srkit.losses.table import Losses
from srkit.progress import Progress
from srkit.recipes.train import OptimPart, RunPart
from srkit.training.distributed import World, agreed, mean_over, parallel
from srkit.training.interrupt import whole_step
from srkit.training.optim import learning_rate, set_rate
from srkit.training.run_log import RunLog
from srkit.training.state import CHECKPOINT, Snapshot, TrainState, save_checkpoint, update_ema
from srkit.training.teacher import Teacher

LOG_EVERY = 100
_CLOCKED_EVERY = 20  # steps on CUDA, where the clock must wait for the device


@dataclass(frozen=True)
class Limits:
    """Where a run ends: after `steps`, or after `minutes` of training time (resumed parts included)."""

    steps: int
    minutes: float | None = None
    clock: Literal["wall", "cpu"] = "wall"
    """What `minutes` counts; cpu: the time that this process's threads compute."""

    def progress(self, step: int, seconds: float) -> float:
        """Share of the run that is done; 1 and above: all of it."""
        if self.minutes is None:
            return step / self.steps
        return seconds / (60 * self.minutes)

    def now(self) -> float:
        """Seconds on the clock."""
        return time.process_time() if self.clock == "cpu" else time.monotonic()


@dataclass(frozen=True)
class Validation:
    """What a validation found."""

    score: float
    """The higher the better."""
    logged: Mapping[str, float]
    """Of metrics.jsonl, by name."""
    message: str


@dataclass(frozen=True)
class Measure:
    """How one number of a validation is named and shown."""

    name: str
    """In metrics.jsonl."""
    message: str
    """With `{}` in place of the value."""
    sign: float = 1.0
    """The score is the value times this: -1 for errors, since the trainer keeps what scores highest."""

    def of(self, score: Callable[[nn.Module], float]) -> Callable[[nn.Module], Validation]:
        """A function that scores a network, as a validation."""

        def validate(network: nn.Module) -> Validation:
            found = score(network)
            value = self.sign * found
            return Validation(found, {self.name: value}, self.message.format(value))

        return validate


PSNR = Measure("val_psnr", "{:.3f} dB on the held-out images")


@dataclass(frozen=True)
class StepResult:
    """What is logged of a step."""

    terms: Mapping[str, Tensor]
    """Scalars by name, without a graph; `loss` is what was minimised."""
    norms: Mapping[str, float] = field(default_factory=dict)
    """Norms of the gradients of weighted terms, by name, where they were asked for."""


class DivergedError(SrkitError):
    """Training cannot go on from the state that it has come to.

    Args:
        what: what is wrong, as the first part of a sentence.
        remedy: what to do about it, as the rest of one.
    """

    def __init__(self, what: str, remedy: str) -> None:
        super().__init__(f"{what}; {remedy}.")
        self.what = what


class Step(Protocol):
    """What is done with a batch."""

    @property
    def is_sound(self) -> bool:
        """Whether the state is one to go back to."""

    def module(self, network: nn.Module) -> nn.Module:
        """What is called with a batch: the network, or a wrapper that returns more than its result."""

    def __call__(
        self, state: TrainState, forward: Callable[..., Any], batch: Any, rate: float, look: bool
    ) -> StepResult:
        """Update the network, and what else learns, by one batch.

        Args:
            forward: `module` of the state's network, for all processes together.
            rate: the learning rate, which the network's optimiser has already.
            look: whether the norms of gradients are asked for.

        Raises:
            DivergedError: there is nothing more to learn from here.
        """


@dataclass(frozen=True)
class PairStep:
    """Minimise losses between a network's result and its target."""

    losses: Losses
    clip_norm: float
    autocast: torch.dtype | None
    teacher: Teacher | None = None

    is_sound = True

    def module(self, network: nn.Module) -> nn.Module:
        return network

    def __call__(
        self, state: TrainState, forward: Callable[..., Tensor], batch: Batch, rate: float, look: bool
    ) -> StepResult:
        with torch.autocast(batch.lr.device.type, self.autocast, enabled=self.autocast is not None):
            sr = forward(batch.lr, **batch.conditions)
        loss, terms = self.losses(sr, batch.target, state.step + 1)
        if self.teacher is not None:
            taught = self.teacher(sr, batch.lr)
            loss, terms = loss + self.teacher.weight * taught, {**terms, "teacher": taught.detach()}
        descend(state, loss, self.clip_norm)
        asked = look and len(self.losses.weights) > 1
        norms = self.losses.gradient_norms(sr.detach(), batch.target) if asked else {}
        return StepResult({"loss": loss.detach(), **terms}, norms)


def descend(state: TrainState, loss: Tensor, clip_norm: float) -> None:
    """A step of the network's optimiser along a loss's gradient, clipped to the norm `clip_norm` (0: not clipped)."""
    state.optimizer.zero_grad(set_to_none=True)
    torch.autograd.backward(loss)
    if clip_norm:
        nn.utils.clip_grad_norm_(state.network.parameters(), clip_norm)
    state.optimizer.step()


@dataclass(frozen=True)
class Trainer:
    """The fixed things around a state: batches, step, validation, schedule, and where to write."""

    batches: Callable[[int], Iterator[Any]]
    """Batches of step n, n + 1, ...; a function of the seed and the step alone."""
    step: Step
    validate: Callable[[nn.Module], Validation]
    """Called with the state's `ema`."""
    optim: OptimPart
    run: RunPart
    limits: Limits
    folder: Path
    device: torch.device
    world: World
    progress: Progress
    recipe: Mapping[str, Any]
    """Plain values, kept in checkpoints."""
    keeps_best: bool = True
    """Whether the state's `best` is what validated best; else it is what was validated last."""
    snapshot: Snapshot | None = None
    """Has the state that a run that diverges ends with; None: it ends with an error."""
    log_every: int | None = None
    """Steps between lines of the log; None: `LOG_EVERY`."""
    rate_key: str = "optim.lr"
    """The recipe's learning rate, which a run that diverges names."""

    def fit(self, state: TrainState) -> None:
        """Train until the limits; the state's `best` holds what is to be shipped at the end.

        Raises:
            DivergedError: the loss is no longer finite, and there is no snapshot to go back to.
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
                self._save(state)  # what was learned so far is not lost
                raise
        self._save(state)
        self.progress.finish()
        if clock.whole > 0:
            self.progress.info(f"drawing the data took {clock.share:.1%} of the time of the steps")

    def _loop_or_go_back(
        self, state: TrainState, forward: Callable[..., Any], log: RunLog | None, clock: DataClock
    ) -> bool:
        """Whether the run diverged and went back to its last snapshot, where it ends."""
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
        """The learning rate, and what was done."""
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
        """Score the average on what is held out, and keep it where it is the best so far."""
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
        self._check_finite(state)  # the last checkpoint must stay one that can be resumed from
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
    """How much of the steps' time drawing their data takes.

    On CUDA, which works on while the program goes on, every 20th step alone is looked at.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self.drawing, self.whole = 0.0, 0.0
        self._counts, self._begun, self._drawn = False, 0.0, 0.0

    @property
    def share(self) -> float:
        """From 0 to 1."""
        return self.drawing / self.whole if self.whole > 0 else 0.0

    def begin(self, step: int) -> None:
        """A step's batch is about to be drawn."""
        self._counts = self._device.type != "cuda" or step % _CLOCKED_EVERY == 0
        self._begun = self._now()

    def drawn(self) -> None:
        """The step's batch is there."""
        self._drawn = self._now()

    def end(self) -> None:
        """The step is done."""
        if self._counts:
            self.drawing += self._drawn - self._begun
            self.whole += self._now() - self._begun

    def _now(self) -> float:
        if self._counts and self._device.type == "cuda":
            torch.cuda.synchronize(self._device)
        return time.monotonic()


def gradient_ratios(norms: Mapping[str, float]) -> dict[str, float]:
    """Gradient norms of the weighted loss terms, and their ratios to the first term's, as they are logged."""
    first = next(iter(norms.values()), 0.0)
    found = {f"gradient/{name}": norm for name, norm in norms.items()}
    if first > 0:
        found |= {f"gradient ratio/{name}": norm / first for name, norm in list(norms.items())[1:]}
    return found
