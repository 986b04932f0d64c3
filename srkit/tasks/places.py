"""Inputs and outputs of jobs over files, shared by commands."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal, TypeVar

from srkit.errors import ImageError, SrkitError, UsageError
from srkit.io.folders import Found, find_images
from srkit.io.formats import FORMATS, format_of_name
from srkit.io.names import is_file_system_trouble, shown
from srkit.progress import Progress

Existing = Literal["refuse", "overwrite", "skip"]
"""Treatment of existing outputs."""

NOT_TRIED = "Not tried, since the output cannot be written to (see the failure before)."

_LONGEST_NAME = 255  # bytes; the limit of common file systems


@dataclass(frozen=True)
class Place:
    """An image with its source and target."""

    source: Path
    target: Path
    error: str | None = field(default=None, kw_only=True)
    """Reason why it cannot be processed, known from the header or the name; None: none."""


P = TypeVar("P", bound=Place)

# os.path below instead of Path's methods: those raise for names that are too long and for loops of links.


def find_sources(
    source: str,
    *,
    recursive: bool,
    instead: str = "give a file, a folder or a glob",
    progress: Progress | None = None,
) -> tuple[list[Found], bool]:
    """Images that an input names; and True if it names a single image itself.

    Args:
        source: a file, a folder, or a glob.
        recursive: include subfolders.
        instead: suggestion for the message about a device or pipe.
        progress: is warned of images with unreadable formats.

    Raises:
        UsageError: nothing exists there, or it is a device or pipe.
        SrkitError: there are no images.
    """
    single = os.path.isfile(source)  # noqa: PTH113
    if not single and os.path.exists(source) and not os.path.isdir(source):  # noqa: PTH110, PTH112
        raise UsageError(f"The input {shown(source)} is a device or pipe; {instead}.")
    return find_images(source, recursive=recursive, progress=progress), single


def is_file_name(output: Path, *, into_folder: bool) -> bool:
    """True if the output of a single image denotes a file."""
    is_folder = into_folder or os.path.isdir(output)  # noqa: PTH112
    return not is_folder and output.suffix != ""


def asked_format(output: Path) -> str:
    """Format given by an output file's extension.

    Raises:
        UsageError: the extension is of no writable format.
    """
    format = format_of_name(output)
    if format is None:
        known = ", ".join(form.extension for form in FORMATS.values())
        raise UsageError(
            f"The output {shown(output)} has no extension of a format that is written; end it in one of {known}."
        )
    return format


def check_folders(source: str, output: Path) -> None:
    """Check that an output can receive the images of a folder or glob.

    Raises:
        UsageError: it is a file, or lies inside the input.
    """
    if os.path.exists(output) and not os.path.isdir(output):  # noqa: PTH110, PTH112
        raise UsageError(
            f"The input {shown(source)} is no single file, but the output {shown(output)} is one; give a folder."
        )
    if os.path.isdir(source):  # noqa: PTH112
        folder, real = os.path.realpath(source), os.path.realpath(output)
        if real == folder or folder in map(str, Path(real).parents):
            raise UsageError(
                f"The output {shown(output)} lies inside the input {shown(source)}; give a folder outside of it."
            )


def name_error(target: Path, longest: str, advice: str) -> str | None:
    """Reason, as a sentence, why a file name is invalid; `longest` is the longest name derived from it."""
    length = len(os.fsencode(longest))
    if length <= _LONGEST_NAME:
        return None
    return (
        f"The output {shown(target)} would have a name of {length} bytes, where {_LONGEST_NAME} are possible; "
        f"{advice}."
    )


def with_distinct_targets(items: Sequence[P], suffix: str = "") -> list[P]:
    """Items in which inputs that would share an output (a.jpg and a.tif as PNG) keep their extension (a.jpg.png)."""
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


def refuse_inputs_as_outputs(items: Sequence[Place], ignore: Path | None = None) -> None:
    """Refuse a job that would replace its own inputs.

    Raises:
        UsageError: an output is one of the inputs, other than `ignore`.
    """
    inputs = {os.path.realpath(item.source) for item in items}
    for item in items:
        # A link at the output's own path is replaced, not followed.
        real = os.path.join(os.path.realpath(item.target.parent), item.target.name)  # noqa: PTH118
        if item.error is None and item.target != ignore and real in inputs:
            raise UsageError(
                f"The output {shown(item.target)} is an input itself; give another file, folder or name."
            )


def left_to_do(items: list[P], existing: Existing) -> list[P]:
    """Items that are to be computed, or reported as failed: all except those that are done already.

    Raises:
        UsageError: outputs exist, and are neither replaced nor skipped.
    """
    # An image that cannot be read has no output, and fails in every repetition of the job.
    there = [item for item in items if item.error is None and os.path.lexists(item.target)]
    if there and existing == "refuse":
        raise exists_already(there[0].target, len(there) - 1)
    if existing == "skip":
        kept = {item.target for item in there}
        return [item for item in items if item.error is not None or item.target not in kept]
    return items


def exists_already(path: Path, others: int = 0) -> UsageError:
    """Error for an output that exists."""
    more = f" and {others} more" if others else ""
    return UsageError(
        f"The output {shown(path)}{more} exists already; "
        "use `overwrite` to replace, `skip_existing` to keep, or another output."
    )


def make_folder(output: Path, items: Sequence[Place]) -> None:
    """Create the output folder, so that failures are found before any work.

    Args:
        output: the folder, or the file of a single image.
        items: items with their targets.

    Raises:
        UsageError: a file exists at the path of a folder.
        SrkitError: the folder cannot be created, or is not writable.
    """
    targets = [item.target for item in items if item.error is None]
    if not targets:
        return
    folder = output.parent if targets[0] == output else output
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError) as error:
        raise UsageError(
            f"The output needs a folder {shown(folder)}, but a file is in its way; choose another output."
        ) from error
    except OSError as error:
        raise no_folder(folder, error) from error
    # If some folders are writable, the others are failures of their images.
    places = {nearest_existing(parent) for parent in {target.parent for target in targets}}
    if not any(os.access(place, os.W_OK | os.X_OK) for place in places):
        raise SrkitError(
            f"The folder {shown(folder)} cannot be written to; choose an output folder that you may write to."
        )


def make_parent(target: Path) -> None:
    """Create the folder of one output, which may lie below the job's folder.

    Raises:
        SrkitError: the folder cannot be created.
    """
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise no_folder(target.parent, error) from error


def no_folder(folder: Path, error: OSError) -> SrkitError:
    """Error for an output folder that could not be created."""
    return SrkitError(f"The folder {shown(folder)} cannot be made ({error.strerror}); choose another output.")


def nearest_existing(path: Path) -> Path:
    """The path, or its nearest existing parent."""
    path = Path(os.path.abspath(path))  # noqa: PTH100 - Path's own follows links, and raises for loops
    while not os.path.exists(path) and path != path.parent:  # noqa: PTH110
        path = path.parent
    return path


def is_about_the_place(error: Exception) -> bool:
    """True if writing failed for a reason that affects the next image too, such as a full disk."""
    if not isinstance(error, SrkitError) or isinstance(error, ImageError):
        return False
    cause = error.__cause__
    # libvips reports a full disk by its own error.
    return is_file_system_trouble(cause) if isinstance(cause, OSError) else cause is not None
