"""Paths that no file can have, wherever one is taken: a sentence, never a failure that nobody foresaw."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest


@pytest.mark.parametrize(
    "arguments",
    [
        ("upscale", "{}", "out.png"),
        ("upscale", "in.png", "{}"),
        ("upscale", "in.png", "out.png", "-m", "{}"),
        ("upscale", "in.png", "out.png", "--kernel-map", "{}"),
        ("upscale", "in.png", "out.png", "--debug-maps", "{}"),
        ("estimate-kernel", "in.png", "{}"),
        ("estimate-kernel", "in.png", "out.npz", "--depth", "{}"),
        ("estimate-kernel", "in.png", "out.npz", "--preview", "{}"),
        ("eval", "--dataset", "{}"),
        ("eval", "--dataset", "Set5", "--data-root", "{}"),
        ("eval", "--sr", "{}"),
        ("eval", "--sr", ".", "--hr", "{}", "-s", "2"),
        ("eval", "--sr", ".", "--csv", "{}"),
        ("eval", "--sr", ".", "--report", "{}"),
        ("eval", "--sr", ".", "--baseline", "{}"),
        ("eval", "--sr", ".", "--pattern", "{}"),
        ("adapt", "{}", "-o", "w.safetensors"),
        ("adapt", ".", "-o", "{}"),
        ("adapt", ".", "-o", "w.safetensors", "-m", "{}"),
        ("adapt", ".", "-o", "w.safetensors", "--report", "{}"),
        ("train", "{}", "--data", ".", "-o", "run"),
        ("train", "{}.toml", "--data", ".", "-o", "run"),
        ("train", "edsr-x2", "--data", "{}", "-o", "run"),
        ("train", "edsr-x2", "--data", ".", "-o", "{}"),
        ("train", "edsr-x2", "--data", ".", "-o", "run", "--val", "{}"),
        ("train", "edsr-x2", "--data", ".", "-o", "run", "--set", "model.start={}"),
        ("models", "show", "{}"),
        ("demo-image", "{}"),
        ("schema", "{}"),
    ],
)
@pytest.mark.parametrize("path", ["x" * 300, "loop", "x/" * 20_000])
def test_paths_that_no_file_can_have(
    call: Callable[..., Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: tuple[str, ...],
    path: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    for value, name in enumerate(("in.png", "b.png")):
        cv2.imwrite(name, np.full((64, 64, 3), 99 * value, np.uint8))
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "file").write_bytes(b"x")
    ran = call(*(argument.format(path) for argument in arguments))
    assert ran.code in (1, 2, 5), ran
    assert "unforeseen" not in ran.err
    assert "Traceback" not in ran.err
    assert ran.err.startswith("srkit: ")
