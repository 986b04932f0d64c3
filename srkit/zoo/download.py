"""Resumable download of one file over HTTP.

None of the project's dependencies does this for plain URLs (`torch.hub` restarts; huggingface_hub's code is not
public), so this module implements it on the standard library.
"""

from __future__ import annotations

import contextlib
import http.client
import ipaddress
import json
import os
import re
import shutil
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from email.message import Message
from pathlib import Path
from typing import IO, Any
from urllib.parse import unquote, urlsplit

from srkit._version import __version__
from srkit.errors import ResourceError
from srkit.io.names import shown_bytes
from srkit.progress import Progress

MAX_BYTES = 16 * 2**30
"""Maximal size of a file; the largest checkpoints in use have a few gigabytes."""
_CHUNK = 1 << 20
_TIMEOUT_S = 30.0
_PATIENCE = 3
"""Number of failures in a row without a single byte before giving up."""


class _BrokenOffError(Exception):
    """The connection ended before the file did."""


def download(
    url: str,
    part: Path,
    progress: Progress,
    *,
    checked: bool,
    pause_s: float = 0.5,
    limit: int = MAX_BYTES,
    announce: Callable[[int | None], None] | None = None,
) -> None:
    """Download `url` into `part`, resuming an earlier attempt; `part` remains if this attempt fails too.

    The caller removes the state beside it, `state_path(part)`, after moving the complete file into place.

    A range is requested only if it is certain to belong to the same file: `part` is of this URL, and either the server
    stated a version (ETag or Last-Modified, stored beside `part`) and still has it, or the caller checks the complete
    file. The caller holds the lock of the final file: see `srkit.zoo.cache`.

    Args:
            url: http or https. Redirects from https to http, to other schemes, and from public servers to this machine
                or its network are refused.
            part: the unfinished file; its folder exists.
            progress: receives the number of bytes.
            checked: the caller knows the checksum of the complete file.
            pause_s: delay before the first retry, doubled for each further one.
            limit: maximal size of the file in bytes.
            announce: called once with the size stated by the server (None: not stated), before the first byte.

    Raises:
            ResourceError: the file does not exist, the server is unreachable or breaks off repeatedly, or the file
                exceeds `limit` or the free disk space.
    """
    failures = 0
    while True:
        before = _size(part)
        try:
            _attempt(url, part, progress, checked, limit, announce)
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
        except ValueError as error:  # urllib's, for a redirect to an invalid URL
            raise ResourceError(
                f"'{url}' cannot be fetched: the server's answer makes no sense ({error}); check the address."
            ) from error
        failures = 0 if _size(part) > before else failures + 1
        if failures > _PATIENCE:
            raise ResourceError(
                f"'{url}' could not be fetched: {_reason_of(reason)} ({_size(part)} bytes are kept); run the same "
                "command again to go on from there."
            ) from reason
        time.sleep(pause_s * 2**failures)
        announce = None


def state_path(part: Path) -> Path:
    """Path of the state of an unfinished file: its URL, and the server's name of the version."""
    return part.with_name(part.name + ".json")


def discard(part: Path) -> None:
    """Remove an unfinished file and its state."""
    for path in (state_path(part), part):
        path.unlink(missing_ok=True)


def _attempt(
    url: str,
    part: Path,
    progress: Progress,
    checked: bool,
    limit: int,
    announce: Callable[[int | None], None] | None,
) -> None:
    version = _read_version(part, url)
    offset = _size(part) if version or (version is not None and checked) else 0
    request = urllib.request.Request(
        url, headers={"User-Agent": f"srkit/{__version__}", "Accept-Encoding": "identity"}
    )
    if offset:
        request.add_header("Range", f"bytes={offset}-")
        if version:
            request.add_header("If-Range", version)
    try:
        response = _opener().open(request, timeout=_TIMEOUT_S)
    except urllib.error.HTTPError as error:
        if error.code != 416:
            raise
        if error.headers.get("Content-Range") == f"bytes */{offset}":
            return  # nothing is left to send: the part is complete
        discard(part)
        raise _BrokenOffError("the file on the server has changed") from error
    with response:
        start, total = _extent(response.status, response.headers, offset)
        _check_room(url, part, total, start, limit)
        if announce:
            announce(total)
        progress.start(f"Fetching {unquote(urlsplit(url).path).rpartition('/')[2]}", total)
        try:
            progress.advance(start)
            with _opened(part, start, url, response.headers) as file:
                _copy(response, file, part, progress, limit - start)
        finally:
            progress.finish()
    if total is not None and _size(part) != total:
        raise _BrokenOffError(f"the connection ended after {_size(part)} of {total} bytes")


def _extent(status: int, headers: Message, offset: int) -> tuple[int, int | None]:
    """Offset of the response in the file, and size of the whole file (None: not stated)."""
    if status == 206:
        match = re.fullmatch(r"bytes (\d{1,19})-\d{1,19}/(\d{1,19}|\*)", headers.get("Content-Range", ""))
        if match is None or int(match[1]) != offset:
            raise _BrokenOffError("the server sent another part than the one asked for")
        return offset, None if match[2] == "*" else int(match[2])
    length = headers.get("Content-Length", "")
    return 0, int(length) if re.fullmatch(r"\d{1,19}", length, flags=re.ASCII) else None


