"""What an upscaling job is made of: which pictures, in what size and format, and where each result goes."""

from __future__ import annotations

import logging
import os
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from srkit.errors import PictureError, SrkitError, UsageError
from srkit.io.folders import Found, find_pictures
from srkit.io.formats import FORMATS, auto_format, format_of_name
from srkit.io.names import shown
from srkit.io.picture import PictureInfo
from srkit.io.read import probe
from srkit.recipes.upscale import UpscaleRecipe
from srkit.tasks.upscaler import Models

STREAM = Path("-")
"""How standard input and output are called in paths and records."""
RECIPE_EXTENSION = ".srkit.json"

_log = logging.getLogger(__name__)
_LONGEST_NAME = 255  # bytes; so it is on every common file system


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
    into_folder: bool = False
    """`output` is a folder, even if its name looks like a file's and it is not there yet."""
    data: bytes | None = None
    """The encoded picture to upscale, instead of what `input` names (standard input)."""
    sink: Callable[[bytes], None] | None = None
    """Takes the encoded result, instead of a file (standard output)."""


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
    """Why it cannot be done, known from the header or the name."""

    @property
    def factor(self) -> float:
        """Output pixels for an input pixel, along the side that grows more; 0 where it cannot be done."""
        if self.info is None or self.error is not None:
            return 0.0
        return max(self.width / self.info.width, self.height / self.info.height)

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


def gather(job: UpscaleJob, models: Models) -> list[Item]:
    """The pictures of a job with their outputs, formats and sizes, from their headers alone.

    Raises:
        UsageError: paths that make no sense: nothing there, an output that is or lies in the input, one file
            for several pictures; a size that a single picture cannot be brought to.
        SrkitError: no pictures.
    """
    found, single = _find(job)
    to_file = single and _is_file(job)
    _check_places(job, single=single)
    items = [_item(job, f, models, single=single, to_file=to_file) for f in found]
    items = _with_distinct_targets(items, job.suffix)
    _refuse_inputs_as_outputs(items)
    return items


def pending(job: UpscaleJob, items: list[Item]) -> list[Item]:
    """The items that are to be computed, or reported as failed: all but those that are done already.

    Raises:
        UsageError: outputs that exist, where the job neither replaces nor skips them.
    """
    if job.sink is not None:
        return items
    # A picture that cannot be read has no output, and stays a failure however often the job is repeated.
    existing = [item for item in items if item.error is None and os.path.lexists(item.target)]
    if existing and job.existing == "refuse":
        more = f" and {len(existing) - 1} more" if len(existing) > 1 else ""
        raise UsageError(
            f"The output {shown(existing[0].target)}{more} exists already; "
            "use --overwrite to replace, --skip-existing to keep, or another output."
        )
    if job.existing == "skip":
        kept = {item.target for item in existing}
        return [item for item in items if item.error is not None or item.target not in kept]
    return items


def prepare_output(job: UpscaleJob, items: list[Item]) -> None:
    """Make the output folder, so that one that cannot be had is refused before any work.

    Raises:
        UsageError: a file stands where a folder is needed.
        SrkitError: the folder cannot be made, or may not be written to.
    """
    targets = [item.target for item in items if item.error is None]
    if job.sink is not None or not targets:
        return
    folder = job.output.parent if targets[0] == job.output else job.output
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError) as error:
        raise UsageError(
            f"The output needs a folder {shown(folder)}, but a file is in its way; choose another output."
        ) from error
    except OSError as error:
        raise no_folder(folder, error) from error
    # Where some can be written to, the others are failures of their pictures.
    if not any(os.access(place, os.W_OK | os.X_OK) for place in _places(targets)):
        raise SrkitError(
            f"The folder {shown(folder)} cannot be written to; choose an output folder that you may write to."
        )


def no_folder(folder: Path, error: OSError) -> SrkitError:
    """The error for an output folder that the file system did not let us make."""
    return SrkitError(f"The folder {shown(folder)} cannot be made ({error.strerror}); choose another output.")


def _places(targets: list[Path]) -> set[Path]:
    return {nearest_existing(parent) for parent in {target.parent for target in targets}}


def nearest_existing(path: Path) -> Path:
    """The path, or the nearest above it that is there."""
    path = Path(os.path.abspath(path))  # noqa: PTH100 - Path's own follows links, and raises for loops
    while not os.path.exists(path) and path != path.parent:  # noqa: PTH110
        path = path.parent
    return path


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


# os.path below instead of Path's methods: those raise for names that are too long and for loops of links.


