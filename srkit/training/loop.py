"""The loop: batch, step, average, and now and then a validation, a checkpoint and a line in metrics.jsonl."""

from __future__ import annotations

import itertools
import json
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from srkit.data.pairs import Batch, PairSource
from srkit.errors import SrkitError
from srkit.losses.table import Losses
from srkit.progress import Progress
from srkit.recipes.load import to_mapping
from srkit.recipes.train import OptimPart, RunPart
from srkit.training.distributed import World, agreed, mean_over, parallel
from srkit.training.interrupt import whole_step
from srkit.training.state import (
    CHECKPOINT,
    Keeper,
    TrainState,
    learning_rate,
    save_checkpoint,
    set_rate,
    update_ema,
)

RUN_LOG, TENSORBOARD = "metrics.jsonl", "tensorboard"
"""A file and a folder in the run's folder."""
LOG_EVERY = 100
_CLOCKED_EVERY = 20  # steps on CUDA, where the clock must wait for the device


@dataclass(frozen=True)
class Limits:
    """Where a run ends: after `steps`, or after `minutes` of training time (resumed parts included)."""

    steps: int
    minutes: float | None = None

    def progress(self, step: int, seconds: float) -> float:
        if self.minutes is None:
            return step / self.steps
        return seconds / (60 * self.minutes)


class LoopRecipe(Protocol):
    """What the loop reads of a recipe."""

    @property
    def optim(self) -> OptimPart: ...

    @property
    def run(self) -> RunPart: ...


@dataclass(frozen=True)
class Measure:
    """What a network is judged by while it trains."""

    name: str
    """In metrics.jsonl."""
    words: str
    """What is said of a value, with `{}` in its place."""
    sign: float = 1.0
    """The score is the value times this: -1 for errors, since the trainer keeps what scores highest."""


PSNR = Measure("val_psnr", "{:.3f} dB on the pictures held out")


class RunLog:
    """metrics.jsonl and TensorBoard files of a run; TensorBoard is left out where it is not installed."""

    def __init__(self, folder: Path) -> None:
        self._file = (folder / RUN_LOG).open("a", encoding="utf-8")
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError:
            self._board = None
        else:
            self._board = SummaryWriter(str(folder / TENSORBOARD))

    def write(self, step: int, values: dict[str, float]) -> None:
        self._file.write(json.dumps({"step": step, **values}) + "\n")
        self._file.flush()
        if self._board is not None:
            for name, value in values.items():
                self._board.add_scalar(name, value, step)

    def __enter__(self) -> RunLog:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None
    ) -> None:
        self._file.close()
        if self._board is not None:
            self._board.close()


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


@dataclass(frozen=True)
class Done:
    """What is logged of a step."""

    terms: Mapping[str, Tensor]
    """Scalars by name, without a graph; `loss` is what was made smaller."""
    norms: Mapping[str, float]
    """Norms of the gradients of weighted terms, by name; none where nobody asked."""


class DivergedError(SrkitError):
    """Training cannot go on from the state that it has come to.

    Args:
        what: what is wrong, as the first part of a sentence.
        way: what to do about it, as the rest of one.
    """

    def __init__(self, what: str, way: str) -> None:
        super().__init__(f"{what}; {way}.")
        self.what = what


class Step(Protocol):
    """What is done with a batch."""

    @property
    def is_sound(self) -> bool:
        """Whether the state is one to go back to."""

    def module(self, network: nn.Module) -> nn.Module:
        """What is called with a batch's LR and conditions: the network, or what gives more of it than its result."""

    def __call__(
        self, state: TrainState, forward: Callable[..., Any], batch: Batch, rate: float, look: bool
    ) -> Done:
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
    """Make the losses of what the network gives, and what it should, smaller."""

    losses: Losses
    clip_norm: float
    autocast: torch.dtype | None

    is_sound = True

    def module(self, network: nn.Module) -> nn.Module:
        return network

    def __call__(
        self, state: TrainState, forward: Callable[..., Tensor], batch: Batch, rate: float, look: bool
    ) -> Done:
        with torch.autocast(batch.lr.device.type, self.autocast, enabled=self.autocast is not None):
            sr = forward(batch.lr, **batch.conditions)
        loss, terms = self.losses(sr, batch.hr, state.step + 1)
        descend(state, loss, self.clip_norm)
        asked = look and len(self.losses.weights) > 1
        norms = self.losses.gradient_norms(sr.detach(), batch.hr) if asked else {}
        return Done({"loss": loss.detach(), **terms}, norms)


