"""Started without stdin, stdout or stderr (services, cron, pythonw), or with ones that cannot be written to."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from srkit.io.read import read_image

NAMES = ("stdin", "stdout", "stderr")
SUBSETS = [s for n in (1, 2, 3) for s in itertools.combinations(range(3), n)]
RECIPE = """
name = "tiny"
[model]
arch = "edsr"
arguments = { scale = 2, features = 4, blocks = 1, upsampler = "single" }
[data]
patch = 8
batch = 2
residency = "stream"
workers = 1
[optim]
lr = 1e-4
steps = 2
"""


def closed(numbers: tuple[int, ...]) -> str:
    """What makes a child as it would be without these streams."""
    return "import os, sys\n" + "".join(f"os.close({n}); sys.{NAMES[n]} = None\n" for n in numbers)


@pytest.mark.parametrize("numbers", SUBSETS)
def test_without_streams_the_files_are_made(
    server: Any, save: Callable[..., Path], edsr_weights: Path, tmp_path: Path, numbers: tuple[int, ...]
) -> None:
    for name in ("a", "b"):
        save(tmp_path / "in" / f"{name}.png", 24, 16)
    (tmp_path / "in" / "broken.png").write_bytes(b"no image")
    arguments = ("upscale", tmp_path / "in", tmp_path / "out", "-m", edsr_weights, "--json", "--save-recipe")
    ran = server.run(*arguments, setup=closed(numbers))
    assert ran.code == 3
    assert "Traceback" not in ran.err
    for name in ("a", "b"):
        assert read_image(tmp_path / "out" / f"{name}.png").pixels.shape == (32, 48, 3)
    assert bool(ran.records) == (1 not in numbers)
    assert ("broken.png" in ran.err) == (2 not in numbers)


@pytest.mark.parametrize("command", ["train", "eval", "demo-image", "help"])
def test_other_commands_without_any(
    server: Any, save: Callable[..., Path], edsr_weights: Path, tmp_path: Path, command: str
) -> None:
    for seed, name in enumerate("abc"):
        save(tmp_path / "Own" / "HR" / f"{name}.png", 48, 40, seed=seed)
    (tmp_path / "tiny.toml").write_text(RECIPE)
    data = tmp_path / "Own" / "HR"
    arguments, made = {
        "train": (
            ("train", tmp_path / "tiny.toml", "--data", data, "-o", tmp_path / "run"),
            "run/model.safetensors",
        ),
        "eval": (
            ("eval", "--sr", data, "--hr", data, "-s", 2, "--csv", tmp_path / "scores.csv"),
            "scores.csv",
        ),
        "demo-image": (("demo-image", tmp_path / "demo.png"), "demo.png"),
        "help": (("--help",), "tiny.toml"),
    }[command]
    ran = server.run(*arguments, setup=closed((0, 1, 2)))
    assert (ran.code, ran.out, ran.err) == (0, "", "")
    assert (tmp_path / made).stat().st_size > 0


def test_an_image_for_streams_that_are_not_there(
    server: Any, save: Callable[..., Path], edsr_weights: Path, tmp_path: Path
) -> None:
    source = save(tmp_path / "a.png")
    ran = server.run("upscale", source, "-", "-m", edsr_weights, setup=closed((1,)))
    assert ran.code == 1
    assert "standard output" in ran.err
    ran = server.run("upscale", "-", tmp_path / "b.png", "-m", edsr_weights, setup=closed((0,)))
    assert ran.code == 1
    assert "standard input" in ran.err
    assert not (tmp_path / "b.png").exists()


@pytest.mark.parametrize("where", ["/dev/full", "a closed pipe"])
def test_stderr_that_cannot_be_written_ends_no_work(
    server: Any, save: Callable[..., Path], edsr_weights: Path, tmp_path: Path, where: str
) -> None:
    save(tmp_path / "in" / "a.png")
    (tmp_path / "in" / "broken.png").write_bytes(b"no image")
    setup = f"import os\nos.dup2(os.open({where!r}, os.O_WRONLY), 2)"
    if where == "a closed pipe":
        setup = "import os\nr, w = os.pipe(); os.close(r); os.dup2(w, 2)"
    ran = server.run("upscale", tmp_path / "in", tmp_path / "out", "-m", edsr_weights, setup=setup)
    assert ran.code == 3
    assert read_image(tmp_path / "out" / "a.png").width == 48


def test_whoever_reads_stdout_may_go(
    server: Any, save: Callable[..., Path], edsr_weights: Path, tmp_path: Path
) -> None:
    for name in "ab":
        save(tmp_path / "in" / f"{name}.png")
    setup = "import os\nr, w = os.pipe(); os.close(r); os.dup2(w, 1)"
    arguments = ("upscale", tmp_path / "in", tmp_path / "out", "-m", edsr_weights, "--json")
    ran = server.run(*arguments, setup=setup)
    assert ran.code in (1, 3)
    assert ran.err in ("", "2 done\n")
    assert (tmp_path / "out" / "a.png").is_file()


@pytest.mark.parametrize("numbers", [(1,), (0, 1, 2)])
def test_the_program_itself(
    child_environment: dict[str, str], tmp_path: Path, numbers: tuple[int, ...]
) -> None:
    """Started as a service does, from the interpreter's first step on."""
    command = [
        sys.executable,
        "-m",
        "srkit_cli",
        "demo-image",
        tmp_path / "a.png",
        "--width",
        "64",
        "--height",
        "64",
    ]
    done = subprocess.run(
        command,
        env=child_environment,
        stderr=subprocess.PIPE,
        preexec_fn=lambda: [os.close(n) for n in numbers] and None,
        timeout=100,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, b"")
    assert read_image(tmp_path / "a.png").width == 64
