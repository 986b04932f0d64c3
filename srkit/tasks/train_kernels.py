"""Train networks that tell, or are told, the blur of every pixel, and what it depends on (kind `kernels`)."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

import srkit
from srkit.archs.depth import CompactDepth
from srkit.archs.dkenet import DKENet
from srkit.archs.info import ArchInfo
from srkit.archs.nbsr import NBSR
from srkit.archs.table import ARCHS, ESTIMATORS, build, info_of
from srkit.data.blurred import BlurPlan, BlurredBatch, BlurredPairs
from srkit.data.depth_pairs import DepthPairs, DepthPlan
from srkit.data.pairs import Batch, read_training_pictures
from srkit.data.scenes import SMALLEST
from srkit.degradation.pca import encode, kernel_basis
from srkit.engine.device import pick_device, training_dtype
from srkit.errors import UsageError
from srkit.losses.table import LossContext, build_losses, check_terms, needs_of
from srkit.ops.layout import channels_last
from srkit.progress import Progress, Silent
from srkit.recipes.kernels import KernelsRecipe, Target
from srkit.tasks.kernel_overlap import overlap_of
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
from srkit.training.kernels import MEASURES, batch_validator
from srkit.training.loop import Limits, PairStep, Trainer
from srkit.training.state import TrainState, new_state
from srkit.zoo.header import Header
from srkit.zoo.load import load_model
from srkit.zoo.weights import save_weights

NETWORKS: dict[Target, type[nn.Module]] = {"kernels": DKENet, "picture": NBSR, "depth": CompactDepth}
"""What learns each target."""
TASKS: dict[Target, str] = {"kernels": "kernels", "picture": "sr", "depth": "depth"}
"""The task that the weights' header names."""
_SCORES: dict[Target, str] = {"kernels": "kernel error", "picture": "psnr", "depth": "depth error"}
_JUDGING_SEED = 1 << 20  # beside the recipe's, so that what validates is no draw of the training
_JUDGING_SCENES = 24
_RANK_SEEDS = 1 << 24  # between the processes of a run
_CODE_BATCHES = 24  # that the codes' mean and deviation are measured on


def run(job: TrainJob[KernelsRecipe], progress: Progress) -> TrainResult:
    """See `srkit.tasks.train.run`; `validation_psnr` is that of crops, for the target `picture` alone.

    Raises:
        UsageError: also where the network does not learn the recipe's target, or the estimator is for another scale.
    """
    recipe = job.recipe
    check(job)
    if job.threads is not None:
        torch.set_num_threads(job.threads)
    torch.manual_seed(recipe.seed)
    network = build(recipe.model.arch, recipe.model.arguments)
    info = info_of(network)
    device = local_device(pick_device(job.device))
    if recipe.model.start and not job.resume:
        started = copy_start(network, recipe.model.start, progress, TASKS[recipe.target])
        if isinstance(network, NBSR) and started.info.scale != info.scale:
            network.basis.zero_()  # that of another scale; `_learnt` makes this one's
    estimator = _load_estimator(recipe, info, device, progress)
    pictures = _pictures(job, info, progress)
    with process_group(device) as world:
        setting = _Run(job, info, pictures, estimator, device, world, progress)
        learnt = _learnt(setting, network)
        channels_last(network, device)
        state = new_state(network, recipe.optim)
        if job.resume:
            _check_resumed(resume(state, job, device), job)
        prepare_output(job)
        _trainer(setting, network, learnt).run(state)
        if world.is_main:
            _export(setting, state)
    return _result(job, state, pictures)


@dataclass(frozen=True)
class _Pictures:
    """What a run learns from, and what it is judged by: (H, W, 3) each."""

    learnt: list[NDArray[np.uint8]]
    judges: list[NDArray[np.uint8]]
    held_out: tuple[str, ...]


@dataclass(frozen=True)
class _Estimator:
    """The frozen network whose kernels take the place of the true ones, and what the header says of it."""

    network: DKENet
    name: str
    version: str


@dataclass(frozen=True)
class _Run:
    """What stays the same from the first step to the weights."""

    job: TrainJob[KernelsRecipe]
    info: ArchInfo
    pictures: _Pictures
    estimator: _Estimator | None
    device: torch.device
    world: World
    progress: Progress

    @property
    def autocast(self) -> torch.dtype | None:
        return training_dtype(self.job.recipe.run.precision, self.device, bf16_ok=self.info.bf16_ok)


