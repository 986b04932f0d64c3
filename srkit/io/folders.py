"""Search for images by file, folder, or glob."""

from __future__ import annotations

import glob
import os
import stat
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from srkit.errors import SrkitError, UsageError
from srkit.io.names import shown
from srkit.progress import Progress

_READ = (
    ".png .apng .jpg .jpeg .jpe .jfif .mpo .webp .tif .tiff .avif .bmp .dib .gif"
    # Kinds that some builds of the decoder cannot read; attempted, so that each is reported by name.
    " .heic .heif .hif .jxl .jp2 .j2k .jpx"
)
_NOT_READ = (
    ".tga .icb .vda .vst .pbm .pgm .ppm .pnm .pam .pfm .psd .psb .xcf .kra .exr .hdr .rgbe .dds .ico .cur .icns"
    " .pcx .qoi .sgi .ras .xbm .xpm .svg .svgz .wmf .emf .eps .jng .mng .jpf .jpm .j2c .jpc .jxr .wdp .hdp .bpg .flif"
    " .heics .avifs .fits .fit .fts .dcm .dng .cr2 .cr3 .crw .nef .nrw .arw .srf .sr2 .orf .rw2 .raf .pef .srw .x3f"
)
IMAGE_EXTENSIONS = frozenset(_READ.split())
"""Extensions of files that are read from a folder."""
OTHER_EXTENSIONS = frozenset(_NOT_READ.split())
"""Extensions of unsupported images, which are skipped in a folder and reported."""
_NAMED = 3


@dataclass(frozen=True)
class Found:
    """Image file, and its path relative to the searched folder (its name, for a single file)."""

    path: Path
    relative: Path


def find_images(source: str | Path, *, recursive: bool, progress: Progress | None = None) -> list[Found]:
    """Find the image files of a file, a folder or a glob, sorted by relative path (as bytes).

    A file, or a match of a glob, is accepted with any extension. In folders, files without an extension of
    `IMAGE_EXTENSIONS` and hidden files (including temporaries) are skipped. Links to folders are followed, except back
    to a parent folder. An existing path is never interpreted as a glob.

    Args:
        progress: warned, in one line, of images in folders that are unreadable by their extension.

    Raises:
        UsageError: the path does not exist, or the glob matches nothing.
        SrkitError: a folder (or the folders matched by a glob) holds no images, or cannot be listed.
    """
    path = Path(source)
    # os.path, because Path's methods raise for names too long for the file system.
    if os.path.isdir(path):  # noqa: PTH112
        files = list(find_files(path, IMAGE_EXTENSIONS | OTHER_EXTENSIONS, recursive=recursive))
        found = [Found(p, p.relative_to(path)) for p in _readable(files, source, progress)]
        if not found:
            deeper = "" if recursive else " (its subfolders were not searched)"
            others = f"; {_others(files, source)}" if files else ""
            raise SrkitError(f"No images were found in the folder {shown(path)}{deeper}{others}.")
    elif os.path.exists(path):  # noqa: PTH110
        found = [Found(path, Path(path.name))]
    elif glob.has_magic(os.fspath(source)):
        found = _matches(os.fspath(source), recursive, progress)
    else:
        raise UsageError(f"The input {shown(path)} is not there; give an existing file, folder or glob.")
    return sorted(found, key=lambda f: [os.fsencode(part) for part in f.relative.parts])


def image_names(
    names: Iterable[str], source: str, *, recursive: bool, progress: Progress | None = None
) -> list[str]:
    """Select the names that `find_images` would find in a folder, in its order.

    A million names take about 100 MB.

    Args:
        names: relative paths with `/` as separator.
        source: name of the folder in messages.

    Raises:
        SrkitError: there is no image among the names.
    """
    taken: list[str] = []
    others: list[str] = []
    for name in names:
        extension = os.path.splitext(name)[1].lower()  # noqa: PTH122 - a Path for each would take most of the time
        if extension in IMAGE_EXTENSIONS | OTHER_EXTENSIONS and not (name[0] == "." or "/." in name):
            (taken if extension in IMAGE_EXTENSIONS else others).append(name)
    about = _others(map(Path, others), source) if others else ""
    if not taken:
        deeper = "" if recursive else " (its subfolders were not searched)"
        raise SrkitError(f"No images were found in {shown(source)}{deeper}{'; ' if about else ''}{about}.")
    if about and progress is not None:
        progress.warn(f"{about}; convert them to PNG to have them taken.")
    taken.sort(key=lambda name: os.fsencode(name.replace("/", "\0")))  # part by part
    return taken


