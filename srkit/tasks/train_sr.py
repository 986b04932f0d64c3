"""Train a network for super-resolution (kind `sr`)."""

from __future__ import annotations

import math
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
    Telling,
    crop_to_multiple,
    fits_in_memory,
    make_lr,
    read_training_pictures,
)
from srkit.data.real_pairs import RealPairs, RealPlan, TargetPairs, make_real_lr
from srkit.data.streamed import StreamedPairs
from srkit.engine.device import pick_device, training_dtype
from srkit.engine.overlap import measure_overlap
from srkit.errors import SrkitError, UsageError
from srkit.losses.table import LossContext, build_losses, check_every, check_terms, needs_of
from srkit.ops.position import position_grid
from srkit.progress import Progress, Silent
from srkit.recipes.degradation import SecondOrderPart
from srkit.recipes.train import DataPart, TrainRecipe, degradation_of
from srkit.tasks.conditions import Conditioner
from srkit.tasks.providers import (
    Providers,
    check_providers,
    is_embedded,
    load_providers,
    telling_for,
)
from srkit.tasks.train_job import (
    WEIGHTS,
    TrainJob,
    TrainResult,
    check_job,
    check_optim,
    prepare_output,
    split_files,
)
from srkit.tasks.train_start import copy_start, resume
from srkit.training.distributed import World, local_device, process_group
from srkit.training.loop import Limits, Trainer
from srkit.training.state import TrainState, new_state
from srkit.training.validation import Lower, psnr_validator
from srkit.zoo.header import Header
from srkit.zoo.weights import save_weights

_HELD_OUT = "held out"
_JUDGING_SEED = 1 << 20  # of the degradation of what validates, which is the same whatever the recipe's seed
_OVERLAP_SAMPLES = 6
_OVERLAP_SIDE = 160  # LR pixels


def run(job: TrainJob[TrainRecipe], progress: Progress) -> TrainResult:
    """See `srkit.tasks.train.run`."""
    recipe = job.recipe
    check(job)
    if job.threads is not None:
        torch.set_num_threads(job.threads)
    torch.manual_seed(recipe.seed)
    network = build(recipe.model.arch, recipe.model.arguments)
    info = info_of(network)
    if recipe.model.start and not job.resume:
        copy_start(network, recipe.model.start, progress)
    device = local_device(pick_device(job.device))
    network.to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    providers = load_providers(recipe.providers, needed_providers(recipe), device, progress)
    telling = telling_for(info, providers.semantic)
    _check_told(network, recipe.model.arch, info, telling, providers, device)
    state = new_state(network, recipe.optim)
    if job.resume:
        resume(state, job, device)
    prepare_output(job)
    with process_group(device) as world:
        setting = _Run(job, info, providers, telling, device, world, progress)
        pictures = _pictures(setting)
        _trainer(setting, pictures).run(state)
        if world.is_main:
            progress.info("measuring how far tiles must overlap")
            _export(setting, state, pictures.judges)
    held_out = tuple(f.name for f in pictures.held_out)
    return TrainResult(
        job.output / WEIGHTS, state.step, state.seconds, state.best_score, pictures.count, held_out
    )


@dataclass(frozen=True)
class _Run:
    """What stays the same from the first step to the weights."""

    job: TrainJob[TrainRecipe]
    info: ArchInfo
    providers: Providers
    telling: Telling
    device: torch.device
    world: World
    progress: Progress

    @property
    def degradation(self) -> SecondOrderPart | None:
        return degradation_of(self.job.recipe.data)

    @property
    def autocast(self) -> torch.dtype | None:
        return training_dtype(self.job.recipe.run.precision, self.device, bf16_ok=self.info.bf16_ok)


