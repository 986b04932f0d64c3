"""Train from a recipe of any kind and folders of photographs."""

from __future__ import annotations

from typing import Any, Protocol

from srkit.errors import UsageError
from srkit.progress import Progress, Silent
from srkit.recipes.kinds import TrainingRecipe
from srkit.tasks.train_job import WEIGHTS, TrainJob, TrainResult, check_output

__all__ = ["WEIGHTS", "TrainJob", "TrainResult", "run"]


class Task(Protocol):
    """A module that trains recipes of one kind."""

    def check(self, job: TrainJob[Any]) -> None:
        """Refuse, before any work is done, what makes no sense.

        Raises:
            UsageError: one of these things.
        """

    def run(self, job: TrainJob[Any], progress: Progress) -> TrainResult:
        """Check and train."""


def run(job: TrainJob[TrainingRecipe], progress: Progress | None = None) -> TrainResult:
    """Train, and write checkpoints, metrics.jsonl, recipe.toml and model.safetensors into `job.output`.

    Raises:
        UsageError: folders or settings that make no sense, or a run in `output` already without `resume`.
        ResourceError: weights to start or resume from that cannot be used.
        SrkitError: no usable pictures, or a loss that is no longer a number.
    """
    task = task_of(job.recipe.kind)
    task.check(job)
    check_output(job)
    return task.run(job, progress or Silent())


def task_of(kind: str) -> Task:
    """The task for recipes of a kind.

    Raises:
        UsageError: there is none.
    """
    # Imported when asked for: what one kind needs must not stand in the way of the others.
    match kind:
        case "sr":
            from srkit.tasks import train_sr

            return train_sr
        case "encoder":
            from srkit.tasks import train_encoder

            return train_encoder
        case "gan":
            from srkit.tasks import train_gan

            return train_gan
        case "kernels":
            from srkit.tasks import train_kernels

            return train_kernels
        case "meta":
            from srkit.tasks import train_meta

            return train_meta
        case "reconstructor":
            from srkit.tasks import train_reconstructor

            return train_reconstructor
        case "stages":
            from srkit.tasks import train_stages

            return train_stages
    raise UsageError(f"There is no task for recipes of the kind '{kind}'.")
