"""Train a network against a discriminator, with Cria-CL's losses where it has two heads (kind `gan`).

PSNR on the pictures held out, degraded as those of training are, is logged; but what looks better scores worse by it,
so it chooses nothing: the weights are the average of the last step.
"""

from __future__ import annotations

import math
from dataclasses import replace

import torch

from srkit.archs.cria import Cria
from srkit.archs.table import ARCHS, DISCRIMINATORS, build, info_of
from srkit.encoders.features import PerceptualFeatures, perceptual_features
from srkit.errors import UsageError, nearest
from srkit.losses.criteria import check_criteria
from srkit.losses.generator import HEADS, GeneratorLosses, Lenses, criteria_of
from srkit.ops.layout import channels_last
from srkit.progress import Progress
from srkit.recipes.gan import GanRecipe
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
from srkit.training.collapse import CollapseWatch
from srkit.training.distributed import process_group
from srkit.training.gan_loop import GanStep, discriminator_optimizer, gan_state
from srkit.training.loop import Limits, Trainer
from srkit.training.state import Keeper

_VGG = "vgg19"
_VGG_BOTTOM = "vgg19:conv1_2"


def run(job: TrainJob[GanRecipe], progress: Progress) -> TrainResult:
    """See `srkit.tasks.train.run`; `validation_psnr` is the last step's.

    Where the discriminator collapses, or numbers are no longer finite, the run ends with its last good state.
    """
    recipe = job.recipe
    check(job)
    setting, network = begin(job, needed_providers(recipe), progress)
    bottom = _load_bottom(setting, recipe)
    with process_group(setting.device) as world:
        setting = replace(setting, world=world)
        step = _step(setting, recipe, bottom)
        state = gan_state(network, recipe.optim, step)
        if job.resume:
            resume(state, job, setting.device)
        prepare_output(job)
        pictures = load_pictures(setting)
        _trainer(setting, recipe, pictures, step).run(state)
        if world.is_main:
            export(setting, state, pictures, _told(setting, bottom))
    return TrainResult(
        job.output / WEIGHTS, state.step, state.seconds, state.best_score, pictures.count, pictures.held_out
    )


def check(job: TrainJob[GanRecipe]) -> None:
    """See `srkit.tasks.train.Task`."""
    recipe = job.recipe
    check_pictures(job)
    _check_weights(recipe)
    _check_cria(recipe)
    _check_discriminator(recipe)
    check_providers(recipe.providers, needed_providers(recipe))


def needed_providers(recipe: GanRecipe) -> frozenset[str]:
    """The providers that the recipe's terms and network need, beside the one of `bottom_provider`.

    Raises:
        UsageError: a network that there is none of.
    """
    looks = recipe.loss.perceptual > 0 or "top" in _compared(recipe)
    looks = looks or (
        "bottom" in _compared(recipe) and bottom_provider(recipe) == recipe.providers.perceptual
    )
    return network_needs(recipe.model) | ({"perceptual"} if looks else set())


def bottom_provider(recipe: GanRecipe) -> str:
    """The name of the provider whose lowest map is the criterion `bottom`."""
    if recipe.cria.bottom:
        return recipe.cria.bottom
    usual = recipe.providers.perceptual
    return _VGG_BOTTOM if usual.partition(":")[0] == _VGG else usual


def _compared(recipe: GanRecipe) -> set[str]:
    """The criteria in use."""
    heads = (head for head in HEADS if getattr(recipe.loss, head) > 0)
    return {name for head in heads for name in criteria_of(recipe.cria, head)}


def _check_weights(recipe: GanRecipe) -> None:
    for name, weight in vars(recipe.loss).items():
        if not 0 <= weight < math.inf:
            raise UsageError(f"'loss.{name}' is {weight}; a weight must be a number, at least 0.")
    if not recipe.loss.adversarial > 0:
        raise UsageError(
            "'loss.adversarial' is 0, so there is nothing for a discriminator to do; set it above 0, or train by a "
            "recipe of the kind sr."
        )
    if recipe.model.arch not in ARCHS:
        raise UsageError(
            f"'model.arch' is '{recipe.model.arch}'; networks that make pictures are {', '.join(ARCHS)}."
            f"{nearest(recipe.model.arch, ARCHS)}"
        )
    with torch.device("meta"):
        network = build(recipe.model.arch, recipe.model.arguments)
    used = [name for name in (*HEADS, "balance") if getattr(recipe.loss, name) > 0]
    if used and not isinstance(network, Cria):
        raise UsageError(
            f"'loss.{used[0]}' is {getattr(recipe.loss, used[0])}, and the network '{recipe.model.arch}' has no two "
            "heads; set loss.align, loss.unif and loss.balance to 0, or model.arch=cria."
        )


