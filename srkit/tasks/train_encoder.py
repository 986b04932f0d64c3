"""Train a feature network without labels, on folders of photographs and on rendered domains (kind `encoder`)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

import srkit
from srkit.archs.table import build
from srkit.data.pairs import read_training_pictures
from srkit.data.views import SMALLEST, ViewPlan, ViewSource
from srkit.engine.device import pick_device, training_dtype
from srkit.errors import UsageError, nearest
from srkit.ops.layout import channels_last
from srkit.progress import Progress, Silent
from srkit.recipes.encoder import EncoderRecipe
from srkit.recipes.load import to_mapping
from srkit.rendered import DOMAINS, render
from srkit.tasks.train_job import WEIGHTS, TrainJob, TrainResult, check_job, prepare_output, split_files
from srkit.training.distributed import World, local_device, process_group
from srkit.training.encoder import EncoderTrainer, measure_scales
from srkit.training.learners import TASKS, make_learner
from srkit.training.loop import Limits
from srkit.training.state import TrainState, new_state, read_checkpoint, restore
from srkit.zoo.header import Header
from srkit.zoo.weights import save_weights

Picture = NDArray[np.uint8]


def run(job: TrainJob[EncoderRecipe], progress: Progress) -> TrainResult:
    """See `srkit.tasks.train.run`; the result's score is the loss on the pictures held out.

    Raises:
        UsageError: also where the objective does not suit the network.
    """
    recipe = job.recipe
    check(job)
    if job.threads is not None:
        torch.set_num_threads(job.threads)
    torch.manual_seed(recipe.seed)
    network = build(recipe.model.arch, recipe.model.arguments)
    device = local_device(pick_device(job.device))
    pictures = _pictures(job, progress)
    learner = make_learner(network, recipe, pictures.count)
    channels_last(learner, device)
    state = new_state(learner, recipe.optim)
    if job.resume:
        _resume(state, job, device)
    prepare_output(job)
    with process_group(device) as world:
        _trainer(job, pictures, device, world, progress).run(state)
        if world.is_main:
            _export(job, state, pictures.judges)
    loss = -state.best_score
    return TrainResult(
        job.output / WEIGHTS,
        state.step,
        state.seconds,
        None,
        pictures.count,
        pictures.held_out,
        {"loss": loss},
    )


@dataclass(frozen=True)
class _Pictures:
    """What a run learns from, and what it is judged by; rendered ones by domain."""

    photographs: list[Picture]
    rendered: list[list[Picture]]
    judges: list[Picture]
    judges_rendered: list[list[Picture]]
    held_out: tuple[str, ...]

    @property
    def count(self) -> int:
        return len(self.photographs) + sum(map(len, self.rendered))


def check(job: TrainJob[EncoderRecipe]) -> None:
    """See `srkit.tasks.train.Task`."""
    check_job(job)
    recipe, data = job.recipe, job.recipe.data
    for name, value, least in (
        ("optim.steps", recipe.optim.steps, 1),
        ("run.validate_every", recipe.run.validate_every, 1),
        ("data.pictures", data.pictures, 2),
        ("data.rendered", data.rendered, 1),
        ("data.degraded", data.degraded, 0),
        ("data.holdout_every", data.holdout_every, 2),
        ("seed", recipe.seed, 0),
    ):
        if not least <= value < 2**31:
            raise UsageError(f"'{name}' is {value}; it must be from {least} to {2**31 - 1}.")
    if not 0 < recipe.optim.lr < math.inf:
        raise UsageError(f"'optim.lr' is {recipe.optim.lr}; it must be above 0.")
    if recipe.model.start:
        raise UsageError(
            f"'model.start' is '{recipe.model.start}'; feature networks start from nothing: leave it empty."
        )
    if not data.sides or min(data.sides) < 32:
        raise UsageError(
            f"'data.sides' is {list(data.sides)}; it must name at least one side, none below 32."
        )
    for domain in data.domains:
        if domain not in DOMAINS:
            raise UsageError(
                f"'data.domains' names '{domain}'; known are {', '.join(DOMAINS)}.{nearest(domain, DOMAINS)}"
            )


def _resume(state: TrainState, job: TrainJob[EncoderRecipe], device: torch.device) -> None:
    saved = read_checkpoint(job.output, device)
    before, now = saved["recipe"], to_mapping(job.recipe)
    if any(before.get(key) != now[key] for key in ("model", "objective")):
        raise UsageError(
            f"'{job.output}' holds a run of another network or objective than this recipe's; choose another -o."
        )
    restore(state, saved)
    if any(before.get(key) != now[key] for key in ("temperature", "quality", "data")):
        state.best, state.best_score = None, -math.inf  # its loss was another sum, or over other views


def _pictures(job: TrainJob[EncoderRecipe], progress: Progress) -> _Pictures:
    data = job.recipe.data
    files, held_out = split_files(job, data.holdout_every)
    _, photographs = read_training_pictures(files, SMALLEST, progress)
    held_out, judges = read_training_pictures(held_out, SMALLEST, Silent())
    judging = max(1, data.rendered // data.holdout_every)
    progress.start("rendering", len(data.domains) * (data.rendered + judging))
    drawn = [_drawn(domain, data.rendered + judging, data.rendered_side, progress) for domain in data.domains]
    progress.finish()
    return _Pictures(
        photographs,
        [pictures[judging:] for pictures in drawn],
        judges,
        [pictures[:judging] for pictures in drawn],
        tuple(file.name for file in held_out),
    )


def _drawn(domain: str, count: int, side: int, progress: Progress) -> list[Picture]:
    pictures = []
    for seed in range(count):
        pictures.append(render(domain, side, side, seed))
        progress.advance()
    return pictures


def _trainer(
    job: TrainJob[EncoderRecipe], pictures: _Pictures, device: torch.device, world: World, progress: Progress
) -> EncoderTrainer:
    recipe, data = job.recipe, job.recipe.data
    plan = ViewPlan(data.pictures, data.degraded, data.sides, recipe.seed, world.rank)
    judging = ViewPlan(data.pictures, data.degraded, data.sides, recipe.seed)
    return EncoderTrainer(
        recipe=recipe,
        views=ViewSource(pictures.photographs, pictures.rendered, plan),
        held_out=ViewSource(pictures.judges, pictures.judges_rendered, judging),
        folder=job.output,
        limits=Limits(recipe.optim.steps, job.minutes),
        device=device,
        autocast=training_dtype(recipe.run.precision, device),
        world=world,
        progress=progress,
    )


def _export(job: TrainJob[EncoderRecipe], state: TrainState, judges: list[Picture]) -> None:
    """The best average, without what was beside the network, as fp16 safetensors with its header."""
    recipe = job.recipe
    learner = state.ema
    learner.load_state_dict(state.best or learner.state_dict())
    network = cast(nn.Module, learner.network).cpu()
    measure_scales(network, judges)
    header = Header(
        arch=recipe.model.arch,
        arguments=dict(recipe.model.arguments),
        scale=1,
        task=TASKS[recipe.objective],
        normalisation="x * 4 - 2",
        recipe=recipe.name,
        recipe_sha256=recipe.sha256,
        licence=job.licence,
        training_data=job.data_words,
        steps=state.step,
        scores={"held out": {"views": {"loss": round(-state.best_score, 4)}}},
        srkit_version=srkit.__version__,
    )
    save_weights(job.output / WEIGHTS, network, header)
