"""Downloads into the cache: resumable, checked, and atomic."""

from __future__ import annotations

import contextlib
import re
import shlex
import shutil
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from srkit.errors import ResourceError, SrkitError, UsageError
from srkit.io.names import shown_bytes
from srkit.progress import Progress, Silent
from srkit.zoo.cache import Lock, cache_dir, cache_trouble, exclusive, read_lock, write_lock
from srkit.zoo.connectivity import check_may_fetch
from srkit.zoo.download import MAX_BYTES, discard, download
from srkit.zoo.files import check_checkpoint, sha256_of
from srkit.zoo.hub import fetch_from_hub, with_file
from srkit.zoo.manifest import Manifest
from srkit.zoo.openmodeldb import find_indexed, may_be_indexed
from srkit.zoo.source import Hub, Url, parse_source


@dataclass(frozen=True)
class Wanted:
    """A file to download, and known facts about it."""

    name: str
    source: Url | Hub
    sha256: str | None = None
    """Required SHA-256; None: unknown before the first download."""
    size: int | None = None
    """Size in bytes; None: unknown."""
    licence: str = ""
    """Licence; empty: unknown."""
    what: str = ""
    """Subject of messages; by default a model of this name."""
    command: str = ""
    """Command that downloads it; by default `srkit models pull SOURCE`."""
    otherwise: str = ""
    """Another remedy for messages if the download fails."""


@dataclass(frozen=True)
class Pulled:
    """A model file on this machine with the right checksum."""

    name: str
    path: Path
    source: str
    sha256: str
    size: int
    pinned: bool
    """True if the checksum was known before the first download."""
    fetched: bool
    """False: the file was present already."""
    licence: str = ""
    """Licence; empty: unknown."""


def pull(
    what: str, *, sha256: str | None = None, progress: Progress | None = None, pause_s: float = 0.5
) -> Pulled:
    """Download a model, unless it is present already.

    The checksum must be `sha256`, else that of the manifest or index, else the one recorded at an earlier download of
    the same source, else (on the Hub, for large files) the server's. If none is known, the downloaded file's checksum
    is recorded beside it and required from then on.

    Args:
        what: a name of `srkit models`, a name of OpenModelDB (`4x-Name`), a URL, `owner/repo` or
            `hf:owner/repo/file@revision`.
            sha256: required checksum of the file, in hexadecimal.
            progress: receives the number of bytes.
            pause_s: delay before the first retry of a URL that breaks off.

    Raises:
            UsageError: `what` or `sha256` has none of these forms.
            ResourceError: the file may not or cannot be downloaded, is not a weights file, or has another checksum.
    """
    progress = progress or Silent()
    expected = _hexadecimal(sha256)
    manifest = Manifest.load()
    command = f"srkit models pull {shlex.quote(what)}"
    if what in manifest:
        entry = manifest.entry(what)
        if entry.shipped:
            return _shipped(what, entry.path, expected or entry.sha256)
        source = parse_source(entry.source)
        wanted = [Wanted(what, source, entry.sha256, entry.size, entry.licence, command=command)]
    elif "/" in what:
        source = parse_source(what)
        if isinstance(source, Hub) and source.file is None:
            check_may_fetch(f"The model '{what}'", source.server, command, cache_dir())
            source = with_file(source)
        wanted = [Wanted(Path(source.file or "").stem, source, command=command)]
    elif may_be_indexed(what):
        model = find_indexed(what, progress)
        file = model.file
        wanted = [
            Wanted(model.name, Url(url), file.sha256, file.size, model.licence, command=command)
            for url in file.direct_urls
        ]
    else:
        raise manifest.unknown(what)  # no source has this form, so it is a misspelt name
    if expected:
        wanted = [replace(item, sha256=expected, size=None) for item in wanted]
    for item in wanted[:-1]:  # mirrors of one file
        with contextlib.suppress(ResourceError):
            return fetch(item, progress, pause_s=pause_s)
    return fetch(wanted[-1], progress, pause_s=pause_s)


def fetch(wanted: Wanted, progress: Progress, *, pause_s: float = 0.5) -> Pulled:
    """Download one file, unless it is present already with the right checksum.

    Of several processes that request it, one downloads and the others wait; if killed at any time, the file is complete
    or absent.

    Raises:
        ResourceError: it may not or cannot be downloaded, is not a weights file, or has another checksum.
    """
    path = wanted.source.location(cache_dir())
    if here := _there(wanted, path):
        return here
    what = wanted.what or f"The model '{wanted.name}'"
    command = wanted.command or f"srkit models pull {shlex.quote(wanted.source.text)}"
    check_may_fetch(what, wanted.source.server, command, cache_dir(), wanted.otherwise)
    with exclusive(path, progress):
        return _there(wanted, path) or _fetch(wanted, path, progress, pause_s)


