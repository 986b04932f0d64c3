"""Training in stages (kind `stages`): each in its own folder, from the weights of the previous one."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from srkit.archs.table import build
from srkit.engine.device import pick_device
from srkit.errors import ResourceError, UsageError
from srkit.progress import Progress
from srkit.recipes.kinds import TrainingRecipe, kind_of, load_training_recipe, training_recipe
from srkit.recipes.load import merge, read_table
from srkit.recipes.stages import StagePart, StagesRecipe
from srkit.tasks.train.experiment import check_experiment, experiment_of, run_experiment
from srkit.tasks.train.images import ImageExperiment, conditioned
from srkit.tasks.train.job import WEIGHTS, TrainJob, TrainResult, check_job, check_output, prepare_output
from srkit.tasks.train.providers import load_providers
from srkit.training.distributed import local_device, process_group, wait_for_all
from srkit.training.state import CHECKPOINT, read_checkpoint
from srkit.zoo.blend import moved_pairs
from srkit.zoo.weights import copy_weights, read_header

# Kinds that share the total number of steps; steps of meta-learning are of another unit.
_COUNTED = frozenset({"sr", "gan"})


@dataclass(frozen=True)
class Stage:
    """A stage that is ready to run."""

    name: str
    folder: Path
    recipe: TrainingRecipe
    share: float
    """Fraction of the whole run."""

    @property
    def is_begun(self) -> bool:
        return (self.folder / CHECKPOINT).is_file()

    @property
    def is_finished(self) -> bool:
        return (self.folder / WEIGHTS).is_file()


def run_stages(job: TrainJob[Any], progress: Progress) -> TrainResult:
    """Run a `StagesRecipe`; see `srkit.tasks.train.run`. A resumed run continues in its current stage."""
    check_stages(job)
    stages = stages_of(job.recipe, job.output)
    _check_output(job, stages)
    _check_providers(stages, progress)
    prepare_output(job)
    done = _Sum(stages)
    with process_group(local_device(pick_device(job.device))) as world:
        for number, stage in enumerate(stages, 1):
            if job.resume and stage.is_finished and stage is not stages[-1]:
                progress.info(f"stage {number} of {len(stages)}, {stage.name}: finished before")
                done.add(stage, _finished(stage))
                continue
            progress.info(f"stage {number} of {len(stages)}, {stage.name}")
            done.add(stage, run_experiment(_job_of(stage, job), progress))
            wait_for_all(world)  # the next stage starts from weights that the first process writes
        result = done.result(job.output / WEIGHTS)
        if world.is_main:
            last = stages[-1].folder / WEIGHTS
            header = read_header(last)
            header = replace(
                header,
                pairs=moved_pairs(header.pairs, last.parent, job.output),
                recipe=job.recipe.name,
                recipe_sha256=job.recipe.sha256,
                steps=result.steps,
            )
            copy_weights(last, result.weights, header)
    return result


class _Sum:
    """Result of all stages, collected from theirs."""

    def __init__(self, stages: list[Stage]) -> None:
        self._results: list[TrainResult] = []
        self._counted = {s.name for s in stages if s.recipe.kind in _COUNTED} or {s.name for s in stages}
        self._steps = 0

    def add(self, stage: Stage, result: TrainResult) -> None:
        self._results.append(result)
        self._steps += result.steps if stage.name in self._counted else 0

    def result(self, weights: Path) -> TrainResult:
        scored = [one for one in self._results if one.validation_psnr is not None]
        last = self._results[-1]
        return replace(
            last,
            weights=weights,
            steps=self._steps,
            seconds=sum(one.seconds for one in self._results),
            validation_psnr=scored[-1].validation_psnr if scored else None,
            held_out=(scored[-1].held_out if scored else ()) or last.held_out,
        )


def _finished(stage: Stage) -> TrainResult:
    """Result of a stage that an earlier part of the run finished."""
    saved = read_checkpoint(stage.folder, torch.device("cpu"))
    psnr = saved["best_score"] if stage.recipe.kind in _COUNTED else None
    return TrainResult(stage.folder / WEIGHTS, saved["step"], saved["seconds"], psnr, 0, ())


def check_stages(job: TrainJob[Any]) -> None:
    """Check all stages before any work, so that errors of the last stage do not show after hours.

    Raises:
        UsageError: a stage is invalid; its name is in the message.
    """
    check_job(job)
    for stage in stages_of(job.recipe, job.output):
        try:
            check_experiment(_job_of(stage, job))
        except UsageError as error:
            raise _in_stage(stage.name, error) from error


def _check_providers(stages: list[Stage], progress: Progress) -> None:
    """Load the providers of later stages once, so that missing or unsuitable weights are found before any work."""
    cpu = torch.device("cpu")
    for stage in stages:
        experiment = experiment_of(stage.recipe.kind)
        if issubclass(experiment, ImageExperiment):
            recipe: Any = stage.recipe
            providers = load_providers(recipe.providers, experiment.needed_providers(recipe), cpu, progress)
            if providers.semantic is None:
                continue
            try:
                conditioned(
                    build(recipe.model.arch, recipe.model.arguments), recipe.model.arch, providers, cpu
                )
            except UsageError as error:
                raise _in_stage(stage.name, error) from error


def _in_stage(name: str, error: UsageError) -> UsageError:
    return UsageError(f"In the stage '{name}': {error}")


def _job_of(stage: Stage, job: TrainJob[StagesRecipe]) -> TrainJob[TrainingRecipe]:
    return TrainJob(
        recipe=stage.recipe,
        data=job.data,
        output=stage.folder,
        validation=job.validation,
        minutes=None if job.minutes is None else job.minutes * stage.share,
        resume=job.resume and stage.is_begun,
        overwrite=job.overwrite,
        device=job.device,
        threads=job.threads,
        training_data=job.data_words,
        licence=job.licence,
    )


def stages_of(recipe: StagesRecipe, output: Path) -> list[Stage]:
    """Stages in order, with their resolved recipes.

    Raises:
        UsageError: the stages, or a recipe of a stage, are invalid.
        ResourceError: a recipe does not exist.
    """
    if not recipe.stages:
        raise UsageError("The recipe has no stages; give at least one, as [stages.NAME] with its recipe.")
    for name in recipe.stages:
        if not re.fullmatch(r"[\w-]+", name):
            raise UsageError(
                f"A stage is called '{name}'; a name is of letters, digits, - and _, since it is that of a folder."
            )
    total = sum(part.share for part in recipe.stages.values())
    tables = {name: _table_of(name, part, recipe.common) for name, part in recipe.stages.items()}
    counted = sum(part.share for name, part in recipe.stages.items() if _is_counted(tables[name]))
    stages: list[Stage] = []
    for name, part in recipe.stages.items():
        values: dict[str, Any] = {"scale": recipe.scale, "seed": recipe.seed}
        if recipe.precision != "auto":
            values["dtype"] = recipe.precision
        if recipe.steps is not None and _is_counted(tables[name]):
            values["steps"] = max(1, round(recipe.steps * part.share / counted))
        start = str((stages[-1].folder / WEIGHTS).absolute()) if stages else ""
        own = _recipe_of(name, part, tables[name], values, start)
        stages.append(Stage(name, output / name, own, part.share / total))
    return stages


def _table_of(name: str, part: StagePart, common: Mapping[str, Any]) -> dict[str, Any]:
    """Plain values of a stage's recipe."""
    table = read_table(part.recipe)
    if "scale" in kind_of(table, part.recipe).keys:
        merge(table, common)
    merge(table, part.set)
    if table.get("kind") == "stages":
        raise UsageError(f"In the stage '{name}': '{part.recipe}' has stages itself; name its stages here.")
    return table


