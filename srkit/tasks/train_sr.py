"""Train a network for super-resolution (kind `sr`)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

import srkit
from srkit.archs.blocks import ResidualBlock
from srkit.archs.info import ArchInfo
from srkit.archs.table import build, info_of
from srkit.data.pairs import (
    CropPlan,
    MemoryPairs,
    PairSource,
    StreamedPairs,
    crop_to_multiple,
    fits_in_memory,
    make_lr,
    read_training_pictures,
)
from srkit.engine.device import has_fast_bf16, pick_device
from srkit.engine.overlap import measure_overlap
from srkit.errors import UsageError
from srkit.losses.table import check_terms
from srkit.progress import Progress, Silent
from srkit.recipes.load import to_mapping
from srkit.recipes.train import TrainRecipe
from srkit.tasks.train_job import WEIGHTS, TrainJob, TrainResult, check_job, prepare_output, split_files
from srkit.training.distributed import World, local_device, process_group
from srkit.training.loop import Limits, Trainer
from srkit.training.state import TrainState, new_state, read_checkpoint, restore
from srkit.training.validation import psnr_validator
from srkit.zoo.header import Header
from srkit.zoo.load import load_model
from srkit.zoo.weights import save_weights

_HELD_OUT = "held out"
_OVERLAP_SAMPLES = 6
_OVERLAP_SIDE = 160  # LR pixels


def run(job: TrainJob[TrainRecipe], progress: Progress) -> TrainResult:
    """See `srkit.tasks.train.run`."""
    recipe = job.recipe
    _check(job)
    if job.threads is not None:
        torch.set_num_threads(job.threads)
    torch.manual_seed(recipe.seed)
    network = build(recipe.model.arch, recipe.model.arguments)
    info = info_of(network)
    if recipe.model.start and not job.resume:
        _copy_start(network, recipe.model.start, progress)
    device = local_device(pick_device(job.device))
    network.to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    state = new_state(network, recipe.optim)
    if job.resume:
        _resume(state, job, device)
    prepare_output(job)
    with process_group(device) as world:
        pictures = _pictures(job, info, device, world, progress)
        _trainer(job, pictures, info, device, world, progress).run(state)
        weights = job.output / WEIGHTS
        if world.is_main:
            progress.info("measuring how far tiles must overlap")
            _export(job, info, state, pictures.judges, weights)
    held_out = tuple(f.name for f in pictures.held_out)
    return TrainResult(weights, state.step, state.seconds, state.best_score, pictures.count, held_out)


def _check(job: TrainJob[TrainRecipe]) -> None:
    recipe = job.recipe
    check_job(job)
    check_terms(recipe.loss)
    for name, value in (
        ("optim.steps", recipe.optim.steps),
        ("data.batch", recipe.data.batch),
        ("data.patch", recipe.data.patch),
        ("run.validate_every", recipe.run.validate_every),
    ):
        if value < 1:
            raise UsageError(f"'{name}' is {value}; it must be at least 1.")
    for name, value in (("seed", recipe.seed), ("data.workers", recipe.data.workers)):
        if not 0 <= value < 2**31:
            raise UsageError(f"'{name}' is {value}; it must be from 0 to {2**31 - 1}.")
    optim = recipe.optim
    if not 0 < optim.lr < math.inf:
        raise UsageError(f"'optim.lr' is {optim.lr}; it must be above 0.")
    if len(optim.betas) != 2 or not all(0 <= value < 1 for value in (*optim.betas, optim.ema)):
        raise UsageError(
            f"'optim.betas' are {list(optim.betas)} and 'optim.ema' is {optim.ema}; expected two numbers and one, "
            "each from 0 to below 1."
        )
    if not recipe.data.sizes or not all(0 < factor <= 1 for factor in recipe.data.sizes):
        raise UsageError(
            f"'data.sizes' is {list(recipe.data.sizes)}; it must name at least one factor above 0 and at most 1."
        )
    if recipe.data.holdout_every < 2 and not job.validation:
        raise UsageError(
            "'data.holdout_every' must be at least 2, or give pictures to validate on with --val."
        )


def _resume(state: TrainState, job: TrainJob[TrainRecipe], device: torch.device) -> None:
    saved = read_checkpoint(job.output, device)
    before, now = saved["recipe"]["model"], to_mapping(job.recipe)["model"]
    if any(before[key] != now[key] for key in ("arch", "arguments")):
        raise UsageError(
            f"'{job.output}' holds a run of another network ({_network_words(before)}) than this recipe's "
            f"({_network_words(now)}); choose another -o."
        )
    restore(state, saved)


def _network_words(model: Mapping[str, Any]) -> str:
    return ", ".join([model["arch"], *(f"{name}={value}" for name, value in model["arguments"].items())])


def _copy_start(network: nn.Module, start: str, progress: Progress) -> None:
    """Copy every tensor that fits; a trained trunk serves another scale, whose reconstruction starts afresh."""
    source = load_model(start).network.state_dict()
    target = network.state_dict()
    fitting = {k: v for k, v in source.items() if k in target and v.shape == target[k].shape}
    if not fitting:
        raise UsageError(f"The weights '{start}' share no tensor with this network; leave model.start empty.")
    network.load_state_dict(fitting, strict=False)
    for name, module in network.named_modules():
        if isinstance(module, ResidualBlock) and f"{name}.conv2.weight" not in fitting:
            module.start_as_identity()
    progress.info(f"{len(fitting)} of {len(target)} tensors start from '{start}'")


@dataclass(frozen=True)
class _Pictures:
    """What a run learns from, and what it is judged by."""

    pairs: PairSource
    count: int
    held_out: tuple[Path, ...]
    judges: list[NDArray[np.uint8]]
    """The pictures held out, (H, W, 3)."""


def _pictures(
    job: TrainJob[TrainRecipe], info: ArchInfo, device: torch.device, world: World, progress: Progress
) -> _Pictures:
    recipe, data = job.recipe, job.recipe.data
    files, held_out = split_files(job, data.holdout_every)
    held_out, judges = read_training_pictures(held_out, 4 * info.scale, Silent())
    plan = CropPlan(
        info.scale, data.patch, data.batch, recipe.seed, data.augment, world.rank, world.size, data.sizes
    )
    fits = data.residency == "auto" and fits_in_memory(files, plan.scale, device, data.sizes)
    if data.residency == "memory" or fits:
        least = math.ceil(data.patch * info.scale / max(data.sizes))
        kept, pictures = read_training_pictures(files, least, progress)
        return _Pictures(MemoryPairs(pictures, plan, device), len(kept), tuple(held_out), judges)
    streamed = StreamedPairs(files, plan, device, data.workers)
    return _Pictures(streamed, len(files), tuple(held_out), judges)


def _trainer(
    job: TrainJob[TrainRecipe],
    pictures: _Pictures,
    info: ArchInfo,
    device: torch.device,
    world: World,
    progress: Progress,
) -> Trainer:
    recipe = job.recipe
    precision = recipe.run.precision
    use_bf16 = precision == "bf16" or (precision == "auto" and info.bf16_ok and has_fast_bf16(device))
    autocast = torch.bfloat16 if use_bf16 else None
    return Trainer(
        recipe=recipe,
        pairs=pictures.pairs,
        validate=psnr_validator(pictures.judges, info.scale, device, autocast),
        folder=job.output,
        limits=Limits(recipe.optim.steps, job.minutes),
        device=device,
        autocast=autocast,
        world=world,
        progress=progress,
    )


def _export(
    job: TrainJob[TrainRecipe], info: ArchInfo, state: TrainState, judges: list[NDArray[np.uint8]], path: Path
) -> None:
    """The best average as fp16 safetensors with its header."""
    recipe = job.recipe
    network = build(recipe.model.arch, recipe.model.arguments)
    network.load_state_dict(state.best or state.ema.state_dict())
    largest = sorted(judges, key=lambda picture: min(picture.shape[:2]), reverse=True)
    samples = [_lr_sample(picture, info.scale) for picture in largest[:_OVERLAP_SAMPLES]]
    header = Header(
        arch=recipe.model.arch,
        arguments=dict(recipe.model.arguments),
        scale=info.scale,
        overlap=measure_overlap(network, info, samples, torch.device("cpu")),
        recipe=recipe.name,
        recipe_sha256=recipe.sha256,
        licence=job.licence,
        training_data=job.data_words,
        steps=state.step,
        scores={"classical": {_HELD_OUT: {"psnr": round(state.best_score, 3)}}},
        srkit_version=srkit.__version__,
    )
    save_weights(path, network, header)


def _lr_sample(picture: NDArray[np.uint8], scale: int) -> NDArray[np.uint8]:
    side = _OVERLAP_SIDE * scale
    return make_lr(crop_to_multiple(picture[:side, :side], scale), scale)