def check(job: TrainJob[KernelsRecipe]) -> None:
    """See `srkit.tasks.train.Task`."""
    check_job(job)
    recipe, data = job.recipe, job.recipe.data
    check_optim(recipe.optim)
    for name, value, least in (
        ("optim.steps", recipe.optim.steps, 1),
        ("run.validate_every", recipe.run.validate_every, 1),
        ("run.gradients_every", recipe.run.gradients_every, 0),
        ("data.patch", data.patch, SMALLEST if recipe.target == "depth" else 4),
        ("data.batch", data.batch, 1),
        ("data.judged", data.judged, 1),
        ("data.every", data.every, 1),
        ("data.holdout_every", data.holdout_every, 1 if job.validation else 2),
        ("seed", recipe.seed, 0),
    ):
        if not least <= value < 2**31:
            raise UsageError(f"'{name}' is {value}; it must be from {least} to {2**31 - 1}.")
    check_terms(recipe.loss, recipe.target)
    if needed := needs_of(recipe.loss):
        raise UsageError(
            f"The recipe's loss needs a {min(needed)} provider, which this training has none of; leave it out."
        )
    info = _checked_network(recipe)
    if len(data.blur.noise) != 2:
        raise UsageError(
            f"'data.blur.noise' is {list(data.blur.noise)}; expected two numbers, the smaller first."
        )
    if recipe.target != "depth":
        _plan(recipe, info.scale)


def _checked_network(recipe: KernelsRecipe) -> ArchInfo:
    """The facts of the recipe's network, which is of the kind that learns its target."""
    with torch.device("meta"):
        network = build(recipe.model.arch, recipe.model.arguments)
    if not isinstance(network, NETWORKS[recipe.target]):
        suited = next(
            name for name, made in {**ARCHS, **ESTIMATORS}.items() if made is NETWORKS[recipe.target]
        )
        raise UsageError(
            f"The network '{recipe.model.arch}' does not learn the target '{recipe.target}'; set model.arch to "
            f"'{suited}'."
        )
    if recipe.data.every > 1 and recipe.target != "kernels":
        raise UsageError(
            f"'data.every' is {recipe.data.every}, and the target '{recipe.target}' has no kernels to compare; leave "
            "it out."
        )
    if recipe.estimator and recipe.target != "picture":
        raise UsageError(
            f"'estimator' is '{recipe.estimator}', and the target '{recipe.target}' is told no kernels; leave it empty."
        )
    return info_of(network)


def set_codes(network: NBSR, pairs: BlurredPairs) -> None:
    """Give a network its basis, and the mean and deviation of the codes of kernels that it will meet."""
    count = len(network.basis)
    network.basis.copy_(kernel_basis(network.scale, count))
    drawn = [encode(pairs.draw(step).kernels.cpu(), network.basis) for step in range(_CODE_BATCHES)]
    codes = torch.cat(drawn).transpose(0, 1).reshape(count, -1)
    network.code_mean.copy_(codes.mean(1))
    network.code_deviation.copy_(codes.std(1))


def _load_estimator(
    recipe: KernelsRecipe, info: ArchInfo, device: torch.device, progress: Progress
) -> _Estimator | None:
    if not recipe.estimator:
        return None
    model = load_model(recipe.estimator, task=TASKS["kernels"], progress=progress)
    if not isinstance(model.network, DKENet) or model.info.scale != info.scale:
        raise UsageError(
            f"The estimator '{recipe.estimator}' is for x{model.info.scale}, and the network for x{info.scale}; "
            "choose one for the same scale."
        )
    network = channels_last(model.network, device)
    return _Estimator(network, model.name, f"sha256 {model.sha256[:12]}")


def _check_resumed(before: Mapping[str, Any], job: TrainJob[KernelsRecipe]) -> None:
    if before.get("target") != job.recipe.target:
        raise UsageError(
            f"'{job.output}' holds a run for another target ('{before.get('target')}') than this recipe's "
            f"('{job.recipe.target}'); choose another -o."
        )


def _pictures(job: TrainJob[KernelsRecipe], info: ArchInfo, progress: Progress) -> _Pictures:
    recipe = job.recipe
    files, held_out = split_files(job, recipe.data.holdout_every)
    least = SMALLEST if recipe.target == "depth" else _plan(recipe, info.scale).smallest_side
    _, learnt = read_training_pictures(files, least, progress)
    held_out, judges = read_training_pictures(held_out, least, Silent())
    return _Pictures(learnt, judges, tuple(file.name for file in held_out))


def _plan(recipe: KernelsRecipe, scale: int, rank: int = 0) -> BlurPlan:
    data = recipe.data
    return BlurPlan(scale, data.patch, data.batch, recipe.seed, rank=rank, **vars(data.blur))


def _judging_plan(recipe: KernelsRecipe, scale: int) -> BlurPlan:
    """Of the same kinds, other draws."""
    plan = _plan(recipe, scale)
    seed = (recipe.seed + _JUDGING_SEED) % 2**31
    return replace(plan, seed=seed, scenes=min(plan.scenes, _JUDGING_SCENES))


@dataclass(frozen=True)
class _Source:
    """Draws, as what the loop takes."""

    draw: Callable[[int], Batch]

    def batches(self, first_step: int) -> Iterator[Batch]:
        for step in itertools.count(first_step):
            yield self.draw(step)


