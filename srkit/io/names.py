"""File names in sentences, and what a failing file system says, in words."""

from __future__ import annotations

import errno
import os
from pathlib import Path

from srkit.errors import SrkitError

_NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


def shown(path: str | os.PathLike[str]) -> str:
    """The path in quotes, printable on any stream: bytes that are not UTF-8 become the replacement
    character."""
    return "'" + os.fsencode(path).decode("utf-8", "replace") + "'"


def shown_bytes(count: int) -> str:
    """`135 MB`, `12.3 MB` or `4.5 kB`."""
    if count < 100_000:
        return f"{count / 1e3:.1f} kB"
    return f"{count / 1e6:.1f} MB" if count < 100_000_000 else f"{count / 1e6:.0f} MB"


def is_file_system_trouble(error: OSError) -> bool:
    """Whether the error is about the place (full, read-only, forbidden) and would meet the next file as
    well."""
    return error.errno in _NO_ROOM | {errno.EROFS, errno.EACCES, errno.EPERM}


def writing_failed(path: Path, error: OSError) -> SrkitError:
    """The error for a file that the file system did not let us write."""
    reason = error.strerror or str(error)
    if error.errno in _NO_ROOM:
        advice = "free some space or choose another output folder"
    elif error.errno in {errno.EACCES, errno.EPERM, errno.EROFS}:
        advice = "choose an output folder that you may write to"
    elif error.errno == errno.ENAMETOOLONG:
        advice = "choose a shorter name"
    elif error.errno in {errno.ENOENT, errno.ENOTDIR}:
        advice = "create its folder first"
    else:
        advice = "check the path and the disk"
    return SrkitError(f"{shown(path)} could not be written ({reason}); {advice}.")
