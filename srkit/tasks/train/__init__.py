"""Train from a recipe of any kind and folders of photographs."""

from __future__ import annotations

from srkit.progress import Progress, Silent
from srkit.recipes.kinds import TrainingRecipe
from srkit.tasks.train.job import WEIGHTS, TrainJob, TrainResult

__all__ = ["WEIGHTS", "TrainJob", "TrainResult", "check", "run"]


def check(job: TrainJob[TrainingRecipe]) -> None:
    """Check a job before any work.

    Raises:
        UsageError: the job is invalid.
    """
    if job.recipe.kind == "stages":
        from srkit.tasks.train.stages import check_stages

        check_stages(job)
    else:
        from srkit.tasks.train.experiment import check_experiment

        check_experiment(job)


def run(job: TrainJob[TrainingRecipe], progress: Progress | None = None) -> TrainResult:
    """Train, and write checkpoints, metrics.jsonl, recipe.toml and model.safetensors into `job.output`.

    Raises:
            UsageError: folders or settings are invalid, or `output` holds a run and `resume` is not set.
            ResourceError: weights to start or resume from cannot be used.
            SrkitError: there are no usable images, or the loss is no longer finite.
    """
    # Imported on demand, so that one kind's dependencies do not affect the others.
    if job.recipe.kind == "stages":
        from srkit.tasks.train.stages import run_stages

        return run_stages(job, progress or Silent())
    from srkit.tasks.train.experiment import run_experiment

    return run_experiment(job, progress or Silent())
