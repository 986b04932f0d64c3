"""Download of benchmark sets from the Hugging Face Hub: pinned, verified, resumable, safely unpacked."""

from __future__ import annotations

import gzip
import json
import re
import shutil
import tarfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from srkit.data.benchmarks import HOW_TO_GET, Benchmark, downloads_dir
from srkit.errors import ResourceError, first_line, nearest
from srkit.io.folders import IMAGE_EXTENSIONS
from srkit.io.names import shown, shown_bytes
from srkit.progress import Progress
from srkit.zoo.cache import cache_dir, exclusive
from srkit.zoo.connectivity import check_may_fetch
from srkit.zoo.files import sha256_of
from srkit.zoo.hub import no_bars
from srkit.zoo.source import hub_endpoint

SOURCE_FILE = "source.json"
"""File beside `HR/` with the repository, revision, file name and sha256 of a set's source."""
MAX_BYTES = 4 * 2**30
"""Maximum unpacked size of a set; the largest, Urban100, has 0.2 GB."""
MAX_FILES = 10_000
_MAX_READ = 16 * 2**20  # per read: only a forged header causes larger reads
_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class HubSet:
    """Archive of reference images in a dataset repository of the Hub."""

    repo: str
    file: str
    revision: str
    """Commit hash."""
    licence: str
    """Licence as stated by the repository's card or the set's authors."""
    sha256: str | None = None
    """Checksum of the archive; None for the Hub's own at `revision`."""


HUB_SETS: Mapping[str, HubSet] = {
    name: HubSet(f"eugenesiow/{name}", f"data/{name}_HR.tar.gz", *facts)
    for name, facts in {
        "Set5": (
            "325646fe7cc8811e312562437885c5c018c74966",
            "academic use",
            "260fc447296333f6c2716bcb65513968c33b666f21a905537ee3330c51a1945b",
        ),
        "Set14": ("5c964717e61b4931236a6dd5561750d11e5a7abb", "academic use"),
        "BSD100": (
            "600666edcba3b8386c367fcb03e72424a1ff9f86",
            "non-commercial research and education",
            "333495ccded04a0db52b33361140821ea7e0d8af8dfb54b58df79a00010858d6",
        ),
        "Urban100": ("57309de03db02ac12ee09ad6127e7b815c211328", "CC BY 4.0"),
    }.items()
}


def download_dataset(name: str, progress: Progress) -> Benchmark:
    """Download a set into `downloads_dir()`, unless present; it appears completely or not at all.

    An interrupted download is resumed. If several processes need the set, one downloads it and the others wait.

    Raises:
        ResourceError: the set has no download source, downloads are not allowed, the server is unreachable or breaks
            off, the checksum differs, or the archive holds anything but images in folders.
    """
    target = downloads_dir() / name
    if (target / "HR").is_dir():
        return Benchmark(name, target / "HR")
    source = HUB_SETS.get(name)
    if source is None:
        how = HOW_TO_GET.get(name)
        raise ResourceError(
            f"The data set '{name}' cannot be downloaded; "
            + (f"{how}." if how else f"those that can are {', '.join(HUB_SETS)}.{nearest(name, HUB_SETS)}")
        )
    check_may_fetch(
        f"The data set '{name}'",
        hub_endpoint(),
        f"srkit eval --dataset {name} -m bicubic",
        cache_dir(),
        f"put its images into {shown(target / 'HR')}, or name the folder above with `data_root`",
    )
    with exclusive(target, progress):
        if not (target / "HR").is_dir():
            _install(name, source, target, progress)
    return Benchmark(name, target / "HR")


def _install(name: str, source: HubSet, target: Path, progress: Progress) -> None:
    """Download and unpack a set; the caller holds the lock of `target`."""
    staging = target.with_name(f".incoming-{name}")
    with _disk(staging):
        staging.mkdir(parents=True, exist_ok=True)
    archive, sha256 = _fetch(name, source, staging, target, progress)
    unpacked = staging / "unpacked"
    shutil.rmtree(unpacked, ignore_errors=True)
    try:
        count = unpack(archive, unpacked / "HR")
    except ResourceError:
        shutil.rmtree(staging, ignore_errors=True)
        raise
    record = {"repository": source.repo, "revision": source.revision, "file": source.file}
    record |= {"sha256": sha256, "licence": source.licence}
    with _disk(unpacked):
        (unpacked / SOURCE_FILE).write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
        unpacked.replace(target)
    shutil.rmtree(staging, ignore_errors=True)
    progress.info(f"{name}: {count} images of {source.repo} at revision {source.revision[:12]} in {target}")


