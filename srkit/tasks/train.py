"""Train a network from a recipe and folders of photographs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

import srkit
from srkit.archs.info import ArchInfo
from srkit.archs.table import build, info_of
from srkit.data.pairs import (
    CropPlan,
    MemoryPairs,
    PairSource,
    StreamedPairs,
    fits_in_memory,
    read_training_pictures,
)
from srkit.engine.device import has_fast_bf16, pick_device
from srkit.errors import SrkitError, UsageError
from srkit.io.atomic import atomic_path
from srkit.io.training import list_training_pictures
from srkit.losses.table import check_terms
from srkit.progress import Progress, Silent
from srkit.recipes.load import to_mapping, to_toml
from srkit.recipes.train import TrainRecipe
from srkit.training.distributed import World, local_device, process_group
from srkit.training.loop import Limits, Trainer
from srkit.training.state import CHECKPOINT, TrainState, load_checkpoint, new_state
from srkit.training.validation import psnr_validator
from srkit.zoo.header import Header
from srkit.zoo.load import load_model
from srkit.zoo.weights import save_weights

WEIGHTS = "model.safetensors"


@dataclass(frozen=True)
class TrainJob:
    """A recipe and where it is carried out."""

    recipe: TrainRecipe
    data: tuple[Path, ...]
    output: Path
    validation: tuple[Path, ...] = ()
    """Folders to validate on; empty: every n-th picture of the data."""
    minutes: float | None = None
    resume: bool = False
    device: str = "auto"
    threads: int | None = None
    training_data: str = ""
    """Names and terms of the data, for the weights' header."""
    licence: str = ""


@dataclass(frozen=True)
class TrainResult:
    weights: Path
    steps: int
    seconds: float
    validation_psnr: float
    pictures: int
    held_out: tuple[str, ...]


def run(job: TrainJob, progress: Progress | None = None) -> TrainResult:
    """Train, and write checkpoints, metrics.jsonl, recipe.toml and model.safetensors into `job.output`.

    Raises:
        UsageError: folders or settings that make no sense, or a run in `output` already without `resume`.
        ResourceError: weights to start or resume from that cannot be used.
        SrkitError: no usable pictures, or a loss that is no longer a number.
    """
    progress = progress or Silent()
    recipe = job.recipe
    _check(job)
    if job.threads is not None:
        torch.set_num_threads(job.threads)
    torch.manual_seed(recipe.seed)
    network = build(recipe.model.arch, recipe.model.arguments)
    info = info_of(network)
    if recipe.model.start:
        _copy_start(network, recipe.model.start, progress)
    device = local_device(pick_device(job.device))
    network.to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    state = new_state(network, recipe.optim)
    _prepare_output(job)
    if job.resume:
        saved = load_checkpoint(state, job.output, device)
        if saved["model"] != to_mapping(recipe)["model"]:
            raise UsageError(
                f"'{job.output}' was trained with another network than this recipe's; choose another -o."
            )
    with process_group(device) as world:
        trainer, held_out, count = _trainer(job, info, device, world, progress)
        trainer.run(state)
        weights = job.output / WEIGHTS
        if world.is_main:
            _export(job, info, state, weights)
    return TrainResult(weights, state.step, state.seconds, state.best_score, count, held_out)


def _check(job: TrainJob) -> None:
    recipe = job.recipe
    check_terms(recipe.loss)
    if job.minutes is not None and not job.minutes > 0:
        raise UsageError(f"--minutes is {job.minutes}; it must be above 0.")
    for name, value in (
        ("optim.steps", recipe.optim.steps),
        ("data.batch", recipe.data.batch),
        ("data.patch", recipe.data.patch),
        ("run.validate_every", recipe.run.validate_every),
    ):
        if value < 1:
            raise UsageError(f"'{name}' is {value}; it must be at least 1.")
    if recipe.data.holdout_every < 2 and not job.validation:
        raise UsageError(
            "'data.holdout_every' must be at least 2, or give pictures to validate on with --val."
        )


