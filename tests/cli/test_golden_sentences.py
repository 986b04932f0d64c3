"""Whole sentences, at least one for each exit code: what the program says, and the only wording that is fixed.

All other tests of errors ask for the exit code, and for the keys and values that are named (`Ran.refused`).
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from srkit.errors import Exit
from srkit.tasks.upscale import run as upscale

SAID: list[tuple[str, Exit, str]] = [
    ("upscale in.png out/a.png -m {model}", Exit.DONE, "1 done\n"),
    (
        "upscale empty out",
        Exit.FAILED,
        "srkit: No images were found in the folder 'empty' (its subfolders were not searched).\n",
    ),
    (
        "upscale in.png b.png --scale 17",
        Exit.USAGE,
        "srkit: --scale is 17; it must be above 1 and at most 16.\n",
    ),
    (
        "upscale in.png there.png -m {model}",
        Exit.USAGE,
        "srkit: The output 'there.png' exists already; use --overwrite to replace, --skip-existing to keep, or another "
        "output.\n",
    ),
    (
        "train edsr-x4 --data mixed -o run --set optim.stebs=1",
        Exit.USAGE,
        "srkit: 'optim.stebs' is no setting of this recipe. Did you mean 'steps'?\n",
    ),
    (
        "upscale mixed out -m {model}",
        Exit.PARTIAL,
        "error: 'mixed/b.png' is not an image of a known kind; give a PNG, JPEG, WebP, TIFF, AVIF, BMP or GIF image."
        "\n1 done, 1 failed\n",
    ),
    (
        "eval --dataset Own --data-root data -m bicubic -s 2 --fail-if 'psnr<99'",
        Exit.GATE,
        "error: psnr<99 broken on Own x2 (bicubic): mean psnr NUMBER, limit 99.\n",
    ),
    (
        "upscale in.png b.png -m esdr",
        Exit.RESOURCE,
        "srkit: There is no model 'esdr'; `srkit models list` names those there are, `srkit models search` "
        "those of OpenModelDB. "
        "Did you mean 'edsr'?\n",
    ),
    (
        "models path BSRGAN",
        Exit.RESOURCE,
        "srkit: The model 'BSRGAN' is not on this machine; run `srkit models pull BSRGAN`.\n",
    ),
]


@pytest.fixture
def here(save: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SRKIT_CACHE", str(tmp_path / "cache"))
    for name in ("in.png", "there.png", "mixed/a.png", "data/Own/HR/a.png"):
        save(tmp_path / name, 48, 32)
    (tmp_path / "mixed/b.png").write_bytes(b"broken")
    (tmp_path / "empty").mkdir()
    return tmp_path


@pytest.mark.parametrize(("command", "code", "said"), SAID, ids=[command[:30] for command, *_ in SAID])
def test_what_is_said(
    command: str, code: Exit, said: str, call: Callable[..., Any], edsr_weights: Path, here: Path
) -> None:
    ran = call(*shlex.split(command.format(model=edsr_weights)))
    assert ran.code == code
    assert re.sub(r"\d+\.\d{4}", "NUMBER", ran.err) == said


def test_what_is_said_of_an_interrupt(
    call: Callable[..., Any], edsr_weights: Path, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_arguments: Any) -> Any:
        raise KeyboardInterrupt

    monkeypatch.setattr(upscale, "prepared", interrupted)
    ran = call("upscale", "in.png", "b.png", "-m", edsr_weights)
    assert ran.code == Exit.INTERRUPTED
    said = (
        "srkit: Interrupted; what was finished stays, and --skip-existing or --resume goes on from there.\n"
    )
    assert ran.err.lstrip("\n") == said
    assert {code for _, code, _ in SAID} | {Exit.INTERRUPTED} == set(Exit)
