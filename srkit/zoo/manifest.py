"""Named models: shipped ones of `weights/manifest.json`, and public ones to download."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, fields
from functools import cached_property
from pathlib import Path
from statistics import fmean
from typing import Any

from safetensors import safe_open

from srkit.errors import ResourceError, nearest
from srkit.io.atomic import atomic_path
from srkit.zoo.cache import cache_dir
from srkit.zoo.files import sha256_of
from srkit.zoo.header import read_header
from srkit.zoo.public import PUBLIC_MODELS
from srkit.zoo.source import parse_source

MANIFEST_NAME = "manifest.json"
MANIFEST_VERSION = 1
SHIPPED = "shipped"
HELD_OUT = "held out"
"""Name in scores of the images held out from training."""


def weights_dir() -> Path:
    """Folder of the shipped weights: `srkit/_weights` of an installed wheel, else `weights/` of the checkout."""
    package = Path(__file__).resolve().parents[1]
    installed = package / "_weights"
    return installed if installed.is_dir() else package.parent / "weights"


@dataclass(frozen=True)
class Entry:
    """A named model."""

    name: str
    file: str
    """File name, without folders."""
    sha256: str | None
    """SHA-256 in lower-case hexadecimal; None: not pinned, so that of the first download is recorded and required."""
    size: int | None
    """Size in bytes; None: not pinned."""
    task: str
    scale: int
    arch: str
    parameters: int | None
    licence: str
    summary: str
    recipe: str = ""
    training_data: str = ""
    scores: dict[str, Any] = field(default_factory=dict)
    """Scores by protocol, data set and metric: `{"classical": {"Set5": {"psnr": 31.3, "ssim": 0.88}}}`."""
    source: str = SHIPPED
    """Source: `shipped`, a URL, or `hf:owner/repo/file[@revision]`."""
    pairs: dict[str, str] = field(default_factory=dict)
    """Models at the other ends of the dials of `srkit upscale` (`strength`, `denoise`)."""

    @property
    def shipped(self) -> bool:
        return self.source == SHIPPED

    @property
    def pinned(self) -> bool:
        return self.sha256 is not None

    @property
    def psnr(self) -> float:
        """Mean PSNR on the benchmarks (classical protocol); -inf without scores."""
        found = [
            values["psnr"] for name, values in self.scores.get("classical", {}).items() if name != HELD_OUT
        ]
        return fmean(found) if found else -math.inf

    @property
    def path(self) -> Path:
        """Path of the file, which may not be downloaded yet."""
        if self.shipped:
            return weights_dir() / self.file
        return parse_source(self.source).location(cache_dir())

    @property
    def present(self) -> bool:
        return self.path.is_file()


@dataclass(frozen=True)
class Manifest:
    """All named models; names are unique."""

    entries: tuple[Entry, ...]

    @classmethod
    def load(cls, folder: Path | None = None) -> Manifest:
        """Load the shipped models of `folder` (default `weights_dir()`) and the public ones.

        Raises:
            ResourceError: the manifest is missing or damaged.
        """
        return cls((*read_entries((folder or weights_dir()) / MANIFEST_NAME), *PUBLIC_ENTRIES))

    def __iter__(self) -> Iterator[Entry]:
        return iter(self.entries)

    def __contains__(self, name: object) -> bool:
        return name in self._by_name

    @cached_property
    def _by_name(self) -> dict[str, Entry]:
        return {entry.name: entry for entry in self.entries}

    def entry(self, name: str) -> Entry:
        """Model of a name.

        Raises:
            ResourceError: the name is unknown; the message names the nearest.
        """
        if name not in self._by_name:
            raise self.unknown(name)
        return self._by_name[name]

    def unknown(self, name: str) -> ResourceError:
        """Error for an unknown name; it names the nearest model or family."""
        known = [*self._by_name, *(set(self.families()) - {name})]
        return ResourceError(
            f"There is no model '{name}'; `srkit models list` names those there are, `srkit models search` those of "
            f"OpenModelDB.{nearest(name, known)}"
        )

    def shipped(self) -> tuple[Entry, ...]:
        """Models that are shipped with the program."""
        return tuple(entry for entry in self.entries if entry.shipped)

    def families(self) -> dict[str, dict[int, str]]:
        """Families of shipped models that differ only in scale: `edsr` to 2: `edsr-x2`, 4: `edsr-x4`, ..."""
        found: dict[str, dict[int, str]] = {}
        for entry in self.shipped():
            family = entry.name.removesuffix(f"-x{entry.scale}")
            if entry.task == "sr" and family != entry.name:
                found.setdefault(family, {})[entry.scale] = entry.name
        return found


def read_entries(path: Path) -> list[Entry]:
    """Entries of a manifest file, in its order.

    Raises:
        ResourceError: the file is missing or not JSON, or an entry lacks a field or has an unknown one.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ResourceError(
            f"The list of models '{path}' cannot be read ({error.strerror}); install srkit again."
        ) from error
    except ValueError as error:
        raise _damaged(path, str(error)) from error
    if not isinstance(content, dict) or not isinstance(content.get("models"), list):
        raise _damaged(path, "expected an object with the list 'models'")
    if content.get("format_version") != MANIFEST_VERSION:
        raise _damaged(path, f"its format is {content.get('format_version')!r}, expected {MANIFEST_VERSION}")
    try:
        entries = [Entry(**item) for item in content["models"]]
    except TypeError as error:
        raise _damaged(path, str(error).removeprefix("Entry.__init__() ")) from error
    names = [entry.name for entry in entries]
    if twice := {name for name in names if names.count(name) > 1}:
        raise _damaged(path, f"it has two models named '{min(twice)}'")
    return entries


