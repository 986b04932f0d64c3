"""Train in stages (kind `stages`): each in a folder of its own, from the weights of the one before."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from srkit.engine.device import pick_device
from srkit.errors import ResourceError, UsageError
from srkit.progress import Progress
from srkit.recipes.kinds import TrainingRecipe, kind_of, load_training_recipe, training_recipe
from srkit.recipes.load import merge, read_table
from srkit.recipes.stages import StagePart, StagesRecipe
from srkit.recipes.train import TrainRecipe
from srkit.tasks import train
from srkit.tasks.providers import load_providers
from srkit.tasks.train_job import WEIGHTS, TrainJob, TrainResult, check_job, prepare_output
from srkit.tasks.train_sr import needed_providers
from srkit.training.distributed import local_device, process_group, wait_for_all
from srkit.training.state import CHECKPOINT, read_checkpoint
from srkit.zoo.weights import copy_weights, read_header


@dataclass(frozen=True)
class _Stage:
    name: str
    folder: Path
    recipe: TrainingRecipe
    share: float
    """Of the whole run."""

    @property
    def is_begun(self) -> bool:
        return (self.folder / CHECKPOINT).is_file()

    @property
    def is_finished(self) -> bool:
        return (self.folder / WEIGHTS).is_file()


def run(job: TrainJob[StagesRecipe], progress: Progress) -> TrainResult:
    """See `srkit.tasks.train.run`; a resumed run goes on in the stage that it was in."""
    check(job)
    stages = _stages(job.recipe, job.output)
    _check_output(job, stages)
    _check_providers(stages, progress)
    prepare_output(job)
    steps, seconds = 0, 0.0
    with process_group(local_device(pick_device(job.device))) as world:
        for number, stage in enumerate(stages, 1):
            if job.resume and stage.is_finished and stage is not stages[-1]:
                progress.info(f"stage {number} of {len(stages)}, {stage.name}: finished before")
                steps += read_header(stage.folder / WEIGHTS).steps or 0
                seconds += float(read_checkpoint(stage.folder, torch.device("cpu"))["seconds"])
                continue
            progress.info(f"stage {number} of {len(stages)}, {stage.name}")
            result = train.run(_job_of(stage, job), progress)
            wait_for_all(world)  # the next stage starts from weights that the first process writes
            steps, seconds = steps + result.steps, seconds + result.seconds
        if world.is_main:
            header = read_header(result.weights)
            named = replace(header, recipe=job.recipe.name, recipe_sha256=job.recipe.sha256, steps=steps)
            copy_weights(result.weights, job.output / WEIGHTS, named)
    return replace(result, weights=job.output / WEIGHTS, steps=steps, seconds=seconds)


def check(job: TrainJob[StagesRecipe]) -> None:
    """See `srkit.tasks.train.Task`; what is wrong in the last stage must not be found after hours."""
    check_job(job)
    for stage in _stages(job.recipe, job.output):
        try:
            train.task_of(stage.recipe.kind).check(_job_of(stage, job))
        except UsageError as error:
            raise _in_stage(stage.name, error) from error


def _check_providers(stages: list[_Stage], progress: Progress) -> None:
    """Load what later stages need once beforehand: weights that are missing must be noticed now."""
    for stage in stages:
        if isinstance(stage.recipe, TrainRecipe):
            needed = needed_providers(stage.recipe)
            load_providers(stage.recipe.providers, needed, torch.device("cpu"), progress)


def _in_stage(name: str, error: UsageError) -> UsageError:
    return UsageError(f"In the stage '{name}': {error}")


def _job_of(stage: _Stage, job: TrainJob[StagesRecipe]) -> TrainJob[TrainingRecipe]:
    return TrainJob(
        recipe=stage.recipe,
        data=job.data,
        output=stage.folder,
        validation=job.validation,
        minutes=None if job.minutes is None else job.minutes * stage.share,
        resume=job.resume and stage.is_begun,
        device=job.device,
        threads=job.threads,
        training_data=job.data_words,
        licence=job.licence,
    )


def _stages(recipe: StagesRecipe, output: Path) -> list[_Stage]:
    """The stages with their recipes."""
    if not recipe.stages:
        raise UsageError("The recipe has no stages; give at least one, as [stages.NAME] with its recipe.")
    for name, part in recipe.stages.items():
        if not re.fullmatch(r"[\w-]+", name):
            raise UsageError(
                f"A stage is called '{name}'; a name is of letters, digits, - and _, since it is that of a folder."
            )
        if not 0 < part.share < float("inf"):
            raise UsageError(f"'stages.{name}.share' is {part.share}; it must be above 0.")
    if recipe.steps < 0:
        raise UsageError(f"'steps' is {recipe.steps}; it must be at least 0.")
    total = sum(part.share for part in recipe.stages.values())
    stages: list[_Stage] = []
    for name, part in recipe.stages.items():
        share = part.share / total
        start = str((stages[-1].folder / WEIGHTS).absolute()) if stages else ""
        stages.append(_Stage(name, output / name, _recipe_of(name, part, recipe, share, start), share))
    return stages


def _recipe_of(name: str, part: StagePart, whole: StagesRecipe, share: float, start: str) -> TrainingRecipe:
    values: dict[str, Any] = {"scale": whole.scale, "seed": whole.seed}
    if whole.precision != "auto":
        values["dtype"] = whole.precision
    if whole.steps:
        values["steps"] = max(1, round(whole.steps * share))
    try:
        table = read_table(part.recipe)
        merge(table, part.set)
        keys = kind_of(table, part.recipe).keys
        if table.get("kind") == "stages":
            raise UsageError(f"'{part.recipe}' has stages itself; name its stages here.")
        known = {key: value for key, value in values.items() if key in keys}
        return training_recipe(table, part.recipe, known | ({"start": start} if start else {}))
    except UsageError as error:
        raise _in_stage(name, error) from error


def _check_output(job: TrainJob[StagesRecipe], stages: list[_Stage]) -> None:
    begun = [stage for stage in stages if stage.is_begun]
    if begun and not job.resume:
        raise UsageError(
            f"'{job.output}' holds a run already; continue it with --resume or choose another -o."
        )
    if job.resume and not begun:
        raise ResourceError(f"There is no run in '{job.output}' to resume; start without --resume.")
    for stage in begun[:-1]:
        if _begun_as(stage) != stage.recipe:
            raise UsageError(
                f"The stage '{stage.name}' in '{job.output}' was trained by another recipe than this one, and the "
                "later ones build on it; choose another -o."
            )


def _begun_as(stage: _Stage) -> TrainingRecipe:
    """The recipe in a stage's folder, as if it had started from where it would now: folders may be moved."""
    values: Mapping[str, Any] = {}
    keys = kind_of({"kind": stage.recipe.kind}, stage.name).keys
    if "start" in keys:
        now: Any = stage.recipe
        for part in keys["start"].split("."):
            now = getattr(now, part)
        values = {"start": now}
    return load_training_recipe(stage.folder / "recipe.toml", (), values)
