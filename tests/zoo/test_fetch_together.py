"""Processes that fetch one file at the same time, and one that is killed: what stays is whole or absent."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from srkit.zoo.pull import pull
from tests.zoo.site import Site, child_environment, files_below

CONTENT = os.urandom(400_000)
FETCH = """
import sys
from srkit.progress import Silent
from srkit.zoo.pull import pull
class Saying(Silent):
    def say(self, message): print(message, file=sys.stderr, flush=True)
pulled = pull(sys.argv[1], progress=Saying(), pause_s=0.01)
print(pulled.fetched, pulled.sha256)
"""
Start = Callable[[], "subprocess.Popen[str]"]


@pytest.fixture
def slow(site: Site) -> Site:
    site.files["/w.pth"] = CONTENT
    site.held = threading.Event()
    return site


@pytest.fixture
def start(slow: Site, tmp_path: Path) -> Iterator[Start]:
    """Starts a process that fetches; those that still run at the end are killed."""
    running: list[subprocess.Popen[str]] = []

    def begin() -> subprocess.Popen[str]:
        command = [sys.executable, "-c", FETCH, f"{slow.url}/w.pth"]
        environment = child_environment(tmp_path / "cache")
        pipe = subprocess.PIPE
        running.append(subprocess.Popen(command, env=environment, stdout=pipe, stderr=pipe, text=True))
        return running[-1]

    yield begin
    for process in running:
        process.kill()
        process.communicate()


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def go_on(site: Site) -> None:
    assert site.held is not None
    site.held.set()


def part_size(tmp_path: Path) -> int:
    return sum(path.stat().st_size for path in tmp_path.rglob("*.part"))


def test_two_at_once_share_one_fetch(slow: Site, start: Start, tmp_path: Path) -> None:
    processes = [start(), start()]
    wait_for(lambda: part_size(tmp_path) > 0)
    for process in processes:
        assert process.stderr is not None and process.stderr.readline(), "one fetches, one waits"
    go_on(slow)
    ends = [process.communicate(timeout=110) for process in processes]
    assert [process.returncode for process in processes] == [0, 0], ends
    assert sorted(out.split()[0] for out, _ in ends) == ["False", "True"]
    assert len(slow.asked) == 1
    assert files_below(tmp_path) == ["w.pth", "w.pth.lock.json"]
    assert next(tmp_path.rglob("w.pth")).read_bytes() == CONTENT


def test_one_that_waits_goes_on_where_the_killed_one_was(slow: Site, start: Start, tmp_path: Path) -> None:
    first = start()
    wait_for(lambda: part_size(tmp_path) > 0)
    second = start()
    assert second.stderr is not None
    assert "waiting" in second.stderr.readline()
    assert len(slow.asked) == 1, "the second writes nothing while the first does"
    first.kill()
    go_on(slow)
    out, err = second.communicate(timeout=110)
    assert second.returncode == 0, err
    assert out.startswith("True")
    assert len(slow.asked) == 2 and int((slow.asked[1][1] or "")[6:-1]) > 0
    assert next(tmp_path.rglob("w.pth")).read_bytes() == CONTENT


def test_the_waiting_one_is_killed(slow: Site, start: Start, tmp_path: Path) -> None:
    first = start()
    wait_for(lambda: part_size(tmp_path) > 0)
    second = start()
    assert second.stderr is not None and second.stderr.readline()
    second.kill()
    go_on(slow)
    _, err = first.communicate(timeout=110)
    assert first.returncode == 0, err
    assert len(slow.asked) == 1
    assert next(tmp_path.rglob("w.pth")).read_bytes() == CONTENT


@pytest.mark.parametrize("changed", [False, True])
def test_killed_it_leaves_nothing_or_the_whole(
    slow: Site, start: Start, tmp_path: Path, changed: bool
) -> None:
    process = start()
    wait_for(lambda: part_size(tmp_path) > 0)
    process.kill()
    process.communicate()
    assert "w.pth" not in files_below(tmp_path)
    go_on(slow)
    if changed:
        slow.files["/w.pth"], slow.etag = CONTENT[::-1], '"2"'
    pulled = pull(f"{slow.url}/w.pth")
    assert pulled.path.read_bytes() == slow.files["/w.pth"]
    assert files_below(tmp_path) == ["w.pth", "w.pth.lock.json"]
    assert slow.asked[1][1] is not None, "the rest was asked for"


OWN, OTHER = "{url}/w.pth", "{url}/other.pth"


@pytest.mark.parametrize(
    ("part", "state"),
    [
        (CONTENT[:1000], None),
        (CONTENT[:1000], "{"),
        (CONTENT[:1000], "[" * 100_000),
        (CONTENT[:1000], "[1]"),
        (CONTENT[:1000], {"url": OWN, "version": '"1"'}),
        (CONTENT[:1000], {"url": OWN, "version": '"1"\r\nX: y'}),
        (CONTENT[:1000], {"url": OWN, "version": 7}),
        (b"x" * 1000, {"url": OTHER, "version": '"1"'}),
        (b"x" * 1000, {"url": OWN, "version": '"0"'}),
        (b"x" * 1000, {"url": OWN, "version": ""}),
        (b"x" * 1000, None),
        (CONTENT + b"more", {"url": OWN, "version": '"1"'}),
        (b"", {"url": OWN, "version": '"1"'}),
    ],
)
def test_any_leftover_is_resumed_or_thrown_away(
    site: Site, part: bytes, state: object, tmp_path: Path
) -> None:
    site.files["/w.pth"] = CONTENT
    path = pull(f"{site.url}/w.pth").path
    for file in path.parent.iterdir():
        file.unlink()
    path.with_name("w.pth.part").write_bytes(part)
    if state is not None:
        text = state if isinstance(state, str) else json.dumps(state)
        path.with_name("w.pth.part.json").write_text(text.replace("{url}", site.url))
    assert pull(f"{site.url}/w.pth", pause_s=0.001).path.read_bytes() == CONTENT
    assert files_below(tmp_path) == ["w.pth", "w.pth.lock.json"]


@pytest.mark.parametrize("version", [None, "", '"1"'])
@pytest.mark.parametrize("link", ["w.pth.part", "w.pth"])
def test_a_link_in_the_cache_is_replaced_not_followed(
    site: Site, tmp_path: Path, link: str, version: str | None
) -> None:
    precious = tmp_path / "precious"
    precious.write_bytes(b"precious")
    site.files["/w.pth"] = CONTENT
    path = pull(f"{site.url}/w.pth").path
    for file in path.parent.iterdir():
        file.unlink()
    path.with_name(link).symlink_to(precious)
    if version is not None:
        state = {"url": f"{site.url}/w.pth", "version": version}
        path.with_name("w.pth.part.json").write_text(json.dumps(state))
    assert pull(f"{site.url}/w.pth", pause_s=0.001).path.read_bytes() == CONTENT
    assert precious.read_bytes() == b"precious"
    assert not path.is_symlink()


def test_a_beginning_that_was_damaged_is_fetched_again_where_the_checksum_is_known(site: Site) -> None:
    site.files["/w.pth"] = CONTENT
    path = pull(f"{site.url}/w.pth").path
    path.unlink()
    path.with_name("w.pth.part").write_bytes(b"x" * 1000)
    state = {"url": f"{site.url}/w.pth", "version": '"1"'}
    path.with_name("w.pth.part.json").write_text(json.dumps(state))
    assert pull(f"{site.url}/w.pth").path.read_bytes() == CONTENT
