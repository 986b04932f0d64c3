"""Training of the frozen networks of self-supervised adaptation (kind `reconstructor`)."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from dataclasses import replace
from typing import Any, cast

import torch

from srkit.archs.reconstructor import MIN_SIDE, Reconstructor
from srkit.archs.table import build, info_of
from srkit.data.pairs import Batch
from srkit.data.real_pairs import RealPairs, RealPlan
from srkit.encoders.distance import PerceptualDistance, perceptual_distance
from srkit.encoders.stages import STAGES, EncoderStage, encoder_stage
from srkit.errors import UsageError, unknown
from srkit.losses.reconstruction import Far, ReconstructionLoss
from srkit.ops.layout import channels_last
from srkit.recipes.degradation import SecondOrderPart
from srkit.recipes.reconstructor import ReconstructorRecipe
from srkit.recipes.train import degradation_of
from srkit.tasks.train.experiment import Experiment, Plan, check_resumed
from srkit.tasks.train.images import Images, check_images, load_images
from srkit.tasks.train.job import TrainJob
from srkit.training.controller import Controller
from srkit.training.reconstructor import (
    RECONSTRUCTION,
    Objective,
    ReconstructorStep,
    reconstruction_validator,
    set_usual,
)
from srkit.training.state import TrainState, new_state

ARCH = TASK = "reconstructor"
_VALIDATION_SEED = 1 << 20  # added to the recipe's seed, so that no validation batch is drawn in training
_USUAL_BATCHES = 24  # number of batches for the usual descriptors


class Reconstruction(Experiment[ReconstructorRecipe]):
    """Fit R, E_deg and E_img to reconstruct LR from HR."""

    # Other providers would change the validation's scale, and the network predicts features of this encoder.
    resumes = ("far.encoder", "far.stage", *Experiment.resumes)
    images: Images
    distance: PerceptualDistance
    stage: EncoderStage

    @classmethod
    def check(cls, job: TrainJob[ReconstructorRecipe]) -> None:
        recipe = job.recipe
        check_images(job)
        if recipe.model.arch != ARCH:
            raise UsageError(f"'model.arch' is '{recipe.model.arch}'; recipes of this kind train '{ARCH}'.")
        if "described" in recipe.model.arguments:
            raise UsageError(
                "'model.arguments.described' follows from the encoder's stage; leave it out of the recipe."
            )
        _degradation(recipe)
        if recipe.far.stage not in STAGES:
            raise unknown(f"'far.stage' is '{recipe.far.stage}'", recipe.far.stage, STAGES)

    def plan(self) -> Plan:
        self._load_providers()
        recipe, setting = self.recipe, self.setting
        network = cast(Reconstructor, build(ARCH, self.arguments))
        self.info = info_of(network)
        self.start(network, TASK)
        channels_last(network, setting.device)
        self.images = load_images(setting, self.info)
        objective = self._objective()
        set_usual(network, objective.far, _some(self.images.pairs.batches(0), _USUAL_BATCHES))
        score = reconstruction_validator(objective, self._validation_batches())
        return Plan(
            state=new_state(network, recipe.optim),
            batches=self.images.pairs.batches,
            step=ReconstructorStep(objective, recipe.optim.clip_norm, recipe.seed, setting.world.rank),
            validate=RECONSTRUCTION.of(score),
            optim=recipe.optim,
            run=recipe.run,
            images=self.images.count,
            held_out=self.images.held_out,
        )

    def _load_providers(self) -> None:
        """Set `distance` and `stage`, and replace the distance `auto` in the recipe."""
        setting, recipe = self.setting, self.recipe
        device, progress = setting.device, setting.progress
        name = recipe.distance
        if name == "auto" and setting.saved is not None:
            name = str(setting.saved["recipe"].get("distance", name))
        self.distance = perceptual_distance(name, device, progress=progress)
        recipe = replace(recipe, distance=self.distance.name)
        self.setting = replace(setting, job=replace(setting.job, recipe=recipe))
        if setting.saved is not None:
            check_resumed(self.setting.job, setting.saved["recipe"], ("distance",))
        self.stage = encoder_stage(recipe.far.encoder, recipe.far.stage, device, progress=progress)
        _check_crops(recipe, self.distance)
        torch.manual_seed(recipe.seed)

    @property
    def arguments(self) -> dict[str, Any]:
        return {**self.recipe.model.arguments, "described": self.stage.channels}

    def _objective(self) -> Objective:
        recipe = self.recipe
        controller = Controller(recipe.controller.noise_std) if recipe.controller.use else None
        return Objective(
            ReconstructionLoss(self.distance, recipe.perceptual, self.autocast),
            Far(self.stage, self.autocast),
            controller,
            recipe.far.weight,
            recipe.far.contrast,
            recipe.flawed,
            recipe.enlarged,
            recipe.margin,
            recipe.expected,
            recipe.controller.quantile,
            self.autocast,
        )

    def _validation_batches(self) -> list[Batch]:
        recipe, data = self.recipe, self.recipe.data
        plan = RealPlan(
            self.info.scale,
            data.patch,
            data.batch,
            (recipe.seed + _VALIDATION_SEED) % 2**31,
            sizes=data.sizes,
            degradation=_degradation(recipe),
        )
        pairs = RealPairs(self.images.validation, plan, self.setting.device)
        return _some(pairs.batches(0), recipe.judged)

    def export(self, state: TrainState) -> None:
        recipe = self.recipe
        self.save(
            self.trained(state),
            state,
            scale=self.info.scale,
            task=TASK,
            providers={
                "distance": self.distance.name,
                "distance version": self.distance.version,
                "far": self.stage.encoder,
                "far stage": self.stage.stage,
                "far version": self.stage.version,
            },
            controller={"noise_std": recipe.controller.noise_std} if recipe.controller.use else {},
            scores={"held out": {recipe.data.degradation: self.scores(state)[1]}},
        )

    def scores(self, state: TrainState) -> tuple[float | None, dict[str, float]]:
        """Reconstruction error of the held-out LR images."""
        return None, {"reconstruction error": round(-state.best_score, 4)}


def _degradation(recipe: ReconstructorRecipe) -> SecondOrderPart:
    found = degradation_of(recipe.data)
    if found is None:
        raise UsageError(
            "'data.degradation' is empty, so there is nothing to estimate and to apply again; name settings, for "
            "example data.degradation=real-esrgan."
        )
    return found


def _check_crops(recipe: ReconstructorRecipe, distance: PerceptualDistance) -> None:
    smallest = max(MIN_SIDE, distance.smallest)
    if recipe.data.patch < smallest:
        raise UsageError(
            f"'data.patch' is {recipe.data.patch}; it must be at least {smallest}, which the degradation encoder and "
            f"the distance '{distance.name}' need."
        )


def _some(batches: Iterable[Batch], count: int) -> list[Batch]:
    return list(itertools.islice(batches, count))
