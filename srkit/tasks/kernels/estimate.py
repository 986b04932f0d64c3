"""Estimation of the blur of images (a file, a folder, a glob); a kernel map and a preview for each."""

from __future__ import annotations

import glob
import logging
import math
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from srkit.errors import ImageError, SrkitError, UsageError
from srkit.inference.kernel_estimator import Estimate, KernelEstimator, Round
from srkit.inference.kernel_summary import Blur
from srkit.inference.upscaler import Work
from srkit.io.atomic import atomic_path
from srkit.io.folders import Found
from srkit.io.image import DecodedImage
from srkit.io.kernel_map import EXTENSION, write_kernel_map
from srkit.io.names import folder_name, shown
from srkit.io.read import probe, read_image
from srkit.io.write import write_image
from srkit.progress import Progress, Silent
from srkit.recipes.estimate import EstimateRecipe
from srkit.tasks.batch import Batch, FileItem, Outcome, Status
from srkit.tasks.kernels.preview import Fact, draw_preview
from srkit.tasks.places import (
    Existing,
    Place,
    check_folders,
    exists_already,
    find_sources,
    is_file_name,
    left_to_do,
    make_folder,
    make_parent,
    name_error,
    refuse_inputs_as_outputs,
    with_distinct_targets,
)

PREVIEW_EXTENSION = ".preview.png"
"""Extension of a preview beside its map, in place of .npz."""

_BYTES_PER_PIXEL = 150  # the map, its intermediate arrays, and the drawing
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class EstimateJob:
    """Recipe, images and outputs of an estimation."""

    recipe: EstimateRecipe
    input: str
    output: Path
    """A .npz file, or a folder."""
    recursive: bool = False
    existing: Existing = "refuse"
    into_folder: bool = False
    """Treat `output` as a folder, even if its name looks like a file's and it does not exist yet."""
    with_preview: bool = True
    preview: Path | None = None
    """Path of a single image's preview; None: beside the map."""


@dataclass(frozen=True)
class KernelRecord:
    """Record of an image."""

    input: str
    output: str
    status: Status
    error: str | None = None
    preview: str | None = None
    width: int | None = None
    height: int | None = None
    scale: int | None = None
    mean_kernel: Blur | None = None
    confidence: float | None = None
    """Mean confidence over the image."""
    reblur_psnr: float | None = None
    """PSNR in dB of the re-blurred image; None also if the two are equal (`reblur_is_exact`)."""
    reblur_is_exact: bool | None = None
    rounds: int | None = None
    changes: tuple[Round, ...] = ()
    """Change in each round of refinement."""
    depth: str | None = None
    """Name of the depth provider."""
    models: tuple[str, ...] = ()
    dtype: str | None = None
    device: str | None = None
    seconds: float | None = None
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Item(FileItem):
    preview: Path | None = None

    @property
    def outputs(self) -> tuple[Path, ...]:
        return (self.target,) if self.preview is None else (self.target, self.preview)

    @property
    def bytes(self) -> int:
        return 0 if self.info is None else _BYTES_PER_PIXEL * self.info.width * self.info.height


def default_output(source: str) -> Path:
    """Default output: beside the input, `photo.npz` for `photo.png`, `in-kernels/` for `in/`.

    Raises:
        UsageError: the input is a glob, for which there is no default.
    """
    path = Path(source)
    if os.path.isdir(path):  # noqa: PTH112
        above = path.parent if path.name not in ("", "..") else path.resolve().parent
        return above / f"{folder_name(path)}-kernels"
    if glob.has_magic(source) and not os.path.exists(path):  # noqa: PTH110
        raise UsageError(
            f"The input {shown(source)} is a glob, which has no output of its own; add OUTPUT, a folder."
        )
    return path.with_suffix(EXTENSION)


