"""Where a model can be fetched from, and where in the cache it then lies."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import SplitResult, urlsplit

from srkit.errors import UsageError

_NO_STEP = ("", ".", "..")
_HUB_FORM = "owner/repo, or hf:owner/repo/file@revision"
_HUB = re.compile(
    r"(?:hf:)?(?P<repo>\w[\w.-]*/\w[\w.-]*)(?:/(?P<file>[^@]+))?(?:@(?P<revision>[^@]+))?", flags=re.ASCII
)


@dataclass(frozen=True)
class Url:
    """A file on a web server."""

    url: str

    @property
    def text(self) -> str:
        return self.url

    @property
    def file(self) -> str:
        return self.location(Path()).name

    def location(self, cache: Path) -> Path:
        """Host, then path; a query is told apart by a hash, so that two never share a file."""
        parts = urlsplit(self.url)
        steps = [_safe(step) for step in (_host(parts), *parts.path.split("/")) if step not in _NO_STEP]
        if parts.query:
            steps.insert(-1, hashlib.sha256(parts.query.encode()).hexdigest()[:8])
        return cache.joinpath("models", *steps)


@dataclass(frozen=True)
class Hub:
    """A file in a repository of the Hugging Face Hub; `file` None: the only checkpoint there."""

    repo: str
    file: str | None
    revision: str | None

    @property
    def text(self) -> str:
        tail = f"/{self.file}" if self.file else ""
        return f"hf:{self.repo}{tail}" + (f"@{self.revision}" if self.revision else "")

    def location(self, cache: Path) -> Path:
        """Repository, revision (`main` by default), file.

        Raises:
            UsageError: the file is not known yet.
        """
        if self.file is None:
            raise UsageError(f"'{self.text}' names no file; expected {_HUB_FORM}.")
        steps = [*self.repo.split("/"), self.revision or "main", *self.file.split("/")]
        safe = [_safe(step) for step in steps if step not in _NO_STEP]
        return cache.joinpath("models", "huggingface", *safe)


def parse_source(text: str) -> Url | Hub:
    """A URL, `hf:owner/repo[/file][@revision]`, or `owner/repo` on the Hub.

    Raises:
        UsageError: none of these.
    """
    if "://" in text:
        parts = urlsplit(text)
        if parts.scheme not in ("http", "https") or not parts.netloc or not parts.path.rpartition("/")[2]:
            raise UsageError(f"'{text}' is no address of a file; expected https://host/path/file.")
        return Url(text)
    match = _HUB.fullmatch(text)
    if match is None:
        raise UsageError(f"'{text}' is no source of a model; expected a URL, {_HUB_FORM}.")
    return Hub(match["repo"], match["file"], match["revision"])


def _host(parts: SplitResult) -> str:
    """Host and port, without a user's name and password."""
    return parts.netloc.rpartition("@")[2]


def _safe(step: str) -> str:
    return re.sub(r"[^\w.-]", "_", step, flags=re.ASCII)
