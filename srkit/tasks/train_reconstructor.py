"""Train the frozen networks of self-supervised adaptation (kind `reconstructor`)."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, cast

import torch

import srkit
from srkit.archs.reconstructor import LEAST_SIDE, Reconstructor
from srkit.archs.table import build, info_of
from srkit.data.pairs import NOTHING, Batch
from srkit.data.real_pairs import RealPairs, RealPlan
from srkit.encoders.distance import PerceptualDistance, perceptual_distance
from srkit.encoders.stages import STAGES, EncoderStage, encoder_stage
from srkit.engine.device import pick_device
from srkit.errors import UsageError, nearest
from srkit.losses.far import Far
from srkit.losses.reconstruction import ReconstructionLoss
from srkit.ops.layout import channels_last
from srkit.progress import Progress
from srkit.recipes.degradation import SecondOrderPart
from srkit.recipes.load import to_mapping
from srkit.recipes.reconstructor import ReconstructorRecipe
from srkit.recipes.train import degradation_of
from srkit.tasks.providers import Providers
from srkit.tasks.train_job import WEIGHTS, TrainJob, TrainResult, prepare_output
from srkit.tasks.train_pictures import PictureRun, Pictures, check_pictures, load_pictures
from srkit.tasks.train_start import copy_start, resume
from srkit.training.controller import Controller
from srkit.training.distributed import local_device, process_group
from srkit.training.loop import Limits, Trainer
from srkit.training.reconstructor import (
    RECONSTRUCTION,
    Objective,
    ReconstructorStep,
    reconstruction_validator,
    set_usual,
)
from srkit.training.state import TrainState, new_state, read_checkpoint
from srkit.zoo.header import Header
from srkit.zoo.weights import save_weights

ARCH = TASK = "reconstructor"
_JUDGING_SEED = 1 << 20  # beside the recipe's, so that what validates is no draw of the training
_USUAL_BATCHES = 24  # that what is usual is measured on


def run(job: TrainJob[ReconstructorRecipe], progress: Progress) -> TrainResult:
    """See `srkit.tasks.train.run`; the result's score is the error of making pictures held out once more.

    Raises:
        ResourceError: also where a provider's weights are missing or damaged.
    """
    check(job)
    device = local_device(pick_device(job.device))
    if job.threads is not None:
        torch.set_num_threads(job.threads)
    before = read_checkpoint(job.output, device)["recipe"] if job.resume else {}
    distance = perceptual_distance(_distance_name(job, before), device, progress=progress)
    job = replace(job, recipe=replace(job.recipe, distance=distance.name))
    stage = encoder_stage(job.recipe.far.encoder, job.recipe.far.stage, device, progress=progress)
    _check_crops(job.recipe, distance)
    if before.get("kind") == job.recipe.kind:
        _check_resumed(before, job)
    torch.manual_seed(job.recipe.seed)
    network = cast(Reconstructor, build(ARCH, _arguments(job.recipe, stage)))
    if job.recipe.model.start and not job.resume:
        copy_start(network, job.recipe.model.start, progress, TASK)
    channels_last(network, device)
    with process_group(device) as world:
        setting = PictureRun(job, info_of(network), Providers(), NOTHING, device, progress, world)
        pictures = load_pictures(setting)
        learning = _Learning(setting, job.recipe, distance, stage, pictures)
        set_usual(network, learning.objective.far, learning.first)
        state = new_state(network, job.recipe.optim)
        if job.resume:
            resume(state, job, device)
        prepare_output(job)
        learning.trainer.run(state)
        if world.is_main:
            learning.export(state)
    error = round(-state.best_score, 4)
    return TrainResult(
        job.output / WEIGHTS,
        state.step,
        state.seconds,
        None,
        pictures.count,
        pictures.held_out,
        {"reconstruction error": error},
    )


def check(job: TrainJob[ReconstructorRecipe]) -> None:
    """See `srkit.tasks.train.Task`."""
    recipe = job.recipe
    check_pictures(job)
    if recipe.model.arch != ARCH:
        raise UsageError(f"'model.arch' is '{recipe.model.arch}'; recipes of this kind train '{ARCH}'.")
    if "described" in recipe.model.arguments:
        raise UsageError(
            "'model.arguments.described' follows from the encoder's stage; leave it out of the recipe."
        )
    _degradation(recipe)
    if recipe.far.stage not in STAGES:
        raise UsageError(
            f"'far.stage' is '{recipe.far.stage}'; it must be one of {', '.join(STAGES)}."
            f"{nearest(recipe.far.stage, STAGES)}"
        )
    for name, value, most in (
        ("perceptual", recipe.perceptual, math.inf),
        ("far.weight", recipe.far.weight, math.inf),
        ("far.contrast", recipe.far.contrast, math.inf),
        ("flawed", recipe.flawed, 1.0),
        ("enlarged", recipe.enlarged, 1.0),
        ("margin", recipe.margin, math.inf),
        ("expected", recipe.expected, math.inf),
        ("controller.noise_std", recipe.controller.noise_std, math.inf),
    ):
        if not 0 <= value <= most or value == math.inf:
            bound = "" if most == math.inf else f" and at most {most:g}"
            raise UsageError(f"'{name}' is {value}; it must be at least 0{bound}.")
    if not 0 < recipe.controller.quantile < 1:
        raise UsageError(
            f"'controller.quantile' is {recipe.controller.quantile}; it must be between 0 and 1."
        )
    if recipe.judged < 1:
        raise UsageError(f"'judged' is {recipe.judged}; it must be at least 1.")


def _degradation(recipe: ReconstructorRecipe) -> SecondOrderPart:
    found = degradation_of(recipe.data)
    if found is None:
        raise UsageError(
            "'data.degradation' is empty, so there is nothing to be told and done again; name settings, for example "
            "data.degradation=real-esrgan."
        )
    return found


def _check_crops(recipe: ReconstructorRecipe, distance: PerceptualDistance) -> None:
    least = max(LEAST_SIDE, distance.smallest)
    if recipe.data.patch < least:
        raise UsageError(
            f"'data.patch' is {recipe.data.patch}; it must be at least {least}, which the degradation encoder and the "
            f"distance '{distance.name}' need."
        )


def _distance_name(job: TrainJob[ReconstructorRecipe], before: Mapping[str, Any]) -> str:
    """What the recipe names; of a run that goes on, whose recipe was `before`, `auto` is what it was."""
    name = job.recipe.distance
    return str(before.get("distance", name)) if name == "auto" else name


def _arguments(recipe: ReconstructorRecipe, stage: EncoderStage) -> dict[str, Any]:
    return {**recipe.model.arguments, "described": stage.channels}


def _check_resumed(before: Mapping[str, Any], job: TrainJob[ReconstructorRecipe]) -> None:
    """Other providers would judge by other numbers, and what the network predicts would be another encoder's."""
    now = to_mapping(job.recipe)
    for name, old, new in (
        ("distance", before.get("distance"), now["distance"]),
        ("far.encoder", before.get("far", {}).get("encoder"), now["far"]["encoder"]),
        ("far.stage", before.get("far", {}).get("stage"), now["far"]["stage"]),
    ):
        if old != new:
            raise UsageError(
                f"'{job.output}' holds a run whose '{name}' is '{old}', and this recipe's is '{new}'; set it to that, "
                "or choose another -o."
            )