def run(job: EstimateJob, progress: Progress | None = None) -> Iterator[KernelRecord]:
    """Estimate; yield a record for each image in order, as it is finished.

    Errors that can be found before any work are raised by the call, not during iteration. An image that fails gives a
    record with the error, and the others are still processed; if the output's disk is full or not writable, the
    remaining images fail without an attempt.

    Raises:
        UsageError: paths, a scale, a device or a depth provider are invalid; an output exists.
        ResourceError: weights are missing or damaged.
        SrkitError: there are no images, or the output folder is not writable.
    """
    progress = progress or Silent()
    items = _gather(job, progress)
    todo = left_to_do(items, job.existing)
    _check_previews(job, todo)
    estimator = KernelEstimator(job.recipe, progress)
    make_folder(job.output, todo)
    return _Estimating(job, estimator).run(items, todo, progress)


@dataclass(frozen=True)
class _Done:
    tag: _Item
    image: DecodedImage | None = None
    estimate: Estimate | None = None
    error: Exception | None = None


class _Estimating(Batch[_Item, _Done, Estimate, KernelRecord]):
    label, failure = "estimating kernels", "The kernels could not be estimated"
    too_large = "The kernels of {} do not fit into memory; cut the image or free some."

    def __init__(self, job: EstimateJob, estimator: KernelEstimator) -> None:
        self.job, self.estimator = job, estimator

    def amount(self, items: Sequence[_Item]) -> float:
        return self.estimator.work * super().amount(items)

    def advance(self, item: _Item, progress: Progress) -> None:
        """Do nothing: the estimator reports progress within the image."""

    def read(self, item: _Item) -> Work[_Item]:
        return Work(item, read_image(item.source, max_pixels=self.job.recipe.max_pixels))

    def compute(self, works: Iterator[Work[_Item] | None]) -> Iterator[_Done]:
        for work in works:
            if work is None:
                continue
            image, item = work.image, work.tag
            if image is None:
                yield _Done(item, error=work.error)
                continue
            try:
                yield _Done(item, image, self.estimator.estimate(image, item.source.name))
            except Exception as error:  # one image's failure must not end the others
                yield _Done(item, error=error)

    def write(self, done: _Done) -> Estimate:
        """Write the kernel map and its preview."""
        item, image, estimate = done.tag, done.image, done.estimate
        if image is None or estimate is None:
            raise SrkitError("The image was not read.")
        make_parent(item.target)
        if item.preview is None:
            write_kernel_map(estimate.kernels, item.target)
            return estimate
        page = draw_preview(
            image.colour,
            estimate.kernels,
            title=item.source.name,
            subtitle=_subtitle(estimate, self.estimator),
            facts=_facts(estimate),
            grid=self.job.recipe.grid,
        )
        make_parent(item.preview)
        # Nested, so that a failure of either leaves neither file.
        with atomic_path(item.preview) as path:
            write_image(DecodedImage(np.ascontiguousarray(page)), path, format="png", compression=6)
            write_kernel_map(estimate.kernels, item.target)
        return estimate

    def record(
        self, item: _Item, status: Status, error: str | None, outcome: Outcome[_Done, Estimate] | None
    ) -> KernelRecord:
        if outcome is None or outcome.written is None:
            return KernelRecord(str(item.source), str(item.target), status, error)
        return _record(item, outcome.written, self.estimator, outcome.seconds)


def _subtitle(estimate: Estimate, estimator: KernelEstimator) -> str:
    kernels = estimate.kernels
    depth = "no depth" if not kernels.depth.any() else f"depth: {estimator.depth.name}"
    count = len(estimate.rounds)
    rounds = f"{count} round{'' if count == 1 else 's'} of refinement"
    return f"{kernels.width} x {kernels.height} pixels, x{kernels.scale} · {depth} · {rounds}"


def _facts(estimate: Estimate) -> list[Fact]:
    psnr = "exact" if math.isinf(estimate.reblur_psnr) else f"{estimate.reblur_psnr:.1f} dB"
    return [
        Fact("mean width", f"{estimate.blur.width:.2f} px"),
        Fact("spread", f"{estimate.blur.spread:.2f} px"),
        Fact("re-blur PSNR", psnr),
        Fact("confidence", f"{_mean_confidence(estimate):.2f}"),
    ]


