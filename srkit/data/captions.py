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
_LARGEST = 64 * 2**20  # maximum bytes of a file of captions
_COLUMNS = ("path", "caption", "detail", "keywords")
_NAMED = 3


@dataclass(frozen=True)
class Captions:
    """Captions of images, each followed by other wordings, the most detailed first."""

    texts: dict[Path, tuple[str, ...]]
    """Captions by image."""
    without_caption: tuple[Path, ...] = ()
    """Images without a caption."""
    without_image: tuple[str, ...] = ()
    """Captions without an image: files, or rows by their path."""

    def of(self, images: Sequence[Path]) -> Captions:
        """Captions of a subset of the images; captions of the other images do not count as without an image."""
        texts = {image: self.texts[image] for image in images if image in self.texts}
        return replace(self, texts=texts, without_caption=tuple(one for one in images if one not in texts))

    def warnings(self) -> Iterator[str]:
        """Yield a sentence on each kind of unmatched items."""
        if self.without_caption:
            yield f"{_count(self.without_caption, 'image')} without a caption: {_list(self.without_caption)}."
        if self.without_image:
            yield f"{_count(self.without_image, 'caption')} without an image: {_list(self.without_image)}."


def find_captions(images: Sequence[Path], source: Path | None = None) -> Captions:
    """Find the captions of images.

    Args:
        images: image files.
        source: None: a .txt of the same name beside each image; a folder: the same, in that folder, by the image's path
            relative to the common folder of all images; a .tsv with the columns path, caption and optionally detail and
            keywords; or a .json in COCO's format. Tables and JSON name an image by a path relative to the table, by the
            end of its path, or by its file name.

    Raises:
        UsageError: the source is missing or invalid, an image has two captions, or a caption names several images.
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
    """First line of the text file beside an image, with the image's name; empty if there is none.

    Raises:
        UsageError: the file cannot be read, or there are two.
    """
    lines = _lines(image)[1]
    return lines[0] if lines else ""


def wordings(caption: str, detail: str = "", keywords: str = "") -> tuple[str, ...]:
    """Wordings of a caption: in full, without the detail, and as keywords."""
    full = ", ".join(part for part in (caption, detail) if part)
    return tuple(dict.fromkeys(text for text in (full, caption, keywords) if text))


def rendered_wordings(spec: Spec, count: int = 2) -> tuple[str, ...]:
    """Wordings of a rendered image's captions, from `count` captions."""
    captions = [srkit.rendered.caption(spec, seed) for seed in range(count)]
    return tuple(dict.fromkeys(text for one in captions for text in _of(one)))


def named_attributes(spec: Spec, text: str) -> dict[str, str]:
    """Categorical attributes of a Spec that a text names, by name."""
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
    """Captions from text files by the images' names: a/b.jpg has a/b.txt, or a/b.jpg.txt."""
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
    """Text files of an image's name, and their non-empty lines."""
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
    """Match rows with images: by the path relative to the table's folder, else by the end of the path."""
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