def _find(job: UpscaleJob) -> tuple[list[Found], bool]:
    """The pictures, and whether the input names one picture itself."""
    if job.data is not None:
        return [Found(STREAM, STREAM)], True
    single = os.path.isfile(job.input)  # noqa: PTH113
    if not single and os.path.exists(job.input) and not os.path.isdir(job.input):  # noqa: PTH110, PTH112
        raise UsageError(
            f"The input {shown(job.input)} is a device or pipe; read it through standard input, with - as INPUT."
        )
    if job.sink is not None and not single:
        raise UsageError(f"The input {shown(job.input)} is not a file; only one picture can go to stdout.")
    return find_pictures(job.input, recursive=job.recursive), single


def _is_file(job: UpscaleJob) -> bool:
    """Whether the output of a single picture is meant as a file."""
    if job.sink is not None:
        return True
    is_folder = job.into_folder or os.path.isdir(job.output)  # noqa: PTH112
    return not is_folder and job.output.suffix != ""


def _check_places(job: UpscaleJob, *, single: bool) -> None:
    if job.sink is not None and job.save_recipe:
        raise UsageError(
            "--save-recipe writes beside the output, which stdout has no place for; leave it out."
        )
    if job.data is not None and not _is_file(job):
        raise UsageError(
            f"A picture from standard input has no name, and the output {shown(job.output)} is no file name; "
            "give a file such as out.png."
        )
    if single:
        if job.suffix and _is_file(job):
            raise UsageError(
                f"--suffix is '{job.suffix}', but the output {shown(job.output)} is a file; give its whole name, "
                "or a folder."
            )
        return
    if os.path.exists(job.output) and not os.path.isdir(job.output):  # noqa: PTH110, PTH112
        raise UsageError(
            f"The input {shown(job.input)} is no single file, but the output {shown(job.output)} is one; "
            "give a folder."
        )
    if os.path.isdir(job.input):  # noqa: PTH112
        folder, output = os.path.realpath(job.input), os.path.realpath(job.output)
        if output == folder or folder in map(str, Path(output).parents):
            raise UsageError(
                f"The output {shown(job.output)} lies inside the input {shown(job.input)}; "
                "give a folder outside of it."
            )


def _item(job: UpscaleJob, found: Found, models: Models, *, single: bool, to_file: bool) -> Item:
    recipe = job.recipe
    guess = job.output if to_file else job.output / found.relative
    try:
        source = found.path if job.data is None else job.data
        info = probe(source, max_pixels=recipe.max_pixels)
        width, height = recipe.target.size(info.width, info.height, models.own_scale)
    except (PictureError, UsageError) as error:
        if single and isinstance(error, UsageError):
            raise
        _log.debug("%s failed", shown(found.path), exc_info=True)
        return Item(found.path, guess, "png", None, error=str(error))
    format = _format_of(job, to_file) or auto_format(
        info.format, width=width, height=height, depth=info.depth, has_alpha=info.has_alpha
    )
    target = job.output if to_file else _target(job, found, format)
    return Item(found.path, target, format, info, width, height, _name_error(job, target))


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
            f"--format is {asked}, but the output {shown(job.output)} is named like {named}; make them agree."
        )
    return asked


def _target(job: UpscaleJob, found: Found, format: str) -> Path:
    old = found.relative
    extension = old.suffix if format_of_name(old) == format else FORMATS[format].extension
    return job.output / old.with_name(old.stem + job.suffix + extension)


def _name_error(job: UpscaleJob, target: Path) -> str | None:
    longest = target.name + (RECIPE_EXTENSION if job.save_recipe else "")
    length = len(os.fsencode(longest))
    if length <= _LONGEST_NAME:
        return None
    return (
        f"The output {shown(target)} would have a name of {length} bytes, where {_LONGEST_NAME} are possible; "
        "rename the input or choose a shorter --suffix."
    )


def _with_distinct_targets(items: list[Item], suffix: str) -> list[Item]:
    """Inputs that would share an output (a.jpg and a.tif as PNG) keep their whole name in it (a.jpg.png)."""
    count = Counter(item.target for item in items if item.error is None)
    taken = {target for target, n in count.items() if n == 1}
    distinct = []
    for item in items:
        if item.error is None and count[item.target] > 1:
            name, extension = item.source.name + suffix, item.target.suffix
            while item.target.with_name(name + extension) in taken:
                name += "_"
            item = replace(item, target=item.target.with_name(name + extension))
            taken.add(item.target)
        distinct.append(item)
    return distinct


def _refuse_inputs_as_outputs(items: list[Item]) -> None:
    inputs = {os.path.realpath(item.source) for item in items}
    for item in items:
        # A link at the output's own place is replaced, not followed.
        real = os.path.join(os.path.realpath(item.target.parent), item.target.name)  # noqa: PTH118
        if item.error is None and item.target != STREAM and real in inputs:
            raise UsageError(
                f"The output {shown(item.target)} is an input itself; give another file, folder or --suffix."
            )
