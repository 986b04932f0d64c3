"""Training against a discriminator, with Cria-CL's losses for networks with two heads (kind `gan`).

PSNR on the held-out images, degraded like the training images, is logged, but not used for selection, since
perceptually better images have a lower PSNR: the weights are the moving average at the last step.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from srkit.archs.cria import Cria
from srkit.archs.table import ARCHS, DISCRIMINATORS, build, info_of
from srkit.encoders.features import PerceptualFeatures, perceptual_features
from srkit.errors import UsageError, nearest
from srkit.losses.contrast import mask_facts
from srkit.losses.criteria import check_criteria
from srkit.losses.generator import HEADS, OF_HEADS, FeatureExtractors, GeneratorLosses, criteria_of
from srkit.ops.layout import channels_last
from srkit.recipes.gan import DiscriminatorPart, GanRecipe
from srkit.tasks.train.experiment import Plan
from srkit.tasks.train.images import ImageExperiment, load_images
from srkit.tasks.train.job import TrainJob
from srkit.training.collapse import CollapseWatch
from srkit.training.gan_step import GanStep, discriminator_optimizer, gan_state
from srkit.training.state import Snapshot
from srkit.zoo.blend import header_pair
from srkit.zoo.load import load_model

_VGG = "vgg19"
_VGG_BOTTOM = "vgg19:conv1_2"


class Adversarial(ImageExperiment[GanRecipe]):
    """Update a generator and a discriminator in turn.

    If the discriminator collapses, or numbers are no longer finite, the run ends with its last valid state.
    """

    bottom: PerceptualFeatures | None = None
    """Provider of the criterion `bottom`; None if not needed."""

    @classmethod
    def check(cls, job: TrainJob[GanRecipe]) -> None:
        recipe = job.recipe
        _check_weights(recipe)
        _check_cria(recipe)
        with torch.device("meta"):
            scale = info_of(build(recipe.model.arch, recipe.model.arguments)).scale
        check_discriminator(recipe.discriminator, scale, recipe.data.patch)
        super().check(job)

    @classmethod
    def needed_providers(cls, recipe: GanRecipe) -> frozenset[str]:
        """The providers that the recipe needs, with that of `bottom_provider` if its criterion is in use."""
        compared = _compared(recipe)
        own = "bottom" in compared and bottom_provider(recipe) == recipe.providers.perceptual
        looks = recipe.loss.perceptual > 0 or recipe.loss.unif_perceptual > 0 or "top" in compared or own
        return super().needed_providers(recipe) | ({"perceptual"} if looks else set())

    def plan(self) -> Plan:
        recipe, network = self.recipe, self.network()
        self.bottom = self._load_bottom()
        step = self._step()
        state = gan_state(network, recipe.optim, step)
        self.images = load_images(self.setting, self.info, self.conditioning)
        return Plan(
            state=state,
            batches=self.taught_by(recipe.teacher).batches,
            step=step,
            validate=self.validation(),
            optim=recipe.optim,
            run=recipe.run,
            images=self.images.count,
            held_out=self.images.held_out,
            keeps_best=False,
            snapshot=Snapshot(),
        )

    def further_providers(self) -> dict[str, str]:
        if self.bottom is None or self.bottom is self.providers.perceptual:
            return {}
        return {"bottom": self.bottom.name, "bottom version": self.bottom.version}

    def further_facts(self, network: nn.Module) -> dict[str, Any]:
        """The initial, PSNR-trained model as the other end of the dial `strength`, if it can be interpolated."""
        start, facts = self.recipe.model.start, super().further_facts(network)
        header = load_model(start).header if start else None
        if header is None or (header.arch, header.arguments) != (self.recipe.model.arch, self.arguments):
            return facts
        return facts | {"pairs": {"strength": header_pair(start, self.setting.job.output)}}

    def further_scores(self, network: nn.Module) -> dict[str, Any]:
        """Mean and deviation of the mask, averaged over held-out images, which show if the mask separates anything."""
        if not isinstance(network, Cria) or network.heads == 1:
            return {}
        with torch.inference_mode():
            found = [mask_facts(network.parts(lr).mask) for lr in self.held_out_lr()]
        deviation = sum(float(facts.deviation) for facts in found) / len(found)
        mean = sum(float(facts.mean) for facts in found) / len(found)
        return {"mask": {self.held_out_name: {"mean": round(mean, 4), "deviation": round(deviation, 4)}}}

    def _load_bottom(self) -> PerceptualFeatures | None:
        if "bottom" not in _compared(self.recipe):
            return None
        name = bottom_provider(self.recipe)
        if name == self.recipe.providers.perceptual:
            return self.providers.perceptual
        return perceptual_features(name, self.setting.device, progress=self.setting.progress)

    def _step(self) -> GanStep:
        recipe, part, device = self.recipe, self.recipe.discriminator, self.setting.device
        torch.manual_seed(recipe.seed)  # independent of the generator's initialisation
        discriminator = build(part.arch, part.arguments)
        channels_last(discriminator, device)
        extractors = FeatureExtractors(self.providers.perceptual, self.bottom, self.autocast)
        losses = GeneratorLosses(recipe.loss, recipe.cria, extractors, self.info.scale)
        for criteria in losses.criteria.values():
            criteria.to(device)
        return GanStep(
            losses=losses,
            discriminator=discriminator,
            optimizer=discriminator_optimizer(discriminator, part, recipe.optim),
            watch=CollapseWatch(part.patience),
            factor=part.factor,
            clip_norm=recipe.optim.clip_norm,
            autocast=self.autocast,
            world=self.setting.world,
            teaching=recipe.teacher.weight,
        )


def bottom_provider(recipe: GanRecipe) -> str:
    """Name of the provider whose lowest feature map is the criterion `bottom`."""
    if recipe.cria.bottom:
        return recipe.cria.bottom
    usual = recipe.providers.perceptual
    return _VGG_BOTTOM if usual.partition(":")[0] == _VGG else usual


def _compared(recipe: GanRecipe) -> set[str]:
    """Names of the criteria in use."""
    heads = (head for head in HEADS if getattr(recipe.loss, head) > 0)
    return {name for head in heads for name in criteria_of(recipe.cria, head)}


def _check_weights(recipe: GanRecipe) -> None:
    if not recipe.loss.adversarial > 0:
        raise UsageError(
            "'loss.adversarial' is 0, so there is nothing for a discriminator to do; set it above 0, or train by a "
            "recipe of the kind sr."
        )
    if recipe.model.arch not in ARCHS:
        raise UsageError(
            f"'model.arch' is '{recipe.model.arch}'; networks that make images are {', '.join(ARCHS)}."
            f"{nearest(recipe.model.arch, ARCHS)}"
        )
    with torch.device("meta"):
        network = build(recipe.model.arch, recipe.model.arguments)
    used = [name for name in (*HEADS, "balance", *OF_HEADS) if getattr(recipe.loss, name) > 0]
    if used and not isinstance(network, Cria):
        raise UsageError(
            f"'loss.{used[0]}' is {getattr(recipe.loss, used[0])}, and the network '{recipe.model.arch}' has no two "
            "heads; set loss.align, loss.unif, loss.balance and those that begin so to 0, or model.arch=cria."
        )
    compared = [name for name in HEADS if getattr(recipe.loss, name) > 0]
    if compared and isinstance(network, Cria) and network.heads == 1:
        raise UsageError(
            f"'loss.{compared[0]}' is {getattr(recipe.loss, compared[0])}, and 'model.arguments.heads' is 1, which "
            "leaves no mask to compare criteria under; set loss.align and loss.unif to 0, or heads to 2."
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


def check_discriminator(part: DiscriminatorPart, scale: int, patch: int) -> None:
    """Check that a discriminator exists and accepts the crops.

    Args:
        scale: scale of the generator.
        patch: side of a crop in LR pixels, the recipe's `data.patch`.

    Raises:
        UsageError: the discriminator is unknown, or the crops are too small for it.
    """
    if part.arch not in DISCRIMINATORS:
        raise UsageError(
            f"There is no discriminator '{part.arch}'; known are {', '.join(DISCRIMINATORS)}."
            f"{nearest(part.arch, DISCRIMINATORS)}"
        )
    with torch.device("meta"):
        min_side = int(getattr(build(part.arch, part.arguments), "min_side", 1))
    if scale * patch < min_side:
        raise UsageError(
            f"The discriminator '{part.arch}' takes images of {min_side} pixels a side or more, and 'data.patch' "
            f"{patch} makes crops of {scale * patch}; choose a larger one."
        )
