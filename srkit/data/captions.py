"""Captions of images: from a text file beside each, a table, COCO's JSON, or the Spec of a rendered image."""

from __future__ import annotations

import csv
import io
import json
import os
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import srkit.rendered
from srkit.errors import UsageError
from srkit.io.folders import find_files
from srkit.io.names import shown
from srkit.rendered.specs import Caption, Spec

EXTENSION = ".txt"
_LARGEST = 64 * 2**20  # bytes of a file of captions
_COLUMNS = ("path", "caption", "detail", "keywords")
_NAMED = 3


@dataclass(frozen=True)
class Captions:
    """The captions of images, each with other wordings behind it, the fullest first."""

    texts: dict[Path, tuple[str, ...]]
    """By image."""
    without_caption: tuple[Path, ...] = ()
    """Images that have none."""
    without_image: tuple[str, ...] = ()
    """Captions that belong to none of the images: files, or rows by their path."""

    def of(self, images: Sequence[Path]) -> Captions:
        """The captions of some of the images; a caption of one of the others is not without an image."""
        texts = {image: self.texts[image] for image in images if image in self.texts}
        return replace(self, texts=texts, without_caption=tuple(one for one in images if one not in texts))

    def warnings(self) -> Iterator[str]:
        """What has no counterpart, a sentence for each kind."""
        if self.without_caption:
            yield f"{_count(self.without_caption, 'image')} without a caption: {_list(self.without_caption)}."
        if self.without_image:
            yield f"{_count(self.without_image, 'caption')} without an image: {_list(self.without_image)}."


def find_captions(images: Sequence[Path], source: Path | None = None) -> Captions:
    """The captions of images.

    Args:
        images: files.
        source: None: a .txt of the same name beside each image; a folder: the same, in that folder, by the image's path
            from the folder that all images have in common; a .tsv with the columns path, caption and, if there are,
            detail and keywords; or a .json as COCO has it. In tables and JSON, an image is named by a path relative to
            the table, by the end of its path, or by its name alone.

    Raises:
        UsageError: nothing is there, or it cannot be read as what its name says; two captions for one image, or one
            that names several images.
    """
    if source is None or source.is_dir():
        return _beside(images, source)
    if not source.is_file():
        raise UsageError(
            f"There are no captions at {shown(source)}; give a folder of {EXTENSION} files, a .tsv or a .json."
        )
    match source.suffix.lower():
        case ".tsv":
            rows = _table(source)
        case ".json":
            rows = _coco(source)
        case _:
            raise UsageError(
                f"The captions {shown(source)} are of no known kind; give a folder of {EXTENSION} files, a .tsv or a "
                ".json."
            )
    return _matched(images, rows, source)


def caption_beside(image: Path) -> str:
    """The first line of the text file of an image's name that lies beside it; empty where there is none.

    Raises:
        UsageError: it cannot be read, or there are two.
    """
    lines = _lines(image)[1]
    return lines[0] if lines else ""


def wordings(caption: str, detail: str = "", keywords: str = "") -> tuple[str, ...]:
    """A caption in full, then in other ways that a user may put it: without the detail, and as keywords."""
    full = ", ".join(part for part in (caption, detail) if part)
    return tuple(dict.fromkeys(text for text in (full, caption, keywords) if text))


def rendered_wordings(spec: Spec, count: int = 2) -> tuple[str, ...]:
    """Captions of a rendered image, in `count` wordings."""
    captions = [srkit.rendered.caption(spec, seed) for seed in range(count)]
    return tuple(dict.fromkeys(text for one in captions for text in _of(one)))


def named_attributes(spec: Spec, text: str) -> dict[str, str]:
    """The attributes of a Spec that are one of a few values, where the text names them; by their name."""
    low, found = text.casefold(), {}
    for name in spec.shown():
        attribute, value = spec.attributes()[name], getattr(spec, name)
        if attribute.text is None and any(phrase.casefold() in low for phrase in attribute.phrases[value]):
            found[name] = str(value)
    return found


def _of(caption: Caption) -> tuple[str, ...]:
    return wordings(caption.short, caption.detail, ", ".join(caption.keywords))


# -- files --------------------------------------------------------------------------------------------------


def _beside(images: Sequence[Path], folder: Path | None) -> Captions:
    """Text files by the images' names: a/b.jpg has a/b.txt, or a/b.jpg.txt."""
    texts: dict[Path, tuple[str, ...]] = {}
    used: set[Path] = set()
    base = Path(os.path.commonpath([image.parent for image in images])) if images and folder else Path()
    for image in images:
        place = image if folder is None else folder / image.relative_to(base)
        files, lines = _lines(place)
        used.update(files)
        if lines:
            texts[image] = lines
    folders = {folder} if folder is not None else {image.parent for image in images}
    there = {file for one in folders for file in find_files(one, {EXTENSION}, recursive=folder is not None)}
    return _captions(images, texts, [str(file) for file in sorted(there - used)])