def _mean_confidence(estimate: Estimate) -> float:
    return float(estimate.kernels.confidence.mean(dtype=np.float64))


def _record(item: _Item, estimate: Estimate, estimator: KernelEstimator, seconds: float) -> KernelRecord:
    exact = math.isinf(estimate.reblur_psnr)
    return KernelRecord(
        input=str(item.source),
        output=str(item.target),
        status="done",
        preview=None if item.preview is None else str(item.preview),
        width=estimate.kernels.width,
        height=estimate.kernels.height,
        scale=estimate.kernels.scale,
        mean_kernel=estimate.blur,
        confidence=round(_mean_confidence(estimate), 4),
        reblur_psnr=None if exact else round(estimate.reblur_psnr, 4),
        reblur_is_exact=exact,
        rounds=len(estimate.rounds),
        changes=estimate.rounds,
        depth=estimator.depth.name,
        models=(estimator.model.name, estimator.restorer.name),
        dtype=str(estimator.dtype).removeprefix("torch."),
        device=str(estimator.device),
        seconds=round(seconds, 4),
        warnings=estimate.warnings,
    )


# -- where things are -------------------------------------------------------------------------------------------


def _gather(job: EstimateJob, progress: Progress) -> list[_Item]:
    """Images of a job with their outputs, from their headers alone."""
    found, single = find_sources(job.input, recursive=job.recursive, progress=progress)
    to_file = single and is_file_name(job.output, into_folder=job.into_folder)
    if to_file and job.output.suffix.lower() != EXTENSION:
        raise UsageError(f"The output {shown(job.output)} is a kernel map; end its name in {EXTENSION}.")
    if not single:
        check_folders(job.input, job.output)
        if job.preview is not None:
            raise UsageError(
                f"`preview` names one file, and the input {shown(job.input)} is no single image; leave it out, and "
                "each preview lies beside its map."
            )
    items = [_item(job, one, to_file=to_file) for one in found]
    items = [_with_preview(job, item) for item in with_distinct_targets(items)]
    refuse_inputs_as_outputs(items)
    refuse_inputs_as_outputs([Place(item.source, item.preview) for item in items if item.preview is not None])
    return items


def _item(job: EstimateJob, found: Found, *, to_file: bool) -> _Item:
    target = job.output if to_file else job.output / found.relative.with_suffix(EXTENSION)
    try:
        info = probe(found.path, max_pixels=job.recipe.max_pixels)
    except ImageError as error:
        _log.debug("%s failed", shown(found.path), exc_info=True)
        return _Item(found.path, target, None, error=str(error))
    longest = target.stem + PREVIEW_EXTENSION
    return _Item(found.path, target, info, error=name_error(target, longest, "rename the input"))


def _with_preview(job: EstimateJob, item: _Item) -> _Item:
    """The item with its preview's path."""
    if not job.with_preview:
        return item
    beside = item.target.with_name(item.target.stem + PREVIEW_EXTENSION)
    return replace(item, preview=job.preview or beside)


def _check_previews(job: EstimateJob, todo: list[_Item]) -> None:
    """Refuse previews that would overwrite files without permission, or whose folder does not exist."""
    preview = job.preview
    if preview is not None:
        if not job.with_preview:
            raise UsageError("`preview` and `no_preview` exclude each other; give one.")
        if preview.suffix.lower() != ".png":
            raise UsageError(f"The preview {shown(preview)} is a PNG image; end its name in .png.")
        if not preview.parent.is_dir():
            raise UsageError(
                f"The preview {shown(preview)} has no folder to lie in; create its folder first."
            )
    if job.existing == "refuse":
        there = [
            item.preview
            for item in todo
            if item.error is None and item.preview is not None and os.path.lexists(item.preview)
        ]
        if there:
            raise exists_already(there[0], len(there) - 1)
