"""Images of a streamed upscaling job by their names alone, and those that are done already."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from srkit.errors import UsageError
from srkit.io.folders import IMAGE_EXTENSIONS, OTHER_EXTENSIONS, find_files, image_names
from srkit.io.formats import FORMATS, format_of_name
from srkit.io.names import shown
from srkit.io.storage import Storage, is_url
from srkit.progress import Progress
from srkit.recipes.upscale import OutputFormat
from srkit.tasks.places import check_folders, exists_already
from srkit.tasks.upscale.job import UpscaleJob

_FALLBACKS = tuple(FORMATS[name].extension for name in ("png", "tiff"))
"""Extensions of the formats that `auto` uses if the input's own cannot hold the result."""


@dataclass(frozen=True)
class Row:
    """Images that form one unit of work: one, or those of a folder that differ only in the extension, since their
    results could share a name. Paths only; small enough for a million of them."""

    names: tuple[str, ...]
    """Names relative to the input."""
    there: tuple[str, ...] = ()
    """Files in the output that may be their results, depending on the images' headers."""
    prompts: tuple[str, ...] = ()


def list_names(source: str, *, recursive: bool, progress: Progress | None = None) -> list[str]:
    """Names of the images of a folder or URL, relative to it and in order; a million take some 100 MB.

    Raises:
        UsageError: the place does not exist, or is not a folder.
        SrkitError: it has no images, or cannot be listed.
    """
    if is_url(source):
        found = Storage(source).names(recursive=recursive)
    elif os.path.isdir(source):  # noqa: PTH112 - Path's own raises for names that are too long
        found = _names_below(Path(source), recursive)
    else:
        raise UsageError(
            f"The input {shown(source)} is no folder, which URLs and `engine` ray take; give one."
        )
    return image_names(found, source, recursive=recursive, progress=progress)


def list_outputs(target: str) -> frozenset[str]:
    """Names of files in an output that may be results, relative to it. Raises SrkitError as `list_names`."""
    if is_url(target):
        return frozenset(Storage(target).names(recursive=True))
    return frozenset(_names_below(Path(target), recursive=True)) if Path(target).is_dir() else frozenset()


def check_ends(source: str, target: str) -> None:
    """Check the input and output of a streamed job.

    Raises:
        UsageError: one lies inside the other, or is not a folder.
    """
    if "-" in (source, target):
        raise UsageError("URLs and `engine` ray work on folders; leave out - or URL and engine.")
    if is_url(source) or is_url(target):
        ends = [text.rstrip("/") + "/" for text in (source, target)]
        if any(a.startswith(b) for a, b in (ends, ends[::-1])):
            raise UsageError(
                f"Of the input {shown(source)} and the output {shown(target)} one lies in the other; give another."
            )
        return
    check_folders(source, Path(target))
    check_folders(target, Path(source))


def make_rows(job: UpscaleJob, names: Sequence[str], outputs: frozenset[str]) -> tuple[list[Row], list[str]]:
    """Rows that are to be done, and images that are done already.

    Args:
        names: names of all images of the job.
        outputs: content of the output, or empty if existing outputs are replaced.

    Raises:
        UsageError: an output exists, and is neither replaced nor kept.
    """
    rows: list[Row] = []
    done: list[str] = []
    for group in _groups(names):
        likely, possible = _results(job, group)
        if not outputs.isdisjoint(likely):
            if job.existing == "refuse":
                raise exists_already(Path(next(iter(outputs & likely))))
            if len(group) == 1:
                done += group
                continue
        rows.append(Row(group, tuple(sorted(outputs & (likely | possible)))))
    return rows, done


def _groups(names: Sequence[str]) -> Iterator[tuple[str, ...]]:
    """Names grouped by stem, at the position of the first; with names that could equal a result's: a.jpg and a.tif may
    become a.jpg.png, which may also be an input's name."""
    count = Counter(map(_stem, names))
    members: dict[str, list[str]] = {}
    for name in names:
        if count[stem := _stem(name)] > 1 or count.get(_stem(stem), 0) > 1:
            members.setdefault(stem if count[stem] > 1 else _stem(stem), []).append(name)
    for name in names:
        stem = _stem(name)
        key = stem if count[stem] > 1 else _stem(stem)
        if key not in members:
            yield (name,)
        elif members[key]:
            yield tuple(members[key])
            members[key] = []


def _stem(name: str) -> str:
    return os.path.splitext(name)[0]  # noqa: PTH122 - a million times


def _results(job: UpscaleJob, group: Sequence[str]) -> tuple[set[str], set[str]]:
    """Probable names of the results of images, and other possible names."""
    likely: set[str] = set()
    possible: set[str] = set()
    for name in group:
        own, *others = _extensions(name, job.recipe.format)
        likely.add(_stem(name) + job.suffix + own)
        possible |= {_stem(name) + job.suffix + extension for extension in others}
        if len(group) > 1:
            possible |= {name + job.suffix + extension for extension in (own, *others)}
    return likely, possible


def _extensions(name: str, asked: OutputFormat) -> tuple[str, ...]:
    extension = name[len(_stem(name)) :]
    own = format_of_name(Path("a" + extension))
    if asked != "auto":
        return (extension if own == asked else FORMATS[asked].extension,)
    return tuple(dict.fromkeys([*([extension] if own else []), *_FALLBACKS]))


def _names_below(folder: Path, recursive: bool) -> Iterator[str]:
    root = Path(os.path.abspath(folder))  # noqa: PTH100 - links are not to be followed
    start = len(os.fspath(root).rstrip(os.sep)) + 1
    clean: Callable[[str], str] = str if os.sep == "/" else lambda name: name.replace(os.sep, "/")
    for path in find_files(root, IMAGE_EXTENSIONS | OTHER_EXTENSIONS, recursive=recursive):
        yield clean(os.fspath(path)[start:])
