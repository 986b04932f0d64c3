"""Train a network for super-resolution (kind `sr`)."""

from __future__ import annotations

from dataclasses import replace

from srkit.data.real_pairs import RealPairs, TargetPairs
from srkit.losses.table import LossContext, build_losses, check_every, check_terms, needs_of
from srkit.progress import Progress
from srkit.recipes.train import TrainRecipe
from srkit.tasks.providers import check_providers
from srkit.tasks.train_job import WEIGHTS, TrainJob, TrainResult, prepare_output
from srkit.tasks.train_pictures import (
    PictureRun,
    Pictures,
    begin,
    check_pictures,
    export,
    load_pictures,
    network_needs,
    psnr_on,
)
from srkit.tasks.train_start import resume
from srkit.training.distributed import process_group
from srkit.training.loop import Limits, PairStep, Trainer
from srkit.training.state import new_state


def run(job: TrainJob[TrainRecipe], progress: Progress) -> TrainResult:
    """See `srkit.tasks.train.run`."""
    check(job)
    setting, network = begin(job, needed_providers(job.recipe), progress)
    state = new_state(network, job.recipe.optim)
    if job.resume:
        resume(state, job, setting.device)
    prepare_output(job)
    with process_group(setting.device) as world:
        setting = replace(setting, world=world)
        pictures = load_pictures(setting)
        _trainer(setting, job.recipe, pictures).run(state)
        if world.is_main:
            export(setting, state, pictures)
    return TrainResult(
        job.output / WEIGHTS, state.step, state.seconds, state.best_score, pictures.count, pictures.held_out
    )


def check(job: TrainJob[TrainRecipe]) -> None:
    """See `srkit.tasks.train.Task`."""
    recipe = job.recipe
    check_pictures(job)
    check_terms(recipe.loss, "picture")
    check_every(recipe.loss, recipe.loss_every)
    check_providers(recipe.providers, needed_providers(recipe))


def needed_providers(recipe: TrainRecipe) -> frozenset[str]:
    """The providers that the recipe's loss and network need.

    Raises:
        UsageError: a loss or a network that there is none of.
    """
    return needs_of(recipe.loss) | network_needs(recipe.model)


def _trainer(run: PictureRun, recipe: TrainRecipe, pictures: Pictures) -> Trainer:
    context = LossContext(run.device, run.providers.semantic, run.providers.perceptual, run.autocast)
    losses = build_losses(recipe.loss, context, recipe.loss_every)
    pairs = pictures.pairs
    return Trainer(
        recipe=recipe,
        pairs=TargetPairs(pairs) if isinstance(pairs, RealPairs) else pairs,
        step=PairStep(losses, recipe.optim.clip_norm, run.autocast),
        validate=psnr_on(run, pictures),
        folder=run.job.output,
        limits=Limits(recipe.optim.steps, run.job.minutes, recipe.run.clock),
        device=run.device,
        world=run.world,
        progress=run.progress,
    )
