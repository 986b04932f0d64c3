"""Fetching a set from a server on loopback that speaks as the Hub does; the download runs in a process of its own.

(huggingface_hub reads HF_ENDPOINT when it is imported, and the process is what a user would start again.)
"""

from __future__ import annotations

import hashlib
import io
import json
import subprocess
import sys
import tarfile
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

from srkit.data import download
from srkit.data.download import HUB_SETS, unpack
from srkit.errors import ResourceError
from srkit.io.image import DecodedImage
from srkit.io.names import printable
from srkit.io.write import encode_image
from tests.helpers import refused

NAME = "Urban100"  # whose checksum is the Hub's at the pinned revision
COMMIT = HUB_SETS[NAME].revision
FILE = f"/datasets/eugenesiow/{NAME}/resolve/{COMMIT}/data/{NAME}_HR.tar.gz"


SET5 = HUB_SETS["Set5"]


class Hub(ThreadingHTTPServer):
    """One repository with one file."""

    daemon_threads = True

    def __init__(self, content: bytes) -> None:
        super().__init__(("127.0.0.1", 0), _Answer)
        self.content = content
        self.etag = hashlib.sha256(content).hexdigest()
        self.break_after: int | None = None
        """Close the connection after so many bytes of the file, every time."""
        self.asked: list[tuple[str, str, str | None]] = []
        self.held: threading.Event | None = None
        """Files are not sent until it is set."""

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class _Answer(BaseHTTPRequestHandler):
    server: Hub
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: object) -> None: ...

    def do_HEAD(self) -> None:
        self._answer(body=False)

    def do_GET(self) -> None:
        self._answer(body=True)

    def _answer(self, body: bool) -> None:
        hub = self.server
        hub.asked.append((self.command, self.path, self.headers.get("Range")))
        if hub.held and self.command == "GET":
            hub.held.wait(120)
        if self.path.split("?")[0] not in (FILE, FILE.replace(NAME, "Set5").replace(COMMIT, SET5.revision)):
            self.send_error(404)
            return
        start = 0
        if wanted := self.headers.get("Range"):
            start = int(wanted.removeprefix("bytes=").split("-")[0])
        data = hub.content[start:]
        self.send_response(206 if wanted else 200)
        self.send_header("Content-Length", str(len(data)))
        if wanted:
            self.send_header("Content-Range", f"bytes {start}-{len(hub.content) - 1}/{len(hub.content)}")
        self.send_header("Accept-Ranges", "bytes")
        self.send_header("ETag", f'"{hub.etag}"')
        self.send_header("X-Repo-Commit", COMMIT)
        self.end_headers()
        if not body:
            return
        if hub.break_after is not None and len(data) > hub.break_after:
            self.wfile.write(data[: hub.break_after])
            self.wfile.flush()
            self.close_connection = True
            self.connection.close()
            return
        self.wfile.write(data)


@pytest.fixture
def serve() -> Iterator[Callable[[bytes], Hub]]:
    hubs: list[Hub] = []

    def start(content: bytes) -> Hub:
        hub = Hub(content)
        threading.Thread(target=hub.serve_forever, daemon=True).start()
        hubs.append(hub)
        return hub

    yield start
    for hub in hubs:
        hub.shutdown()
        hub.server_close()


def png(seed: int, side: int = 24) -> bytes:
    pixels = np.random.default_rng(seed).integers(0, 256, (side, side, 3), dtype=np.uint8)
    return encode_image(DecodedImage(pixels), format="png")[0]


