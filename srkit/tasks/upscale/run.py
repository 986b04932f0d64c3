"""Upscaling of a file, a folder, a glob, or a stream."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from typing import Any

import torch

import srkit
from srkit.conditioning.makers import Extras
from srkit.errors import SrkitError
from srkit.inference.diagnosis import Diagnosis
from srkit.inference.kernel_extras import with_map
from srkit.inference.upscaler import Upscaler
from srkit.inference.work import Done, Pass, Work
from srkit.io.atomic import atomic_path
from srkit.io.image import DecodedImage
from srkit.io.kernel_map import read_kernel_map
from srkit.io.read import Readable, read_image
from srkit.io.write import encode_image, write_image
from srkit.io.xmp import Provenance
from srkit.progress import Progress, Silent
from srkit.recipes.load import to_mapping
from srkit.tasks.batch import Batch, Outcome, Status
from srkit.tasks.places import make_parent
from srkit.tasks.upscale.debug_maps import write_maps
from srkit.tasks.upscale.job import RECIPE_EXTENSION, Item, UpscaleJob
from srkit.tasks.upscale.prepare import prepared
from srkit.zoo.files import sha256_of

__all__ = ["FileRecord", "UpscaleJob", "run"]


@dataclass(frozen=True)
class FileRecord:
    """Record of an image."""

    input: str
    output: str
    status: Status
    error: str | None = None
    width: int | None = None
    height: int | None = None
    scale: float | None = None
    models: tuple[str, ...] = ()
    tile: int | None = None
    overlap: int | None = None
    dtype: str | None = None
    device: str | None = None
    seconds: float | None = None
    warnings: tuple[str, ...] = ()
    maps: tuple[str, ...] = ()
    """Paths of the network's parts or of further samples, if requested."""
    prompt: str | None = None
    """Text that the network was conditioned on, if a prompt was given."""
    strength: float | None = None
    denoise: float | None = None
    """Values of the dials `strength` and `denoise`; None: not set."""
    diagnosis: Diagnosis | None = None
    """Diagnosis of the image and the chosen model; None if the model was named."""


def run(job: UpscaleJob, progress: Progress | None = None) -> Iterator[FileRecord]:
    """Upscale; yield a record for each image in order, as it is finished.

    Errors that can be found before any work are raised by the call, not during iteration. An image that fails gives
    a record with the error, and the others are still processed; if the output's disk is full or not writable, the
    remaining images fail without an attempt.

    Raises:
        As `srkit.tasks.upscale.prepare.prepared`.
    """
    progress = progress or Silent()
    ready = prepared(job, progress)
    return Upscaling(job, ready.upscaler).run(ready.items, ready.todo, progress)


@dataclass(frozen=True)
class Written:
    """Result of writing an image."""

    warnings: tuple[str, ...] = ()
    encoded: bytes | None = None
    maps: tuple[str, ...] = ()


class Upscaling(Batch[Item, Done[Item], Written, FileRecord]):
    """Loop over a job's images."""

    label, failure = "upscaling", "The image could not be upscaled"
    too_large = "The result of {} does not fit into memory; choose a smaller one or free some."

    def __init__(self, job: UpscaleJob, upscaler: Upscaler) -> None:
        self.job, self.upscaler = job, upscaler

    def read(self, item: Item) -> Work[Item]:
        image = read_image(self.source_of(item), max_pixels=self.job.recipe.max_pixels)
        extras = Extras(seed=self.job.recipe.seed, prompt=item.prompt)
        if item.kernel_map is not None:
            extras = with_map(extras, read_kernel_map(item.kernel_map))
        return Work(item, image, item.width, item.height, extras=extras, name=item.source.name)

    def source_of(self, item: Item) -> Readable:
        """Source that the image is read from."""
        return item.source if self.job.data is None else self.job.data

    def compute(self, works: Iterator[Work[Item] | None]) -> Iterator[Done[Item]]:
        return self.upscaler.run(works)

    def write(self, done: Done[Item]) -> Written:
        maps = write_maps(done.tag, done.parts, self.job.existing)
        encoded, warnings = _write(self.job, self.upscaler, done)
        if self.job.debug_maps is not None and not maps:
            warnings = (*warnings, "no network runs at this size, so there are no maps of it")
        return Written((*done.warnings, *warnings), encoded, maps)

    def deliver(self, outcome: Outcome[Done[Item], Written]) -> None:
        written = outcome.written
        if written is not None and written.encoded is not None and self.job.sink is not None:
            self.job.sink(written.encoded)

    def record(
        self, item: Item, status: Status, error: str | None, outcome: Outcome[Done[Item], Written] | None
    ) -> FileRecord:
        record = FileRecord(str(item.source), str(item.target), status, error, prompt=item.prompt or None)
        if outcome is None:
            return record
        passes, recipe = outcome.done.passes, self.job.recipe
        record = replace(
            record,
            strength=recipe.strength,
            denoise=recipe.denoise,
            diagnosis=outcome.done.diagnosis,
            models=tuple(p.model for p in passes),
            tile=passes[-1].tile if passes else None,
            overlap=passes[-1].overlap if passes else None,
            dtype=passes[-1].dtype if passes else None,
            device=str(self.upscaler.device),
            seconds=round(outcome.seconds, 4),
        )
        if outcome.written is None:
            return record
        return replace(
            record,
            width=item.width,
            height=item.height,
            scale=item.factor,
            warnings=outcome.written.warnings,
            maps=outcome.written.maps,
        )


