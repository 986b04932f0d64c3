"""`srkit upscale` where the output cannot be written, at once or midway: no permission, a full disk."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from srkit.io.read import read_image

ROOT = os.geteuid() == 0

# Makes permissions bind a child that runs as root: without CAP_DAC_OVERRIDE and CAP_DAC_READ_SEARCH.
BOUND = """
import ctypes
libc = ctypes.CDLL(None)
header, sets = (ctypes.c_uint32 * 2)(0x20080522, 0), (ctypes.c_uint32 * 6)()
assert libc.capget(header, sets) == 0
for i in (0, 1):  # effective, permitted
    sets[i] &= ~0b110
assert libc.capset(header, sets) == 0
"""


@pytest.fixture(params=["small disk", "file size limit"])
def full(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[Path, str]]:
    """An output folder with room for files of 8 kB but not of 80, and what a child does to have it so."""
    out = tmp_path / "out"
    if request.param == "file size limit":
        yield out, "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (16384, 16384))"
        return
    out.mkdir()
    mounted = ROOT and subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=32k", "none", out], capture_output=True, check=False
    )
    if not mounted or mounted.returncode:
        pytest.skip("file systems cannot be mounted here")
    yield out, ""
    subprocess.run(["umount", out], check=True)


def is_true(records: list[dict[str, Any]]) -> bool:
    """Whether what is reported as done is there, whole, and nothing else."""
    whole = all(read_image(Path(r["output"])).width == r["width"] for r in records if r["status"] == "done")
    return whole and all(Path(r["output"]).exists() == (r["status"] == "done") for r in records)


def names(folder: Path) -> list[str]:
    return sorted(p.name for p in folder.rglob("*") if p.is_file())


@pytest.mark.parametrize("output", ["closed", "closed/new", "closed/b.png"])
def test_no_permission(
    server: Any, save: Callable[..., Path], edsr_weights: Path, tmp_path: Path, output: str
) -> None:
    source = save(tmp_path / "in" / "a.png")
    (tmp_path / "closed").mkdir(mode=0o555)
    given = source if output.endswith(".png") else source.parent
    ran = server.run("upscale", given, tmp_path / output, "-m", edsr_weights, setup=BOUND)
    assert ran.out == ""
    ran.refused(1, tmp_path / "closed")
    assert names(tmp_path / "closed") == []


def test_no_permission_to_read(
    server: Any, save: Callable[..., Path], edsr_weights: Path, tmp_path: Path
) -> None:
    save(tmp_path / "in" / "a.png")
    save(tmp_path / "in" / "b.png").chmod(0)
    (tmp_path / "in" / "sub").mkdir(mode=0)
    (tmp_path / "out").mkdir()
    (tmp_path / "out").chmod(0o777)
    ran = server.run("upscale", tmp_path / "in", tmp_path / "out", "-m", edsr_weights, "--json", setup=BOUND)
    assert (ran.code, ran.status) == (3, {"a.png": "done", "b.png": "failed"})
    assert "Permission denied" in ran.records[1]["error"]
    ran = server.run("upscale", tmp_path / "in", tmp_path / "out", "-m", edsr_weights, "-r", setup=BOUND)
    ran.refused(1, tmp_path / "in" / "sub")


def test_no_permission_midway(
    server: Any, save: Callable[..., Path], edsr_weights: Path, tmp_path: Path
) -> None:
    for name in ("a.png", "locked/b.png", *(f"z{i:02}.png" for i in range(20))):
        save(tmp_path / "in" / name)
    (tmp_path / "out" / "locked").mkdir(parents=True)
    (tmp_path / "out").chmod(0o777)
    (tmp_path / "out" / "locked").chmod(0o555)
    arguments = ("upscale", tmp_path / "in", tmp_path / "out", "-r", "-m", edsr_weights, "--json")
    ran = server.run(*arguments, setup=BOUND)
    assert ran.code == 3
    assert (ran.status["a.png"], ran.status["b.png"]) == ("done", "failed")
    assert "Permission denied" in ran.records[1]["error"]
    assert "Not tried" in ran.records[-1]["error"]
    assert is_true(ran.records)


def test_read_only_file_system(
    server: Any, save: Callable[..., Path], edsr_weights: Path, tmp_path: Path
) -> None:
    source, out = save(tmp_path / "a.png"), tmp_path / "out"
    out.mkdir()
    if not ROOT or subprocess.run(["mount", "-t", "tmpfs", "-o", "ro", "none", out], check=False).returncode:
        pytest.skip("file systems cannot be mounted here")
    try:
        for output in (out, out / "new", out / "b.png"):
            ran = server.run("upscale", source, output, "-m", edsr_weights)
            assert ran.out == ""
            ran.refused(1, out)
    finally:
        subprocess.run(["umount", out], check=True)


def test_disk_full_at_once(
    server: Any, save: Callable[..., Path], edsr_weights: Path, full: tuple[Path, str], tmp_path: Path
) -> None:
    out, setup = full
    save(tmp_path / "in" / "a.png", 160, 160)
    save(tmp_path / "in" / "b.png", 160, 160)
    arguments = ("upscale", tmp_path / "in", out, "-m", edsr_weights, "--json", "--save-recipe")
    ran = server.run(*arguments, setup=setup)
    assert ran.code == 1, ran
    assert ran.status == {"a.png": "failed", "b.png": "failed"}
    assert "could not be written" in ran.records[0]["error"]
    assert names(out) == []


def test_disk_full_midway(
    server: Any, save: Callable[..., Path], edsr_weights: Path, full: tuple[Path, str], tmp_path: Path
) -> None:
    out, setup = full
    for i in range(2):
        save(tmp_path / "in" / f"small{i}.png")
    for i in range(20):
        save(tmp_path / "in" / f"too large{i:02}.png", 160, 160)
    arguments = ("upscale", tmp_path / "in", out, "-m", edsr_weights)
    ran = server.run(*arguments, "--json", setup=setup)
    assert ran.code == 3, ran
    assert [r["status"] for r in ran.records] == ["done", "done", *["failed"] * 20]
    assert "could not be written" in ran.records[2]["error"]
    assert "Not tried" in ran.records[-1]["error"]
    assert is_true(ran.records)
    assert names(out) == ["small0.png", "small1.png"]
    assert ran.err.count("Not tried") == 1
    again = server.run(*arguments, "--skip-existing", "--json", setup=setup)
    assert again.code == 3
    assert again.status["small0.png"] == "skipped"


def test_an_output_that_cannot_be_replaced(
    upscale: Callable[..., Any], save: Callable[..., Path], tmp_path: Path
) -> None:
    for name in ("a", "b"):
        save(tmp_path / "in" / f"{name}.png")
    (tmp_path / "out" / "a.png").mkdir(parents=True)
    ran = upscale(tmp_path / "in", tmp_path / "out", "--overwrite", "--json")
    assert (ran.code, ran.status) == (3, {"a.png": "failed", "b.png": "done"})
    assert str(tmp_path / "out" / "a.png") in ran.err
