"""Atomic file writing: files are written beside their target under a hidden name, then renamed.

The temporary name includes the writing process, so that leftovers of a killed run can be distinguished from files that
another run is writing. It does not include the target's name, so that it is never too long.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import platform
import re
import secrets
import stat
from collections.abc import Iterator
from pathlib import Path

from srkit.errors import SrkitError
from srkit.io.names import is_file_system_trouble, shown, writing_failed

_TEMPORARY = re.compile(r"\.srkit-(?P<host>[0-9a-f]{8})-(?P<pid>[0-9]+)-[0-9a-f]{12}\.part")


@contextlib.contextmanager
def atomic_path(target: Path) -> Iterator[Path]:
    """Yield an empty temporary file beside `target`, renamed to it when the block ends without an exception.

    On any exception (including interrupts) the temporary is removed and an existing target is unchanged. A target that
    is a symbolic link is replaced, not followed.

    Raises:
        SrkitError: the folder is missing or not writable, the disk is full, or the target is not a file
            (a folder, a device).
    """
    _refuse_special(target)
    temporary = target.with_name(f".srkit-{_host()}-{os.getpid()}-{secrets.token_hex(6)}.part")
    try:
        os.close(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666))
    except OSError as error:
        raise writing_failed(target, error) from error
    try:
        yield temporary
        try:
            temporary.replace(target)
        except OSError as error:
            raise writing_failed(target, error) from error
    except OSError as error:
        if is_file_system_trouble(error):
            raise writing_failed(target, error) from error
        raise
    finally:
        temporary.unlink(missing_ok=True)  # no longer exists after the rename


def remove_stale(folder: Path) -> list[Path]:
    """Remove temporaries directly in `folder` whose writing process on this machine has ended, and return them.

    Other files, temporaries of a live process, and those of another machine (on a shared folder), whose processes are
    unknown here, are kept.
    """
    removed: list[Path] = []
    try:
        entries = sorted(folder.iterdir())
    except OSError:
        return removed
    for path in entries:
        match = _TEMPORARY.fullmatch(path.name)
        if match is None or match["host"] != _host() or is_alive(int(match["pid"])):
            continue
        with contextlib.suppress(OSError):
            if stat.S_ISREG(path.lstat().st_mode):
                path.unlink()
                removed.append(path)
    return removed


def _refuse_special(target: Path) -> None:
    # Renaming onto a device such as /dev/null would replace it, if the user has the permissions.
    try:
        mode = target.stat().st_mode
    except OSError:
        return
    if not stat.S_ISREG(mode):
        kind = "a folder" if stat.S_ISDIR(mode) else "a device or pipe"
        raise SrkitError(f"{shown(target)} is {kind}, not a file; give the output another name.")


def _host() -> str:
    return hashlib.blake2b(platform.node().encode("utf-8", "replace"), digest_size=4).hexdigest()


def is_alive(pid: int) -> bool:
    """Return whether a process of this machine is alive."""
    if os.name == "nt":  # os.kill(pid, 0) would end the process on Windows
        return True
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        return True
    return True
