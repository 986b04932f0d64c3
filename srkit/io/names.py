"""Display of names in sentences and on terminals, and messages for file system errors."""

from __future__ import annotations

import errno
import os
import re
from pathlib import Path

from srkit.errors import SrkitError, UsageError

_LONGEST = 4096
"""Maximum length of a path in bytes on Linux."""
_NO_PATH = {errno.ENAMETOOLONG, errno.ELOOP, errno.ENOTDIR, errno.ENOENT, errno.EISDIR, errno.EEXIST}
_NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_UNSHOWABLE = re.compile(
    # Characters that XML 1.0 forbids (controls, surrogates, U+FFFE, U+FFFF), that break lines or control terminals, and
    # marks with which a name can reverse the text around it.
    r"[\x00-\x1f\x7f-\x9f\u061c\u2028\u2029\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff\ufffe\uffff]"
)


def printable(text: str, keep: str = "") -> str:
    """Escape `text` to one line of characters that every terminal and report supports, except those of `keep`.

    Escapes are Python's.
    """
    return _UNSHOWABLE.sub(
        lambda match: match[0] if match[0] in keep else match[0].encode("unicode_escape").decode("ascii"),
        text,
    )


def shown(path: str | os.PathLike[str]) -> str:
    """Quote a path for display, with invalid UTF-8 replaced, and shortened if it is too long for any file system."""
    text = printable(os.fsencode(path).decode("utf-8", "replace"))
    return f"'{text if len(text) <= _LONGEST else f'{text[:50]}...{text[-50:]}'}'"


def unusable(error: OSError) -> SrkitError:
    """Error for a file system error on a path that has no more specific handling."""
    if error.errno in _NO_ROOM:
        return writing_failed(Path(error.filename or "the output"), error)
    kind = UsageError if error.errno in _NO_PATH else SrkitError
    return kind(f"{shown(error.filename)} cannot be used ({error.strerror}); check the path.")


def folder_name(folder: Path) -> str:
    """Name of a folder, also if it is given as `.`, `..` or with these at its end."""
    return folder.name if folder.name not in ("", "..") else folder.resolve().name or "root"


def shown_bytes(count: int) -> str:
    """Format a number of bytes as `135 MB`, `12.3 MB` or `4.5 kB`."""
    if count < 100_000:
        return f"{count / 1e3:.1f} kB"
    return f"{count / 1e6:.1f} MB" if count < 100_000_000 else f"{count / 1e6:.0f} MB"


def is_file_system_trouble(error: OSError) -> bool:
    """Return whether an error concerns the location (full, read-only, forbidden) and would affect further files."""
    return error.errno in _NO_ROOM | {errno.EROFS, errno.EACCES, errno.EPERM}


def writing_failed(path: Path, error: OSError) -> SrkitError:
    """Error for a file that could not be written."""
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
