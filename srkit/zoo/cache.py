"""Cache of downloaded files, with a lock so that one process at a time downloads a file, and a record of each file
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
    """`$SRKIT_CACHE`, else the platform's cache folder (`~/.cache/srkit` on Linux). Not created."""
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
    """Use the weights of public networks in a folder, by file name, instead of downloading them: in this process and
    its children, like `SRKIT_WEIGHTS`.

    Raises:
        UsageError: the folder does not exist.
    """
    if not folder.is_dir():
        raise no_weights_folder(folder)
    os.environ[WEIGHTS_VARIABLE] = str(folder.absolute())


def no_weights_folder(folder: Path) -> UsageError:
    """Error for a missing folder of weights."""
    return UsageError(f"The folder of weights {shown(folder)} is not there; check `weights_dir`.")


@contextlib.contextmanager
def exclusive(target: Path, progress: Progress) -> Iterator[None]:
    """Hold the lock of `target`; wait for another holder. The lock is released when its holder's process ends.

    After waiting, the caller checks for `target` again: it exists, unless the other process failed.

    Raises:
        ResourceError: the cache is not writable.
    """
    from filelock import FileLock, Timeout  # takes 0.1 s; not needed by commands that download nothing

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
    """Error for a folder of the cache that is not writable."""
    return ResourceError(
        f"The cache {shown(folder)} cannot be written ({error.strerror or error}); free some space, or point "
        "SRKIT_CACHE to another folder."
    )


@dataclass(frozen=True)
class Lock:
    """Origin and content of a downloaded file."""

    source: str
    sha256: str
    size: int
    pinned: bool
    """True if the checksum was known before the download; False: it is the first download's."""
    name: str = ""
    """Name by which it was requested, if it differs from the file's own name."""
    licence: str = ""
    """Licence stated at the download; empty: unknown."""


def lock_path(path: Path) -> Path:
    return path.with_name(path.name + _SUFFIX)


def write_lock(path: Path, lock: Lock) -> None:
    """Write `lock` beside the file `path`."""
    with atomic_path(lock_path(path)) as temporary:
        temporary.write_text(json.dumps(asdict(lock), indent=2) + "\n", encoding="utf-8")


def read_lock(path: Path) -> Lock | None:
    """Record of the file `path`; None without one.

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
    """Downloaded files of the cache, by path; their records exist, but the files themselves may be missing."""
    for record in sorted((cache_dir() / "models").rglob(f"*{_SUFFIX}")):
        yield record.with_name(record.name.removesuffix(_SUFFIX))


def find_pulled(name: str) -> Path | None:
    """Downloaded file by name: the requested name in any case, else the file's name with or without extension.

    Raises:
        ResourceError: several files match.
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
    """Name by which a downloaded file was requested; empty if unknown."""
    try:
        lock = read_lock(path)
    except ResourceError:  # reported when the file itself is used
        return ""
    return lock.name if lock else ""
