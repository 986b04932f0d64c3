"""What an upscaling job is made of: which images, in what size and format, and where each result goes."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from srkit.encoders.depth import AUTO
from srkit.engine.device import pick_device
from srkit.errors import ImageError, UsageError
from srkit.inference.chain import Models
from srkit.inference.diagnosis import look_for
from srkit.inference.kernel_extras import completion
from srkit.inference.upscaler import Upscaler
from srkit.io.folders import Found
from srkit.io.formats import FORMATS, auto_format, format_of_name
from srkit.io.names import shown
from srkit.io.read import Encoded, probe
from srkit.progress import Progress
from srkit.recipes.shard import Shard
from srkit.recipes.upscale import UpscaleRecipe
from srkit.tasks.batch import FileItem
from srkit.tasks.places import (
    Existing,
    check_folders,
    find_sources,
    is_file_name,
    left_to_do,
    make_folder,
    name_error,
    refuse_inputs_as_outputs,
    with_distinct_targets,
)
from srkit.tasks.prompts import prompted_models, prompts_of
from srkit.tasks.upscale.kernel_maps import KernelMaps

STREAM = Path("-")
"""How standard input and output are called in paths and records."""
RECIPE_EXTENSION = ".srkit.json"

_log = logging.getLogger(__name__)
_MAP_BYTES = 3 * (2 + 1)  # of a part of an image: as the network gave it, and as it is written
_KERNEL_BYTES = 4 * (15 + 5)  # of a kernel map in memory, for each pixel


@dataclass(frozen=True)
class UpscaleJob:
    """A recipe, what to apply it to, and where the results go."""

    recipe: UpscaleRecipe
    input: str
    output: Path
    recursive: bool = False
    suffix: str = ""
    existing: Existing = "refuse"
    save_recipe: bool = False
    command: tuple[str, ...] = ()
    """The command line, for the saved recipe."""
    into_folder: bool = False
    """`output` is a folder, even if its name looks like a file's and it is not there yet."""
    data: bytes | None = None
    """The encoded image to upscale, instead of what `input` names (standard input)."""
    sink: Callable[[bytes], None] | None = None
    """Takes the encoded result, instead of a file (standard output)."""
    kernel_map: Path | None = None
    """The image's blur, or a folder with that of each image by name; for networks that are conditioned on it."""
    shard: Shard | None = None
    """Take this part of a folder's images."""
    prompts: Path | None = None
    """What each image shows, in words (`srkit.data.captions.find_captions`), in place of the recipe's `prompt`."""
    debug_maps: Path | None = None
    """Folder for what the network makes each image of, as images of the results' size: NAME-PART.png."""


@dataclass(frozen=True)
class Item(FileItem):
    """An image that is upscaled."""

    format: str
    width: int = 0
    height: int = 0
    kernel_map: Path | None = None
    prompt: str = ""
    maps: Mapping[str, Path] = field(default_factory=dict)
    """Where each part of what the network makes the image of goes."""

    @property
    def factor(self) -> float:
        """Output pixels for an input pixel, along the side that grows more; 0 where it cannot be done."""
        if self.info is None or self.error is not None:
            return 0.0
        return max(self.width / self.info.width, self.height / self.info.height)

    @property
    def depth(self) -> int:
        """Bits per sample; 8 where nothing is known."""
        return 8 if self.info is None else self.info.depth

    @property
    def outputs(self) -> tuple[Path, ...]:
        return (*([] if self.target == STREAM else [self.target]), *self.maps.values())

    @property
    def megapixels(self) -> float:
        return self.width * self.height / 1e6

    @property
    def size(self) -> tuple[int, int]:
        return self.width, self.height

    @property
    def bytes(self) -> int:
        """In memory at once: the input, the result, and a copy of the result on its way out."""
        if self.info is None:
            return 0
        sample, pixels = self.info.depth // 8, self.info.width * self.info.height
        kernels = _KERNEL_BYTES * pixels if self.kernel_map is not None else 0
        result = self.width * self.height
        return (4 * pixels + 7 * result) * sample + kernels + _MAP_BYTES * len(self.maps) * result


