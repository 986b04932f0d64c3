"""Small adversarial runs, in memory."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from srkit.archs.table import build
from srkit.data.pairs import PairSource
from srkit.data.real_pairs import RealPairs, RealPlan
from srkit.encoders.features import perceptual_features
from srkit.losses.generator import FeatureExtractors, GeneratorLosses
from srkit.progress import Silent
from srkit.recipes.gan import GanRecipe
from srkit.recipes.load import from_mapping, to_mapping
from srkit.recipes.train import degradation_of
from srkit.training.collapse import CollapseWatch
from srkit.training.distributed import World
from srkit.training.gan_step import GanStep, discriminator_optimizer, gan_state
from srkit.training.state import Snapshot, TrainState
from srkit.training.trainer import PSNR, Limits, Trainer

CPU = torch.device("cpu")
CRIA: dict[str, Any] = {
    "scale": 2,
    "features": 8,
    "blocks": 1,
    "growth": 4,
    "width": 8,
    "mask_width": 8,
    "upsampler": "single",
}


def gan_recipe(steps: int = 20, **parts: dict[str, Any]) -> GanRecipe:
    """A tiny Cria x2, crops of 12, batches of 3, checkpoints only when asked for."""
    table: dict[str, Any] = {
        "model": {"arch": "cria", "arguments": CRIA},
        "data": {"patch": 12, "batch": 3, "holdout_every": 3, "degradation": "mild"},
        "optim": {"lr": 1e-3, "warmup_steps": 4},
        "run": {"validate_every": 1000, "checkpoint_minutes": 1000, "precision": "fp32"},
        "discriminator": {"arguments": {"features": 4}},
        "providers": {"perceptual": "random"},
    }
    for name, changes in parts.items():
        table[name] = table.get(name, {}) | changes
    table["optim"]["steps"] = steps
    return from_mapping(GanRecipe, {"name": "tiny-gan", **table})


def gan_step(base: GanRecipe) -> GanStep:
    """The same each time."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(base.seed)
        discriminator = build(base.discriminator.arch, base.discriminator.arguments)
    provider = perceptual_features(base.providers.perceptual, CPU)
    return GanStep(
        losses=GeneratorLosses(
            base.loss, base.cria, FeatureExtractors(provider, provider), base.model.arguments["scale"]
        ),
        discriminator=discriminator,
        optimizer=discriminator_optimizer(discriminator, base.discriminator, base.optim),
        watch=CollapseWatch(base.discriminator.patience),
        factor=base.discriminator.factor,
        clip_norm=base.optim.clip_norm,
        autocast=None,
        world=World(),
    )


def gan_start(base: GanRecipe) -> tuple[TrainState, GanStep]:
    """A run's start, the same each time."""
    step = gan_step(base)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(base.seed)
        network = build(base.model.arch, base.model.arguments)
    return gan_state(network, base.optim, step), step


def real_pairs(images: list[NDArray[np.uint8]], base: GanRecipe) -> RealPairs:
    part = degradation_of(base.data)
    assert part is not None
    return RealPairs(
        images, RealPlan(2, base.data.patch, base.data.batch, base.seed, degradation=part, margin=2), CPU
    )


def gan_trainer(
    base: GanRecipe, source: PairSource, step: GanStep, folder: Path, progress: Silent | None = None
) -> Trainer:
    return Trainer(
        batches=source.batches,
        step=step,
        validate=PSNR.of(lambda network: 0.0),
        optim=base.optim,
        run=base.run,
        recipe=to_mapping(base),
        folder=folder,
        limits=Limits(base.optim.steps),
        device=CPU,
        world=World(),
        progress=progress or Silent(),
        keeps_best=False,
        snapshot=Snapshot(),
    )