def find_files(folder: Path, extensions: Collection[str], *, recursive: bool) -> Iterator[Path]:
    """Yield the files of a folder with given extensions (in lower case), unordered, by the rules of `find_images`.

    Raises:
        SrkitError: a folder cannot be listed.
    """
    for path in _walk(folder, recursive, frozenset()):
        if _extension(path) in extensions:
            yield path


def _readable(files: Iterable[Path], source: str | Path, progress: Progress | None) -> list[Path]:
    """Readable images; the others are reported in one line."""
    others: list[Path] = []
    taken: list[Path] = []
    for path in files:
        (taken if _extension(path) in IMAGE_EXTENSIONS else others).append(path)
    if others and progress is not None:
        progress.warn(f"{_others(others, source)}; convert them to PNG to have them taken.")
    return taken


def _others(files: Iterable[Path], source: str | Path) -> str:
    names = sorted(path.name for path in files)
    kinds = ", ".join(sorted({_extension(Path(name)) for name in names}))
    listed = ", ".join(shown(name) for name in names[:_NAMED]) + (", ..." if len(names) > _NAMED else "")
    one, their = ("image", "its kind is") if len(names) == 1 else ("images", "their kinds are")
    return f"{len(names)} {one} in {shown(source)} passed over, since {their} not read ({kinds}): {listed}"


def _extension(path: Path) -> str:
    return os.path.splitext(path.name)[1].lower()  # noqa: PTH122 - Path's own takes 'a.' for a suffix


def _matches(pattern: str, recursive: bool, progress: Progress | None) -> list[Found]:
    base = _fixed_part(pattern)
    matched = sorted(Path(p) for p in glob.glob(pattern, recursive=True))  # noqa: PTH207 - Path.glob takes no absolute one
    if not matched:
        raise UsageError(f"The pattern {shown(pattern)} matches nothing; check it, and keep it in quotes.")
    matched = [p for p in matched if not _comes_back(p, base)]
    files = {p for p in matched if p.is_file()}
    if recursive:
        wanted = IMAGE_EXTENSIONS | OTHER_EXTENSIONS
        below = (find_files(p, wanted, recursive=True) for p in matched if p.is_dir())
        files.update(_readable({path for some in below for path in some} - files, pattern, progress))
    if not files:
        raise SrkitError(
            f"The pattern {shown(pattern)} matches folders only, and no images were found there."
        )
    return [Found(p, p.relative_to(base)) for p in files]


def _comes_back(path: Path, base: Path) -> bool:
    """Return whether a folder between base and file contains itself through a link, which `**` follows repeatedly."""
    above = [folder for folder in path.parents if folder != base and folder.is_relative_to(base)]
    folders = [(status.st_dev, status.st_ino) for status in (folder.stat() for folder in (base, *above))]
    return len(set(folders)) < len(folders)


def _fixed_part(pattern: str) -> Path:
    """Folder before the first part with a wildcard."""
    fixed: list[str] = []
    for part in Path(pattern).parts[:-1]:
        if glob.has_magic(part):
            break
        fixed.append(part)
    return Path(*fixed)


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
        elif _is_file(entry):
            yield folder / entry.name


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to itself, treated like a broken link
        return False


def _is_file(entry: os.DirEntry[str]) -> bool:
    """Return whether an entry is no pipe or device; broken links count as files, so that they are reported."""
    try:
        return stat.S_ISREG(entry.stat().st_mode)
    except OSError:
        return True