def upscaler_for(job: UpscaleJob, progress: Progress | None = None) -> Upscaler:
    """What upscales a job's images: by the recipe, and by the kernel maps or prompts where there are some.

    Raises:
        As `Upscaler`, `KernelMaps` and `prompted_models`.
    """
    recipe, with_parts = job.recipe, job.debug_maps is not None
    if recipe.samples > 1 and job.sink is not None:
        raise UsageError("`samples` writes several files, and stdout takes one; give an output file.")
    if recipe.samples > 1 and with_parts:
        raise UsageError("`samples` and `debug_maps` exclude each other; give one.")
    if job.kernel_map is not None:
        if recipe.depth != AUTO:
            raise UsageError(
                "`depth` is for kernels to be estimated, and `kernel_map` holds its depth; leave one out."
            )
        models = KernelMaps(job.kernel_map).models(recipe, progress)
        return Upscaler(recipe, models, progress, extras=("kernels", "depth"), with_parts=with_parts)
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


def gather(job: UpscaleJob, models: Models, progress: Progress | None = None) -> list[Item]:
    """The images of a job with their outputs, formats and sizes, from their headers alone.

    Args:
        progress: warned of images that cannot be read by their extension.

    Raises:
        UsageError: paths that make no sense: nothing there, an output that is or lies in the input, one file
            for several images; a size that a single image cannot be brought to, or a kernel map that is not
            its own.
        SrkitError: no images.
    """
    everything, single = _find(job, progress)
    found = [one for one in everything if job.shard is None or job.shard.holds(one.relative)]
    to_file = single and _is_file(job)
    _check_places(job, single=single)
    maps = None if job.kernel_map is None else KernelMaps(job.kernel_map)
    if maps is not None and not maps.is_folder and not single:
        raise UsageError(
            f"The kernel map {shown(maps.path)} is one image's, and the input {shown(job.input)} is no single file; "
            "give the folder of its images' maps."
        )
    prompts = _prompts(job, found, everything, progress)
    items = [item_of(job, f, models, maps, single=single, to_file=to_file) for f in found]
    items = [replace(item, prompt=prompts.get(item.source, "")) for item in items]
    items = with_distinct_targets(items, job.suffix)
    refuse_inputs_as_outputs(items, ignore=STREAM)
    return items


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


def pending(job: UpscaleJob, items: list[Item]) -> list[Item]:
    """The items that are to be computed, or reported as failed: all but those that are done already.

    Raises:
        UsageError: outputs that exist, where the job neither replaces nor skips them.
    """
    return items if job.sink is not None else left_to_do(items, job.existing)


def prepare_output(job: UpscaleJob, items: list[Item]) -> None:
    """Make the output folder, so that one that cannot be had is refused before any work.

    Raises:
        UsageError: a file stands where a folder is needed.
        SrkitError: the folder cannot be made, or may not be written to.
    """
    if job.sink is None:
        make_folder(job.output, items)


def asked_format(output: Path) -> str:
    """The format that an output file's extension asks for.

    Raises:
        UsageError: none that can be written.
    """
    format = format_of_name(output)
    if format is None:
        known = ", ".join(form.extension for form in FORMATS.values())
        raise UsageError(
            f"The output {shown(output)} has no extension of a format that is written; end it in one of {known}."
        )
    return format


def _find(job: UpscaleJob, progress: Progress | None) -> tuple[list[Found], bool]:
    """The images of all shards, and whether the input names one image itself."""
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
    """Whether the output of a single image is meant as a file."""
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
    """One image of a job, from its header; what is wrong with it is its `error`.

    Args:
        single: the input names this image itself, so that a size it cannot be brought to is the job's error.
        to_file: the output is its file.
        data: the image, where it lies in no file.

    Raises:
        UsageError: of a single image.
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
    """The format that was asked for: by --format, or by the name of an output file."""
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
