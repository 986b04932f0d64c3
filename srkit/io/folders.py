"""Which images an input names: a file, a folder, or a glob."""

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
    # Kinds that some builds of the decoder cannot read: tried, so that each is reported by its name.
    " .heic .heif .hif .jxl .jp2 .j2k .jpx"
)
_NOT_READ = (
    ".tga .icb .vda .vst .pbm .pgm .ppm .pnm .pam .pfm .psd .psb .xcf .kra .exr .hdr .rgbe .dds .ico .cur .icns"
    " .pcx .qoi .sgi .ras .xbm .xpm .svg .svgz .wmf .emf .eps .jng .mng .jpf .jpm .j2c .jpc .jxr .wdp .hdp .bpg .flif"
    " .heics .avifs .fits .fit .fts .dcm .dng .cr2 .cr3 .crw .nef .nrw .arw .srf .sr2 .orf .rw2 .raf .pef .srw .x3f"
)
IMAGE_EXTENSIONS = frozenset(_READ.split())
"""Extensions of the files that are taken from a folder."""
OTHER_EXTENSIONS = frozenset(_NOT_READ.split())
"""Extensions of images that cannot be read: passed over in a folder, and named."""
_NAMED = 3


@dataclass(frozen=True)
class Found:
    """An image file, and its path below the folder that was searched (its name alone, for a single file)."""

    path: Path
    relative: Path


def find_images(source: str | Path, *, recursive: bool, progress: Progress | None = None) -> list[Found]:
    """The image files of a file, a folder or a glob, sorted by relative path (as bytes).

    A file, or what a glob matches, is taken whatever its extension. In folders, files without an extension of
    `IMAGE_EXTENSIONS` and hidden files (temporaries among them) are passed over. Links to folders are followed,
    except back to a folder that they lie in. A path that exists is never read as a glob.

    Args:
        progress: warned, in one line, of images in folders that cannot be read by their extension.

    Raises:
        UsageError: the path is missing, or the glob matches nothing.
        SrkitError: a folder (or the folders that a glob matches) holds no images, or cannot be listed.
    """
    path = Path(source)
    # os.path, since Path's own raise for names too long for the file system.
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
    """Those files below a place, by their relative paths, that `find_images` takes of a folder, in its order.

    A million names take some 100 MB here.

    Args:
        names: with `/` between their parts.
        source: what messages call the place.

    Raises:
        SrkitError: none of them is an image.
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
    """The files of a folder with one of some extensions (in lower case), in no order, by the rules of `find_images`.

    Raises:
        SrkitError: a folder cannot be listed.
    """
    for path in _walk(folder, recursive, frozenset()):
        if _extension(path) in extensions:
            yield path


def _readable(files: Iterable[Path], source: str | Path, progress: Progress | None) -> list[Path]:
    """Those to take; one line names the others."""
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
    """Whether a folder between the base and the file holds itself, through a link: `**` follows it dozens of times."""
    above = [folder for folder in path.parents if folder != base and folder.is_relative_to(base)]
    folders = [(status.st_dev, status.st_ino) for status in (folder.stat() for folder in (base, *above))]
    return len(set(folders)) < len(folders)


def _fixed_part(pattern: str) -> Path:
    """The folder in front of the first part with a wildcard."""
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
    except OSError:  # a link that leads to itself: as one that leads nowhere
        return False


def _is_file(entry: os.DirEntry[str]) -> bool:
    """Whether it is no pipe or device; a link that leads nowhere counts, so that it is reported as unreadable."""
    try:
        return stat.S_ISREG(entry.stat().st_mode)
    except OSError:
        return True