def _is_counted(table: Mapping[str, Any]) -> bool:
    return table.get("kind", "sr") in _COUNTED


def _recipe_of(
    name: str, part: StagePart, table: dict[str, Any], values: Mapping[str, Any], start: str
) -> TrainingRecipe:
    """Recipe of a stage, with those of `values` that its kind supports, and with `start`, which it must support."""
    try:
        keys = kind_of(table, part.recipe).keys
        known = {key: value for key, value in values.items() if key in keys}
        return training_recipe(table, part.recipe, known | ({"start": start} if start else {}))
    except UsageError as error:
        raise _in_stage(name, error) from error


def _check_output(job: TrainJob[StagesRecipe], stages: list[Stage]) -> None:
    check_output(job, *(stage.folder for stage in stages))
    if not job.resume:
        return
    begun = [stage for stage in stages if stage.is_begun]
    if not begun:
        raise ResourceError(f"There is no run in '{job.output}' to resume; start without `resume`.")
    for stage in begun[:-1]:
        if _begun_as(stage) != stage.recipe:
            raise UsageError(
                f"The stage '{stage.name}' in '{job.output}' was trained by another recipe than this one, and the "
                "later ones build on it; choose another `output`."
            )


def _begun_as(stage: Stage) -> TrainingRecipe:
    """Recipe in a stage's folder, with the current location of its start: folders may have been moved."""
    values: Mapping[str, Any] = {}
    keys = kind_of({"kind": stage.recipe.kind}, stage.name).keys
    if "start" in keys:
        now: Any = stage.recipe
        for part in keys["start"].split("."):
            now = getattr(now, part)
        values = {"start": now}
    return load_training_recipe(stage.folder / "recipe.toml", (), values)