def archive(*members: tuple[str | tarfile.TarInfo, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        for member, content in members:
            info = tarfile.TarInfo(member) if isinstance(member, str) else member
            if info.isreg():
                info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


def small_set() -> bytes:
    return archive(*((f"Set5_HR/{name}.png", png(i)) for i, name in enumerate(("baby", "bird", "head"))))


def fetch(hub: str, cache: Path, name: str = NAME, **more: str) -> subprocess.CompletedProcess[str]:
    process = begin(hub, cache, name, **more)
    out, err = process.communicate(timeout=120)
    return subprocess.CompletedProcess(process.args, process.returncode, out, err)


def begin(hub: str, cache: Path, name: str = NAME, **more: str) -> subprocess.Popen[str]:
    code = f"""
from srkit.data.download import download_dataset
from srkit.errors import SrkitError
from srkit.progress import Silent
import sys
class Told(Silent):
    def say(self, message): print(message, file=sys.stderr, flush=True)
try:
    print(download_dataset({name!r}, Told()).folder)
except SrkitError as error:
    print(error)
    sys.exit(error.exit_code)
"""
    environment = {
        "PATH": "",
        "HOME": str(cache),
        "HF_HOME": str(cache / "hf"),
        "HF_ENDPOINT": hub,
        "SRKIT_CACHE": str(cache),
        "PYTHONPATH": ":".join(p for p in sys.path if p),
        "HF_HUB_DOWNLOAD_TIMEOUT": "2",
    }
    pipe = subprocess.PIPE
    return subprocess.Popen(
        [sys.executable, "-c", code], env=environment | more, stdout=pipe, stderr=pipe, text=True
    )


def test_a_set_arrives_with_its_record(tmp_path: Path, serve: Callable[[bytes], Hub]) -> None:
    hub = serve(small_set())
    done = fetch(hub.address, tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    folder = tmp_path / "data" / NAME
    assert done.stdout.strip() == str(folder / "HR")
    assert sorted(p.name for p in (folder / "HR").iterdir()) == ["baby.png", "bird.png", "head.png"]
    assert (folder / "HR" / "bird.png").read_bytes() == png(1)
    assert json.loads((folder / "source.json").read_text()) == {
        "repository": f"eugenesiow/{NAME}",
        "revision": COMMIT,
        "file": f"data/{NAME}_HR.tar.gz",
        "sha256": hub.etag,
        "licence": HUB_SETS[NAME].licence,
    }
    assert [p.name for p in folder.parent.iterdir()] == [NAME], "nothing else is left"
    for part in (NAME, "kB", HUB_SETS[NAME].licence, "eugenesiow", str(folder)):
        assert part in done.stderr
    before = len(hub.asked)
    assert fetch(hub.address, tmp_path).returncode == 0
    assert len(hub.asked) == before, "a set that is there is not asked for"


def test_a_download_that_breaks_off_goes_on_where_it_ended(
    tmp_path: Path, serve: Callable[[bytes], Hub]
) -> None:
    whole = png(0, side=2100)  # 13 MB: the client writes what arrives in pieces of 10
    hub = serve(archive(("Set5_HR/a.png", whole)))
    hub.break_after = 11 * 2**20
    done = fetch(hub.address, tmp_path)
    if done.returncode:  # the client gave up: what it has stays, and the next run goes on
        assert done.returncode == 5
        assert "run the same command again" in done.stdout
        assert not (tmp_path / "data" / NAME).exists()
        hub.break_after = None
        done = fetch(hub.address, tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    starts = [
        int(r.removeprefix("bytes=").split("-")[0]) for method, _, r in hub.asked if method == "GET" and r
    ]
    assert starts and min(starts) >= 10_000_000, "the rest was asked for, not the whole again"
    files = [path for method, path, _ in hub.asked if method == "GET" and "/resolve/" in path]
    assert all(COMMIT in path for path in files), f"by commit, not by branch: {files}"
    assert (tmp_path / f"data/{NAME}/HR/a.png").read_bytes() == whole


def test_a_wrong_checksum_keeps_nothing(tmp_path: Path, serve: Callable[[bytes], Hub]) -> None:
    hub = serve(small_set())
    hub.etag = "0" * 64
    done = fetch(hub.address, tmp_path)
    assert done.returncode == 5
    assert "SHA-256" in done.stdout and "000000000000" in done.stdout
    assert not list((tmp_path / "data").iterdir())


def test_a_server_without_checksum_is_not_trusted(tmp_path: Path, serve: Callable[[bytes], Hub]) -> None:
    hub = serve(small_set())
    hub.etag = "abc"
    done = fetch(hub.address, tmp_path)
    assert done.returncode == 5
    assert "no SHA-256" in done.stdout
    assert not (tmp_path / f"data/{NAME}").exists()


def test_a_hostile_archive_from_the_server_leaves_nothing(
    tmp_path: Path, serve: Callable[[bytes], Hub]
) -> None:
    hub = serve(archive(("Set5_HR/a.png", png(0)), ("../../../escaped.png", png(1))))
    done = fetch(hub.address, tmp_path)
    assert done.returncode == 5
    assert "is not a set of images" in done.stdout
    assert not list((tmp_path / "data").iterdir())
    assert not list(tmp_path.rglob("escaped.png"))


def test_no_network_is_said_at_once(tmp_path: Path) -> None:
    done = fetch("http://127.0.0.1:9", tmp_path)  # the discard port: nobody listens
    assert done.returncode == 5
    assert "cannot be reached" in done.stdout and str(tmp_path / f"data/{NAME}/HR") in done.stdout


def test_sets_that_cannot_be_downloaded(tmp_path: Path) -> None:
    assert "licence" in fetch("http://127.0.0.1:9", tmp_path, "Manga109").stdout
    done = fetch("http://127.0.0.1:9", tmp_path, "Urban10")
    assert done.returncode == 5
    assert "'Urban100'" in done.stdout


@pytest.mark.parametrize("variable", ["SRKIT_OFFLINE", "HF_HUB_OFFLINE"])
def test_forbidden_it_says_what_to_do(tmp_path: Path, serve: Callable[[bytes], Hub], variable: str) -> None:
    hub = serve(small_set())
    done = fetch(hub.address, tmp_path, **{variable: "1"})
    assert done.returncode == 5
    for part in (NAME, variable, f"srkit eval --dataset {NAME}", str(tmp_path)):
        assert part in done.stdout
    assert not hub.asked


def test_two_jobs_at_once_share_one_fetch(tmp_path: Path, serve: Callable[[bytes], Hub]) -> None:
    hub = serve(small_set())
    hub.held = threading.Event()
    jobs = [begin(hub.address, tmp_path) for _ in range(2)]
    for job in jobs:  # one says that it fetches, the other that it waits
        assert job.stderr is not None and job.stderr.readline()
    hub.held.set()
    ends = [job.communicate(timeout=120) for job in jobs]
    assert [job.returncode for job in jobs] == [0, 0], ends
    assert len([1 for method, path, _ in hub.asked if method == "GET" and "/resolve/" in path]) == 1
    assert [p.name for p in (tmp_path / "data").iterdir()] == [NAME]


def test_a_pinned_checksum_counts_whatever_the_server_says(
    tmp_path: Path, serve: Callable[[bytes], Hub]
) -> None:
    done = fetch(serve(small_set()).address, tmp_path, "Set5")
    assert done.returncode == 5
    assert SET5.sha256 is not None and SET5.sha256[:12] in done.stdout
    assert not list((tmp_path / "data").iterdir())


@pytest.mark.parametrize("name", HUB_SETS)
def test_every_set_is_pinned_to_a_commit_and_has_a_licence(name: str) -> None:
    source = HUB_SETS[name]
    assert len(source.revision) == 40 and int(source.revision, 16)
    assert source.sha256 is None or (len(source.sha256) == 64 and int(source.sha256, 16))
    assert source.licence


def link(kind: bytes, name: str = "Set5_HR/b.png", target: str = "/etc/passwd") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info


def declared(size: int) -> tarfile.TarInfo:
    info = tarfile.TarInfo("Set5_HR/bomb.png")
    info.size = size
    return info


@pytest.mark.parametrize(
    "member",
    [
        "/absolute.png",
        "a/../../out.png",
        "..\\out.png",
        link(tarfile.SYMTYPE),
        link(tarfile.SYMTYPE, target="inside.png"),
        link(tarfile.LNKTYPE, target="Set5_HR/a.png"),
        link(tarfile.CHRTYPE),
        link(tarfile.FIFOTYPE),
        "Set5_HR/A.PNG",
        "elsewhere/a.png",
        "Set5_HR/\x1b]0;title\x07.png",
        "Set5_HR/a\nb.png",
        "Set5_HR/\u202egnp.exe.png",
    ],
)
def test_hostile_members(tmp_path: Path, member: str | tarfile.TarInfo) -> None:
    path = tmp_path / "set.tar.gz"
    path.write_bytes(archive(("Set5_HR/a.png", png(0)), (member, png(1))))
    name = member if isinstance(member, str) else member.name
    with refused(ResourceError, path, "a.png" if name == "elsewhere/a.png" else printable(Path(name).name)):
        unpack(path, tmp_path / "below" / "HR")
    assert {p.name for p in tmp_path.rglob("*") if p.is_file()} <= {"set.tar.gz", "a.png"}


def test_a_file_that_declares_too_much_is_refused_before_it_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import gzip

    path = tmp_path / "set.tar.gz"
    path.write_bytes(gzip.compress(declared(2**50).tobuf(tarfile.GNU_FORMAT) + b"\0" * 4096))
    with refused(ResourceError, path, download.MAX_FILES, download.MAX_BYTES):
        unpack(path, tmp_path / "HR")
    monkeypatch.setattr(download, "MAX_FILES", 2)
    path.write_bytes(small_set())
    with refused(ResourceError, path, 2):
        unpack(path, tmp_path / "HR2")


def test_an_endless_header_is_refused(tmp_path: Path) -> None:
    """An extended header is read whole by tarfile, so one of a gigabyte of zeros would fill the memory."""
    import gzip

    info = tarfile.TarInfo("././@PaxHeader")
    info.type, info.size = tarfile.XHDTYPE, 2**30
    path = tmp_path / "set.tar.gz"
    path.write_bytes(gzip.compress(info.tobuf(tarfile.USTAR_FORMAT) + b"\0" * 2**20))
    with refused(ResourceError, path):
        unpack(path, tmp_path / "HR")


def test_what_is_no_image_is_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "set.tar.gz"
    path.write_bytes(archive(("x/._a.png", b"finder"), ("x/readme.txt", b"hello"), ("x/deep/a.png", png(0))))
    assert unpack(path, tmp_path / "HR") == 1
    assert [p.name for p in (tmp_path / "HR").iterdir()] == ["a.png"]


@pytest.mark.parametrize("content", [b"", b"\x1f\x8b", b"no archive at all", small_set()[:-200]])
def test_damaged_archives(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "set.tar.gz"
    path.write_bytes(content)
    with refused(ResourceError, path):
        unpack(path, tmp_path / "HR")
