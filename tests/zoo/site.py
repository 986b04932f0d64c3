"""What tests of fetching share: a server on loopback, whose files and faults a test sets."""

from __future__ import annotations

import contextlib
import os
import re
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

ROOT = Path(__file__).parents[2]


@dataclass
class Site:
    """What the server has and how it behaves; what it was asked."""

    files: dict[str, bytes] = field(default_factory=dict)
    etag: str | None = '"1"'
    cut_after: list[int] = field(default_factory=list)
    """Bytes after which each of the next answers breaks off."""
    fail: list[int] = field(default_factory=list)
    """Status codes of the next answers."""
    ranges: bool = True
    redirects: dict[str, str] = field(default_factory=dict)
    """Path to where it leads."""
    length: str | None = None
    """What the next answers name as their length, whatever it is."""
    held: threading.Event | None = None
    """Answers stop after 100 kB until it is set."""
    asked: list[tuple[str, str | None]] = field(default_factory=list)
    """Path and Range of every GET."""
    url: str = ""
    handler: Any = None


class Handler(BaseHTTPRequestHandler):
    site: ClassVar[Site]
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: Any) -> None:
        pass

    def do_GET(self) -> None:
        site, range_ = self.site, self.headers.get("Range")
        site.asked.append((self.path, range_))
        if site.fail:
            self._answer(site.fail.pop(0), b"", {})
            return
        if self.path in site.redirects:
            self._answer(302, b"", {"Location": site.redirects[self.path]})
            return
        content = site.files.get(self.path)
        if content is None:
            self._answer(404, b"", {})
            return
        headers = {"ETag": site.etag} if site.etag else {}
        condition = self.headers.get("If-Range")
        if range_ and site.ranges and condition in (None, site.etag):
            start = int(re.fullmatch(r"bytes=(\d+)-", range_)[1])  # type: ignore[index]
            if start >= len(content):
                self._answer(416, b"", {"Content-Range": f"bytes */{len(content)}"})
                return
            headers["Content-Range"] = f"bytes {start}-{len(content) - 1}/{len(content)}"
            self._answer(206, content[start:], headers)
        else:
            self._answer(200, content, headers)

    def _answer(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", self.site.length or str(len(body)))
        self.send_header("Connection", "close")
        self.end_headers()
        if body and self.site.cut_after:
            body = body[: self.site.cut_after.pop(0)]
        with contextlib.suppress(OSError):  # where the client was killed
            self.wfile.write(body[:100_000])
            self.wfile.flush()
            if self.site.held and len(body) > 100_000:
                self.site.held.wait(120)
            self.wfile.write(body[100_000:])
        self.close_connection = True


@contextlib.contextmanager
def serving(handler: type[Handler] = Handler) -> Iterator[Site]:
    """A site on a free port of loopback."""
    site = Site()
    bound = type("Bound", (handler,), {"site": site})
    server = ThreadingHTTPServer(("127.0.0.1", 0), bound)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    site.url = f"http://127.0.0.1:{server.server_port}"
    site.handler = bound
    try:
        yield site
    finally:
        if site.held:
            site.held.set()
        server.shutdown()
        thread.join()
        server.server_close()


def files_below(folder: Path) -> list[str]:
    """Names of the files in a folder and below it, without those that serve as locks."""
    return sorted(path.name for path in folder.rglob("*") if path.is_file() and path.suffix != ".lock")


def child_environment(cache: Path, **more: str) -> dict[str, str]:
    """Of a process that may fetch from loopback."""
    environment = os.environ | {
        "SRKIT_CACHE": str(cache),
        "HF_HOME": str(cache / "hf"),
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "HF_HUB_OFFLINE": "0",
        "SRKIT_OFFLINE": "0",
        "NO_PROXY": "127.0.0.1",
        "OMP_NUM_THREADS": "1",
        "PYTHONPATH": os.pathsep.join([str(ROOT / "cli"), str(ROOT), os.environ.get("PYTHONPATH", "")]),
    }
    return environment | more
