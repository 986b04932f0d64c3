"""Downloads over loopback: whole, broken off and taken up, changed meanwhile, wrong; the Hub's road too."""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch

from srkit.archs.edsr import EDSR
from srkit.errors import ResourceError, UsageError
from srkit.zoo import manifest as manifest_module
from srkit.zoo.cache import lock_path, pulled_files, read_lock
from srkit.zoo.download import state_path
from srkit.zoo.files import sha256_of
from srkit.zoo.header import Header
from srkit.zoo.load import load_model
from srkit.zoo.manifest import Entry
from srkit.zoo.pull import pull
from srkit.zoo.weights import save_weights
from tests.helpers import assert_message, refused
from tests.zoo.site import Handler, Site, child_environment, files_below, serving

ARGUMENTS = {"scale": 2, "features": 24, "blocks": 2, "upsampler": "single"}


@pytest.fixture(scope="module")
def weights() -> bytes:
    """A weights file of some 50 kB."""
    torch.manual_seed(0)
    buffer = io.BytesIO()
    torch.save(EDSR(**ARGUMENTS).state_dict(), buffer)  # type: ignore[arg-type]
    return buffer.getvalue()


def _sha(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def test_fetched_whole_and_recorded(site: Site, weights: bytes, tmp_path: Path) -> None:
    site.files["/a/w.pth"] = weights
    pulled = pull(f"{site.url}/a/w.pth")
    assert (pulled.name, pulled.fetched, pulled.pinned) == ("w", True, False)
    assert pulled.path.read_bytes() == weights
    assert pulled.path.is_relative_to(tmp_path / "cache")
    assert files_below(tmp_path) == ["w.pth", "w.pth.lock.json"]
    lock = read_lock(pulled.path)
    assert lock is not None
    assert (lock.sha256, lock.size, lock.source) == (_sha(weights), len(weights), f"{site.url}/a/w.pth")
    assert list(pulled_files()) == [pulled.path]


def test_what_is_there_is_not_fetched_again(site: Site, weights: bytes) -> None:
    site.files["/w.pth"] = weights
    pull(f"{site.url}/w.pth")
    site.asked.clear()
    assert not pull(f"{site.url}/w.pth").fetched
    assert site.asked == []


def test_taken_up_where_it_broke_off(site: Site, weights: bytes) -> None:
    site.files["/w.pth"] = weights
    site.cut_after = [1000, 20_000]
    pulled = pull(f"{site.url}/w.pth", pause_s=0.001)
    assert pulled.path.read_bytes() == weights
    assert [asked for _, asked in site.asked] == [None, "bytes=1000-", "bytes=21000-"]


def test_taken_up_by_the_next_run(site: Site, weights: bytes, tmp_path: Path) -> None:
    site.files["/w.pth"] = weights
    site.cut_after, site.fail = [1000], []
    url = f"{site.url}/w.pth"
    site.cut_after = [1000, *[0] * 20]
    with refused(ResourceError, url, 1000, len(weights)):
        pull(url, pause_s=0.001)
    assert "w.pth" not in files_below(tmp_path)
    site.cut_after = []
    site.asked.clear()
    assert pull(url).path.read_bytes() == weights
    assert site.asked == [("/w.pth", "bytes=1000-")]
    assert files_below(tmp_path) == ["w.pth", "w.pth.lock.json"]


def test_a_part_of_an_older_version_is_not_joined_to_a_newer(site: Site, weights: bytes) -> None:
    site.files["/w.pth"] = weights[::-1]
    site.cut_after = [1000, *[0] * 20]
    with pytest.raises(ResourceError):
        pull(f"{site.url}/w.pth", pause_s=0.001)
    site.files["/w.pth"], site.etag, site.cut_after = weights, '"2"', []
    assert pull(f"{site.url}/w.pth").path.read_bytes() == weights


@pytest.mark.parametrize("etag", [None, 'W/"1"'])
def test_begun_anew_where_the_version_is_not_known(site: Site, weights: bytes, etag: str | None) -> None:
    site.files["/w.pth"], site.etag = weights, etag
    site.cut_after = [1000]
    assert pull(f"{site.url}/w.pth", pause_s=0.001).path.read_bytes() == weights
    assert [asked for _, asked in site.asked] == [None, None]


def test_a_known_checksum_allows_to_go_on_without_a_version(site: Site, weights: bytes) -> None:
    site.files["/w.pth"], site.etag = weights, None
    site.cut_after = [1000]
    pulled = pull(f"{site.url}/w.pth", sha256=_sha(weights), pause_s=0.001)
    assert pulled.path.read_bytes() == weights
    assert pulled.pinned
    assert site.asked[1] == ("/w.pth", "bytes=1000-")


def test_a_server_without_ranges(site: Site, weights: bytes) -> None:
    site.files["/w.pth"], site.ranges = weights, False
    site.cut_after = [1000]
    assert pull(f"{site.url}/w.pth", pause_s=0.001).path.read_bytes() == weights


def test_a_part_that_is_the_whole(site: Site, weights: bytes) -> None:
    site.files["/w.pth"] = weights
    path = pull(f"{site.url}/w.pth").path
    part = path.rename(path.with_name("w.pth.part"))
    state_path(part).write_text(json.dumps({"url": f"{site.url}/w.pth", "version": '"1"'}))
    assert pull(f"{site.url}/w.pth").path.read_bytes() == weights
    assert site.asked[-1] == ("/w.pth", f"bytes={len(weights)}-")


def test_a_part_longer_than_the_file(site: Site, weights: bytes) -> None:
    site.files["/w.pth"] = weights
    path = pull(f"{site.url}/w.pth").path
    part = path.rename(path.with_name("w.pth.part"))
    state_path(part).write_text(json.dumps({"url": f"{site.url}/w.pth", "version": '"1"'}))
    with part.open("ab") as file:
        file.write(b"more")
    assert pull(f"{site.url}/w.pth", pause_s=0.001).path.read_bytes() == weights


def test_busy_servers_are_asked_again(site: Site, weights: bytes) -> None:
    site.files["/w.pth"] = weights
    site.fail = [503, 429]
    assert pull(f"{site.url}/w.pth", pause_s=0.001).path.read_bytes() == weights


def test_missing_files_are_not(site: Site, tmp_path: Path) -> None:
    with refused(ResourceError, f"{site.url}/w.pth", 404):
        pull(f"{site.url}/w.pth")
    assert len(site.asked) == 1
    assert files_below(tmp_path) == []


def test_nobody_there(site: Site) -> None:
    with refused(ResourceError, "http://127.0.0.1:9/w.pth"):
        pull("http://127.0.0.1:9/w.pth", pause_s=0.001)


def test_wrong_checksum_keeps_nothing(site: Site, weights: bytes, tmp_path: Path) -> None:
    site.files["/w.pth"] = weights
    with refused(ResourceError, f"{site.url}/w.pth", _sha(weights), "0" * 64):
        pull(f"{site.url}/w.pth", sha256="0" * 64)
    assert files_below(tmp_path) == []


def test_a_wrong_checksum_keeps_what_was_there(site: Site, weights: bytes) -> None:
    site.files["/w.pth"] = weights
    path = pull(f"{site.url}/w.pth").path
    with refused(ResourceError, f"{site.url}/w.pth", "0" * 64):
        pull(f"{site.url}/w.pth", sha256="0" * 64)
    assert path.read_bytes() == weights
    assert load_lock(path) == _sha(weights)


def load_lock(path: Path) -> str | None:
    lock = read_lock(path)
    return lock.sha256 if lock else None


def test_the_first_download_is_held_to(site: Site, weights: bytes) -> None:
    site.files["/w.pth"] = weights
    path = pull(f"{site.url}/w.pth").path
    path.unlink()
    site.files["/w.pth"] = weights[::-1]
    with refused(ResourceError, f"{site.url}/w.pth", _sha(weights)):
        pull(f"{site.url}/w.pth")
    assert pull(f"{site.url}/w.pth", sha256=_sha(weights[::-1])).path.read_bytes() == weights[::-1]


def test_damage_in_the_cache_is_mended(site: Site, weights: bytes) -> None:
    site.files["/w.pth"] = weights
    path = pull(f"{site.url}/w.pth").path
    path.write_bytes(weights[:-1])
    assert pull(f"{site.url}/w.pth").fetched
    assert path.read_bytes() == weights


@pytest.mark.parametrize(
    ("content", "named"),
    [
        (b"<!DOCTYPE html><title>Sign in</title>", "w.pth"),
        (b"version https://git-lfs.github.com/spec/v1\n", "git lfs pull"),
        (b"", "w.pth.part"),
    ],
)
def test_things_that_are_no_weights(site: Site, tmp_path: Path, content: bytes, named: str) -> None:
    site.files["/w.pth"] = content
    with refused(ResourceError, named):
        pull(f"{site.url}/w.pth")
    assert files_below(tmp_path) == []


def test_a_disk_that_fills_up_is_no_trouble_of_the_network(
    site: Site, weights: bytes, tmp_path: Path
) -> None:
    """The limit on a process's files fails as a full disk does, at a write."""
    site.files["/w.pth"] = weights
    code = (
        "import resource, signal\nfrom srkit.zoo.pull import pull\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))\n"
        f"pull({site.url + '/w.pth'!r})"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        env=child_environment(tmp_path / "cache"),
        check=False,
    )
    assert "ResourceError" in done.stderr and "w.pth.part" in done.stderr
    assert len(site.asked) == 1
    assert pull(f"{site.url}/w.pth").path.read_bytes() == weights


def test_a_cache_that_cannot_be_made(site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("x")
    monkeypatch.setenv("SRKIT_CACHE", str(tmp_path / "file"))
    with refused(ResourceError, "SRKIT_CACHE"):
        pull(f"{site.url}/w.pth")


def test_no_checksum_and_no_source() -> None:
    with refused(UsageError, "abc", "SHA-256", 64):
        pull("owner/repo", sha256="abc")
    with refused(ResourceError, "RealESRGANx4plus", "RealESRGAN_x4plus"):
        pull("RealESRGANx4plus")
    with refused(UsageError, "owner/"):
        pull("owner/")


def test_a_named_model(site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "source.safetensors"
    save_weights(path, EDSR(**ARGUMENTS), Header(arch="edsr", arguments=ARGUMENTS, scale=2))  # type: ignore[arg-type]
    site.files["/v1/far-x2.safetensors"] = path.read_bytes()

    def entry(sha256: str | None) -> Entry:
        return Entry(
            name="far-x2",
            file="far-x2.safetensors",
            sha256=sha256,
            size=None,
            task="sr",
            scale=2,
            arch="edsr",
            parameters=None,
            licence="",
            summary="",
            source=f"{site.url}/v1/far-x2.safetensors",
        )

    monkeypatch.setattr(manifest_module, "PUBLIC_ENTRIES", (entry("0" * 64),))
    with refused(ResourceError, f"{site.url}/v1/far-x2.safetensors", "0" * 64):
        pull("far-x2")
    monkeypatch.setattr(manifest_module, "PUBLIC_ENTRIES", (entry(None),))
    model = load_model("far-x2")  # fetched, since it is not there
    assert (model.name, model.sha256) == ("far-x2", sha256_of(path))
    pulled = pull("far-x2")
    assert (pulled.fetched, pulled.pinned) == (False, False)
    with pulled.path.open("ab") as file:
        file.write(b"x")
    with refused(ResourceError, pulled.path, "SHA-256"):
        load_model("far-x2")


def test_pulled_files_load_by_their_name(site: Site, tmp_path: Path) -> None:
    path = tmp_path / "source.safetensors"
    save_weights(path, EDSR(**ARGUMENTS), Header(arch="edsr", arguments=ARGUMENTS, scale=2))  # type: ignore[arg-type]
    site.files["/a/mine.safetensors"] = site.files["/b/mine.safetensors"] = path.read_bytes()
    pulled = pull(f"{site.url}/a/mine.safetensors")
    assert load_model("mine").path == pulled.path
    pull(f"{site.url}/b/mine.safetensors")
    with refused(ResourceError, "mine", pulled.path):
        load_model("mine")


def test_a_damaged_record(site: Site, weights: bytes) -> None:
    site.files["/w.pth"] = weights
    path = pull(f"{site.url}/w.pth").path
    lock_path(path).write_text("{")
    with refused(ResourceError, lock_path(path)):
        load_model(path)


# The Hub. HF_ENDPOINT is read when its client is imported, so each case is a process of its own.

COMMIT = "0123456789abcdef0123456789abcdef01234567"


class _HubHandler(Handler):
    """Enough of the Hub's protocol for its client: repository listing, file metadata, and the file."""

    lie: ClassVar[bool] = False

    def do_HEAD(self) -> None:  # noqa: N802
        match = re.fullmatch(r"/owner/repo/resolve/([^/]+)/(.+)", self.path)
        content = self.site.files.get(match[2]) if match and match[1] in ("main", COMMIT) else None
        if content is None:
            missing = self.path.startswith("/owner/repo/")
            revision = match is not None and match[1] not in ("main", COMMIT)
            code = "RevisionNotFound" if revision else "EntryNotFound" if missing else "RepoNotFound"
            self._head(404, {"X-Error-Code": code}, 0)
            return
        stated = _sha(b"another file" if self.lie else content)
        self._head(
            200, {"ETag": f'"{stated}"', "X-Repo-Commit": COMMIT, "Accept-Ranges": "bytes"}, len(content)
        )

    def do_GET(self) -> None:  # noqa: N802
        if re.fullmatch(r"/api/models/owner/repo(/revision/[^/]+)?(\?.*)?", self.path):
            siblings = [{"rfilename": name} for name in self.site.files]
            body = json.dumps({"id": "owner/repo", "sha": COMMIT, "siblings": siblings}).encode()
            self._answer(200, body, {"Content-Type": "application/json"})
            return
        if re.fullmatch(r"/api/models/owner/repo/tree/[^/]+(\?.*)?", self.path):
            tree = [
                {"type": "file", "path": name, "size": len(content), "oid": _sha(content)[:40]}
                for name, content in self.site.files.items()
            ]
            self._answer(200, json.dumps(tree).encode(), {"Content-Type": "application/json"})
            return
        match = re.fullmatch(r"/owner/repo/resolve/[^/]+/(.+)", self.path)
        if match is None:
            self._answer(404, b"", {"X-Error-Code": "RepoNotFound"})
            return
        self.path = match[1]
        super().do_GET()

    def _head(self, status: int, headers: dict[str, str], length: int) -> None:
        self.send_response(status)
        for name, value in (headers | {"Content-Length": str(length), "Connection": "close"}).items():
            self.send_header(name, value)
        self.end_headers()
        self.close_connection = True


@pytest.fixture
def hub() -> Iterator[Site]:
    with serving(_HubHandler) as site:
        yield site


def _pull_from_hub(hub: Site, tmp_path: Path, what: str, **options: str) -> tuple[dict[str, Any], str]:
    """The pulled model as a dictionary, or the error; and what was said on stderr."""
    code = (
        "import dataclasses, json, sys\n"
        "from srkit.errors import SrkitError\n"
        "from srkit.zoo.pull import pull\n"
        f"try:\n    print(json.dumps(dataclasses.asdict(pull({what!r}, **{options!r})), default=str))\n"
        "except SrkitError as error:\n"
        "    print(json.dumps({'error': str(error), 'code': error.exit_code}))"
    )
    environment = child_environment(tmp_path / "cache", HF_ENDPOINT=hub.url, HF_HOME=str(tmp_path / "hf"))
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        env=environment,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout), done.stderr


def test_hub_by_repository(hub: Site, tmp_path: Path, weights: bytes) -> None:
    hub.files.update({"README.md": b"hello", "net/w.pth": weights})
    pulled, said = _pull_from_hub(hub, tmp_path, "owner/repo")
    assert Path(pulled["path"]).read_bytes() == weights
    assert pulled["source"] == "hf:owner/repo/net/w.pth"
    assert (pulled["sha256"], pulled["fetched"]) == (_sha(weights), True)
    assert files_below(tmp_path / "cache") == ["w.pth", "w.pth.lock.json"]
    assert said == "", "the Hub's own progress bars"
    again, _ = _pull_from_hub(hub, tmp_path, "hf:owner/repo/net/w.pth")
    assert not again["fetched"]


def test_hub_takes_up_what_broke_off(hub: Site, tmp_path: Path) -> None:
    chunk = 10 * 2**20  # what the client writes at once, and so loses at most
    hub.files["w.pth"] = content = os.urandom(chunk * 5 // 2)
    hub.cut_after = [chunk * 3 // 2]
    pulled, _ = _pull_from_hub(hub, tmp_path, "hf:owner/repo/w.pth@main")
    assert Path(pulled["path"]).read_bytes() == content
    assert hub.asked[-1] == ("w.pth", f"bytes={chunk}-")


def test_hub_checksums(hub: Site, tmp_path: Path, weights: bytes) -> None:
    hub.files["w.pth"] = weights
    pulled, _ = _pull_from_hub(hub, tmp_path, "hf:owner/repo/w.pth", sha256="0" * 64)
    assert "nothing of it was kept" in pulled["error"]
    assert pulled["code"] == 5
    hub.handler.lie = True
    pulled, _ = _pull_from_hub(hub, tmp_path, "hf:owner/repo/w.pth")
    assert f"expected {_sha(b'another file')}" in pulled["error"]
    assert "w.pth" not in files_below(tmp_path / "cache")


def test_hub_says_what_is_missing(hub: Site, tmp_path: Path, weights: bytes) -> None:
    hub.files.update({"a.pth": weights, "b.pth": weights})
    for what, named in {
        "owner/repo": ("owner/repo", "a.pth", "b.pth"),
        "hf:owner/repo/c.pth": ("owner/repo", "c.pth"),
        "hf:owner/repo/a.pth@v9": ("owner/repo", "v9"),
        "hf:nobody/repo/a.pth": ("nobody/repo",),
    }.items():
        pulled, _ = _pull_from_hub(hub, tmp_path, what)
        assert pulled["code"] == 5
        assert_message(pulled["error"], *named)
