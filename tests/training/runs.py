"""Small training runs, in this process and in memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from srkit.archs.edsr import EDSR
from srkit.data.pairs import Batch, CropPlan, MemoryPairs, PairSource
from srkit.losses.table import LossContext, Losses, build_losses
from srkit.progress import Silent
from srkit.recipes.load import from_mapping, to_mapping
from srkit.recipes.train import TrainRecipe
from srkit.training.distributed import World
from srkit.training.state import TrainState, new_state
from srkit.training.trainer import PSNR, Limits, PairStep, Trainer

CPU = torch.device("cpu")
ARGUMENTS: dict[str, Any] = {"scale": 2, "features": 8, "blocks": 1, "upsampler": "single"}


def recipe(steps: int = 20, **optim: Any) -> TrainRecipe:
    """A tiny EDSR x2, crops of 8, batches of 4, checkpoints only when asked for."""
    return from_mapping(
        TrainRecipe,
        {
            "name": "tiny",
            "model": {"arch": "edsr", "arguments": ARGUMENTS},
            "data": {"patch": 8, "batch": 4, "holdout_every": 3},
            "optim": {"lr": 2e-3, "warmup_steps": 4, "steps": steps, **optim},
            "run": {"validate_every": 1000, "checkpoint_minutes": 1000, "precision": "fp32"},
        },
    )


def with_run(base: TrainRecipe, **changes: Any) -> TrainRecipe:
    """A recipe with changes in its part `run`."""
    return replace(base, run=replace(base.run, **changes))


def state(base: TrainRecipe) -> TrainState:
    """A run's start, the same each time."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(base.seed)
        return new_state(EDSR(**ARGUMENTS), base.optim)


def pairs(images: list[NDArray[np.uint8]], base: TrainRecipe) -> MemoryPairs:
    return MemoryPairs(images, CropPlan(2, base.data.patch, base.data.batch, base.seed), CPU)


def trainer(
    base: TrainRecipe,
    source: PairSource,
    folder: Path,
    *,
    validate: Callable[[nn.Module], float] = lambda network: 0.0,
    progress: Silent | None = None,
    minutes: float | None = None,
    losses: Losses | None = None,
) -> Trainer:
    return Trainer(
        batches=source.batches,
        step=PairStep(losses or build_losses(base.loss, LossContext(CPU)), base.optim.clip_norm, None),
        validate=PSNR.of(validate),
        optim=base.optim,
        run=base.run,
        recipe=to_mapping(base),
        folder=folder,
        limits=Limits(base.optim.steps, minutes),
        device=CPU,
        world=World(),
        progress=progress or Silent(),
    )


class InterruptAfter(Silent):
    """Interrupts as a user would, once so many steps are done."""

    def __init__(self, steps: int) -> None:
        self.left = steps + 1  # the first report is of what was done before

    def advance(self, amount: float = 1.0) -> None:
        self.left -= 1
        if self.left == 0:
            raise KeyboardInterrupt


class InvalidPairs:
    """Pairs whose LR holds NaN from one step on."""

    def __init__(self, source: PairSource, step: int) -> None:
        self.source, self.step = source, step

    def batches(self, first_step: int) -> Iterator[Batch]:
        for step, batch in enumerate(self.source.batches(first_step), first_step):
            yield replace(batch, lr=batch.lr * torch.nan) if step >= self.step else batch


def same(a: Any, b: Any) -> bool:
    """Whether two nests of tensors and values are equal bit for bit."""
    if isinstance(a, Tensor):
        return isinstance(b, Tensor) and torch.equal(a, b)
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(value, b[key]) for key, value in a.items())
    if isinstance(a, (list, tuple)):
        return len(a) == len(b) and all(map(same, a, b))
    return bool(a == b)


def content(of: TrainState) -> dict[str, Any]:
    """All that a run's future depends on."""
    return {
        "network": of.network.state_dict(),
        "ema": of.ema.state_dict(),
        "optimizer": of.optimizer.state_dict(),
        "step": of.step,
        "best_score": of.best_score,
        "best": of.best,
    }
