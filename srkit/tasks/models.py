"""Named models: shipped, downloaded, and public ones that can be downloaded."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from srkit.errors import ResourceError
from srkit.progress import Progress, Silent
from srkit.zoo.cache import Lock, cache_dir, find_pulled, lock_path, pulled_files, read_lock
from srkit.zoo.files import check_checkpoint, sha256_of
from srkit.zoo.header import Header, has_header, read_header
from srkit.zoo.manifest import Entry, Manifest, weights_dir
from srkit.zoo.openmodeldb import IndexedModel, find_indexed, may_be_indexed, search
from srkit.zoo.pull import Pulled, pull
from srkit.zoo.source import parse_source

if TYPE_CHECKING:
    pass


@dataclass(frozen=True)
class ModelFacts:
    """Facts about a model. Empty or None: unknown."""

    name: str
    task: str
    scale: int | None
    arch: str
    parameters: int | None
    size: int | None
    """Size in bytes."""
    licence: str
    source: str
    """Source: `shipped`, a URL, `hf:owner/repo/file`, or a file's path."""
    summary: str
    recipe: str
    training_data: str
    sha256: str | None
    pinned: bool
    """True if the checksum was known before any download; otherwise that of the first download is required."""
    present: bool
    path: str
    """Path of the file, which may not be downloaded yet."""
    scores: dict[str, Any] = field(default_factory=dict)

    @property
    def state(self) -> str:
        """State in a word: shipped, missing (shipped, but deleted), fetched, to fetch, or file (given by its path)."""
        if self.source == self.path:
            return "file"
        if self.source == "shipped":
            return "shipped" if self.present else "missing"
        return "fetched" if self.present else "to fetch"


@dataclass(frozen=True)
class Verified:
    """Result of a file's checksum test."""

    name: str
    path: str
    status: Literal["ok", "missing", "wrong"]
    expected: str | None
    found: str | None
    error: str | None = None
    """Reason, if it is not simply a different content."""


@dataclass(frozen=True)
class Places:
    """Folders that are searched for models."""

    weights: Path
    cache: Path


@dataclass(frozen=True)
class ListedModel:
    """A model of OpenModelDB. Empty or None: not stated."""

    name: str
    title: str
    authors: tuple[str, ...]
    scale: int
    arch: str
    licence: str
    tags: tuple[str, ...]
    date: str
    type: str
    """Type of the file: `pth` or `safetensors`; empty if no file is readable."""
    size: int | None
    """Size in bytes."""
    url: str
    """URL of the file, or of a download page."""
    sha256: str | None
    readable: bool
    """True if one of the files is readable."""
    fetchable: bool
    """True if it can be downloaded by its name; otherwise only manually in a browser."""
    page: str
    """URL of the model's web page."""


def list_models() -> list[ModelFacts]:
    """All models by name: shipped and public ones, then other downloaded ones.

    Raises:
        ResourceError: the manifest or the record of a download is damaged.
    """
    entries = list(Manifest.load())
    named = {entry.path for entry in entries}
    others = [path for path in pulled_files() if path not in named]
    return [*map(_of_entry, entries), *map(_of_fetched, others)]


def search_models(query: str, progress: Progress) -> list[ListedModel]:
    """Models of OpenModelDB that contain every word of `query`, the best first; see `srkit.zoo.openmodeldb.search`.

    Raises:
        ResourceError: the index is unavailable.
    """
    return [_listed(model) for model in search(query, progress)]


def show_model(name: str, progress: Progress | None = None) -> ModelFacts:
    """Facts about a model by name, here or in OpenModelDB, or about a weights file by path. A foreign file is
    loaded for this.

    Raises:
        ResourceError: the model does not exist, or the file is not a checkpoint.
    """
    manifest = Manifest.load()
    if name in manifest:
        return _of_entry(manifest.entry(name))
    if found := find_pulled(name):
        return _look_into(_of_fetched(found))
    path = Path(name).expanduser()
    if not path.exists():
        if may_be_indexed(name):
            return _of_indexed(find_indexed(name, progress or Silent()))
        raise manifest.unknown(name)
    check_checkpoint(path)
    return _look_into(_of_file(path, str(path), sha256_of(path), pinned=False))


def pull_model(what: str, sha256: str | None, progress: Progress) -> Pulled:
    """Download a model by name, URL or repository; see `srkit.zoo.pull.pull`."""
    return pull(what, sha256=sha256, progress=progress)


def model_path(name: str) -> Path:
    """File of a model that is on this machine.

    Raises:
        ResourceError: the model does not exist, or is not downloaded.
    """
    facts = next((model for model in list_models() if model.name == name), None)
    if facts is None:
        if found := find_pulled(name):
            return found
        return Manifest.load().entry(name).path  # raises, with the nearest name
    if facts.present:
        return Path(facts.path)
    if facts.source == "shipped":
        raise ResourceError(f"The shipped weights '{facts.path}' are missing; install srkit again.")
    raise ResourceError(
        f"The model '{name}' is not on this machine; run `srkit models pull "
        f"{name if name in Manifest.load() else facts.source}`."
    )


def places() -> Places:
    """Folders of shipped and of downloaded weights."""
    return Places(weights_dir(), cache_dir())


