"""Sources of models, and their locations in the cache."""

from __future__ import annotations

import hashlib
import os
import re
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import SplitResult, urlsplit

from srkit.errors import UsageError

_NO_STEP = ("", ".", "..")
_OWN_SUFFIXES = (".lock.json", ".part", ".part.json")
"""Extensions of the files that accompany downloaded ones."""
_LONGEST = 120  # characters of a path component; file systems allow 255 bytes
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

    @property
    def server(self) -> str:
        """URL that must be reachable."""
        return self.url

    def location(self, cache: Path) -> Path:
        """Path from host and URL path; a query is represented by a hash, so that different URLs never share a file."""
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

    @property
    def server(self) -> str:
        """URL that must be reachable."""
        return hub_endpoint()

    def location(self, cache: Path) -> Path:
        """Path from repository, revision (`main` by default) and file.

        Raises:
            UsageError: the file name is unknown.
        """
        if self.file is None:
            raise UsageError(f"'{self.text}' names no file; expected {_HUB_FORM}.")
        steps = [*self.repo.split("/"), self.revision or "main", *self.file.split("/")]
        safe = [_safe(step) for step in steps if step not in _NO_STEP]
        return cache.joinpath("models", "huggingface", *safe)


def hub_endpoint() -> str:
    """URL of the Hugging Face Hub, or of the mirror in `HF_ENDPOINT`."""
    return os.environ.get("HF_ENDPOINT", "").rstrip("/") or "https://huggingface.co"


def parse_source(text: str) -> Url | Hub:
    """Source from a URL, `hf:owner/repo[/file][@revision]`, or `owner/repo` on the Hub.

    Raises:
        UsageError: the text has none of these forms.
    """
    if "://" in text:
        return Url(_checked_url(text))
    match = _HUB.fullmatch(text)
    if match is None or ".." in (match["file"] or "").split("/"):
        raise UsageError(f"'{text}' is no source of a model; expected a URL, {_HUB_FORM}.")
    return Hub(match["repo"], match["file"], match["revision"])


def _checked_url(text: str) -> str:
    try:
        parts = urlsplit(text)
        usable = bool(parts.scheme in ("http", "https") and parts.hostname and parts.path.rpartition("/")[2])
        usable = usable and parts.port != 0 and text.isascii() and text.isprintable() and " " not in text
    except ValueError:  # an invalid port or IPv6 address
        usable = False
    else:
        if "@" in parts.netloc:
            raise UsageError(
                f"The address of a file on '{_host(parts)}' holds a user name or password, which would be written into "
                "records and messages; expected https://host/path/file: download the file yourself."
            )
    if not usable:
        raise UsageError(f"'{text}' is no address of a file; expected https://host/path/file.")
    return text


def _host(parts: SplitResult) -> str:
    """Host and port, without user name and password."""
    return parts.netloc.rpartition("@")[2]


def _safe(step: str) -> str:
    """Path component as a file name that is not hidden, not reserved for a record, and not too long."""
    name = re.sub(r"[^\w.-]", "_", step, flags=re.ASCII)
    if name.startswith("."):
        name = "_" + name
    if name.endswith(_OWN_SUFFIXES):
        name += "_"
    if len(name) > _LONGEST:
        name = hashlib.sha256(step.encode()).hexdigest()[:16] + name[16 - _LONGEST :]
    return name