def unpack(archive: Path, folder: Path) -> int:
    """Write the images of a .tar.gz into `folder`, without the archive's own folders; return their number.

    Each member is checked by its header before it is read. Links, devices, sparse files, names that lead out of the
    folder, two files of one name, or more than `MAX_FILES` or `MAX_BYTES`: any of them rejects the whole archive.

    Raises:
        ResourceError: such an archive, a damaged one, or one without images. The caller must remove the files
            unpacked so far.
    """
    with _disk(folder):
        folder.mkdir(parents=True)
    written: set[str] = set()
    try:
        with _Bounded(archive) as stream, tarfile.open(fileobj=stream, mode="r:") as tar:
            for member in _checked(tar, archive, folder):
                name = PurePosixPath(member.name).name
                if name.startswith(".") or PurePosixPath(name).suffix.lower() not in IMAGE_EXTENSIONS:
                    continue
                if not name.isprintable():
                    raise _hostile(archive, f"the name of {name!a} steers terminals")
                if name.casefold() in written:
                    raise _hostile(archive, f"it holds two files named {shown(name)}")
                written.add(name.casefold())
                content = tar.extractfile(member)
                if content is None:
                    raise _hostile(archive, f"{shown(member.name)} has no content")
                with content, _disk(folder), (folder / name).open("xb") as file:
                    shutil.copyfileobj(content, file, 2**20)
    except (tarfile.TarError, EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise ResourceError(
            f"The archive {shown(archive)} is damaged ({error}); download it again."
        ) from error
    if not written:
        raise ResourceError(
            f"The archive {shown(archive)} holds no images; report it, the set may have moved."
        )
    return len(written)


class _Bounded(gzip.GzipFile):
    """Gzip file that rejects content larger than `MAX_BYTES`, and reads of everything at once."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, "rb")
        self._archive = path

    def read(self, size: int | None = -1) -> bytes:
        # tarfile reads extended headers at once, at the length they claim.
        if size is None or not 0 <= size <= _MAX_READ:
            raise _hostile(self._archive, "a header in it is too long")
        data = super().read(size)
        if self.tell() > MAX_BYTES + _MAX_READ:
            raise _hostile(self._archive, f"it unpacks to more than {MAX_BYTES} bytes")
        return data


def _checked(tar: tarfile.TarFile, archive: Path, folder: Path) -> Iterator[tarfile.TarInfo]:
    """Yield the regular files, each checked before its content is read."""
    total = count = 0
    for member in tar:
        count += 1
        total += member.size
        if count > MAX_FILES or total > MAX_BYTES:
            raise _hostile(archive, f"it holds more than {MAX_FILES} files or {MAX_BYTES} bytes")
        if member.isdir():
            continue
        if not member.isreg() or member.issparse():
            raise _hostile(archive, f"{shown(member.name)} is no ordinary file")
        try:
            tarfile.data_filter(member, str(folder))
        except tarfile.FilterError as error:
            raise _hostile(archive, str(error)) from error
        if "\\" in member.name or ".." in PurePosixPath(member.name).parts or member.name.startswith("/"):
            raise _hostile(archive, f"{shown(member.name)} leads out of it")
        yield member


def _fetch(name: str, source: HubSet, staging: Path, target: Path, progress: Progress) -> tuple[Path, str]:
    """Download the archive and return it with its sha256, verified against the pinned or the server's one."""
    import huggingface_hub

    try:
        url = huggingface_hub.hf_hub_url(
            source.repo, source.file, repo_type="dataset", revision=source.revision
        )
        metadata = huggingface_hub.get_hf_file_metadata(url)
        expected = source.sha256 or metadata.etag or ""
        if not _SHA256.fullmatch(expected):
            raise ResourceError(f"'{url}' names no SHA-256 of its content, so it could not be checked.")
        if (metadata.size or 0) > MAX_BYTES:
            raise ResourceError(
                f"'{url}' has {shown_bytes(metadata.size or 0)}; at most {shown_bytes(MAX_BYTES)} are fetched of a set."
            )
        size = f"{shown_bytes(metadata.size)}, " if metadata.size else ""
        progress.say(
            f"fetching the data set {name} ({size}licence {source.licence}) from {url.rpartition('/resolve/')[0]} to "
            f"{target}"
        )
        progress.start(f"Fetching {name}", metadata.size)
        try:
            with no_bars():
                path = huggingface_hub.hf_hub_download(
                    source.repo,
                    source.file,
                    repo_type="dataset",
                    revision=source.revision,
                    local_dir=staging,
                )
            progress.advance(metadata.size or 0)
        finally:
            progress.finish()
    except ResourceError:
        raise
    except (
        Exception
    ) as error:  # its own errors, and those of the HTTP library beneath, which differs by version
        raise ResourceError(
            f"The data set '{name}' cannot be fetched from {source.repo}: {first_line(error)}; run the same command "
            "again to go on from there."
        ) from error
    archive = Path(path)
    found = sha256_of(archive)
    if found != expected:
        shutil.rmtree(staging, ignore_errors=True)
        raise ResourceError(
            f"'{source.file}' of {source.repo} has the SHA-256 {found[:12]}…, expected {expected[:12]}…; nothing of it "
            "was kept: run the same command again."
        )
    return archive, found


@contextmanager
def _disk(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise ResourceError(
            f"{shown(path)} cannot be written ({error.strerror or error}); free some space, or point SRKIT_CACHE to "
            "another folder."
        ) from error


def _hostile(archive: Path, why: str) -> ResourceError:
    return ResourceError(
        f"The archive {shown(archive)} is not a set of images: {why}; nothing of it was kept."
    )