def format_entries(entries: list[Entry]) -> str:
    """Text of the manifest file with entries by name and fields in order, so that equal content gives equal text."""
    order = [item.name for item in fields(Entry)]
    models = [
        {name: _plain(asdict(entry)[name]) for name in order if name != "pairs" or entry.pairs}
        for entry in sorted(entries, key=lambda entry: entry.name)
    ]
    document = {"format_version": MANIFEST_VERSION, "models": models}
    return json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def _plain(value: Any) -> Any:
    """Nested mappings with sorted keys."""
    if isinstance(value, dict):
        return {key: _plain(value[key]) for key in sorted(value)}
    return value


def _damaged(path: Path, why: str) -> ResourceError:
    return ResourceError(f"The list of models '{path}' is damaged: {why.rstrip('.')}; install srkit again.")


PUBLIC_ENTRIES: tuple[Entry, ...] = tuple(
    Entry(
        name=model.name,
        file=model.url.rpartition("/")[2],
        sha256=model.sha256,
        size=model.size,
        task="sr",
        scale=model.scale,
        arch=model.arch,
        parameters=None,
        licence=model.licence,
        summary=model.summary,
        source=model.url,
    )
    for model in PUBLIC_MODELS
)


def register(path: Path, name: str, summary: str, pairs: Mapping[str, str] | None = None) -> Entry:
    """Write the manifest entry of a weights file into the `manifest.json` of the file's folder.

    An entry of the same name is replaced; a missing manifest is created. All fields except name, summary and pairs come
    from the file: its header, checksum and tensors.

    Args:
        pairs: see `Entry.pairs`; None keeps those of the replaced entry.

    Raises:
        ResourceError: the file is not a weights file of this project, or the manifest is damaged.
    """
    path = Path(path)
    header = read_header(path)
    manifest = path.parent / MANIFEST_NAME
    known = read_entries(manifest) if manifest.exists() else []
    if pairs is None:
        pairs = next((other.pairs for other in known if other.name == name), {})
    entry = Entry(
        name=name,
        file=path.name,
        sha256=sha256_of(path),
        size=path.stat().st_size,
        task=header.task,
        scale=header.scale,
        arch=header.arch,
        parameters=_parameters(path),
        licence=header.licence,
        summary=summary,
        recipe=header.recipe,
        training_data=header.training_data,
        scores=header.scores,
        source=SHIPPED,
        pairs=dict(pairs),
    )
    others = [other for other in known if other.name != name]
    if any(other.file == path.name for other in others):
        raise ResourceError(
            f"'{manifest}' has '{path.name}' under another name already; remove that entry first."
        )
    with atomic_path(manifest) as temporary:
        temporary.write_text(format_entries([*others, entry]), encoding="utf-8")
    return entry


def _parameters(path: Path) -> int:
    """Number of stored values, from the file's header."""
    with safe_open(path, framework="numpy") as file:
        return sum(math.prod(file.get_slice(name).get_shape()) for name in file.keys())  # noqa: SIM118