def check(job: TrainJob[TrainRecipe]) -> None:
    """See `srkit.tasks.train.Task`."""
    recipe = job.recipe
    check_job(job)
    check_terms(recipe.loss, "picture")
    check_every(recipe.loss, recipe.loss_every)
    for name, value in (
        ("optim.steps", recipe.optim.steps),
        ("data.batch", recipe.data.batch),
        ("data.patch", recipe.data.patch),
        ("run.validate_every", recipe.run.validate_every),
    ):
        if value < 1:
            raise UsageError(f"'{name}' is {value}; it must be at least 1.")
    for name, value in (
        ("seed", recipe.seed),
        ("data.workers", recipe.data.workers),
        ("run.gradients_every", recipe.run.gradients_every),
    ):
        if not 0 <= value < 2**31:
            raise UsageError(f"'{name}' is {value}; it must be from 0 to {2**31 - 1}.")
    check_optim(recipe.optim)
    if not recipe.data.sizes or not all(0 < factor <= 1 for factor in recipe.data.sizes):
        raise UsageError(
            f"'data.sizes' is {list(recipe.data.sizes)}; it must name at least one factor above 0 and at most 1."
        )
    if degradation_of(recipe.data) is not None and recipe.data.residency == "stream":
        raise UsageError(
            f"'data.degradation' is '{recipe.data.degradation}' and 'data.residency' is 'stream'; crops are degraded "
            "of pictures held in memory alone: set data.residency=memory, or give fewer pictures."
        )
    if recipe.data.holdout_every < 2 and not job.validation:
        raise UsageError(
            "'data.holdout_every' must be at least 2, or give pictures to validate on with --val."
        )
    check_providers(recipe.providers, needed_providers(recipe))


def needed_providers(recipe: TrainRecipe) -> frozenset[str]:
    """The providers that the recipe's loss and network need.

    Raises:
        UsageError: a loss or a network that there is none of.
    """
    with torch.device("meta"):
        info = info_of(build(recipe.model.arch, recipe.model.arguments))
    return needs_of(recipe.loss) | ({"semantic"} if is_embedded(info) else set())


def _check_told(
    network: nn.Module,
    arch: str,
    info: ArchInfo,
    telling: Telling,
    providers: Providers,
    device: torch.device,
) -> None:
    """A network built for another encoder fails at its first picture: here, with what to do about it."""
    if telling.describe is None or providers.semantic is None:
        return
    side = math.ceil(max(16, info.min_size) / info.multiple_of) * info.multiple_of
    lr = torch.zeros(1, 3, side, side, device=device)
    try:
        with torch.no_grad():
            told = dict(telling.describe(lr))
            if telling.position:
                told["position"] = position_grid(side, side, device)
            network(lr, **told)
    except RuntimeError as error:
        encoder = providers.semantic
        raise UsageError(
            f"The network '{arch}' does not take what the encoder '{encoder.name}' gives: vectors of {encoder.dim} "
            f"numbers and tokens of {encoder.token_channels} channels; set semantic_dim and token_channels in "
            "model.arguments to these, or choose another providers.semantic."
        ) from error


@dataclass(frozen=True)
class _Pictures:
    """What a run learns from, and what it is judged by."""

    pairs: PairSource
    count: int
    held_out: tuple[Path, ...]
    judges: list[NDArray[np.uint8]]
    """The pictures held out, (H, W, 3)."""


def _pictures(run: _Run) -> _Pictures:
    data, scale, degradation = run.job.recipe.data, run.info.scale, run.degradation
    files, held_out = split_files(run.job, data.holdout_every)
    held_out, judges = read_training_pictures(held_out, 4 * scale, Silent())
    fits = data.residency == "auto" and fits_in_memory(files, scale, run.device, data.sizes)
    pairs: PairSource
    if degradation is not None:
        if data.residency == "auto" and not fits:
            raise SrkitError(
                "The pictures take more than half of the free memory, and those that are to be degraded must be held "
                "in it; give fewer to --data, or set data.residency=memory to try all the same."
            )
        plan = RealPlan(**vars(_plan(run)), degradation=degradation)
        least = math.ceil(plan.smallest_side / max(data.sizes))
        files, pictures = read_training_pictures(files, least, run.progress, gray=False)
        pairs = TargetPairs(RealPairs(pictures, plan, run.device, run.telling, run.progress))
    elif data.residency == "memory" or fits:
        least = math.ceil(data.patch * scale / max(data.sizes))
        files, pictures = read_training_pictures(files, least, run.progress)
        pairs = MemoryPairs(pictures, _plan(run), run.device, run.telling, run.progress)
    else:
        pairs = StreamedPairs(files, _plan(run), run.device, data.workers, run.telling, run.progress)
    return _Pictures(pairs, len(files), tuple(held_out), judges)


