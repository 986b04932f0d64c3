"""`srkit upscale --strength` and `--denoise`: what they are refused for, and where they are written down."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from srkit.archs.edsr import EDSR
from srkit.io.read import read_image
from srkit.zoo.header import Header
from srkit.zoo.weights import save_weights

ARGUMENTS: dict[str, Any] = {"scale": 2, "features": 4, "blocks": 1, "upsampler": "single"}


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    """A model whose header names a pair for both dials."""
    pairs = {"strength": "start.safetensors", "denoise": "light.safetensors"}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        for name in ("start", "light", "model"):
            header = Header("edsr", ARGUMENTS, 2, overlap=4, pairs=pairs if name == "model" else {})
            save_weights(tmp_path / f"{name}.safetensors", EDSR(**ARGUMENTS), header)
    return tmp_path / "model.safetensors"


def test_they_are_used_and_written_down(
    call: Callable[..., Any],
    save: Callable[..., Path],
    schema: Callable[[str], Any],
    weights: Path,
    tmp_path: Path,
) -> None:
    source, out = save(tmp_path / "a.png"), tmp_path / "out.png"
    flags = ("-m", weights, "--strength", "0.4", "--denoise", "0.7", "--json", "--device", "cpu")
    (plan,) = call("upscale", source, out, *flags, "--plan").records
    schema("upscale-plan").validate(plan)
    assert (plan["strength"], plan["denoise"]) == (0.4, 0.7)
    ran = call("upscale", source, out, *flags, "--save-recipe")
    assert ran.code == 0, ran
    (record,) = ran.records
    schema("upscale").validate(record)
    assert (record["strength"], record["denoise"], record["models"]) == (0.4, 0.7, ["model"])
    saved = json.loads((tmp_path / "out.png.srkit.json").read_text())
    assert (saved["settings"]["strength"], saved["settings"]["denoise"]) == (0.4, 0.7)
    (network,) = saved["models"]
    assert network["blended"]["alpha"] == 0.7
    assert network["blended"]["of"][1]["blended"]["alpha"] == 0.4
    plain = call("upscale", source, tmp_path / "plain.png", "-m", weights, "--json", "--device", "cpu")
    assert (plain.records[0]["strength"], plain.records[0]["denoise"]) == (None, None)
    first, second = (read_image(path).pixels for path in (out, tmp_path / "plain.png"))
    assert (first != second).any()


@pytest.mark.parametrize(
    ("flags", "named"),
    [
        (("--strength", "1.5"), ("strength", "1.5")),
        (("--strength", "nan"), ("strength", "nan")),
        (("--denoise", "-0.1"), ("denoise", "-0.1")),
        (("--strength", "0.5", "-m", "srvgg-x4"), ("strength", "srvgg-x4")),
        (("--denoise", "0.5", "-m", "edsr-x2"), ("denoise", "edsr-x2")),
    ],
)
def test_refused(
    call: Callable[..., Any],
    save: Callable[..., Path],
    tmp_path: Path,
    flags: tuple[str, ...],
    named: tuple[str, ...],
) -> None:
    ran = call("upscale", save(tmp_path / "a.png"), tmp_path / "b.png", *flags)
    ran.refused(2, *named)
    assert not (tmp_path / "b.png").exists()
