"""The program as it is started: `python -m srkit_cli`, its version and help, and what it imports."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from srkit._version import __version__

TIMED = ("-X", "importtime")
HEAVY = {"torch", "numpy", "pyvips", "cv2", "PIL", "safetensors", "huggingface_hub", "spandrel"}


def imported(err: str) -> set[str]:
    """The modules that a run with -X importtime names."""
    return {line.rpartition("|")[2].strip() for line in err.splitlines() if line.startswith("import time:")}


def test_version(program: Callable[..., Any], call: Callable[..., Any]) -> None:
    ran = program("--version", interpreter=TIMED)
    assert (ran.code, ran.out) == (0, f"srkit {__version__}\n")
    assert imported(ran.err) & HEAVY == set()
    inside = call("--version")
    assert (inside.code, inside.out, inside.err) == (0, ran.out, "")


@pytest.mark.parametrize("arguments", [("--help",), ("upscale", "--help")])
def test_help_imports_nothing_heavy(program: Callable[..., Any], arguments: tuple[str, ...]) -> None:
    ran = program(*arguments, interpreter=TIMED)
    assert ran.code == 0
    assert "Usage: srkit" in ran.out
    modules = imported(ran.err)
    assert "srkit_cli.commands.upscale" in modules
    assert modules & HEAVY == set()


def test_a_refused_value_imports_nothing_heavy(program: Callable[..., Any]) -> None:
    ran = program("upscale", "in", "out", "--scale", "17", interpreter=TIMED)
    assert ran.code == 2
    assert imported(ran.err) & HEAVY == set()


def test_what_upscaling_imports(
    program: Callable[..., Any], save: Callable[..., Path], edsr_weights: Path, tmp_path: Path
) -> None:
    source = save(tmp_path / "a.png")
    ran = program("upscale", source, tmp_path / "b.png", "-m", edsr_weights, interpreter=TIMED)
    assert ran.code == 0, ran.err
    modules = imported(ran.err)
    assert {"torch", "pyvips"} <= modules
    assert (
        modules & {"torchvision", "spandrel", "timm", "open_clip", "lpips", "pyiqa", "tensorboard"} == set()
    )
    # The compiler is a second of start-up, and of no use to a run of one image.
    assert modules & {"torch._dynamo", "torch._inductor", "triton"} == set()
    assert ran.err.endswith("1 done\n") or "\n1 done\n" in ran.err


INTERRUPTED = """
import os, signal, sys
from srkit_cli import app

class Interrupt:
    @staticmethod
    def find_spec(name, path=None, target=None):
        if name == "torch.nn":
            os.kill(os.getpid(), signal.SIGINT)

sys.meta_path.insert(0, Interrupt)
sys.argv[0] = "srkit"
app.main()
"""


def test_interrupt_while_starting(
    edsr_weights: Path, save: Callable[..., Path], child_environment: dict[str, str], tmp_path: Path
) -> None:
    """An interrupt before any work, while libraries are being imported, is an interrupt like any other."""
    arguments = ["upscale", save(tmp_path / "a.png"), tmp_path / "b.png", "-m", edsr_weights]
    ran = subprocess.run(
        [sys.executable, "-c", INTERRUPTED, *arguments],
        capture_output=True,
        text=True,
        env=child_environment,
        timeout=600,
        check=False,
    )
    assert (ran.returncode, ran.stdout) == (130, "")
    assert ran.stderr.startswith("srkit: Interrupted; ")
    assert ran.stderr.count("\n") == 1
    assert [p.name for p in tmp_path.iterdir()] == ["a.png"]
