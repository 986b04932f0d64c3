"""`srkit upscale` interrupted and killed: what was finished stays, nothing half-written, and it can go on."""

from __future__ import annotations

import random
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

COUNT = 40


@pytest.fixture
def job(save: Callable[..., Path], edsr_weights: Path, tmp_path: Path) -> tuple[str | Path, ...]:
    """The command line for a tree of images that keeps the program busy for a second."""
    for i in range(COUNT):
        save(tmp_path / "in" / f"{i % 3}" / f"{i}.png", 60 + i, 90, seed=i)
    return ("upscale", tmp_path / "in", tmp_path / "out", "-r", "-m", edsr_weights)


def content(folder: Path) -> dict[str, bytes]:
    """All final files of a tree."""
    files = (p for p in folder.rglob("*") if p.is_file() and not p.name.startswith("."))
    return {str(p.relative_to(folder)): p.read_bytes() for p in files}


def temporaries(folder: Path) -> list[Path]:
    return [p for p in folder.rglob(".*") if p.is_file()]


def wait_for(folder: Path, count: int) -> None:
    deadline = time.monotonic() + 600
    while len(content(folder)) < count:
        assert time.monotonic() < deadline
        time.sleep(0.005)


@pytest.fixture
def undisturbed(server: Any, job: tuple[str | Path, ...], tmp_path: Path) -> dict[str, bytes]:
    """What the job gives when nothing happens to it."""
    ran = server.run(*job)
    assert ran.code == 0, ran
    (tmp_path / "out").rename(tmp_path / "right")
    return content(tmp_path / "right")


def test_interrupt(
    server: Any, job: tuple[str | Path, ...], undisturbed: dict[str, bytes], tmp_path: Path
) -> None:
    out = tmp_path / "out"
    child = server.start(*job, "--json")
    wait_for(out, 4)
    child.signal(signal.SIGINT)
    ran = child.wait()
    assert ran.code == 130, ran
    assert "Interrupted" in ran.err
    assert "Traceback" not in ran.err
    left = content(out)
    assert 4 <= len(left) < COUNT
    assert left.items() <= undisturbed.items()
    assert temporaries(out) == []
    # Each record that was printed is of a file that is there.
    assert {str(Path(r["output"]).relative_to(out)) for r in ran.records} <= set(left)
    ran = server.run(*job, "--skip-existing", "--json")
    assert ran.code == 0
    assert sum(r["status"] == "skipped" for r in ran.records) == len(left)
    assert content(out) == undisturbed


def test_kill_and_resume(
    server: Any, job: tuple[str | Path, ...], undisturbed: dict[str, bytes], tmp_path: Path
) -> None:
    out, chance = tmp_path / "out", random.Random(0)
    for kill in range(4):
        child = server.start(*job, "--skip-existing")
        wait_for(out, COUNT * kill // 5 + chance.randrange(COUNT // 5))
        time.sleep(chance.uniform(0, 0.03))
        child.signal(signal.SIGKILL)
        assert child.wait_code() == -signal.SIGKILL
        assert content(out).items() <= undisturbed.items()
    assert len(content(out)) < COUNT
    # What a kill leaves behind under its temporary name is swept away by the next run, and only that.
    foreign = out / ".srkit-00000000-1-000000000000.part"
    foreign.write_bytes(b"another machine's")
    assert server.run(*job, "--skip-existing").code == 0
    assert content(out) == undisturbed
    assert temporaries(out) == [foreign]
