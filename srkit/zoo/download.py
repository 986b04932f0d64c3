"""One file over HTTP, taken up again where it broke off.

Of the libraries that this project has anyway, none does this for plain URLs (`torch.hub` begins anew;
huggingface_hub's own is not public), so it stands here, on the standard library.
"""

from __future__ import annotations

import contextlib
import http.client
import re
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from email.message import Message
from pathlib import Path

from srkit._version import __version__
from srkit.errors import ResourceError
from srkit.progress import Progress

_CHUNK = 1 << 20
_TIMEOUT_S = 30.0
_PATIENCE = 3
"""How often in a row a server may fail to give a single byte."""


class _BrokenOffError(Exception):
    """The connection ended before the file did."""


def download(url: str, part: Path, progress: Progress, *, checked: bool, pause_s: float = 0.5) -> None:
    """Fetch `url` into `part`, beginning where an earlier attempt ended; `part` stays if this one fails too.

    A rest is only asked for where it surely belongs to the beginning: the server named a version of the file
    (ETag or Last-Modified, kept beside `part`) and still has that one, or the caller checks the whole.

    Args:
        url: http or https.
        part: the unfinished file; its folder exists.
        progress: told of bytes.
        checked: the caller knows the checksum that the whole file must have.
        pause_s: wait before the first retry, doubled for each that follows.

    Raises:
        ResourceError: the server does not have the file, cannot be reached, or breaks off again and again.
    """
    failures = 0
    while True:
        before = _size(part)
        try:
            _attempt(url, part, progress, checked)
            version_path(part).unlink(missing_ok=True)
            return
        except urllib.error.HTTPError as error:
            if error.code < 500 and error.code not in (408, 429):
                raise ResourceError(
                    f"'{url}' cannot be fetched: the server answered {error.code} {error.reason}; check the "
                    "address."
                ) from error
            reason: Exception = error
        except (OSError, http.client.HTTPException, _BrokenOffError) as error:
            reason = error
        failures = 0 if _size(part) > before else failures + 1
        if failures > _PATIENCE:
            raise ResourceError(
                f"'{url}' could not be fetched: {_said(reason)} ({_size(part)} bytes are kept); run the same "
                "command again to go on from there."
            ) from reason
        time.sleep(pause_s * 2**failures)


def version_path(part: Path) -> Path:
    """Where the server's name for the version of an unfinished file is kept."""
    return part.with_name(part.name + ".version")


def _attempt(url: str, part: Path, progress: Progress, checked: bool) -> None:
    version = _read_version(part)
    offset = _size(part) if version or checked else 0
    request = urllib.request.Request(
        url, headers={"User-Agent": f"srkit/{__version__}", "Accept-Encoding": "identity"}
    )
    if offset:
        request.add_header("Range", f"bytes={offset}-")
        if version:
            request.add_header("If-Range", version)
    try:
        response = urllib.request.urlopen(request, timeout=_TIMEOUT_S)
    except urllib.error.HTTPError as error:
        if error.code != 416:
            raise
        if error.headers.get("Content-Range") == f"bytes */{offset}":
            return  # nothing is left to send: the part is the whole
        part.unlink()
        raise _BrokenOffError("the file on the server has changed") from error
    with response:
        start, total = _extent(response.status, response.headers, offset)
        _write_version(part, response.headers)
        progress.start(f"Fetching {url.rpartition('/')[2]}", total)
        try:
            progress.advance(start)
            _copy(response, part, start, progress)
        finally:
            progress.finish()
    if total is not None and _size(part) != total:
        raise _BrokenOffError(f"the connection ended after {_size(part)} of {total} bytes")


def _extent(status: int, headers: Message, offset: int) -> tuple[int, int | None]:
    """Where in the file the answer begins, and how long the whole file is (None: not told)."""
    if status == 206:
        match = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", headers.get("Content-Range", ""))
        if match is None or int(match[1]) != offset:
            raise _BrokenOffError("the server sent another part than the one asked for")
        return offset, None if match[2] == "*" else int(match[2])
    length = headers.get("Content-Length")
    return 0, int(length) if length else None


def _copy(response: http.client.HTTPResponse, part: Path, start: int, progress: Progress) -> None:
    with _writing(part):
        file = part.open("r+b" if start else "wb")
    with file:
        with _writing(part):
            file.truncate(start)
            file.seek(start)
        while chunk := response.read(_CHUNK):
            with _writing(part):
                file.write(chunk)
                file.flush()  # here, not when the file is closed, is a full disk told apart
            progress.advance(len(chunk))


@contextlib.contextmanager
def _writing(part: Path) -> Iterator[None]:
    """Trouble with the disk, told apart from trouble with the network, which is tried again."""
    try:
        yield
    except OSError as error:
        raise ResourceError(f"'{part}' cannot be written: {error.strerror or error}.") from error


def _read_version(part: Path) -> str | None:
    with contextlib.suppress(OSError):
        return version_path(part).read_text(encoding="ascii") or None
    return None


def _write_version(part: Path, headers: Message) -> None:
    etag = headers.get("ETag", "")
    # A weak ETag names equal meaning, not equal bytes.
    version = etag if etag.startswith('"') else headers.get("Last-Modified", "")
    if version.isascii():
        with _writing(part):
            version_path(part).write_text(version, encoding="ascii")


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def _said(error: Exception) -> str:
    if isinstance(error, urllib.error.HTTPError):
        return f"the server answered {error.code} {error.reason}"
    if isinstance(error, urllib.error.URLError):
        return f"the server cannot be reached ({error.reason})"
    return str(error) or type(error).__name__
