"""Looking at a weights file before anything reads it."""

from __future__ import annotations

import hashlib
from pathlib import Path

from srkit.errors import ResourceError

_LFS_POINTER = b"version https://git-lfs.github.com/spec/"


def sha256_of(path: Path) -> str:
    """SHA-256 of a file's content, in lower-case hexadecimal.

    Raises:
        ResourceError: the file cannot be read.
    """
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise unreadable(path, error) from error


def check_checkpoint(path: Path) -> None:
    """That `path` is a file which may hold weights.

    Raises:
        ResourceError: it is missing, a folder, empty, unreadable or a git-lfs pointer.
    """
    if path.is_dir():
        raise ResourceError(f"'{path}' is a folder; expected a file of weights.")
    try:
        with path.open("rb") as file:
            start = file.read(len(_LFS_POINTER))
    except FileNotFoundError as error:
        raise ResourceError(f"There is no file '{path}'; expected a file of weights.") from error
    except OSError as error:
        raise unreadable(path, error) from error
    if not start:
        raise ResourceError(f"'{path}' is empty; expected a file of weights: fetch it again.")
    if start == _LFS_POINTER:
        raise ResourceError(
            f"'{path}' is a git-lfs pointer, not the weights; run `git lfs pull` where it came from."
        )


def unreadable(path: Path, error: OSError) -> ResourceError:
    return ResourceError(f"'{path}' cannot be read: {error.strerror or error}.")
