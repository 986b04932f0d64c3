"""Files of a network's parts and of further samples: `srkit upscale --debug-maps` and `--samples`."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from srkit.errors import UsageError
from srkit.inference.upscaler import Upscaler
from srkit.io.image import DecodedImage
from srkit.io.names import shown
from srkit.io.write import write_image
from srkit.tasks.places import (
    Existing,
    check_folders,
    make_parent,
    name_error,
    refuse_inputs_as_outputs,
)
from srkit.tasks.upscale.job import STREAM, Item, UpscaleJob


def with_maps(job: UpscaleJob, items: Sequence[Item], upscaler: Upscaler) -> list[Item]:
    """Items with the paths of their maps: NAME-PART.png, in subfolders as those of the outputs.

    NAME is the output's name without its extension (with it, if two differ only in it), or the input's if the result
    goes to a stream. Images that no network runs on have no maps.

    Raises:
        UsageError: the folder lies inside the input, or a map is an input or an output itself.
    """
    folder = job.debug_maps
    if job.recipe.samples > 1:  # beside the results
        folder = job.output.parent if any(item.target == job.output for item in items) else job.output
    if folder is None:
        return list(items)
    if os.path.isdir(job.input):  # noqa: PTH112 - Path's own raises for names that are too long
        check_folders(job.input, folder)
    stems = [_stem(job, item) for item in items]
    count = Counter(stem for stem, item in zip(stems, items, strict=True) if item.error is None)
    found = []
    for stem, item in zip(stems, items, strict=True):
        parts = upscaler.parts(item.factor) if item.error is None else ()
        if parts:
            base = folder / (stem if count[stem] == 1 else stem.with_name(item.target.name))
            maps = {part: base.with_name(f"{base.name}-{part}.png") for part in parts}
            longest = max((path.name for path in maps.values()), key=len)
            item = replace(item, maps=maps, error=name_error(base, longest, "choose a shorter `suffix`"))
        found.append(item)
    _check(found)
    return found


def write_maps(item: Item, maps: Mapping[str, DecodedImage], existing: Existing) -> tuple[str, ...]:
    """Write the maps of an image, except existing ones that are kept; return the paths of all maps.

    Raises:
        SrkitError: a map cannot be written.
    """
    for part, image in maps.items():
        path = item.maps[part]
        if existing != "skip" or not os.path.lexists(path):
            make_parent(path)
            write_image(image, path, format="png")
    return tuple(str(item.maps[part]) for part in maps)


def _stem(job: UpscaleJob, item: Item) -> Path:
    """Path of an item's maps up to -PART.png, relative to their folder."""
    if job.sink is not None:
        return Path("stdin" if item.source == STREAM else item.source.stem)
    if item.target == job.output:
        return Path(item.target.stem)
    return item.target.relative_to(job.output).with_suffix("")


def _check(items: Sequence[Item]) -> None:
    places = [place for item in items for place in item.map_places]
    refuse_inputs_as_outputs([*items, *places], ignore=STREAM)
    taken = {os.path.realpath(item.target) for item in items if item.error is None}
    for place in places:
        real = os.path.realpath(place.target)
        if real in taken:
            raise UsageError(
                f"The map {shown(place.target)} would have the place of an output or of another map; give another "
                "folder, or rename the input."
            )
        taken.add(real)
