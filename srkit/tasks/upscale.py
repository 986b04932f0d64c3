"""Upscale pictures: a file, a folder, a glob."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import torch

import srkit
from srkit.engine.memory import total_memory
from srkit.engine.pipeline import Pipeline
from srkit.errors import PictureError, SrkitError, UsageError
from srkit.io.atomic import atomic_path, remove_stale
from srkit.io.folders import Found, find_pictures
from srkit.io.formats import FORMATS, auto_format, format_of_name
from srkit.io.names import shown
from srkit.io.picture import Picture, PictureInfo
from srkit.io.read import probe, read_picture
from srkit.io.write import write_picture
from srkit.progress import Progress, Silent
from srkit.recipes.load import to_mapping
from srkit.recipes.upscale import UpscaleRecipe
from srkit.tasks.upscaler import Done, Models, Upscaler, Work

Status = Literal["done", "skipped", "failed"]
EXTENSIONS = {"png": ".png", "jpg": ".jpg", "webp": ".webp", "tiff": ".tif", "avif": ".avif"}
_SAME_FORMAT = {
    ".jpeg": "jpg",
    ".jpe": "jpg",
    ".jfif": "jpg",
    ".tiff": "tiff",
    ".tif": "tiff",
    ".apng": "png",
}


@dataclass(frozen=True)
class UpscaleJob:
    """A recipe, what to apply it to, and where the results go."""

    recipe: UpscaleRecipe
    input: str
    output: Path
    recursive: bool = False
    suffix: str = ""
    existing: Literal["refuse", "overwrite", "skip"] = "refuse"
    save_recipe: bool = False
    command: tuple[str, ...] = ()
    """The command line, for the saved recipe."""


@dataclass(frozen=True)
class FileRecord:
    """What became of one picture."""

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


@dataclass(frozen=True)
class Item:
    """One picture on its way: where from, where to, what its header says."""

    source: Path
    target: Path
    format: str
    info: PictureInfo | None
    width: int = 0
    height: int = 0
    error: str | None = None
    """Why it cannot be done, known from the header."""

    @property
    def megapixels(self) -> float:
        return self.width * self.height / 1e6

    @property
    def bytes(self) -> int:
        """In memory at once: the input, the result, and a copy of the result on its way out."""
        if self.info is None:
            return 0
        sample = self.info.depth // 8
        return (4 * self.info.width * self.info.height + 7 * self.width * self.height) * sample


def run(job: UpscaleJob, progress: Progress | None = None) -> Iterator[FileRecord]:
    """Upscale; a record for each picture as it is finished, in order.

    Everything that can be refused before any work is refused when this is called, not when it is iterated.

    Raises:
        UsageError: paths, sizes or a device that make no sense; an output that exists.
        ResourceError: a model that is missing or damaged.
        SrkitError: no pictures; later, while iterating, a folder or disk that cannot be written to.
    """
    progress = progress or Silent()
    upscaler = Upscaler(job.recipe)
    items = gather(job, upscaler.models)
    todo = _refuse_existing(job, items)
    return _work(job, items, todo, upscaler, progress)


def gather(job: UpscaleJob, models: Models) -> list[Item]:
    """The pictures of a job with their outputs, formats and sizes, from their headers alone."""
    source = Path(job.input)
    found = find_pictures(job.input, recursive=job.recursive)
    single = source.is_file()
    _check_places(job, source, single)
    items = [_item(job, f, single, models) for f in found]
    return _with_distinct_targets(items)


def _check_places(job: UpscaleJob, source: Path, single: bool) -> None:
    output = job.output.resolve()
    if single:
        if output == source.resolve() or (
            job.output.is_dir() and output == source.parent.resolve() and not job.suffix
        ):
            raise UsageError(
                f"The output {shown(job.output)} is the input itself; give another file, folder or --suffix."
            )
        return
    if job.output.is_file():
        raise UsageError(
            f"The input names several pictures, but the output {shown(job.output)} is a file; give a folder."
        )
    folder = source if source.is_dir() else None
    if folder is not None and (output == folder.resolve() or folder.resolve() in output.parents):
        raise UsageError(
            f"The output {shown(job.output)} lies inside the input {shown(folder)}; give a folder outside of it."
        )


def _item(job: UpscaleJob, found: Found, single: bool, models: Models) -> Item:
    recipe = job.recipe
    try:
        info = probe(found.path, max_pixels=recipe.max_pixels)
        width, height = recipe.target.size(info.width, info.height, models.own_scale)
    except (PictureError, UsageError) as error:
        return Item(found.path, _target(job, found, single, "png"), "png", None, error=str(error))
    format = _format_of(job, single) or auto_format(
        info.format, width=width, height=height, depth=info.depth, has_alpha=info.has_alpha
    )
    return Item(found.path, _target(job, found, single, format), format, info, width, height)


def _format_of(job: UpscaleJob, single: bool) -> str | None:
    """The format that was asked for: by --format, or by the name of a single output file."""
    if job.recipe.format != "auto":
        return job.recipe.format
    if not single or job.output.is_dir() or not job.output.suffix:
        return None
    return asked_format(job.output)


def asked_format(output: Path) -> str:
    """The format that an output file's extension asks for.

    Raises:
        UsageError: none that can be written.
    """
    format = format_of_name(output)
    if format is None:
        known = ", ".join(form.extension for form in FORMATS.values())
        raise UsageError(
            f"The output {shown(output)} must be a folder, or a file that ends in one of {known}."
        )
    return format


def _target(job: UpscaleJob, found: Found, single: bool, format: str) -> Path:
    if single and job.output.suffix and not job.output.is_dir():
        return job.output
    old = found.relative
    extension = old.suffix if format_of_name(old) == format else FORMATS[format].extension
    return job.output / old.with_name(old.stem + job.suffix + extension)


def _with_distinct_targets(items: list[Item]) -> list[Item]:
    """Two inputs that would share an output (a.jpg and a.tif as PNG) keep their old extension in the name."""
    count = Counter(item.target for item in items)
    distinct = []
    for item in items:
        if count[item.target] > 1:
            name = f"{item.target.stem}.{item.source.suffix[1:]}{item.target.suffix}"
            item = replace(item, target=item.target.with_name(name))
        distinct.append(item)
    return distinct


def _refuse_existing(job: UpscaleJob, items: list[Item]) -> list[Item]:
    """The items that are to be computed."""
    existing = [item for item in items if _exists(item.target)]
    if existing and job.existing == "refuse":
        more = f" and {len(existing) - 1} more" if len(existing) > 1 else ""
        raise UsageError(
            f"The output {shown(existing[0].target)}{more} exists already; "
            "use --overwrite to replace, --skip-existing to keep, or another output."
        )
    if job.existing == "skip":
        kept = {item.target for item in existing}
        return [item for item in items if item.target not in kept]
    return items


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except OSError:  # a name too long: writing it will say so
        return False


def _work(
    job: UpscaleJob, items: list[Item], todo: list[Item], upscaler: Upscaler, progress: Progress
) -> Iterator[FileRecord]:
    for folder in {item.target.parent for item in todo}:
        remove_stale(folder)
    # Headers that cannot be read, or sizes that cannot be had, are failures without any work.
    runnable = [item for item in todo if item.error is None]
    finished = _pipeline(job, upscaler).run(runnable)
    chosen = {id(item) for item in todo}
    progress.start("upscaling", sum(item.megapixels for item in runnable))
    try:
        last = time.monotonic()
        for item in items:
            if id(item) not in chosen:
                yield FileRecord(str(item.source), str(item.target), "skipped")
            elif item.error is not None:
                yield FileRecord(str(item.source), str(item.target), "failed", item.error)
            else:
                outcome = next(finished)
                now = time.monotonic()
                yield _record(item, outcome, upscaler, now - last)
                last = now
                progress.advance(item.megapixels)
                if outcome.fatal is not None:
                    raise outcome.fatal
    finally:
        finished.close()
        progress.finish()


@dataclass(frozen=True)
class _Outcome:
    done: Done[Item]
    error: str | None
    warnings: tuple[str, ...] = ()
    fatal: SrkitError | None = None
    """The place itself cannot be written to: the next picture would meet the same."""


def _pipeline(job: UpscaleJob, upscaler: Upscaler) -> Pipeline[Item, Work[Item], Done[Item], _Outcome]:
    def decode(item: Item) -> Work[Item]:
        try:
            picture = read_picture(item.source, max_pixels=job.recipe.max_pixels)
        except (SrkitError, MemoryError) as error:
            return Work(item, None, error=error)
        return Work(item, picture, item.width, item.height)

    def encode(done: Done[Item]) -> _Outcome:
        if done.error is not None or done.picture is None:
            return _Outcome(done, _sentence(done.error))
        try:
            warnings = _write(job, upscaler.models, done, done.picture)
        except PictureError as error:
            return _Outcome(done, str(error))
        except SrkitError as error:
            return _Outcome(done, str(error), fatal=error)
        return _Outcome(done, None, (*done.warnings, *warnings))

    limit = min(2 * 2**30, total_memory() // 8)
    return Pipeline(decode, upscaler.run, encode, lambda item: item.bytes, limit)


def _write(job: UpscaleJob, models: Models, done: Done[Item], picture: Picture) -> tuple[str, ...]:
    item = done.tag
    try:
        item.target.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SrkitError(
            f"The folder {shown(item.target.parent)} cannot be made ({error.strerror}); choose another output."
        ) from error
    recipe = job.recipe
    warnings = write_picture(
        picture, item.target, format=item.format, quality=recipe.quality, compression=recipe.compression
    )
    if job.save_recipe:
        with atomic_path(item.target.with_name(item.target.name + ".srkit.json")) as path:
            path.write_text(json.dumps(_provenance(job, models, done), indent=2) + "\n", encoding="utf-8")
    return warnings


def _provenance(job: UpscaleJob, models: Models, done: Done[Item]) -> dict[str, Any]:
    """All that is needed to make the same picture again."""
    return {
        "command": list(job.command),
        "input": str(done.tag.source),
        "size": [done.tag.width, done.tag.height],
        "settings": to_mapping(job.recipe),
        "models": [{"name": name, "sha256": models.sha256_of(name)} for name in done.models],
        "tile": done.tile,
        "overlap": done.overlap,
        "dtype": done.dtype,
        "versions": {"srkit": srkit.__version__, "torch": torch.__version__},
    }


def _sentence(error: Exception | None) -> str:
    if isinstance(error, SrkitError):
        return str(error)
    if isinstance(error, MemoryError):
        return "The picture does not fit into memory; choose a smaller one or free some memory."
    return f"The network failed on this picture: {type(error).__name__}: {error}"


def _record(item: Item, outcome: _Outcome, upscaler: Upscaler, seconds: float) -> FileRecord:
    done = outcome.done
    failed = outcome.error is not None
    info = item.info
    return FileRecord(
        input=str(item.source),
        output=str(item.target),
        status="failed" if failed else "done",
        error=outcome.error,
        width=None if failed else item.width,
        height=None if failed else item.height,
        scale=None if failed or info is None else max(item.width / info.width, item.height / info.height),
        models=done.models,
        tile=done.tile,
        overlap=done.overlap,
        dtype=done.dtype or None,
        device=str(upscaler.device),
        seconds=round(seconds, 4),
        warnings=outcome.warnings,
    )
