"""Set-up of an upscaling job: its networks and images, and checks before any work."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass

from srkit.encoders.depth import AUTO
from srkit.engine.device import pick_device
from srkit.errors import UsageError
from srkit.inference.chain import Models
from srkit.inference.diagnosis import look_for
from srkit.inference.kernel_extras import completion
from srkit.inference.upscaler import Upscaler
from srkit.progress import Progress
from srkit.tasks.places import Existing, exists_already, left_to_do, make_folder
from srkit.tasks.prompts import prompted_models, warn_of_prompts
from srkit.tasks.upscale.items import gather
from srkit.tasks.upscale.job import Item, UpscaleJob
from srkit.tasks.upscale.kernel_maps import KernelMaps


@dataclass(frozen=True)
class Prepared:
    """A job that is ready to run."""

    upscaler: Upscaler
    items: list[Item]
    todo: list[Item]
    """The `items` that are to be computed, or reported as failed: all except those that are done already."""


def prepared(job: UpscaleJob, progress: Progress, *, dry: bool = False) -> Prepared:
    """Set a job up, with all checks that are possible before any work.

    Args:
        progress: is warned of truncated prompts, and of images that are not read.
        dry: load no network, create no folder, and accept existing outputs.

    Raises:
        UsageError: paths, sizes or a device are invalid; an output exists; maps are requested of a model without.
        ResourceError: a model is missing or damaged.
        SrkitError: there are no images, or the output folder is not writable.
    """
    maps = KernelMaps.at(job.kernel_map)
    upscaler = upscaler_for(job, maps, progress)
    items = gather(job, upscaler, maps, progress)
    if dry:
        return Prepared(upscaler, items, _left(job, items, "skip" if job.existing == "skip" else "overwrite"))
    todo = _left(job, items, job.existing)
    warn_of_prompts(upscaler, [item.prompt for item in todo if item.prompt], progress)
    check_existing(todo, job.existing)
    # Now, so that a missing model or an impossible precision ends the job before it begins.
    for name, depth in sorted({(n, i.depth) for i in todo for n in upscaler.models.chain(i.factor)}):
        upscaler.runner(name, depth)
    if job.sink is None:
        make_folder(job.output, todo)
    if job.debug_maps is not None:
        make_folder(job.debug_maps, [place for item in todo for place in item.map_places])
    return Prepared(upscaler, items, todo)


def upscaler_for(job: UpscaleJob, maps: KernelMaps | None, progress: Progress | None = None) -> Upscaler:
    """Upscaler of a job, by the recipe, and by the kernel maps or prompts if there are any.

    Raises:
        As `Upscaler`, `KernelMaps.models` and `prompted_models`.
    """
    recipe, with_parts = job.recipe, job.debug_maps is not None
    if recipe.samples > 1 and job.sink is not None:
        raise UsageError("`samples` writes several files, and stdout takes one; give an output file.")
    if recipe.samples > 1 and with_parts:
        raise UsageError("`samples` and `debug_maps` exclude each other; give one.")
    if maps is not None:
        if recipe.depth != AUTO:
            raise UsageError(
                "`depth` is for kernels to be estimated, and `kernel_map` holds its depth; leave one out."
            )
        return Upscaler(
            recipe,
            maps.models(recipe, progress),
            progress,
            extras=("kernels", "depth"),
            with_parts=with_parts,
        )
    prompted = bool(recipe.prompt) or job.prompts is not None
    if prompted and recipe.tta:
        raise UsageError(
            "`tta` turns the image, and what a prompt says of it, letters say, does not turn with it; give one."
        )
    look = (
        None if prompted or recipe.depth != AUTO else look_for(recipe, pick_device(recipe.device), progress)
    )
    if look is not None:
        return Upscaler(recipe, None, progress, with_parts=with_parts, look=look)
    models = (
        prompted_models(recipe.model, progress, recipe.dials)
        if prompted
        else Models(recipe.model, progress, dials=recipe.dials)
    )
    complete = completion(recipe, models, progress)
    if complete is None and recipe.depth != AUTO:
        raise UsageError(
            f"`depth` is for models that are conditioned on blur, and '{models.name_of(models.own_scale)}' is not; "
            "leave it out."
        )
    return Upscaler(recipe, models, progress, complete=complete, with_parts=with_parts)


def check_existing(items: Sequence[Item], existing: Existing) -> None:
    """Check that maps of items that are to be computed may be written.

    Raises:
        UsageError: maps exist, and are neither replaced nor kept.
    """
    there = [path for item in items for path in item.maps.values() if os.path.lexists(path)]
    if there and existing == "refuse":
        raise exists_already(there[0], len(there) - 1)


def _left(job: UpscaleJob, items: list[Item], existing: Existing) -> list[Item]:
    return items if job.sink is not None else left_to_do(items, existing)