def _known(wanted: Wanted, path: Path) -> tuple[Lock | None, str | None, bool]:
    """Record of a file, its required checksum, and True if that was known before the first download."""
    lock = read_lock(path)
    recorded = lock.sha256 if lock is not None and lock.source == wanted.source.text else None
    pinned = wanted.sha256 is not None or (lock is not None and lock.pinned)
    return lock, wanted.sha256 or recorded, pinned


def _there(wanted: Wanted, path: Path) -> Pulled | None:
    """The file, if present with the known checksum."""
    if not path.is_file():
        return None
    lock, expected, pinned = _known(wanted, path)
    if expected is None or sha256_of(path) != expected:
        return None
    size = path.stat().st_size
    licence = wanted.licence or (lock.licence if lock else "")
    new = Lock(wanted.source.text, expected, size, pinned, wanted.name, licence)
    if new != lock:
        with contextlib.suppress(SrkitError):  # a read-only cache also works
            write_lock(path, new)
    return Pulled(wanted.name, path, new.source, expected, size, pinned, fetched=False, licence=licence)


def _fetch(wanted: Wanted, path: Path, progress: Progress, pause_s: float) -> Pulled:
    """Download the file; the caller holds the lock of `path`."""
    _, expected, pinned = _known(wanted, path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise cache_trouble(path.parent, error) from error

    def announce(size: int | None) -> None:
        if size and size > (wanted.size or MAX_BYTES):
            raise ResourceError(
                f"'{wanted.source.text}' has {shown_bytes(size)}, expected at most "
                f"{shown_bytes(wanted.size or MAX_BYTES)}; check the source."
            )
        length = wanted.size or size
        facts = [shown_bytes(length)] if length else []
        facts.append(f"licence {wanted.licence}" if wanted.licence else "licence not stated")
        progress.say(f"fetching {wanted.name} ({', '.join(facts)}) from {wanted.source.text} to {path}")

    if isinstance(wanted.source, Hub):
        arrived, stated = fetch_from_hub(wanted.source, _staging(path), progress, announce)
        found = _checked(arrived, wanted.source.text, expected or stated)
    else:
        arrived = path.with_name(path.name + ".part")
        resumed = arrived.exists()
        get = partial(
            download,
            wanted.source.url,
            arrived,
            progress,
            checked=expected is not None,
            pause_s=pause_s,
            limit=wanted.size or MAX_BYTES,
        )
        get(announce=announce)
        try:
            found = _checked(arrived, wanted.source.text, expected)
        except ResourceError:
            if not resumed:
                raise
            get()  # the first part may have been of another file
            found = _checked(arrived, wanted.source.text, expected)
    size = arrived.stat().st_size
    # The record first: if the run is killed between the two, the file fails its check instead of being trusted.
    write_lock(path, Lock(wanted.source.text, found, size, pinned, wanted.name, wanted.licence))
    arrived.replace(path)
    discard(path.with_name(path.name + ".part"))
    shutil.rmtree(_staging(path), ignore_errors=True)
    if not pinned:
        progress.say(
            f"no checksum of {wanted.name} was known beforehand; recorded and held to from now on: {found}"
        )
    return Pulled(
        wanted.name, path, wanted.source.text, found, size, pinned, fetched=True, licence=wanted.licence
    )


def _checked(arrived: Path, source: str, expected: str | None) -> str:
    """Checksum of the downloaded file, which is removed if the checksum is wrong."""
    try:
        _check_weights(arrived, source)
        found = sha256_of(arrived)
        if expected is not None and found != expected:
            raise ResourceError(
                f"'{source}' has the SHA-256 {found}, expected {expected}; nothing of it was kept: the "
                "file was changed or damaged, so give `sha256` only if you trust the new one."
            )
    except ResourceError:
        discard(arrived)
        raise
    return found


def _staging(path: Path) -> Path:
    """Folder beside `path` in which the Hub's client keeps unfinished files."""
    return path.with_name(f".incoming-{path.name}")


def _check_weights(arrived: Path, source: str) -> None:
    """Check that the download may be weights, not a web page or an LFS pointer."""
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