def _lines(image: Path) -> tuple[list[Path], tuple[str, ...]]:
    """The text file of an image's name, if there is one, and its lines that are not empty."""
    names = (image.with_name(image.stem + EXTENSION), image.with_name(image.name + EXTENSION))
    files = [file for file in names if file.is_file()]
    if len(files) > 1:
        raise UsageError(
            f"The image {shown(image)} has two captions, {shown(files[0].name)} and {shown(files[1].name)}; remove one."
        )
    lines = [line.strip() for file in files for line in _read(file).splitlines()]
    return files, tuple(line for line in lines if line)


def _table(path: Path) -> list[tuple[str, tuple[str, ...]]]:
    rows = list(csv.reader(io.StringIO(_read(path)), delimiter="\t", quoting=csv.QUOTE_NONE))
    header = rows[0] if rows else []
    if header[:2] != list(_COLUMNS[:2]):
        raise UsageError(
            f"The captions {shown(path)} begin with the columns {', '.join(header[:4]) or 'none'}; expected path and "
            "caption, then detail and keywords if there are."
        )
    places = [header.index(name) if name in header else None for name in _COLUMNS]
    found = []
    for number, row in enumerate(rows[1:], 2):
        if not any(row):
            continue
        cells = [row[i].strip() if i is not None and i < len(row) else "" for i in places]
        if not cells[0] or not cells[1]:
            raise UsageError(
                f"Line {number} of the captions {shown(path)} has {'no path' if not cells[0] else 'no caption'}; each "
                "line must have both, with a tab between them."
            )
        found.append((cells[0], wordings(*cells[1:])))
    return found


def _coco(path: Path) -> list[tuple[str, tuple[str, ...]]]:
    try:
        content: Any = json.loads(_read(path))
        names = {image["id"]: str(image["file_name"]) for image in content["images"]}
        texts: dict[str, list[str]] = defaultdict(list)
        for annotation in content["annotations"]:
            texts[names[annotation["image_id"]]].append(str(annotation["caption"]).strip())
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise UsageError(
            f"The captions {shown(path)} are not COCO's JSON ({type(error).__name__}: {error}); expected images with "
            "id and file_name, and annotations with image_id and caption."
        ) from error
    return [(name, tuple(found)) for name, found in texts.items()]


def _matched(images: Sequence[Path], rows: Iterable[tuple[str, tuple[str, ...]]], source: Path) -> Captions:
    """Rows to images: by their whole path from the table's folder, else by as much of its end as they name."""
    by_name: dict[str, list[Path]] = defaultdict(list)
    for image in images:
        by_name[image.name].append(image)
    texts: dict[Path, tuple[str, ...]] = {}
    spare: list[str] = []
    for name, found in rows:
        wanted = Path(name)
        whole = (source.parent / wanted).resolve()
        near = [image for image in by_name[wanted.name] if image.parts[-len(wanted.parts) :] == wanted.parts]
        exact = [image for image in near if image.resolve() == whole]
        match exact or near:
            case []:
                spare.append(name)
            case [image]:
                if image in texts:
                    raise UsageError(
                        f"The captions {shown(source)} have two for the image {shown(image)}; leave one."
                    )
                texts[image] = found
            case [first, second, *_]:
                raise UsageError(
                    f"'{name}' of the captions {shown(source)} is the name of {shown(first)} and of {shown(second)}; "
                    "write as much of the path as distinguishes them."
                )
    return _captions(images, texts, spare)


def _captions(images: Sequence[Path], texts: dict[Path, tuple[str, ...]], spare: Sequence[str]) -> Captions:
    return Captions(texts, tuple(image for image in images if image not in texts), tuple(spare))


def _read(path: Path) -> str:
    try:
        if path.stat().st_size > _LARGEST:
            raise UsageError(
                f"The captions {shown(path)} take {path.stat().st_size} bytes; at most {_LARGEST} are read."
            )
        return path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise UsageError(
            f"The captions {shown(path)} cannot be read: {error.strerror}; check the file."
        ) from error
    except UnicodeDecodeError as error:
        raise UsageError(f"The captions {shown(path)} are not UTF-8; save them as UTF-8 text.") from error


def _count(found: Sequence[object], noun: str) -> str:
    return f"{len(found)} {noun}{'' if len(found) == 1 else 's'}"


def _list(found: Sequence[Path | str]) -> str:
    return ", ".join(shown(one) for one in found[:_NAMED]) + (", ..." if len(found) > _NAMED else "")
