"""The cache: where fetched files are kept, one process at a time fetches a file, and what was recorded of it
(`FILE.lock.json` beside it)."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from srkit.errors import ResourceError, UsageError
from srkit.io.atomic import atomic_path
from srkit.io.names import shown
from srkit.progress import Progress

WEIGHTS_VARIABLE = "SRKIT_WEIGHTS"
_SUFFIX = ".lock.json"
_POLL_S = 0.2


def cache_dir() -> Path:
    """`$SRKIT_CACHE`, else the platform's place for caches (`~/.cache/srkit` on Linux). Not created."""
    if chosen := os.environ.get("SRKIT_CACHE"):
        return Path(chosen).expanduser()
    if sys.platform == "win32":
        base = os.environ.get("LOCALAPPDATA")
        return (Path(base) if base else Path.home() / "AppData" / "Local") / "srkit" / "cache"
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "srkit"
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "srkit"


def look_in(folder: Path) -> None:
    """Take weights of public networks that are in a folder, by their file names, in place of fetching them: in this
    process and those that it starts, as `SRKIT_WEIGHTS` does.

    Raises:
        UsageError: there is no such folder.
    """
    if not folder.is_dir():
        raise no_weights_folder(folder)
    os.environ[WEIGHTS_VARIABLE] = str(folder.absolute())


def no_weights_folder(folder: Path) -> UsageError:
    """The error for a folder of weights that is not there."""
    return UsageError(f"The folder of weights {shown(folder)} is not there; check `weights_dir`.")


@contextlib.contextmanager
def exclusive(target: Path, progress: Progress) -> Iterator[None]:
    """Hold the lock of `target`, waiting for whoever holds it. It is freed when its holder dies, however that happens.

    Whoever has waited looks for `target` again: it is there, unless the holder failed.

    Raises:
        ResourceError: the cache cannot be written.
    """
    from filelock import FileLock, Timeout  # a tenth of a second, for commands that fetch nothing

    folder = cache_dir() / "locks"
    name = hashlib.sha256(os.fsencode(os.path.abspath(target))).hexdigest()[:24]  # noqa: PTH100 - links stay
    with contextlib.ExitStack() as stack:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            lock = FileLock(folder / f"{name}.lock")
            try:
                stack.enter_context(lock.acquire(timeout=0))
            except Timeout:
                progress.say(f"another process is fetching {target.name}; waiting for it")
                stack.enter_context(lock.acquire(poll_interval=_POLL_S))
        except OSError as error:
            raise cache_trouble(folder, error) from error
        yield


def cache_trouble(folder: Path, error: OSError) -> ResourceError:
    """The error for a folder of the cache that the file system did not let us write."""
    return ResourceError(
        f"The cache {shown(folder)} cannot be written ({error.strerror or error}); free some space, or point "
        "SRKIT_CACHE to another folder."
    )


@dataclass(frozen=True)
class Lock:
    """A fetched file's origin and content."""

    source: str
    sha256: str
    size: int
    pinned: bool
    """Whether the checksum was known beforehand; False: it is the first download's."""
    name: str = ""
    """What it was asked for by, where that is not the file's own name."""
    licence: str = ""
    """As it was said when it was fetched; empty: not known."""


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
        lock = Lock(**json.loads(lock_path(path).read_text(encoding="utf-8")))
        if not all(isinstance(value, str) for value in (lock.source, lock.sha256, lock.name, lock.licence)):
            raise ValueError("a field is no text")
        return lock
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError, TypeError, RecursionError) as error:
        raise ResourceError(
            f"The record '{lock_path(path)}' of a download is damaged ({error}); delete it "
            "and pull the model again."
        ) from error


def pulled_files() -> Iterator[Path]:
    """Files in the cache that were fetched (their record is there; the file itself may be gone), by path."""
    for record in sorted((cache_dir() / "models").rglob(f"*{_SUFFIX}")):
        yield record.with_name(record.name.removesuffix(_SUFFIX))


def find_pulled(name: str) -> Path | None:
    """The fetched file of that name: what it was asked for by, in any case, else the file's with or without extension.

    Raises:
        ResourceError: there are several.
    """
    files = list(pulled_files())
    asked = [path for path in files if _asked_for(path).casefold() == name.casefold()]
    found = asked or [path for path in files if name in (path.stem, path.name)]
    if len(found) > 1:
        raise ResourceError(
            f"Several fetched models are named '{name}': {', '.join(str(path) for path in found)}; "
            "give the path of one."
        )
    return found[0] if found else None


def _asked_for(path: Path) -> str:
    """The name that a fetched file was asked for by; empty where its record does not say."""
    try:
        lock = read_lock(path)
    except ResourceError:  # said when the file itself is used
        return ""
    return lock.name if lock else ""
