"""Storage at a URL, such as s3://bucket/folder: listed, read and written through fsspec.

The protocols' packages (s3fs, gcsfs, adlfs) are imported when a URL needs them.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

from srkit.errors import SrkitError, UsageError, first_line
from srkit.io.names import shown
from srkit.io.read import Encoded

ANSWER_S = 7.0
"""Timeout in seconds for the first answer of a storage."""
_OBJECT_STORES = frozenset({"s3", "s3a", "gs", "gcs", "az", "abfs", "abfss", "memory"})
"""Protocols with atomic PUT; for others, files are written beside their target and renamed."""
_PACKAGES = {"s3": "s3fs", "s3a": "s3fs", "gs": "gcsfs", "gcs": "gcsfs", "az": "adlfs", "abfs": "adlfs"}
_PAGE = 1000

T = TypeVar("T")


def is_url(text: str) -> bool:
    """Return whether a text is a URL and not a path."""
    protocol, mark, _ = text.partition("://")
    return bool(mark) and protocol.isascii() and protocol.replace("+", "").replace("-", "").isalnum()


def without_file(text: str) -> str:
    """Path of a `file://` URL; other texts are unchanged."""
    from urllib.parse import unquote

    return unquote(text.removeprefix("file://")) if text.lower().startswith("file://") else text


class Storage:
    """Files below a URL, by paths relative to it.

    Args:
        url: URL of a folder or prefix; a path for local folders.

    Raises:
        UsageError: a protocol unknown to fsspec, or whose package is not installed.
    """

    def __init__(self, url: str) -> None:
        self.url = url.rstrip("/")
        self.protocol = url.partition("://")[0].lower() if is_url(url) else "file"
        try:
            import fsspec

            options = {} if self.protocol == "file" else {"use_listings_cache": False}
            self._fs, root = fsspec.url_to_fs(url, **options)
        except (ImportError, ValueError) as error:
            raise self._unknown(error) from error
        self._root = str(root).rstrip("/")
        if not self._root and self.protocol not in ("file", "memory"):
            raise UsageError(
                f"{shown(url)} names no bucket; give one, as in {self.protocol}://bucket/folder."
            )

    def __reduce__(self) -> tuple[type[Storage], tuple[str]]:
        return Storage, (self.url,)  # each process needs its own connections

    def url_of(self, name: str) -> str:
        return f"{self.url}/{name}"

    def names(self, *, recursive: bool) -> Iterator[str]:
        """Yield the files' paths relative to the URL, unordered, page by page if supported.

        Raises:
            UsageError: the location does not exist.
            SrkitError: it does not answer, or listing is forbidden.
        """
        start = len(self._root) + 1
        for page in self._pages(recursive):
            for name in page:
                if (relative := name[start:]) and name[:start] == f"{self._root}/":
                    yield relative

    def is_folder(self) -> bool:
        """Return whether anything lies below the URL. Raises SrkitError if the storage does not answer."""
        return self._answer(lambda: bool(self._fs.isdir(self._root)))

    def read(self, name: str) -> Encoded:
        """Read a file. Raises SrkitError if unavailable."""
        with self._explained(name):
            return Encoded(self._fs.cat_file(self._path(name)), self.url_of(name))

    def put(self, source: Path, name: str) -> None:
        """Store a file atomically, replacing an existing one. Raises SrkitError on failure."""
        with self._explained(name):
            if self.protocol in _OBJECT_STORES:
                self._fs.put_file(str(source), self._path(name))
                return
            path = self._path(name)
            parent, _, last = path.rpartition("/")
            self._fs.makedirs(parent, exist_ok=True)
            part = f"{parent}/.srkit-{last}.part"
            self._fs.put_file(str(source), part)
            self._fs.mv(part, path)

    def create(self, name: str, data: bytes, *, replace: bool = False) -> bool:
        """Store a small file unless one of that name exists; return whether it was stored.

        Raises:
            UsageError, SrkitError: as in `names`, or writing is forbidden.
        """
        mode = "overwrite" if replace else "create"

        def write() -> bool:
            try:
                self._fs.pipe_file(self._path(name), data, mode=mode)
            except FileExistsError:
                return False
            return True

        return self._answer(write)

    def read_small(self, name: str) -> bytes | None:
        """Read a file stored by `create`; None if it does not exist."""
        with self._explained(name):
            try:
                return bytes(self._fs.cat_file(self._path(name)))
            except FileNotFoundError:
                return None

    def remove(self, name: str) -> None:
        """Remove a file if it exists."""
        with self._explained(name), contextlib.suppress(FileNotFoundError):
            self._fs.rm_file(self._path(name))

    # -- how fsspec is asked --------------------------------------------------------------------------------

    def _path(self, name: str) -> str:
        return f"{self._root}/{name}"

    def _pages(self, recursive: bool) -> Iterator[list[str]]:
        if not hasattr(self._fs, "_iterdir"):
            there = self.is_folder()
            with self._explained(""):
                if not there:
                    raise FileNotFoundError(self._root)
                found = self._fs.find(self._root, maxdepth=None if recursive else 1)  # as long as it takes
            yield found
            return
        # The listing of s3fs keeps a record of 1 kB per object; here only one page is kept at a time.
        from fsspec.asyn import sync

        bucket, _, prefix = self._root.partition("/")
        entries = self._fs._iterdir(
            bucket, delimiter="" if recursive else "/", prefix=f"{prefix}/" if prefix else ""
        )

        async def page() -> list[str]:
            names: list[str] = []
            async for entry in entries:
                if entry["type"] == "file":
                    names.append(entry["name"])
                if len(names) == _PAGE:
                    break
            return names

        limit: float | None = ANSWER_S
        while names := self._answer(lambda: sync(self._fs.loop, page), limit):
            yield names
            limit = None  # it answers; if it is slow, the client has a timeout of its own

    def _answer(self, ask: Callable[[], T], limit: float | None = ANSWER_S) -> T:
        """Call `ask` with a timeout in seconds, in a thread, since clients retry for minutes by themselves."""
        result: list[T] = []
        failure: list[BaseException] = []

        def run() -> None:
            try:
                result.append(ask())
            except BaseException as error:
                failure.append(error)

        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        thread.join(limit)
        with self._explained(""):
            if failure:
                raise failure[0]
            if not result:
                raise TimeoutError(f"no answer in {limit:.0f} s")
        return result[0]

    @contextlib.contextmanager
    def _explained(self, name: str) -> Iterator[None]:
        """Turn errors of the block into a sentence."""
        place = shown(self.url_of(name) if name else self.url)
        try:
            yield
        except SrkitError:
            raise
        except FileNotFoundError as error:
            kind = SrkitError if name else UsageError
            raise kind(
                f"{place} is not there ({first_line(error)}); check the bucket and the path."
            ) from error
        except PermissionError as error:
            raise SrkitError(
                f"{place} may not be used ({first_line(error)}); check the credentials and what they allow."
            ) from error
        except Exception as error:  # each protocol has its own exceptions
            what = f"{type(error).__name__}: {first_line(error)}"
            if "Credentials" in what:
                advice = f"give credentials as {self._package()} takes them (docs/SCALE.md)"
            else:
                advice = "check the address and the network"
            raise SrkitError(f"{place} cannot be reached ({what}); {advice}.") from error

    def _package(self) -> str:
        return _PACKAGES.get(self.protocol, "fsspec")

    def _unknown(self, error: Exception) -> UsageError:
        if isinstance(error, ImportError):
            package = _PACKAGES.get(self.protocol, str(error))
            return UsageError(
                f"{shown(self.url)} needs the package {package}, which is not installed; run "
                f"`pip install {package}` or `pip install 'srkit[cloud]'`."
            )
        return UsageError(
            f"{shown(self.url)} is of no protocol that is known ({first_line(error)}); give a path, or "
            "a URL such as s3://bucket/folder."
        )
