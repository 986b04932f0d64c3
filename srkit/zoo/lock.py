"""What was recorded when a file was fetched: `FILE.lock.json` beside it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from srkit.errors import ResourceError
from srkit.io.atomic import atomic_path
from srkit.zoo.cache import cache_dir

_SUFFIX = ".lock.json"


@dataclass(frozen=True)
class Lock:
    """A fetched file's origin and content."""

    source: str
    sha256: str
    size: int
    pinned: bool
    """Whether the checksum was known beforehand; False: it is the first download's."""


def lock_path(path: Path) -> Path:
    return path.with_name(path.name + _SUFFIX)


def write_lock(path: Path, lock: Lock) -> None:
    """Record `lock` beside the file `path`."""
    with atomic_path(lock_path(path)) as temporary:
        temporary.write_text(json.dumps(asdict(lock), indent=2) + "\n", encoding="utf-8")


def read_lock(path: Path) -> Lock | None:
    """What was recorded of the file `path`; None where nothing was.

    Raises:
        ResourceError: the record is damaged.
    """
    try:
        return Lock(**json.loads(lock_path(path).read_text(encoding="utf-8")))
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError, TypeError) as error:
        raise ResourceError(
            f"The record '{lock_path(path)}' of a download is damaged ({error}); delete it "
            "and pull the model again."
        ) from error


def pulled_files() -> Iterator[Path]:
    """Files in the cache that were fetched (their record is there; the file itself may be gone), by path."""
    for record in sorted((cache_dir() / "models").rglob(f"*{_SUFFIX}")):
        yield record.with_name(record.name.removesuffix(_SUFFIX))


def find_pulled(name: str) -> Path | None:
    """The fetched file of that name, with or without its extension.

    Raises:
        ResourceError: there are several.
    """
    found = [path for path in pulled_files() if name in (path.stem, path.name)]
    if len(found) > 1:
        raise ResourceError(
            f"Several fetched models are named '{name}': {', '.join(str(path) for path in found)}; "
            "give the path of one."
        )
    return found[0] if found else None
