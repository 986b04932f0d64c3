"""Images of an upscaling job, with the size, format and path of each result."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from srkit.errors import ImageError, UsageError
from srkit.inference.chain import Models
from srkit.inference.upscaler import Upscaler
from srkit.io.folders import Found
from srkit.io.formats import FORMATS, auto_format, format_of_name
from srkit.io.names import shown
from srkit.io.read import Encoded, probe
from srkit.progress import Progress
from srkit.tasks.places import (
    asked_format,
    check_folders,
    find_sources,
    is_file_name,
    name_error,
    refuse_inputs_as_outputs,
    with_distinct_targets,
)
from srkit.tasks.prompts import prompts_of
from srkit.tasks.upscale.debug_maps import with_maps
from srkit.tasks.upscale.job import RECIPE_EXTENSION, STREAM, Item, UpscaleJob
from srkit.tasks.upscale.kernel_maps import KernelMaps

_log = logging.getLogger(__name__)


def gather(
    job: UpscaleJob, upscaler: Upscaler, maps: KernelMaps | None, progress: Progress | None = None
) -> list[Item]:
    """Images of a job with their outputs, formats, sizes, prompts and maps, from their headers alone.

    Args:
        progress: is warned of images with unreadable formats.

    Raises:
        UsageError: paths are invalid: the input does not exist, the output is or lies inside the input, or is one
            file for several images; a single image cannot be brought to the size, or its kernel map does not
            fit.
        SrkitError: there are no images.
    """
    everything, single = _find(job, progress)
    found = [one for one in everything if job.shard is None or job.shard.holds(one.relative)]
    to_file = single and _is_file(job)
    _check_places(job, single=single)
    if maps is not None and not maps.is_folder and not single:
        raise UsageError(
            f"The kernel map {shown(maps.path)} is one image's, and the input {shown(job.input)} is no single file; "
            "give the folder of its images' maps."
        )
    prompts = _prompts(job, found, everything, progress)
    items = [item_of(job, f, upscaler.models, maps, single=single, to_file=to_file) for f in found]
    items = [replace(item, prompt=prompts.get(item.source, "")) for item in items]
    items = with_distinct_targets(items, job.suffix)
    refuse_inputs_as_outputs(items, ignore=STREAM)
    return with_maps(job, items, upscaler)


def _prompts(
    job: UpscaleJob, found: Sequence[Found], everything: Sequence[Found], progress: Progress | None
) -> dict[Path, str]:
    if job.prompts is not None and job.data is not None:
        raise UsageError(
            f"`prompts` is {shown(job.prompts)}, and an image from standard input has no name to find its prompt by; "
            "give `prompt`."
        )
    mine, among = ([one.path for one in images] for images in (found, everything))
    return prompts_of(mine, job.recipe.prompt, job.prompts, progress, among=among)


def _find(job: UpscaleJob, progress: Progress | None) -> tuple[list[Found], bool]:
    """Images of all shards; and True if the input names a single image itself."""
    if job.data is not None:
        return [Found(STREAM, STREAM)], True
    instead = "read it through standard input, with - as INPUT"
    found, single = find_sources(job.input, recursive=job.recursive, instead=instead, progress=progress)
    if job.sink is not None and not single:
        raise UsageError(f"The input {shown(job.input)} is not a file; only one image can go to stdout.")
    if job.shard is not None and single:
        raise UsageError(f"The input {shown(job.input)} is one file, which has no shards; give a folder.")
    return found, single


def _is_file(job: UpscaleJob) -> bool:
    """True if the output of a single image denotes a file."""
    return job.sink is not None or is_file_name(job.output, into_folder=job.into_folder)


def _check_places(job: UpscaleJob, *, single: bool) -> None:
    if job.sink is not None and job.save_recipe:
        raise UsageError(
            "`save_recipe` writes beside the output, which stdout has no place for; leave it out."
        )
    if job.data is not None and not _is_file(job):
        raise UsageError(
            f"An image from standard input has no name, and the output {shown(job.output)} is no file name; "
            "give a file such as out.png."
        )
    if single:
        if job.suffix and _is_file(job):
            raise UsageError(
                f"`suffix` is '{job.suffix}', but the output {shown(job.output)} is a file; give its whole name, "
                "or a folder."
            )
        return
    check_folders(job.input, job.output)


def item_of(
    job: UpscaleJob,
    found: Found,
    models: Models,
    maps: KernelMaps | None,
    *,
    single: bool = False,
    to_file: bool = False,
    data: Encoded | None = None,
) -> Item:
    """Item of one image, from its header; problems are stored in its `error`.

    Args:
        single: the input names this image itself, so that an impossible size is the job's error.
        to_file: the output is the item's file.
        data: the encoded image, if it is not in a file.

    Raises:
        UsageError: problems of a single image.
    """
    recipe = job.recipe
    guess = job.output if to_file else job.output / found.relative
    kernel_map: Path | None = None
    try:
        source = data or (found.path if job.data is None else job.data)
        info = probe(source, max_pixels=recipe.max_pixels)
        width, height = recipe.target.size(info.width, info.height, models.own_scale)
        if maps is not None:
            kernel_map = maps.checked(found, info, max(width / info.width, height / info.height))
    except (ImageError, UsageError) as error:
        if single and isinstance(error, UsageError):
            raise
        _log.debug("%s failed", shown(found.path), exc_info=True)
        return Item(found.path, guess, None, "png", error=str(error))
    format = _format_of(job, to_file) or auto_format(
        info.format, width=width, height=height, depth=info.depth, has_alpha=info.has_alpha
    )
    target = job.output if to_file else _target(job, found, format)
    return Item(found.path, target, info, format, width, height, kernel_map, error=_name_error(job, target))


def _format_of(job: UpscaleJob, to_file: bool) -> str | None:
    """Requested format: by --format, or by the extension of an output file; None: auto."""
    asked = None if job.recipe.format == "auto" else job.recipe.format
    if not to_file or job.sink is not None:
        return asked
    if asked is None:
        return asked_format(job.output)
    named = format_of_name(job.output)
    if named not in (None, asked):
        raise UsageError(
            f"`format` is {asked}, but the output {shown(job.output)} is named like {named}; make them agree."
        )
    return asked


def _target(job: UpscaleJob, found: Found, format: str) -> Path:
    old = found.relative
    extension = old.suffix if format_of_name(old) == format else FORMATS[format].extension
    return job.output / old.with_name(old.stem + job.suffix + extension)


def _name_error(job: UpscaleJob, target: Path) -> str | None:
    longest = target.name + (RECIPE_EXTENSION if job.save_recipe else "")
    return name_error(target, longest, "rename the input or choose a shorter `suffix`")
