"""Which pictures an input names: a file, a folder, or a glob."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from srkit.errors import SrkitError, UsageError
from srkit.io.names import shown

PICTURE_EXTENSIONS = frozenset(
    {
        *(
            ".png",
            ".apng",
            ".jpg",
            ".jpeg",
            ".jpe",
            ".jfif",
            ".webp",
            ".tif",
            ".tiff",
            ".avif",
            ".bmp",
            ".dib",
            ".gif",
        ),
        # Kinds that some builds of the decoder cannot read: listed, so that they are reported rather than
        # passed over.
        *(".heic", ".heif", ".hif", ".jxl", ".jp2", ".j2k", ".jpx"),
    }
)


@dataclass(frozen=True)
class Found:
    """A picture file, and its path below the folder that was searched (its name alone, for a single file)."""

    path: Path
    relative: Path


def find_pictures(source: str | Path, *, recursive: bool) -> list[Found]:
    """The picture files of a file, a folder or a glob, sorted by relative path (as bytes).

    A file, or what a glob matches, is taken whatever its extension. In folders, files without a picture
    extension and hidden files (temporaries among them) are passed over. Links to folders are followed, except
    back to a folder that they lie in. A path that exists is never read as a glob.

    Raises:
        UsageError: the path is missing, or the glob matches nothing.
        SrkitError: a folder (or the folders that a glob matches) holds no pictures, or cannot be listed.
    """
    path = Path(source)
    # os.path, since Path's own raise for names too long for the file system.
    if os.path.isdir(path):  # noqa: PTH112
        found = [Found(p, p.relative_to(path)) for p in _pictures_in(path, recursive)]
        if not found:
            deeper = "" if recursive else " (its subfolders were not searched; --recursive does)"
            raise SrkitError(f"No pictures were found in the folder {shown(path)}{deeper}.")
    elif os.path.exists(path):  # noqa: PTH110
        found = [Found(path, Path(path.name))]
    elif glob.has_magic(os.fspath(source)):
        found = _matches(os.fspath(source), recursive)
    else:
        raise UsageError(f"The input {shown(path)} is not there; give an existing file, folder or glob.")
    return sorted(found, key=lambda f: [os.fsencode(part) for part in f.relative.parts])


def _matches(pattern: str, recursive: bool) -> list[Found]:
    base = _fixed_part(pattern)
    matched = sorted(Path(p) for p in glob.glob(pattern, recursive=True))  # noqa: PTH207 - Path.glob takes no absolute one
    if not matched:
        raise UsageError(f"The pattern {shown(pattern)} matches nothing; check it, and keep it in quotes.")
    files = {p for p in matched if p.is_file()}
    for folder in matched:
        if recursive and folder.is_dir():
            files.update(_pictures_in(folder, recursive))
    if not files:
        raise SrkitError(
            f"The pattern {shown(pattern)} matches folders only, and no pictures were found there."
        )
    return [Found(p, p.relative_to(base)) for p in files]


def _fixed_part(pattern: str) -> Path:
    """The folder in front of the first part with a wildcard."""
    fixed: list[str] = []
    for part in Path(pattern).parts[:-1]:
        if glob.has_magic(part):
            break
        fixed.append(part)
    return Path(*fixed)


def _pictures_in(folder: Path, recursive: bool) -> Iterator[Path]:
    yield from _walk(folder, recursive, frozenset())


def _walk(folder: Path, recursive: bool, above: frozenset[tuple[int, int]]) -> Iterator[Path]:
    try:
        status = folder.stat()
        entries = list(os.scandir(folder))
    except OSError as error:
        raise SrkitError(f"The folder {shown(folder)} cannot be listed ({error.strerror}).") from error
    here = (status.st_dev, status.st_ino)
    if here in above:
        return
    for entry in entries:
        if entry.name.startswith("."):
            continue
        if _is_folder(entry):
            if recursive:
                yield from _walk(folder / entry.name, recursive, above | {here})
        elif os.path.splitext(entry.name)[1].lower() in PICTURE_EXTENSIONS:  # noqa: PTH122 - a bare name
            yield folder / entry.name


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link that leads to itself: reported as an unreadable picture, if it is named like one
        return False