def _write(job: UpscaleJob, upscaler: Upscaler, done: Done[Item]) -> tuple[bytes | None, tuple[str, ...]]:
    """Write the result, or encode it for the sink; return the encoded bytes, and warnings."""
    item, recipe, image = done.tag, job.recipe, done.image
    if image is None:
        raise SrkitError("The image was not made.")
    made = None if recipe.strip else _made(done)
    image = image.stripped() if recipe.strip else image
    if job.sink is not None:
        return encode_image(
            image, format=item.format, quality=recipe.quality, compression=recipe.compression, made=made
        )
    make_parent(item.target)
    if not job.save_recipe:
        return None, _write_image(job, item, image, made)
    # Nested, so that a failure of either leaves neither file.
    with atomic_path(item.target.with_name(item.target.name + RECIPE_EXTENSION)) as path:
        path.write_text(json.dumps(_provenance(job, upscaler, done), indent=2) + "\n", encoding="utf-8")
        return None, _write_image(job, item, image, made)


def _write_image(
    job: UpscaleJob, item: Item, image: DecodedImage, made: Provenance | None
) -> tuple[str, ...]:
    quality, compression = job.recipe.quality, job.recipe.compression
    return write_image(
        image, item.target, format=item.format, quality=quality, compression=compression, made=made
    )


def _made(done: Done[Item]) -> Provenance:
    """Provenance of the result, for the written file."""
    return Provenance(srkit.__version__, tuple((p.loaded.name, p.loaded.sha256) for p in done.passes))


def _provenance(job: UpscaleJob, upscaler: Upscaler, done: Done[Item]) -> dict[str, Any]:
    """All values that are needed to reproduce the image."""
    kernel_map = done.tag.kernel_map
    of_kernels = {} if kernel_map is None else {"path": str(kernel_map), "sha256": sha256_of(kernel_map)}
    return {
        "command": list(job.command),
        "input": str(done.tag.source),
        "size": [done.tag.width, done.tag.height],
        "format": done.tag.format,
        "settings": to_mapping(job.recipe),
        "models": [_pass_record(p) for p in done.passes],
        "dtype": done.passes[-1].dtype if done.passes else None,
        "device": str(upscaler.device),
        "threads": torch.get_num_threads(),
        "versions": {"srkit": srkit.__version__, "torch": torch.__version__},
        **({"kernel_map": of_kernels} if of_kernels else {}),
        **({"prompt": done.tag.prompt} if done.tag.prompt else {}),
        **({"diagnosis": asdict(done.diagnosis)} if done.diagnosis is not None else {}),
    }


def _pass_record(run: Pass) -> dict[str, Any]:
    """Record of one network of the chain, with the providers of its conditions, if any."""
    model = run.loaded
    record: dict[str, Any] = {
        "name": run.model,
        "sha256": model.sha256,
        "tile": run.tile,
        "overlap": run.overlap,
    }
    if model.header is not None and model.header.blended:
        record["blended"] = model.header.blended
    providers = model.header.providers if model.header is not None and model.info.conditioning else {}
    return record | {"providers": providers} if providers else record
