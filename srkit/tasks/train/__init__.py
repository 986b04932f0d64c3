"""Train from a recipe of any kind and folders of photographs."""

from __future__ import annotations

from srkit.progress import Progress, Silent
from srkit.recipes.kinds import TrainingRecipe
from srkit.tasks.train.job import WEIGHTS, TrainJob, TrainResult

__all__ = ["WEIGHTS", "TrainJob", "TrainResult", "check", "run"]


def check(job: TrainJob[TrainingRecipe]) -> None:
    """Refuse, before any work is done, a job that makes no sense.

    Raises:
        UsageError: what is wrong with it.
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
        UsageError: folders or settings that make no sense, or a run in `output` already without `resume`.
        ResourceError: weights to start or resume from that cannot be used.
        SrkitError: no usable images, or a loss that is no longer a number.
    """
    # Imported when asked for: what one kind needs must not stand in the way of the others.
    if job.recipe.kind == "stages":
        from srkit.tasks.train.stages import run_stages

        return run_stages(job, progress or Silent())
    from srkit.tasks.train.experiment import run_experiment

    return run_experiment(job, progress or Silent())
