"""Names in sentences and on terminals, and what a failing file system says, in words."""

from __future__ import annotations

import errno
import os
import re
from pathlib import Path

from srkit.errors import SrkitError, UsageError

_LONGEST = 4096
"""Bytes of a path, on Linux."""
_NO_PATH = {errno.ENAMETOOLONG, errno.ELOOP, errno.ENOTDIR, errno.ENOENT, errno.EISDIR, errno.EEXIST}
_NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_UNSHOWABLE = re.compile(
    # What XML 1.0 forbids (controls, surrogates, U+FFFE, U+FFFF), what would break a line or command a terminal, and
    # the marks with which a name can reverse the text around it.
    r"[\x00-\x1f\x7f-\x9f\u061c\u2028\u2029\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff\ufffe\uffff]"
)


def printable(text: str, keep: str = "") -> str:
    """`text` on one line, in characters that every terminal and report can hold; others, but those of `keep`, are
    escaped as in Python."""
    return _UNSHOWABLE.sub(
        lambda match: match[0] if match[0] in keep else match[0].encode("unicode_escape").decode("ascii"),
        text,
    )


def shown(path: str | os.PathLike[str]) -> str:
    """The path in quotes, printable: bytes that are not UTF-8 become the replacement character. Of one that is too long
    to be any, the start and the end."""
    text = printable(os.fsencode(path).decode("utf-8", "replace"))
    return f"'{text if len(text) <= _LONGEST else f'{text[:50]}...{text[-50:]}'}'"


def unusable(error: OSError) -> SrkitError:
    """The error for what the file system says of a path that nobody has asked it about with more care."""
    if error.errno in _NO_ROOM:
        return writing_failed(Path(error.filename or "the output"), error)
    kind = UsageError if error.errno in _NO_PATH else SrkitError
    return kind(f"{shown(error.filename)} cannot be used ({error.strerror}); check the path.")


def folder_name(folder: Path) -> str:
    """A folder's own name, also where it is written as `.`, `..` or with these at its end."""
    return folder.name if folder.name not in ("", "..") else folder.resolve().name or "root"


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