def verify_models(names: Sequence[str] = ()) -> list[Verified]:
    """Check the checksums of shipped and downloaded files; all of them, or those of `names`.

    Raises:
        ResourceError: the manifest is damaged, or one of `names` is neither shipped nor downloaded.
    """
    manifest = Manifest.load()
    by_path = {entry.path: entry for entry in manifest}
    checked = [_verify(entry.name, entry.path, entry.sha256) for entry in manifest.shipped()]
    for path in pulled_files():
        entry = by_path.get(path)
        checked.append(_verify_fetched(entry.name if entry else path.stem, path, entry))
    if not names:
        return checked
    for name in names:
        if name not in {result.name for result in checked}:
            entry = manifest.entry(name)
            raise ResourceError(
                f"The model '{name}' is not on this machine; run `srkit models pull {entry.name}`."
            )
    return [result for result in checked if result.name in names]


def _verify_fetched(name: str, path: Path, entry: Entry | None) -> Verified:
    try:
        lock = read_lock(path)
    except ResourceError as error:
        return Verified(name, str(path), "wrong", None, None, str(error))
    expected = entry.sha256 if entry and entry.sha256 else lock.sha256 if lock else None
    return _verify(name, path, expected)


def _verify(name: str, path: Path, expected: str | None) -> Verified:
    if not path.exists():
        return Verified(name, str(path), "missing", expected, None)
    try:
        check_checkpoint(path)
        found = sha256_of(path)
    except ResourceError as error:
        return Verified(name, str(path), "wrong", expected, None, str(error))
    return Verified(name, str(path), "ok" if found == expected else "wrong", expected, found)


def _of_entry(entry: Entry) -> ModelFacts:
    lock = None if entry.shipped else read_lock(entry.path)
    return ModelFacts(
        name=entry.name,
        task=entry.task,
        scale=entry.scale,
        arch=entry.arch,
        parameters=entry.parameters,
        size=entry.size or (lock.size if lock else None),
        licence=entry.licence,
        source=entry.source,
        summary=entry.summary,
        recipe=entry.recipe,
        training_data=entry.training_data,
        sha256=entry.sha256 or (lock.sha256 if lock else None),
        pinned=entry.pinned,
        present=entry.present,
        path=str(entry.path),
        scores=entry.scores,
    )


def _listed(model: IndexedModel) -> ListedModel:
    file = model.readable
    urls = (*file.direct_urls, *file.urls) if file else ()
    return ListedModel(
        model.name,
        model.title,
        model.authors,
        model.scale,
        model.arch,
        model.licence,
        model.tags,
        model.date,
        type=file.type if file else "",
        size=file.size if file else None,
        url=urls[0] if urls else model.page,
        sha256=file.sha256 if file else None,
        readable=file is not None,
        fetchable=bool(file and file.direct_urls),
        page=model.page,
    )


def _of_indexed(model: IndexedModel) -> ModelFacts:
    """Facts about a model of OpenModelDB that is not on this machine."""
    listed = _listed(model)
    path = parse_source(listed.url).location(cache_dir()) if listed.fetchable else Path()
    return ModelFacts(
        name=model.name,
        task="sr" if model.scale > 1 else "restoration",
        scale=model.scale,
        arch=model.arch,
        parameters=None,
        size=listed.size,
        licence=model.licence,
        source=listed.url,
        summary=model.description,
        recipe="",
        training_data="",
        sha256=listed.sha256,
        pinned=listed.sha256 is not None,
        present=False,
        path=str(path) if listed.fetchable else "",
    )


def _of_fetched(path: Path) -> ModelFacts:
    lock = read_lock(path) or Lock(source="", sha256="", size=0, pinned=False)
    facts = _of_file(path, lock.source, lock.sha256 or None, pinned=lock.pinned)
    return replace(facts, name=lock.name or facts.name, licence=facts.licence or lock.licence)


def _of_file(path: Path, source: str, sha256: str | None, *, pinned: bool) -> ModelFacts:
    """Facts about a file, from its header if it has one."""
    present = path.is_file()
    header = _header(path) if present else None
    return ModelFacts(
        name=path.stem,
        task=header.task if header else "",
        scale=header.scale if header else None,
        arch=header.arch if header else "",
        parameters=None,
        size=path.stat().st_size if present else None,
        licence=header.licence if header else "",
        source=source,
        summary="",
        recipe=header.recipe if header else "",
        training_data=header.training_data if header else "",
        sha256=sha256,
        pinned=pinned,
        present=present,
        path=str(path),
        scores=header.scores if header else {},
    )


def _header(path: Path) -> Header | None:
    return read_header(path) if has_header(path) else None


def _look_into(facts: ModelFacts) -> ModelFacts:
    """The facts, completed by those that require loading the model."""
    if not facts.present:
        return facts
    from srkit.zoo.load import load_model  # imports torch

    model = load_model(Path(facts.path), task=facts.task or "sr")
    return replace(
        facts,
        task=model.task,
        scale=model.info.scale,
        arch=model.architecture,
        parameters=sum(parameter.numel() for parameter in model.network.parameters()),
    )


def checksum_note(facts: ModelFacts) -> str:
    """Status of a model's checksum, in words."""
    if facts.pinned or facts.source == "shipped":
        return "pinned"
    record = lock_path(Path(facts.path))
    if facts.sha256 is not None and record.exists():
        return f"not pinned: the first download's, recorded in {record.name} beside the file, holds"
    if facts.sha256 is not None:
        return "the file's own; nothing is known to compare it with"
    return "not pinned: the first download's will be recorded beside the file and verified from then on"


def as_record(facts: ModelFacts) -> dict[str, Any]:
    """JSON record of the facts: the fields and `state`."""
    return {**asdict(facts), "state": facts.state}