def _check_room(url: str, part: Path, total: int | None, start: int, limit: int) -> None:
    """Refuse files beyond the limit or the free disk space before the first byte."""
    if total is None:
        return
    if total > limit:
        raise _too_long(url, f"the server names {shown_bytes(total)}", limit)
    free = shutil.disk_usage(part.parent).free
    if total - start > free:
        raise ResourceError(
            f"'{url}' has {shown_bytes(total)}, and {shown_bytes(free)} are free in '{part.parent}'; free some space, "
            "or point SRKIT_CACHE to another folder."
        )


def _too_long(url: str, found: str, limit: int) -> ResourceError:
    return ResourceError(
        f"'{url}' is longer than expected: {found}, and at most {shown_bytes(limit)} are fetched; check the address."
    )


@contextlib.contextmanager
def _opened(part: Path, start: int, url: str, headers: Message) -> Iterator[IO[bytes]]:
    """The part opened at its end, truncated to `start` bytes. If killed at any point, versions are never mixed."""
    with _writing(part):
        if not start:
            discard(part)  # a link at this path is removed, not followed
        flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)
        file = os.fdopen(os.open(part, flags, 0o666), "r+b")
    with file:
        with _writing(part):
            file.truncate(start)
            file.seek(start)
            if not start:
                _write_version(part, url, headers)
        yield file
        with _writing(part):
            os.fsync(file.fileno())


def _copy(
    response: http.client.HTTPResponse, file: IO[bytes], part: Path, progress: Progress, room: int
) -> None:
    while chunk := response.read1(_CHUNK):  # returns the bytes received so far
        room -= len(chunk)
        if room < 0:
            discard(part)
            raise _too_long(response.url, "it does not end", file.tell() + len(chunk) + room)
        with _writing(part):
            file.write(chunk)
            file.flush()  # on closing, a full disk would look like a network error
        progress.advance(len(chunk))


@contextlib.contextmanager
def _writing(part: Path) -> Iterator[None]:
    """Turn disk errors into an error of their own, since network errors are retried."""
    try:
        yield
    except OSError as error:
        raise ResourceError(f"'{part}' cannot be written: {error.strerror or error}.") from error


def _read_version(part: Path, url: str) -> str | None:
    """Version of `part`; empty if the server stated none, None if `part` is of another URL."""
    with contextlib.suppress(OSError, ValueError, RecursionError):
        state: Any = json.loads(state_path(part).read_text(encoding="utf-8"))
        if isinstance(state, dict) and state.get("url") == url and not part.is_symlink():
            version = state.get("version")
            return (
                version if isinstance(version, str) and "\n" not in version and "\r" not in version else None
            )
    return None


def _write_version(part: Path, url: str, headers: Message) -> None:
    etag = headers.get("ETag", "")
    # A weak ETag promises equal meaning, not equal bytes.
    version = etag if etag.startswith('"') else headers.get("Last-Modified", "")
    state = {"url": url, "version": version if version.isascii() else ""}
    state_path(part).write_text(json.dumps(state), encoding="utf-8")


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def _reason_of(error: Exception) -> str:
    if isinstance(error, urllib.error.HTTPError):
        return f"the server answered {error.code} {error.reason}"
    if isinstance(error, urllib.error.URLError):
        return f"the server cannot be reached ({error.reason})"
    return str(error) or type(error).__name__


def is_local(url: str) -> bool:
    """True if a URL's host is this machine or a private network, by address or as `localhost`."""
    host = (urlsplit(url).hostname or "").rstrip(".").lower()
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return not ipaddress.ip_address(host.partition("%")[0]).is_global
    except ValueError:
        return False


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Redirect handler that refuses redirects to less safe targets."""

    def redirect_request(
        self, req: urllib.request.Request, fp: Any, code: int, msg: str, headers: Any, newurl: str
    ) -> urllib.request.Request | None:
        old, new = urlsplit(req.full_url), urlsplit(newurl)
        why = None
        if new.scheme not in ("http", "https") or (old.scheme == "https" and new.scheme != "https"):
            why = f"from {old.scheme} to {new.scheme}"
        elif is_local(newurl) and not is_local(req.full_url):
            why = "from a public server into a private network"
        if why:
            raise ResourceError(
                f"'{req.full_url}' redirects {why} ('{newurl}'), which is not followed; check the address."
            )
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _opener() -> urllib.request.OpenerDirector:
    """Opener for http and https only, with the environment's proxies; urllib's default also opens other schemes."""
    opener = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.ProxyHandler,
        urllib.request.HTTPHandler,
        urllib.request.HTTPSHandler,
        urllib.request.HTTPDefaultErrorHandler,
        urllib.request.HTTPErrorProcessor,
        urllib.request.UnknownHandler,
        _Redirects,
    ):
        opener.add_handler(handler())
    return opener
