"""One process at a time fetches a file; the others wait and then find it."""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

from srkit.errors import ResourceError
from srkit.io.names import shown
from srkit.progress import Progress
from srkit.zoo.cache import cache_dir

_POLL_S = 0.2


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
