"""What training that makes pictures shares (kinds `sr` and `gan`): the start, the pictures, judging, the weights."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

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
from srkit.data.real_pairs import RealPairs, RealPlan, make_real_lr
from srkit.data.streamed import StreamedPairs
from srkit.engine.device import pick_device, training_dtype
from srkit.engine.overlap import measure_overlap
from srkit.errors import SrkitError, UsageError
from srkit.ops.layout import channels_last
from srkit.ops.position import position_grid
from srkit.progress import Progress, Silent
from srkit.recipes.kinds import TrainingRecipe
from srkit.recipes.train import DataPart, ModelPart, OptimPart, ProvidersPart, RunPart, degradation_of
from srkit.tasks.conditions import Conditioner
from srkit.tasks.providers import Providers, is_embedded, load_providers, telling_for
from srkit.tasks.train_job import WEIGHTS, TrainJob, check_job, check_optim, split_files
from srkit.tasks.train_start import copy_start
from srkit.training.distributed import World, local_device
from srkit.training.state import TrainState
from srkit.training.validation import Lower, psnr_validator
from srkit.zoo.header import Header
from srkit.zoo.weights import save_weights

_HELD_OUT = "held out"
_JUDGING_SEED = 1 << 20  # of the degradation of what validates, which is the same whatever the recipe's seed
_OVERLAP_SAMPLES = 6
_OVERLAP_SIDE = 160  # LR pixels


class PictureRecipe(TrainingRecipe, Protocol):
    """What the recipes of these kinds have."""

    @property
    def model(self) -> ModelPart: ...

    @property
    def data(self) -> DataPart: ...

    @property
    def optim(self) -> OptimPart: ...

    @property
    def run(self) -> RunPart: ...

    @property
    def providers(self) -> ProvidersPart: ...

    @property
    def seed(self) -> int: ...


@dataclass(frozen=True)
class PictureRun:
    """What stays the same from the first step to the weights."""

    job: TrainJob[Any]
    """Of a `PictureRecipe`."""
    info: ArchInfo
    providers: Providers
    telling: Telling
    device: torch.device
    progress: Progress
    world: World = field(default_factory=World)

    @property
    def recipe(self) -> PictureRecipe:
        recipe: PictureRecipe = self.job.recipe
        return recipe

    @property
    def autocast(self) -> torch.dtype | None:
        return training_dtype(self.recipe.run.precision, self.device, bf16_ok=self.info.bf16_ok)


@dataclass(frozen=True)
class Pictures:
    """What a run learns from, and what it is judged by."""

    pairs: PairSource
    """Where the recipe names a degradation, `srkit.data.real_pairs.RealPairs`."""
    count: int
    held_out: tuple[str, ...]
    judges: list[NDArray[np.uint8]]
    """The pictures held out, (H, W, 3)."""


def check_pictures(job: TrainJob[Any]) -> None:
    """Refuse, before any work is done, what makes no sense in the parts that `PictureRecipe` names.

    Raises:
        UsageError: one of these things.
    """
    recipe: PictureRecipe = job.recipe
    data = recipe.data
    check_job(job)
    for name, value in (
        ("optim.steps", recipe.optim.steps),
        ("data.batch", data.batch),
        ("data.patch", data.patch),
        ("run.validate_every", recipe.run.validate_every),
    ):
        if value < 1:
            raise UsageError(f"'{name}' is {value}; it must be at least 1.")
    for name, value in (
        ("seed", recipe.seed),
        ("data.workers", data.workers),
        ("run.gradients_every", recipe.run.gradients_every),
    ):
        if not 0 <= value < 2**31:
            raise UsageError(f"'{name}' is {value}; it must be from 0 to {2**31 - 1}.")
    check_optim(recipe.optim)
    if not data.sizes or not all(0 < factor <= 1 for factor in data.sizes):
        raise UsageError(
            f"'data.sizes' is {list(data.sizes)}; it must name at least one factor above 0 and at most 1."
        )
    if degradation_of(data) is not None and data.residency == "stream":
        raise UsageError(
            f"'data.degradation' is '{data.degradation}' and 'data.residency' is 'stream'; crops are degraded of "
            "pictures held in memory alone: set data.residency=memory, or give fewer pictures."
        )
    if data.holdout_every < 2 and not job.validation:
        raise UsageError(
            "'data.holdout_every' must be at least 2, or give pictures to validate on with --val."
        )


def network_needs(model: ModelPart) -> frozenset[str]:
    """The providers that a network needs.

    Raises:
        UsageError: a network that there is none of.
    """
    with torch.device("meta"):
        info = info_of(build(model.arch, model.arguments))
    return frozenset({"semantic"} if is_embedded(info) else ())


def begin(job: TrainJob[Any], needed: frozenset[str], progress: Progress) -> tuple[PictureRun, nn.Module]:
    """The run and its network, on its device, with the weights that it starts from; of a job that was checked.

    Raises:
        UsageError, ResourceError: weights or providers that cannot be used.
    """
    recipe: PictureRecipe = job.recipe
    if job.threads is not None:
        torch.set_num_threads(job.threads)
    torch.manual_seed(recipe.seed)
    network = build(recipe.model.arch, recipe.model.arguments)
    info = info_of(network)
    if recipe.model.start and not job.resume:
        copy_start(network, recipe.model.start, progress)
    device = local_device(pick_device(job.device))
    channels_last(network, device)
    providers = load_providers(recipe.providers, needed, device, progress)
    telling = telling_for(info, providers.semantic)
    run = PictureRun(job, info, providers, telling, device, progress)
    _check_told(run, network)
    return run, network


def _check_told(run: PictureRun, network: nn.Module) -> None:
    """A network built for another encoder fails at its first picture: here, with what to do about it."""
    info, encoder = run.info, run.providers.semantic
    if run.telling.describe is None or encoder is None:
        return
    side = math.ceil(max(16, info.min_size) / info.multiple_of) * info.multiple_of
    lr = torch.zeros(1, 3, side, side, device=run.device)
    try:
        with torch.no_grad():
            told = dict(run.telling.describe(lr))
            if run.telling.position:
                told["position"] = position_grid(side, side, run.device)
            network(lr, **told)
    except RuntimeError as error:
        raise UsageError(
            f"The network '{run.recipe.model.arch}' does not take what the encoder '{encoder.name}' gives: vectors of "
            f"{encoder.dim} numbers and tokens of {encoder.token_channels} channels; set semantic_dim and "
            "token_channels in model.arguments to these, or choose another providers.semantic."
        ) from error


def load_pictures(run: PictureRun) -> Pictures:
    """The job's pictures; what cannot be used is left out, and said.

    Raises:
        SrkitError: none can be used, or they do not fit into memory where they must.
    """
    data, scale, degradation = run.recipe.data, run.info.scale, degradation_of(run.recipe.data)
    files, held_out = split_files(run.job, data.holdout_every, run.progress)
    held_out, judges = read_training_pictures(held_out, 4 * scale, Silent())
    fits = data.residency == "auto" and fits_in_memory(files, scale, run.device, data.sizes)
    plan = _plan(run)
    pairs: PairSource
    if degradation is not None:
        if data.residency == "auto" and not fits:
            raise SrkitError(
                "The pictures take more than half of the free memory, and those that are to be degraded must be held "
                "in it; give fewer to --data, or set data.residency=memory to try all the same."
            )
        real = RealPlan(**vars(plan), degradation=degradation)
        files, pictures = _read(run, files, judges, real.smallest_side, gray=False)
        pairs = RealPairs(pictures, real, run.device, run.telling, run.progress)
    elif data.residency == "memory" or fits:
        files, pictures = _read(run, files, judges, data.patch * scale, gray=True)
        pairs = MemoryPairs(pictures, plan, run.device, run.telling, run.progress)
    else:
        pairs = StreamedPairs(files, plan, run.device, data.workers, run.telling, run.progress)
    return Pictures(pairs, len(files), tuple(file.name for file in held_out), judges)


def _plan(run: PictureRun) -> CropPlan:
    recipe, data = run.recipe, run.recipe.data
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


def _read(
    run: PictureRun, files: list[Path], judges: list[NDArray[np.uint8]], side: int, *, gray: bool
) -> tuple[list[Path], list[NDArray[np.uint8]]]:
    """What is large enough for crops of `side` HR pixels at one size at least, and is none of the held-out images."""
    least = math.ceil(side / max(run.recipe.data.sizes))
    return read_training_pictures(files, least, run.progress, gray=gray, apart_from=judges)


def psnr_on(run: PictureRun, pictures: Pictures) -> Callable[[nn.Module], float]:
    """The PSNR on the pictures held out; see `srkit.training.validation.psnr_validator`."""
    return psnr_validator(pictures.judges, run.info.scale, run.device, run.autocast, run.telling, _lower(run))


def _lower(run: PictureRun) -> Lower | None:
    """How LR of the pictures that validate is made, where it is no bicubic."""
    degradation, scale = degradation_of(run.recipe.data), run.info.scale
    if degradation is None:
        return None

    def lower(picture: NDArray[np.uint8], number: int) -> NDArray[np.uint8]:
        rng = torch.Generator().manual_seed(_JUDGING_SEED + number)
        return make_real_lr(picture, scale, degradation, rng, torch.device("cpu"))

    return lower


def export(
    run: PictureRun, state: TrainState, pictures: Pictures, providers: dict[str, str] | None = None
) -> None:
    """The state's `best` as fp16 safetensors with its header.

    Args:
        providers: what the header says of further ones.
    """
    job, recipe = run.job, run.recipe
    network = build(recipe.model.arch, recipe.model.arguments)
    network.load_state_dict(state.best or state.ema.state_dict())
    run.progress.info("measuring how far tiles must overlap")
    header = Header(
        arch=recipe.model.arch,
        arguments=dict(recipe.model.arguments),
        scale=run.info.scale,
        overlap=_overlap(run, network, pictures.judges),
        providers=run.providers.header | (providers or {}),
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


def _overlap(run: PictureRun, network: nn.Module, judges: list[NDArray[np.uint8]]) -> int:
    largest = sorted(judges, key=lambda picture: min(picture.shape[:2]), reverse=True)
    samples = [_lr_sample(picture, run.info.scale) for picture in largest[:_OVERLAP_SAMPLES]]
    describe = Conditioner(run.info.conditioning, run.providers.semantic, run.device)
    return measure_overlap(network, run.info, samples, torch.device("cpu"), describe)


def _lr_sample(picture: NDArray[np.uint8], scale: int) -> NDArray[np.uint8]:
    side = _OVERLAP_SIDE * scale
    return make_lr(crop_to_multiple(picture[:side, :side], scale), scale)