@dataclass(frozen=True)
class _Learning:
    """What a run learns from, and how."""

    run: PictureRun
    recipe: ReconstructorRecipe
    distance: PerceptualDistance
    stage: EncoderStage
    pictures: Pictures

    @property
    def objective(self) -> Objective:
        recipe, autocast = self.recipe, self.run.autocast
        controller = Controller(recipe.controller.noise_std) if recipe.controller.use else None
        return Objective(
            ReconstructionLoss(self.distance, recipe.perceptual, autocast),
            Far(self.stage, autocast),
            controller,
            recipe.far.weight,
            recipe.far.contrast,
            recipe.flawed,
            recipe.enlarged,
            recipe.margin,
            recipe.expected,
            recipe.controller.quantile,
            autocast,
        )

    @property
    def first(self) -> list[Batch]:
        """The run's first batches."""
        return _some(self.pictures.pairs.batches(0), _USUAL_BATCHES)

    @property
    def judged(self) -> list[Batch]:
        """Batches of the pictures held out."""
        recipe, data = self.recipe, self.recipe.data
        seed = (recipe.seed + _JUDGING_SEED) % 2**31
        plan = RealPlan(
            self.run.info.scale,
            data.patch,
            data.batch,
            seed,
            sizes=data.sizes,
            degradation=_degradation(recipe),
        )
        return _some(RealPairs(self.pictures.judges, plan, self.run.device).batches(0), recipe.judged)

    @property
    def trainer(self) -> Trainer:
        run, recipe, objective = self.run, self.recipe, self.objective
        return Trainer(
            recipe=recipe,
            pairs=self.pictures.pairs,
            step=ReconstructorStep(objective, recipe.optim.clip_norm, recipe.seed, run.world.rank),
            validate=reconstruction_validator(objective, self.judged),
            folder=run.job.output,
            limits=Limits(recipe.optim.steps, run.job.minutes, recipe.run.clock),
            device=run.device,
            world=run.world,
            progress=run.progress,
            measure=RECONSTRUCTION,
        )

    def export(self, state: TrainState) -> None:
        """The best average as fp16 safetensors with its header."""
        job, recipe = self.run.job, self.recipe
        arguments = _arguments(recipe, self.stage)
        network = build(ARCH, arguments)
        network.load_state_dict(state.best or state.ema.state_dict())
        header = Header(
            arch=ARCH,
            arguments=arguments,
            scale=self.run.info.scale,
            task=TASK,
            providers={
                "distance": self.distance.name,
                "distance version": self.distance.version,
                "far": self.stage.encoder,
                "far stage": self.stage.stage,
                "far version": self.stage.version,
            },
            controller={"noise_std": recipe.controller.noise_std} if recipe.controller.use else {},
            recipe=recipe.name,
            recipe_sha256=recipe.sha256,
            licence=job.licence,
            training_data=job.data_words,
            steps=state.step,
            scores={
                "held out": {recipe.data.degradation: {"reconstruction error": round(-state.best_score, 4)}}
            },
            srkit_version=srkit.__version__,
        )
        save_weights(job.output / WEIGHTS, network, header)


def _some(batches: Iterable[Batch], count: int) -> list[Batch]:
    return list(itertools.islice(batches, count))
