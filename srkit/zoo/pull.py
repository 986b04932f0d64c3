"""Fetching models into the cache: resumable, checked, and there whole or not at all."""

from __future__ import annotations

import re
import shutil
from dataclasses import dataclass
from pathlib import Path

from srkit.errors import ResourceError, UsageError
from srkit.progress import Progress, Silent
from srkit.zoo.cache import cache_dir
from srkit.zoo.download import download, version_path
from srkit.zoo.files import check_checkpoint, sha256_of
from srkit.zoo.hub import fetch_from_hub, with_file
from srkit.zoo.lock import Lock, read_lock, write_lock
from srkit.zoo.manifest import Manifest
from srkit.zoo.source import Hub, Url, parse_source


@dataclass(frozen=True)
class Pulled:
    """A model file that is on this machine and of the right checksum."""

    name: str
    path: Path
    source: str
    sha256: str
    size: int
    pinned: bool
    """Whether the checksum was known before the first download."""
    fetched: bool
    """False: it was there already."""


def pull(
    what: str, *, sha256: str | None = None, progress: Progress | None = None, pause_s: float = 0.5
) -> Pulled:
    """Fetch a model, unless it is there already.

    The checksum must be `sha256`, else the manifest's, else the one recorded at an earlier download of the
    same source, else (on the Hub, for large files) the server's. Where none is known, the file's own is
    recorded beside it and holds from then on.

    Args:
        what: a name of `srkit models`, a URL, `owner/repo` or `hf:owner/repo/file@revision`.
        sha256: what the file must have, in hexadecimal.
        progress: told of bytes.
        pause_s: wait before the first retry of a URL that breaks off.

    Raises:
        UsageError: `what` or `sha256` is none of these.
        ResourceError: the file cannot be fetched, is no file of weights, or has another checksum.
    """
    expected = _hexadecimal(sha256)
    manifest = Manifest.load()
    if what in manifest:
        entry = manifest.entry(what)
        if entry.shipped:
            return _shipped(what, entry.path, expected or entry.sha256)
        name, source, expected = entry.name, parse_source(entry.source), expected or entry.sha256
    else:
        if "/" not in what:
            manifest.entry(what)  # no source has this form, so it is a misspelt name
        source = parse_source(what)
        source = with_file(source) if isinstance(source, Hub) else source
        name = Path(source.file or "").stem
    path = source.location(cache_dir())
    lock = read_lock(path)
    pinned = expected is not None or (lock is not None and lock.pinned)
    if expected is None and lock is not None and lock.source == source.text:
        expected = lock.sha256
    if expected is not None and path.is_file() and sha256_of(path) == expected:
        write_lock(path, Lock(source.text, expected, path.stat().st_size, pinned))
        return Pulled(name, path, source.text, expected, path.stat().st_size, pinned, fetched=False)
    arrived, found = _fetch(source, path, expected, progress or Silent(), pause_s)
    size = arrived.stat().st_size
    # The record first: were the run killed between the two, the file would be found wrong, not trusted.
    write_lock(path, Lock(source.text, found, size, pinned))
    arrived.replace(path)
    shutil.rmtree(_staging(path), ignore_errors=True)
    return Pulled(name, path, source.text, found, size, pinned, fetched=True)


def _fetch(
    source: Url | Hub, path: Path, expected: str | None, progress: Progress, pause_s: float
) -> tuple[Path, str]:
    """The fetched file under a temporary name, and its checksum, which is right."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ResourceError(
            f"The cache '{path.parent}' cannot be written ({error.strerror}); point SRKIT_CACHE "
            "to a folder that can."
        ) from error
    if isinstance(source, Url):
        arrived = path.with_name(path.name + ".part")
        download(source.url, arrived, progress, checked=expected is not None, pause_s=pause_s)
    else:
        arrived, told = fetch_from_hub(source, _staging(path), progress)
        expected = expected or told
    try:
        _check_weights(arrived, source.text)
        found = sha256_of(arrived)
        if expected is not None and found != expected:
            raise ResourceError(
                f"'{source.text}' has the SHA-256 {found}, expected {expected}; nothing of it was kept: the "
                "file was changed or damaged, so give --sha256 only if you trust the new one."
            )
    except ResourceError:
        arrived.unlink(missing_ok=True)
        version_path(arrived).unlink(missing_ok=True)
        raise
    return arrived, found


def _staging(path: Path) -> Path:
    """Folder beside `path` in which the Hub's client keeps what is unfinished."""
    return path.with_name(f".incoming-{path.name}")


def _check_weights(arrived: Path, source: str) -> None:
    """That something came which may be weights, not a page or a pointer."""
    check_checkpoint(arrived)
    with arrived.open("rb") as file:
        start = file.read(64).lstrip().lower()
    if start.startswith((b"<!doctype", b"<html")):
        raise ResourceError(f"'{source}' is a web page, not a file of weights; give the file's own address.")


def _shipped(name: str, path: Path, expected: str | None) -> Pulled:
    check_checkpoint(path)
    found = sha256_of(path)
    if found != expected:
        raise ResourceError(
            f"The shipped weights '{path}' have the SHA-256 {found}, expected {expected}; "
            "install srkit again."
        )
    return Pulled(name, path, "shipped", found, path.stat().st_size, pinned=True, fetched=False)


def _hexadecimal(sha256: str | None) -> str | None:
    if sha256 is None:
        return None
    text = sha256.strip().lower().removeprefix("sha256:")
    if not re.fullmatch(r"[0-9a-f]{64}", text):
        raise UsageError(f"'{sha256}' is no SHA-256; expected 64 hexadecimal digits.")
    return text