def _learnt(run: _Run, network: nn.Module) -> _Source:
    recipe, pictures = run.job.recipe, run.pictures.learnt
    if recipe.target == "depth":
        return _scenes(run, pictures, recipe.seed + _RANK_SEEDS * run.world.rank)
    pairs = BlurredPairs(pictures, _plan(recipe, run.info.scale, run.world.rank), run.device, run.progress)
    if isinstance(network, NBSR) and not bool(network.basis.any()):
        set_codes(network, pairs)
    whole = _blurred(run, network, pairs)
    every = recipe.data.every
    return whole if every == 1 else _Source(lambda step: _thinned(whole.draw(step), every, step))


def _judged(run: _Run, network: nn.Module) -> _Source:
    recipe, pictures = run.job.recipe, run.pictures.judges
    if recipe.target == "depth":
        return _scenes(run, pictures, recipe.seed + _JUDGING_SEED)
    return _blurred(
        run, network, BlurredPairs(pictures, _judging_plan(recipe, run.info.scale), run.device, Silent())
    )


def _scenes(run: _Run, pictures: list[NDArray[np.uint8]], seed: int) -> _Source:
    data = run.job.recipe.data
    scenes = DepthPairs(pictures, DepthPlan(data.patch, data.batch, seed % 2**31))
    return _Source(lambda step: _placed(scenes.draw(step), run.device))


def _blurred(run: _Run, network: nn.Module, pairs: BlurredPairs) -> _Source:
    return _Source(lambda step: _placed(_told(run, network, pairs.draw(step)), run.device))


def _told(run: _Run, network: nn.Module, batch: BlurredBatch) -> Batch:
    """The input, what is to be found, and what the network is told."""
    if not isinstance(network, NBSR):
        return Batch(batch.lr, batch.kernels, {"depth": batch.depth})
    basis = network.basis
    if run.estimator is None:
        codes = encode(batch.kernels, basis.to(batch.kernels.device))
    else:
        with torch.no_grad(), torch.autocast(run.device.type, run.autocast, enabled=run.autocast is not None):
            codes = run.estimator.network.codes(batch.lr.to(run.device), batch.depth.to(run.device), basis)
    return Batch(batch.lr, batch.hr, {"codes": codes})


def _thinned(batch: Batch, every: int, step: int) -> Batch:
    """With the kernels of every n-th pixel alone, from a place that the step draws; see `DKENet.forward`."""
    row, column = np.random.default_rng(step).integers(every, size=2).tolist()
    lattice = torch.tensor([row, column, every])
    return Batch(
        batch.lr, batch.hr[:, :, row::every, column::every], {**batch.conditions, "lattice": lattice}
    )


def _placed(batch: Batch, device: torch.device) -> Batch:
    def place(x: Tensor) -> Tensor:
        return x.to(device).contiguous(memory_format=torch.channels_last)

    conditions = {name: place(value) for name, value in batch.conditions.items()}
    return Batch(place(batch.lr), place(batch.hr), conditions)


def _trainer(run: _Run, network: nn.Module, learnt: _Source) -> Trainer:
    recipe = run.job.recipe
    judged = _judged(run, network)
    return Trainer(
        recipe=recipe,
        pairs=learnt,
        step=PairStep(
            build_losses(recipe.loss, LossContext(run.device)), recipe.optim.clip_norm, run.autocast
        ),
        validate=batch_validator(
            [judged.draw(step) for step in range(recipe.data.judged)], recipe.target, run.autocast
        ),
        folder=run.job.output,
        limits=Limits(recipe.optim.steps, run.job.minutes),
        device=run.device,
        world=run.world,
        progress=run.progress,
        measure=MEASURES[recipe.target],
    )


def _export(run: _Run, state: TrainState) -> None:
    """The best average as fp16 safetensors with its header."""
    job, recipe, estimator = run.job, run.job.recipe, run.estimator
    network = build(recipe.model.arch, recipe.model.arguments)
    network.load_state_dict(state.best or state.ema.state_dict())
    told = {} if estimator is None else {"kernels": estimator.name, "kernels version": estimator.version}
    header = Header(
        arch=recipe.model.arch,
        arguments=dict(recipe.model.arguments),
        scale=run.info.scale,
        task=TASKS[recipe.target],
        overlap=overlap_of(network, run.info, run.pictures.judges, run.progress),
        providers=told,
        recipe=recipe.name,
        recipe_sha256=recipe.sha256,
        licence=job.licence,
        training_data=job.data_words,
        steps=state.step,
        scores={"held out": {recipe.target: {_SCORES[recipe.target]: _value(job, state)}}},
        srkit_version=srkit.__version__,
    )
    save_weights(job.output / WEIGHTS, network, header)


def _value(job: TrainJob[KernelsRecipe], state: TrainState) -> float:
    return round(MEASURES[job.recipe.target].sign * state.best_score, 4)


def _result(job: TrainJob[KernelsRecipe], state: TrainState, pictures: _Pictures) -> TrainResult:
    target, value = job.recipe.target, _value(job, state)
    is_picture = target == "picture"
    return TrainResult(
        job.output / WEIGHTS,
        state.step,
        state.seconds,
        value if is_picture else None,
        len(pictures.learnt),
        pictures.held_out,
        {} if is_picture else {_SCORES[target]: value},
    )