def descend(state: TrainState, loss: Tensor, clip_norm: float) -> None:
    """A step of the network's optimiser along a loss's gradient, of which no more than `clip_norm` is used (0: all)."""
    state.optimizer.zero_grad(set_to_none=True)
    torch.autograd.backward(loss)
    if clip_norm:
        nn.utils.clip_grad_norm_(state.network.parameters(), clip_norm)
    state.optimizer.step()


@dataclass(frozen=True)
class Trainer:
    """The fixed things around a state: recipe, data, where to write, what to validate with."""

    recipe: LoopRecipe
    pairs: PairSource
    step: Step
    validate: Callable[[nn.Module], float]
    folder: Path
    limits: Limits
    device: torch.device
    world: World
    progress: Progress
    measure: Measure = PSNR
    """What `validate` gives; the higher the better."""
    chooses: bool = True
    """Whether the state's `best` is what validated best; else it is what was validated last."""
    keeper: Keeper | None = None
    """Has the state that a run that diverges ends with; None: it ends with an error."""

    def run(self, state: TrainState) -> None:
        """Train until the limits; the state's `best` holds what is to be shipped at the end.

        Raises:
            DivergedError: the loss is no longer finite, and no keeper has a good state.
        """
        forward = self._compiled(parallel(self.step.module(state.network), self.world))
        clock = DataClock(self.device)
        self.progress.start("training", 1.0)
        self.progress.advance(self.limits.progress(state.step, state.seconds))
        with RunLog(self.folder) if self.world.is_main else _NoLog() as log:
            try:
                ended = self._loop_or_end(state, forward, log, clock)
                if ended or state.best is None or state.step % self.recipe.run.validate_every:
                    self._validate(state, log)
            except KeyboardInterrupt:
                self._save(state)  # what was learnt so far is not lost
                raise
        self._save(state)
        self.progress.finish()
        if clock.whole > 0:
            self.progress.info(f"drawing the data took {clock.share:.1%} of the time of the steps")

    def _loop_or_end(
        self, state: TrainState, forward: Callable[..., Any], log: RunLog | _NoLog, clock: DataClock
    ) -> bool:
        """Whether the run had to go back to its last good state, and ends there."""
        try:
            self._loop(state, forward, log, clock)
        except DivergedError as why:
            if self.keeper is None or not self.keeper.bring_back(state):
                raise
            self.progress.warn(f"{why.what}; the run ends with its last good state, of step {state.step}.")
            return True
        return False

    def _loop(
        self, state: TrainState, forward: Callable[..., Any], log: RunLog | _NoLog, clock: DataClock
    ) -> None:
        run = self.recipe.run
        saved_at = started = time.monotonic()
        clock.begin(state.step)
        for batch in self.pairs.batches(state.step):
            clock.drawn()
            done = agreed(self.limits.progress(state.step, state.seconds), self.world, self.device)
            if done >= 1.0:
                return
            if self.keeper is not None and state.step % LOG_EVERY == 0 and self.step.is_sound:
                self.keeper.keep(state)
            with whole_step():
                rate, what = self._step(state, forward, batch, done)
                state.step += 1
            clock.end()
            if state.step % LOG_EVERY == 0:
                self._log_step(log, state, what, {"lr": rate, "data share": clock.share})
            state.seconds += time.monotonic() - started
            self.progress.advance(self.limits.progress(state.step, state.seconds) - done)
            if state.step % run.validate_every == 0:
                self._validate(state, log)
            if time.monotonic() - saved_at > 60 * run.checkpoint_minutes and self.step.is_sound:
                self._save(state)
                saved_at = time.monotonic()
            started = time.monotonic()
            clock.begin(state.step)

    def _save(self, state: TrainState) -> None:
        self._check_finite(state)  # the last checkpoint must stay one that can be resumed from
        if self.world.is_main:
            save_checkpoint(state, self.folder, to_mapping(self.recipe))

    def _compiled(self, network: nn.Module) -> Callable[..., Any]:
        mode = self.recipe.run.compile
        if mode == "on" or (mode == "auto" and self.device.type == "cuda"):
            return torch.compile(network)
        return network

    def _step(
        self, state: TrainState, forward: Callable[..., Any], batch: Batch, progress: float
    ) -> tuple[float, Done]:
        """The learning rate, and what was done."""
        optim, every = self.recipe.optim, self.recipe.run.gradients_every
        rate = learning_rate(optim, state.step, progress)
        set_rate(state.optimizer, rate)
        step = state.step + 1
        look = bool(every) and step % LOG_EVERY == 0 and step % every == 0
        done = self.step(state, forward, batch, rate, look)
        update_ema(state, optim.ema)
        return rate, done

    def _log_step(
        self, log: RunLog | _NoLog, state: TrainState, done: Done, more: Mapping[str, float]
    ) -> None:
        values = {name: float(mean_over(value, self.world)) for name, value in done.terms.items()}
        if not math.isfinite(values["loss"]):
            raise self._diverged(state.step)
        if done.norms:
            values |= gradient_ratios(done.norms)
        log.write(state.step, {**values, **more, "seconds": round(state.seconds, 3)})

    def _validate(self, state: TrainState, log: RunLog | _NoLog) -> None:
        """Score the average on the pictures held out and keep it where it is the best so far."""
        self._check_finite(state)
        score = agreed(self.validate(state.ema) if self.world.is_main else 0.0, self.world, self.device)
        value = self.measure.sign * score
        log.write(state.step, {self.measure.name: value, "seconds": round(state.seconds, 3)})
        self.progress.info(f"step {state.step}: {self.measure.words.format(value)}")
        if score > state.best_score or not self.chooses:
            state.best_score = score
            state.best = {k: v.detach().clone() for k, v in state.ema.state_dict().items()}

    def _check_finite(self, state: TrainState) -> None:
        others = (other for other in state.others.values() if isinstance(other, nn.Module))
        parameters = itertools.chain.from_iterable(one.parameters() for one in (state.network, *others))
        if not all(bool(parameter.isfinite().all()) for parameter in parameters):
            raise self._diverged(state.step)

    def _diverged(self, step: int) -> DivergedError:
        if (self.folder / CHECKPOINT).is_file():
            way = f"the checkpoint in '{self.folder}' is sound: resume from it with a smaller optim.lr"
        else:
            way = "start again with a smaller optim.lr"
        return DivergedError(f"The loss or the weights are no longer finite at step {step}", way)


def gradient_ratios(norms: Mapping[str, float]) -> dict[str, float]:
    """Gradient norms of the weighted loss terms, and their ratios to the first term's, as they are logged.

    Numbers that are not finite, which JSON does not have, are left out.
    """
    first = next(iter(norms.values()))
    found = {f"gradient/{name}": norm for name, norm in norms.items()}
    if first > 0:
        found |= {f"gradient ratio/{name}": norm / first for name, norm in list(norms.items())[1:]}
    return {name: value for name, value in found.items() if math.isfinite(value)}


class _NoLog:
    """What the processes that do not report write to."""

    def write(self, step: int, values: dict[str, float]) -> None: ...

    def __enter__(self) -> _NoLog:
        return self

    def __exit__(self, *_: Any) -> None: ...
