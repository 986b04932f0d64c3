"""What every kind of training is told and gives, and the checks that all share."""

from __future__ import annotations

import math
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, TypeVar

from srkit.data.benchmarks import listed
from srkit.data.copies import same_bytes
from srkit.errors import SrkitError, UsageError
from srkit.io.atomic import atomic_path
from srkit.io.names import shown
from srkit.io.training import list_training_pictures
from srkit.progress import Progress
from srkit.recipes.kinds import TrainingRecipe
from srkit.recipes.load import to_toml
from srkit.recipes.train import OptimPart
from srkit.training.loop import RUN_LOG, TENSORBOARD
from srkit.training.state import CHECKPOINT

WEIGHTS = "model.safetensors"
R_co = TypeVar("R_co", bound=TrainingRecipe, covariant=True)


@dataclass(frozen=True)
class TrainJob(Generic[R_co]):
    """A recipe and where it is carried out."""

    recipe: R_co
    data: tuple[Path, ...]
    output: Path
    validation: tuple[Path, ...] = ()
    """Folders to validate on; empty: every n-th picture of the data."""
    minutes: float | None = None
    resume: bool = False
    overwrite: bool = False
    """Start anew where the output holds a run, whose files are removed."""
    device: str = "auto"
    threads: int | None = None
    training_data: str = ""
    """Names and terms of the data, for the weights' header."""
    licence: str = ""

    @property
    def data_words(self) -> str:
        """What the header says about the data."""
        return self.training_data or ", ".join(str(folder.name) for folder in self.data)


@dataclass(frozen=True)
class TrainResult:
    weights: Path
    steps: int
    seconds: float
    validation_psnr: float | None
    """Decibels on the pictures held out; None for what makes no pictures."""
    pictures: int
    held_out: tuple[str, ...]
    scores: Mapping[str, float] = field(default_factory=dict)
    """Other numbers that the run was judged by, by their names."""


def check_job(job: TrainJob[Any]) -> None:
    """Refuse values that make no sense.

    Raises:
        UsageError: one of them.
    """
    if job.resume and job.overwrite:
        raise UsageError("--resume and --overwrite exclude each other; give one.")
    if job.minutes is not None and not job.minutes > 0:
        raise UsageError(f"--minutes is {job.minutes}; it must be above 0.")
    if job.threads is not None and job.threads < 1:
        raise UsageError(f"--threads is {job.threads}; it must be at least 1.")


def check_output(job: TrainJob[Any], *folders: Path) -> None:
    """Refuse an output that holds a run which is neither resumed nor replaced.

    Args:
        folders: those of the run's stages, which are looked into as well.

    Raises:
        UsageError: it does.
    """
    if job.resume or job.overwrite:
        return
    if any(os.path.lexists(f / name) for f in (job.output, *folders) for name in (CHECKPOINT, WEIGHTS)):
        raise UsageError(
            f"{shown(job.output)} holds a run already; continue it with --resume or choose another -o, or replace it "
            "with --overwrite."
        )


def check_optim(optim: OptimPart) -> None:
    """Refuse rates and factors that make no sense.

    Raises:
        UsageError: one of them.
    """
    for name, factor in optim.rates.items():
        if not 0 <= factor < math.inf:
            raise UsageError(f"'optim.rates.{name}' is {factor}; it must be at least 0.")
    if not 0 < optim.lr < math.inf:
        raise UsageError(f"'optim.lr' is {optim.lr}; it must be above 0.")
    if len(optim.betas) != 2 or not all(0 <= value < 1 for value in (*optim.betas, optim.ema)):
        raise UsageError(
            f"'optim.betas' are {list(optim.betas)} and 'optim.ema' is {optim.ema}; expected two numbers and one, "
            "each from 0 to below 1."
        )


def prepare_output(job: TrainJob[Any]) -> None:
    """Make the folder and write the resolved recipe into it; `overwrite` removes the files of an earlier run first.

    Raises:
        SrkitError: it cannot be written.
    """
    try:
        job.output.mkdir(parents=True, exist_ok=True)
        if (
            job.overwrite and os.environ.get("RANK", "0") == "0"
        ):  # under torchrun the first process writes all files
            for name in (CHECKPOINT, WEIGHTS, RUN_LOG):
                (job.output / name).unlink(missing_ok=True)
            shutil.rmtree(job.output / TENSORBOARD, ignore_errors=True)
        with atomic_path(job.output / "recipe.toml") as path:
            path.write_text(to_toml(job.recipe), encoding="utf-8")
    except OSError as error:
        raise SrkitError(
            f"{shown(job.output)} cannot be written: {error.strerror}; choose another -o."
        ) from error


def split_files(job: TrainJob[Any], holdout_every: int, progress: Progress) -> tuple[list[Path], list[Path]]:
    """Files of the job's images to train on, and to validate on; none is in both, nor a copy of one byte for byte.

    Raises:
        UsageError: a folder that is not there.
        SrkitError: none is left to train on.
    """
    found = list_training_pictures(list(job.data))
    files = list({file.resolve(): file for file in found}.values())  # a folder may lie in another one
    validation = list(job.validation)
    held_out = list_training_pictures(validation) if validation else files[::holdout_every]
    judging = {file.resolve() for file in held_out}
    files = [file for file in files if file.resolve() not in judging]
    copies = same_bytes(files, held_out)
    if copies:
        files = [file for file in files if file not in copies]
        progress.warn(
            f"{len(copies)} of the images to train on have the same content as one to validate on and are left out: "
            f"{listed(sorted(file.name for file in copies))}."
        )
    if not files:
        raise SrkitError(
            "No picture is left to train on beside those held out to validate; give more pictures to --data."
        )
    return files, held_out
