"""OpenModelDB (openmodeldb.info), the public list of upscaling models: search, and models by name.

Its index is a JSON object from identifiers to descriptions of models (github OpenModelDB/open-model-database,
src/lib/schema.ts and scripts/generate-api.ts). The index is untrusted: names are used only if plain, URLs only if they
lead to public servers over https.
"""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from srkit.errors import ResourceError, UsageError, nearest
from srkit.progress import Progress
from srkit.zoo.cache import cache_dir, cache_trouble, exclusive
from srkit.zoo.connectivity import check_may_fetch, offline_variable
from srkit.zoo.download import MAX_BYTES, discard, download, is_local
from srkit.zoo.source import parse_source

BASE_VARIABLE = "SRKIT_OPENMODELDB"
"""Environment variable with the base URL of a mirror, which may be http."""
BASE = "https://openmodeldb.info"
_INDEX = "api/v1/models.json"
_FRESH_S = 24 * 3600.0
_MAX_INDEX = 64 * 2**20  # bytes; the index has 1.3 million
_READABLE = {"safetensors": (".safetensors",), "pth": (".pth", ".pt", ".ckpt")}
"""Readable file types in order of preference, and their extensions."""
_NAME = re.compile(r"\d{1,2}x[-_]?[A-Za-z0-9][A-Za-z0-9._-]{0,99}", flags=re.ASCII)


@dataclass(frozen=True)
class IndexedFile:
    """One file format of a model."""

    type: str
    """Type of the file: `pth`, `safetensors`, `onnx`, ..."""
    size: int | None
    """Size in bytes; None: not stated."""
    sha256: str | None
    """SHA-256; None: not stated."""
    urls: tuple[str, ...]
    """URLs of the file, or of download pages for browsers."""

    @property
    def direct_urls(self) -> tuple[str, ...]:
        """URLs of the file itself, if its type is readable."""
        return tuple(url for url in self.urls if _is_file(url, _READABLE.get(self.type, ())))


@dataclass(frozen=True)
class IndexedModel:
    """A model of the index; all texts are printable and without line breaks."""

    name: str
    """Identifier: `4x-UltraSharp`."""
    title: str
    authors: tuple[str, ...]
    scale: int
    arch: str
    licence: str
    """Licence; empty: not stated."""
    tags: tuple[str, ...]
    description: str
    date: str
    files: tuple[IndexedFile, ...]

    @property
    def page(self) -> str:
        """URL of the model's web page."""
        return f"{_base()}/models/{self.name}"

    @property
    def readable(self) -> IndexedFile | None:
        """Preferred file: one that can be downloaded and read, else one that can be read."""
        files = [file for kind in _READABLE for file in self.files if file.type == kind]
        return next((file for file in files if file.direct_urls), files[0] if files else None)

    @property
    def file(self) -> IndexedFile:
        """File that can be downloaded and read.

        Raises:
            ResourceError: there is none; the message gives the model's web page.
        """
        found = self.readable
        if found is None:
            kinds = ", ".join(sorted({file.type for file in self.files})) or "no file"
            raise ResourceError(
                f"OpenModelDB has {kinds} of '{self.name}'; expected one of {', '.join(_READABLE)}: see {self.page}."
            )
        if not found.direct_urls:
            checksum = f" (SHA-256 {found.sha256})" if found.sha256 else ""
            page = found.urls[0] if found.urls else self.page
            raise ResourceError(
                f"OpenModelDB offers '{self.name}' on a page for browsers, {page}, which "
                f"a program cannot fetch from; download the file there{checksum} and give it by its path."
            )
        return found


def may_be_indexed(name: str) -> bool:
    """True if a name has the form of OpenModelDB's, which begin with their scale: `4x-UltraSharp`."""
    return _NAME.fullmatch(name) is not None and not name.lower().endswith(sum(_READABLE.values(), ()))


def find_indexed(name: str, progress: Progress) -> IndexedModel:
    """Model of a name; case and characters other than letters and digits are ignored.

    Raises:
        ResourceError: the name is unknown (the message names the nearest), or the index is unavailable.
    """
    models = load_index(progress, f"srkit models pull {name}")
    plain = {_plain(model.name): model for model in models.values()}
    found = models.get(name) or plain.get(_plain(name))
    if found is None:
        lower = {known.lower(): known for known in models}
        guess = nearest(name.lower(), lower)
        for word, known in lower.items():
            guess = guess.replace(f"'{word}'", f"'{known}'")
        raise ResourceError(
            f"There is no model '{name}', here or in OpenModelDB; `srkit models search` finds names.{guess}"
        )
    return found


def search(query: str, progress: Progress) -> list[IndexedModel]:
    """Models with every word of `query` in their name, architecture, author, tags, licence or description.

    Models with more of the words in their name come first, then those with more in the other short fields.

    Raises:
        ResourceError: the index is unavailable.
    """
    words = query.casefold().split()
    scored = []
    for model in load_index(progress, "srkit models search QUERY").values():
        name = f"{model.name} {model.title}".casefold()
        short = " ".join((model.arch, model.licence, *model.authors, *model.tags)).casefold()
        text = f"{name} {short} {model.description.casefold()}"
        if all(word in text for word in words):
            score = sum(2 * (word in name) + (word in short) for word in words)
            scored.append((-score, model.name.casefold(), model))
    return [model for *_, model in sorted(scored, key=lambda item: item[:2])]


