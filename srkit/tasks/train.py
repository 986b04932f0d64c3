"""Train from a recipe of any kind and folders of photographs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from srkit.errors import UsageError
from srkit.progress import Progress, Silent
from srkit.recipes.kinds import TrainingRecipe
from srkit.tasks.train_job import WEIGHTS, TrainJob, TrainResult

__all__ = ["WEIGHTS", "TrainJob", "TrainResult", "run"]

Task = Callable[[TrainJob[Any], Progress], TrainResult]


def run(job: TrainJob[TrainingRecipe], progress: Progress | None = None) -> TrainResult:
    """Train, and write checkpoints, metrics.jsonl, recipe.toml and model.safetensors into `job.output`.

    Raises:
        UsageError: folders or settings that make no sense, or a run in `output` already without `resume`.
        ResourceError: weights to start or resume from that cannot be used.
        SrkitError: no usable pictures, or a loss that is no longer a number.
    """
    return _task_of(job.recipe.kind)(job, progress or Silent())


def _task_of(kind: str) -> Task:
    # Imported when asked for: what one kind needs must not stand in the way of the others.
    match kind:
        case "sr":
            from srkit.tasks import train_sr

            return train_sr.run
        case "encoder":
            from srkit.tasks import train_encoder

            return train_encoder.run
        case "stages":
            from srkit.tasks import train_stages

            return train_stages.run
    raise UsageError(f"There is no task for recipes of the kind '{kind}'.")
