"""Jobs and results of training, for all kinds."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Generic, TypeVar

from srkit.data.copies import same_bytes
from srkit.data.photographs import HeldOut, PhotographReader, find_photographs, hold_out
from srkit.errors import SrkitError, UsageError
from srkit.io.atomic import atomic_path
from srkit.io.names import is_file_system_trouble, shown, writing_failed
from srkit.progress import Progress
from srkit.recipes.kinds import TrainingRecipe
from srkit.recipes.load import to_toml
from srkit.training.run_log import METRICS, TENSORBOARD
from srkit.training.state import CHECKPOINT

WEIGHTS = "model.safetensors"
R_co = TypeVar("R_co", bound=TrainingRecipe, covariant=True)


@dataclass(frozen=True)
class TrainJob(Generic[R_co]):
    """A recipe, and the folders and device of its run."""

    recipe: R_co
    data: tuple[Path, ...]
    output: Path
    validation: tuple[Path, ...] = ()
    """Folders of validation images; empty: every n-th image of the data."""
    minutes: float | None = None
    resume: bool = False
    overwrite: bool = False
    """Start anew if the output holds a run, and remove its files."""
    device: str = "auto"
    threads: int | None = None
    training_data: str = ""
    """Names and terms of the data, for the weights' header."""
    licence: str = ""

    @property
    def data_words(self) -> str:
        """Description of the data for the header."""
        return self.training_data or ", ".join(str(folder.name) for folder in self.data)


@dataclass(frozen=True)
class TrainResult:
    weights: Path
    steps: int
    seconds: float
    validation_psnr: float | None
    """PSNR in dB on the held-out images; None without SR images."""
    pictures: int
    held_out: tuple[str, ...]
    scores: Mapping[str, float] = field(default_factory=dict)
    """Other validation scores by name."""


def check_job(job: TrainJob[Any]) -> None:
    """Check the values of a job.

    Raises:
        UsageError: a value is invalid.
    """
    if job.resume and job.overwrite:
        raise UsageError("`resume` and `overwrite` exclude each other; give one.")
    if job.minutes is not None and not job.minutes > 0:
        raise UsageError(f"`minutes` is {job.minutes}; it must be above 0.")
    if job.threads is not None and job.threads < 1:
        raise UsageError(f"`threads` is {job.threads}; it must be at least 1.")


def check_output(job: TrainJob[Any], *folders: Path) -> None:
    """Check that an existing run in the output is to be resumed or replaced.

    Args:
        folders: folders of the run's stages, which are checked as well.

    Raises:
        UsageError: an existing run would be mixed with a new one.
    """
    if job.resume or job.overwrite:
        return
    if any(os.path.lexists(f / name) for f in (job.output, *folders) for name in (CHECKPOINT, WEIGHTS)):
        raise UsageError(
            f"{shown(job.output)} holds a run already; continue it with `resume` or choose another `output`, or "
            "replace it with `overwrite`."
        )


def prepare_output(job: TrainJob[Any]) -> None:
    """Create the folder and write the resolved recipe into it; `overwrite` removes the files of an earlier run first.

    Raises:
        SrkitError: the folder is not writable.
    """
    try:
        job.output.mkdir(parents=True, exist_ok=True)
        # Under torchrun the first process writes all files.
        if job.overwrite and os.environ.get("RANK", "0") == "0":
            for name in (CHECKPOINT, WEIGHTS, METRICS):
                (job.output / name).unlink(missing_ok=True)
            shutil.rmtree(job.output / TENSORBOARD, ignore_errors=True)
        with atomic_path(job.output / "recipe.toml") as path:
            path.write_text(to_toml(job.recipe), encoding="utf-8")
    except OSError as error:
        if is_file_system_trouble(error):
            raise writing_failed(job.output, error) from error
        raise SrkitError(
            f"'{job.output}' cannot be written: {error.strerror}; choose another `output`."
        ) from error


def split_files(
    job: TrainJob[Any], every: int, reader: PhotographReader, validates: int, progress: Progress
) -> HeldOut:
    """Split the job's images into training files and validation images; no image, nor a copy of it, is in both.

    Args:
        every: every n-th file is for validation, if the job has no validation folder.
        reader: reads training images, and validation images that are held out of them.
        validates: minimal shorter side of an image of a validation folder.

    Raises:
        UsageError: a folder does not exist.
        SrkitError: there are no training or no validation images.
    """
    files = find_photographs(job.data, progress)
    if job.validation:
        given = find_photographs(job.validation, progress)
        held = {os.path.realpath(file) for file in given}
        rest = [file for file in files if os.path.realpath(file) not in held]
        validation = PhotographReader(validates)
        usable, images = validation.read_all(given, progress)
        split = HeldOut(rest, usable, images, [file for file in given if file not in usable])
    else:
        split = hold_out(files, every, reader)
    copies = same_bytes(split.rest, split.files)
    reader.leave_out(copies, split.images)
    rest = [file for file in split.rest if file not in copies]
    split = replace(split, rest=rest, unused=[*split.unused, *copies])
    if not split.rest:
        reader.report(progress)
        raise SrkitError(
            "No image is left to train on beside those held out to validate; give more images to `data`."
        )
    return split
