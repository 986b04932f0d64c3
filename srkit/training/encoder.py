"""The loop that trains a feature network on views; `loop` is its like for super-resolution."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from srkit.data.views import Views, ViewSource
from srkit.errors import SrkitError
from srkit.progress import Progress
from srkit.recipes.encoder import EncoderRecipe
from srkit.recipes.load import to_mapping
from srkit.training.distributed import World, agreed, mean_over, parallel
from srkit.training.interrupt import whole_step
from srkit.training.loop import LOG_EVERY, Limits
from srkit.training.optim import learning_rate, set_rate
from srkit.training.run_log import RunLog
from srkit.training.state import TrainState, save_checkpoint, update_ema

_VALIDATION_STEPS = 4
_MIDDLE = 256  # pixels of the pictures that the scales are measured on


class _Staged(Protocol):
    scales: Tensor

    def stages(self, x: Tensor) -> list[Tensor]: ...


@torch.no_grad()
def measure_scales(network: nn.Module, pictures: Sequence[NDArray[np.uint8]]) -> None:
    """Set `network.scales` to the root mean square of each stage over the middles of the pictures (H, W, 3)."""
    staged = cast(_Staged, network)
    squares = torch.zeros(len(staged.scales), dtype=torch.float64)
    for picture in pictures:
        top, left = (max(0, (side - _MIDDLE) // 2) for side in picture.shape[:2])
        middle = np.ascontiguousarray(picture[top : top + _MIDDLE, left : left + _MIDDLE])
        x = torch.from_numpy(middle).permute(2, 0, 1)[None].float() / 255
        squares += torch.stack([stage.double().square().mean() for stage in staged.stages(x)])
    staged.scales.copy_((squares / len(pictures)).sqrt())


@dataclass(frozen=True)
class EncoderTrainer:
    """The fixed things around a state whose network is a learner (`srkit.training.learners`)."""

    recipe: EncoderRecipe
    views: ViewSource
    held_out: ViewSource
    folder: Path
    limits: Limits
    device: torch.device
    autocast: torch.dtype | None
    world: World
    progress: Progress

    def run(self, state: TrainState) -> None:
        """Train until the limits; the state's `best` holds what had the smallest loss on the views held out.

        Raises:
            SrkitError: the loss is no longer finite.
        """
        learner = parallel(state.network, self.world)
        self.progress.start("training", 1.0)
        self.progress.advance(self.limits.progress(state.step, state.seconds))
        with RunLog(self.folder) as log:
            try:
                self._loop(state, learner, log)
                if state.best is None or state.step % self.recipe.run.validate_every:
                    self._validate(state, log)
            except KeyboardInterrupt:
                self._save(state)  # what was learnt so far is not lost
                raise
        self._save(state)
        self.progress.finish()

    def _loop(self, state: TrainState, learner: Callable[[Views], dict[str, Tensor]], log: RunLog) -> None:
        run = self.recipe.run
        saved_at, started = time.monotonic(), self.limits.now()
        for views in self.views.batches(state.step):
            done = agreed(self.limits.progress(state.step, state.seconds), self.world, self.device)
            if done >= 1.0:
                return
            with whole_step():
                rate, terms = self._step(state, learner, views.to(self.device), done)
                state.step += 1
            if state.step % LOG_EVERY == 0:
                self._log_step(log, state, terms, rate)
            state.seconds += self.limits.now() - started
            self.progress.advance(self.limits.progress(state.step, state.seconds) - done)
            if state.step % run.validate_every == 0:
                self._validate(state, log)
            if time.monotonic() - saved_at > 60 * run.checkpoint_minutes:
                self._save(state)
                saved_at = time.monotonic()
            started = self.limits.now()

    def _step(
        self, state: TrainState, learner: Callable[[Views], dict[str, Tensor]], views: Views, done: float
    ) -> tuple[float, dict[str, Tensor]]:
        optim = self.recipe.optim
        rate = learning_rate(optim, state.step, done)
        set_rate(state.optimizer, rate)
        with torch.autocast(self.device.type, self.autocast, enabled=self.autocast is not None):
            terms = learner(views)
        state.optimizer.zero_grad(set_to_none=True)
        torch.autograd.backward(terms["loss"])
        if optim.clip_norm:
            nn.utils.clip_grad_norm_(state.network.parameters(), optim.clip_norm)
        state.optimizer.step()
        update_ema(state, optim.ema)
        return rate, {name: value.detach() for name, value in terms.items()}

    def _log_step(self, log: RunLog, state: TrainState, terms: dict[str, Tensor], rate: float) -> None:
        values = {name: float(mean_over(value, self.world)) for name, value in terms.items()}
        if not math.isfinite(values["loss"]):
            raise self._diverged(state.step)
        if self.world.is_main:
            log.write(state.step, {**values, "lr": rate, "seconds": round(state.seconds, 3)})

    @torch.no_grad()
    def _validate(self, state: TrainState, log: RunLog) -> None:
        """The average's loss on the same views every time; it is kept where that is the smallest so far."""
        self._check_finite(state)
        losses = []
        for step in range(_VALIDATION_STEPS):
            views = self.held_out.draw(step).to(self.device)
            with torch.autocast(self.device.type, self.autocast, enabled=self.autocast is not None):
                losses.append(float(state.ema(views)["loss"]))
        loss = agreed(sum(losses) / len(losses), self.world, self.device)
        if self.world.is_main:
            log.write(state.step, {"val_loss": loss, "seconds": round(state.seconds, 3)})
        self.progress.info(f"step {state.step}: loss {loss:.4f} on the pictures held out")
        if -loss > state.best_score:
            state.best_score = -loss
            state.best = {k: v.detach().clone() for k, v in state.ema.state_dict().items()}

    def _save(self, state: TrainState) -> None:
        self._check_finite(state)  # the last checkpoint must stay one that can be resumed from
        if self.world.is_main:
            save_checkpoint(state, self.folder, to_mapping(self.recipe))

    def _check_finite(self, state: TrainState) -> None:
        if not all(bool(parameter.isfinite().all()) for parameter in state.network.parameters()):
            raise self._diverged(state.step)

    def _diverged(self, step: int) -> SrkitError:
        return SrkitError(
            f"The loss or the weights are no longer finite at step {step}; start again, or resume from the last "
            f"checkpoint in '{self.folder}', with a smaller optim.lr."
        )