def _plan(run: _Run) -> CropPlan:
    recipe, data = run.job.recipe, run.job.recipe.data
    return CropPlan(
        run.info.scale,
        data.patch,
        data.batch,
        recipe.seed,
        data.augment,
        run.world.rank,
        run.world.size,
        data.sizes,
    )


def _lower(run: _Run) -> Lower | None:
    """How LR of the pictures that validate is made, where it is no bicubic."""
    degradation, scale = run.degradation, run.info.scale
    if degradation is None:
        return None

    def lower(picture: NDArray[np.uint8], number: int) -> NDArray[np.uint8]:
        rng = torch.Generator().manual_seed(_JUDGING_SEED + number)
        return make_real_lr(picture, scale, degradation, rng, torch.device("cpu"))

    return lower


def _trainer(run: _Run, pictures: _Pictures) -> Trainer:
    recipe = run.job.recipe
    context = LossContext(run.device, run.providers.semantic, run.providers.perceptual, run.autocast)
    validate = psnr_validator(
        pictures.judges, run.info.scale, run.device, run.autocast, run.telling, _lower(run)
    )
    return Trainer(
        recipe=recipe,
        pairs=pictures.pairs,
        losses=build_losses(recipe.loss, context, recipe.loss_every),
        validate=validate,
        folder=run.job.output,
        limits=Limits(recipe.optim.steps, run.job.minutes),
        device=run.device,
        autocast=run.autocast,
        world=run.world,
        progress=run.progress,
    )


def _export(run: _Run, state: TrainState, judges: list[NDArray[np.uint8]]) -> None:
    """The best average as fp16 safetensors with its header."""
    job, recipe = run.job, run.job.recipe
    network = build(recipe.model.arch, recipe.model.arguments)
    network.load_state_dict(state.best or state.ema.state_dict())
    header = Header(
        arch=recipe.model.arch,
        arguments=dict(recipe.model.arguments),
        scale=run.info.scale,
        overlap=_overlap(run, network, judges),
        providers=run.providers.header,
        recipe=recipe.name,
        recipe_sha256=recipe.sha256,
        licence=job.licence,
        training_data=job.data_words,
        steps=state.step,
        scores={"classical": {_held_out(recipe.data): {"psnr": round(state.best_score, 3)}}},
        srkit_version=srkit.__version__,
    )
    save_weights(job.output / WEIGHTS, network, header)


def _held_out(data: DataPart) -> str:
    """What the header calls the pictures held out."""
    return f"{_HELD_OUT}, degraded ({data.degradation})" if data.degradation else _HELD_OUT


def _overlap(run: _Run, network: nn.Module, judges: list[NDArray[np.uint8]]) -> int:
    largest = sorted(judges, key=lambda picture: min(picture.shape[:2]), reverse=True)
    samples = [_lr_sample(picture, run.info.scale) for picture in largest[:_OVERLAP_SAMPLES]]
    describe = Conditioner(run.info.conditioning, run.providers.semantic, run.device)
    return measure_overlap(network, run.info, samples, torch.device("cpu"), describe)


def _lr_sample(picture: NDArray[np.uint8], scale: int) -> NDArray[np.uint8]:
    side = _OVERLAP_SIDE * scale
    return make_lr(crop_to_multiple(picture[:side, :side], scale), scale)