def _prepare_output(job: TrainJob) -> None:
    if not job.resume and (job.output / CHECKPOINT).exists():
        raise UsageError(
            f"'{job.output}' holds a run already; continue it with --resume or choose another -o."
        )
    try:
        job.output.mkdir(parents=True, exist_ok=True)
        with atomic_path(job.output / "recipe.toml") as path:
            path.write_text(to_toml(job.recipe), encoding="utf-8")
    except OSError as error:
        raise SrkitError(f"'{job.output}' cannot be written: {error.strerror}; choose another -o.") from error


def _copy_start(network: nn.Module, start: str, progress: Progress) -> None:
    """Copy every tensor that fits; a trained trunk serves another scale, whose reconstruction starts afresh."""
    source = load_model(start).network.state_dict()
    target = network.state_dict()
    fitting = {k: v for k, v in source.items() if k in target and v.shape == target[k].shape}
    if not fitting:
        raise UsageError(f"The weights '{start}' share no tensor with this network; leave model.start empty.")
    network.load_state_dict(fitting, strict=False)
    progress.info(f"{len(fitting)} of {len(target)} tensors start from '{start}'")


def _trainer(
    job: TrainJob, info: ArchInfo, device: torch.device, world: World, progress: Progress
) -> tuple[Trainer, tuple[str, ...], int]:
    recipe, data = job.recipe, job.recipe.data
    files = list_training_pictures(list(job.data))
    if job.validation:
        held_out, files = list_training_pictures(list(job.validation)), files
    else:
        held_out = files[:: data.holdout_every]
        files = [f for i, f in enumerate(files) if i % data.holdout_every]
    min_side = data.patch * info.scale
    plan = CropPlan(info.scale, data.patch, data.batch, recipe.seed, data.augment, world.rank, world.size)
    _, judges = read_training_pictures(held_out, 4 * info.scale, Silent())
    pairs, count = _pair_source(files, min_side, plan, job, device, progress)
    precision = recipe.run.precision
    use_bf16 = precision == "bf16" or (precision == "auto" and info.bf16_ok and has_fast_bf16(device))
    autocast = torch.bfloat16 if use_bf16 else None
    trainer = Trainer(
        recipe=recipe,
        pairs=pairs,
        validate=psnr_validator(judges, info.scale, device, autocast),
        folder=job.output,
        limits=Limits(recipe.optim.steps, job.minutes),
        device=device,
        autocast=autocast,
        world=world,
        progress=progress,
    )
    return trainer, tuple(f.name for f in held_out), count


def _pair_source(
    files: Sequence[Path],
    min_side: int,
    plan: CropPlan,
    job: TrainJob,
    device: torch.device,
    progress: Progress,
) -> tuple[PairSource, int]:
    data = job.recipe.data
    in_memory = data.residency == "memory" or (
        data.residency == "auto" and fits_in_memory(files, plan.scale, device)
    )
    if not in_memory:
        return StreamedPairs(files, plan, device, data.workers), len(files)
    pictures: list[NDArray[np.uint8]]
    kept, pictures = read_training_pictures(files, min_side, progress)
    return MemoryPairs(pictures, plan, device), len(kept)


def _export(job: TrainJob, info: ArchInfo, state: TrainState, path: Path) -> None:
    """The best average as fp16 safetensors with its header."""
    recipe = job.recipe
    network = build(recipe.model.arch, recipe.model.arguments)
    network.load_state_dict(state.best or state.ema.state_dict())
    header = Header(
        arch=recipe.model.arch,
        arguments=dict(recipe.model.arguments),
        scale=info.scale,
        recipe=recipe.name,
        recipe_sha256=recipe.sha256,
        licence=job.licence,
        training_data=job.training_data or ", ".join(str(d.name) for d in job.data),
        scores={"validation_psnr_y": round(state.best_score, 4), "steps": state.step},
        srkit_version=srkit.__version__,
    )
    save_weights(path, network, header)