def _check_cria(recipe: GanRecipe) -> None:
    cria = recipe.cria
    for head in HEADS:
        if getattr(recipe.loss, head) > 0:
            if not getattr(cria, head):
                raise UsageError(f"'cria.{head}' is []; name at least one criterion.")
            check_criteria(getattr(cria, head))
            check_criteria(criteria_of(cria, head))
            if len(criteria_of(cria, head)) < 2:
                raise UsageError(
                    f"'cria.{head}' names the anchor '{cria.anchor}' alone; name a criterion to compare it with."
                )
    if not 1 <= cria.eta < math.inf:
        raise UsageError(f"'cria.eta' is {cria.eta}; it must be at least 1.")
    if not 0 < cria.t < math.inf:
        raise UsageError(f"'cria.t' is {cria.t}; it must be above 0.")


def _check_discriminator(recipe: GanRecipe) -> None:
    part = recipe.discriminator
    if part.arch not in DISCRIMINATORS:
        raise UsageError(
            f"There is no discriminator '{part.arch}'; known are {', '.join(DISCRIMINATORS)}."
            f"{nearest(part.arch, DISCRIMINATORS)}"
        )
    with torch.device("meta"):
        least = int(getattr(build(part.arch, part.arguments), "least", 1))
        side = info_of(build(recipe.model.arch, recipe.model.arguments)).scale * recipe.data.patch
    if side < least:
        raise UsageError(
            f"The discriminator '{part.arch}' takes pictures of {least} pixels a side or more, and 'data.patch' "
            f"{recipe.data.patch} makes crops of {side}; choose a larger one."
        )
    if not 0 < part.factor < math.inf:
        raise UsageError(f"'discriminator.factor' is {part.factor}; it must be above 0.")
    if part.patience < 1:
        raise UsageError(f"'discriminator.patience' is {part.patience}; it must be at least 1.")
    if len(part.betas) != 2 or not all(0 <= beta < 1 for beta in part.betas):
        raise UsageError(
            f"'discriminator.betas' are {list(part.betas)}; expected two numbers from 0 to below 1."
        )


def _load_bottom(run: PictureRun, recipe: GanRecipe) -> PerceptualFeatures | None:
    """The provider of the criterion `bottom`, where one is needed."""
    if "bottom" not in _compared(recipe):
        return None
    name = bottom_provider(recipe)
    if name == recipe.providers.perceptual:
        return run.providers.perceptual
    return perceptual_features(name, run.device, progress=run.progress)


def _told(run: PictureRun, bottom: PerceptualFeatures | None) -> dict[str, str]:
    """What the header says of a provider of `bottom` of its own."""
    if bottom is None or bottom is run.providers.perceptual:
        return {}
    return {"bottom": bottom.name, "bottom version": bottom.version}


def _step(run: PictureRun, recipe: GanRecipe, bottom: PerceptualFeatures | None) -> GanStep:
    part = recipe.discriminator
    torch.manual_seed(recipe.seed)  # whatever the generator started from
    discriminator = build(part.arch, part.arguments)
    channels_last(discriminator, run.device)
    lenses = Lenses(run.providers.perceptual, bottom, run.autocast)
    losses = GeneratorLosses(recipe.loss, recipe.cria, lenses, run.info.scale)
    for criteria in losses.criteria.values():
        criteria.to(run.device)
    return GanStep(
        losses=losses,
        discriminator=discriminator,
        optimizer=discriminator_optimizer(discriminator, part, recipe.optim),
        watch=CollapseWatch(part.patience),
        factor=part.factor,
        clip_norm=recipe.optim.clip_norm,
        autocast=run.autocast,
        world=run.world,
    )


def _trainer(run: PictureRun, recipe: GanRecipe, pictures: Pictures, step: GanStep) -> Trainer:
    return Trainer(
        recipe=recipe,
        pairs=pictures.pairs,
        step=step,
        validate=psnr_on(run, pictures),
        folder=run.job.output,
        limits=Limits(recipe.optim.steps, run.job.minutes),
        device=run.device,
        world=run.world,
        progress=run.progress,
        chooses=False,
        keeper=Keeper(),
    )