def load_index(progress: Progress, command: str) -> Mapping[str, IndexedModel]:
    """Index by name: the cached copy if it is of today or nothing newer is available, else downloaded.

    Args:
        command: command that downloads it too, for messages.

    Raises:
        UsageError: `SRKIT_OPENMODELDB` is not a URL.
        ResourceError: there is no copy and the download fails, or the file is not an index.
    """
    source = parse_source(f"{_base()}/{_INDEX}")
    path = source.location(cache_dir())
    if not _is_fresh(path):
        try:
            if not (path.exists() and offline_variable()):
                _fetch_index(source.text, path, progress, command)
        except ResourceError as error:
            if not path.exists():
                raise
            progress.warn(f"the index of OpenModelDB is {_age_days(path):.0f} days old: {error}")
    try:
        return parse_index(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ResourceError(
            f"The index of OpenModelDB '{path}' cannot be read ({error.strerror}); remove it and run the same again."
        ) from error


def parse_index(text: str) -> dict[str, IndexedModel]:
    """Models in the text of an index; invalid entries are skipped.

    Raises:
        ResourceError: the text is not an index.
    """
    try:
        content = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ResourceError(
            f"The index of OpenModelDB is no JSON ({str(error)[:80]}); try again later, or remove it from the cache."
        ) from error
    entries = content.items() if isinstance(content, dict) else ()
    models = {name: model for name, entry in entries if (model := _model(name, entry))}
    if not models:
        raise ResourceError(
            f"The index of OpenModelDB holds no models; expected a JSON object of them: check {BASE_VARIABLE}."
        )
    return models


def _fetch_index(url: str, path: Path, progress: Progress, command: str) -> None:
    check_may_fetch("The index of OpenModelDB", url, command, cache_dir())
    with exclusive(path, progress):
        if _is_fresh(path):
            return
        part = path.with_name(path.name + ".part")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            discard(part)
            download(url, part, progress, checked=False, limit=_MAX_INDEX)
            parse_index(part.read_text(encoding="utf-8", errors="replace"))
            os.utime(part)  # the time of the download
            part.replace(path)
        except OSError as error:
            raise cache_trouble(path.parent, error) from error
        finally:
            discard(part)


def _is_fresh(path: Path) -> bool:
    return path.is_file() and 0 <= _age_days(path) * 86400 < _FRESH_S


def _age_days(path: Path) -> float:
    return (time.time() - path.stat().st_mtime) / 86400


def _base() -> str:
    return os.environ.get(BASE_VARIABLE, "").rstrip("/") or BASE


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.casefold())


def _model(name: str, entry: Any) -> IndexedModel | None:
    if not isinstance(entry, dict) or not may_be_indexed(name):
        return None
    scale, resources = entry.get("scale"), entry.get("resources")
    if isinstance(scale, bool) or not isinstance(scale, int) or not 1 <= scale <= 32:
        return None
    files = [_file(item) for item in resources[:32]] if isinstance(resources, list) else []
    author = entry.get("author")
    return IndexedModel(
        name=name,
        title=_text(entry.get("name")),
        authors=_texts(author if isinstance(author, list) else [author]),
        scale=scale,
        arch=_text(entry.get("architecture")),
        licence=_text(entry.get("license")),
        tags=_texts(entry.get("tags")),
        description=_text(entry.get("description"), 10_000),
        date=_text(entry.get("date")),
        files=tuple(file for file in files if file),
    )


def _file(item: Any) -> IndexedFile | None:
    if not isinstance(item, dict):
        return None
    size, sha256 = item.get("size"), _text(item.get("sha256")).lower()
    sound = isinstance(size, int) and not isinstance(size, bool) and 0 < size <= MAX_BYTES
    return IndexedFile(
        type=_text(item.get("type")),
        size=size if sound else None,
        sha256=sha256 if re.fullmatch(r"[0-9a-f]{64}", sha256) else None,
        urls=tuple(url for url in _texts(item.get("urls"), 2000) if _is_public(url)),
    )


def _text(value: Any, limit: int = 200) -> str:
    """Printable text without line breaks, truncated to `limit`; empty for other values."""
    if not isinstance(value, str):
        return ""
    return " ".join("".join(c if c.isprintable() else " " for c in value[:limit]).split())


def _texts(values: Any, limit: int = 200) -> tuple[str, ...]:
    found = [_text(value, limit) for value in values[:32]] if isinstance(values, list) else []
    return tuple(text for text in found if text)


def _is_public(url: str) -> bool:
    """True if a URL may be followed: https to a public server, or the mirror's own server."""
    try:
        parts = urlsplit(url)
        mirror = urlsplit(_base())
        same = BASE_VARIABLE in os.environ and (parts.scheme, parts.netloc) == (mirror.scheme, mirror.netloc)
        return same or (parts.scheme == "https" and bool(parts.hostname) and not is_local(url))
    except ValueError:
        return False


def _is_file(url: str, endings: tuple[str, ...]) -> bool:
    """True if a URL leads to a file, judged by its path, and not to a page about it."""
    try:
        parse_source(url)
    except UsageError:
        return False
    parts = urlsplit(url)
    page = "/blob/" in parts.path or (parts.hostname == "www.dropbox.com" and "dl=1" not in parts.query)
    return not page and bool(endings) and parts.path.lower().endswith(endings)
