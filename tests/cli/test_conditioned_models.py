"""Models that are conditioned on whole images by an encoder, from the command line."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from srkit.zoo.weights import copy_weights, read_header


@pytest.fixture
def with_encoder(cdasr_weights: Path, tmp_path: Path) -> Callable[..., Path]:
    """The tiny model's weights under a header that names another encoder."""

    def write(name: str, version: str) -> Path:
        path = tmp_path / "weights/other-x2.safetensors"
        path.parent.mkdir()
        header = read_header(cdasr_weights)
        providers = {"semantic": name, "semantic version": version}
        copy_weights(cdasr_weights, path, replace(header, providers=providers))
        return path

    return write


def test_it_is_run_as_any_other(
    call: Callable[..., Any],
    save: Callable[..., Path],
    schema: Callable[[str], Any],
    cdasr_weights: Path,
    tmp_path: Path,
) -> None:
    source, target = save(tmp_path / "in.png", 40, 30, bands=4), tmp_path / "out.png"
    flags = ("-m", cdasr_weights, "-s", "4", "--tile", "16", "--json")
    planned = call("upscale", source, target, *flags, "--plan")
    assert (planned.code, planned.err) == (0, "")
    (plan,) = planned.records
    schema("upscale-plan").validate(plan)
    assert not target.exists()
    ran = call("upscale", source, target, *flags, "--save-recipe", "--quiet")
    assert (ran.code, ran.err) == (0, "")
    (record,) = ran.records
    schema("upscale").validate(record)
    assert record["models"] == plan["pictures"][0]["models"] == ["conditioned-x2", "conditioned-x2"]
    saved = json.loads(target.with_name("out.png.srkit.json").read_text())
    assert saved["models"][0]["providers"] == read_header(cdasr_weights).providers
    shown = call("models", "show", cdasr_weights)
    assert (shown.code, shown.err) == (0, "")
    assert "cdasr" in shown.out


@pytest.mark.parametrize("flags", [(), ("--plan",), ("--tile", "16")], ids=str)
def test_another_encoder_ends_before_any_work(
    call: Callable[..., Any],
    save: Callable[..., Path],
    with_encoder: Callable[..., Path],
    tmp_path: Path,
    flags: tuple[str, ...],
) -> None:
    source, target = save(tmp_path / "in.png"), tmp_path / "new/out.png"
    weights = with_encoder("random", "compact, seed 7")
    ran = call("upscale", source, target, "-m", weights, *flags)
    ran.refused(5, "random", "compact, seed 7")
    assert not target.parent.exists()


def test_an_encoder_whose_weights_are_not_here(
    call: Callable[..., Any],
    save: Callable[..., Path],
    with_encoder: Callable[..., Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setenv("SRKIT_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("SRKIT_WEIGHTS", raising=False)
    source, target = save(tmp_path / "in.png"), tmp_path / "new/out.png"
    weights = with_encoder("open_clip:ViT-B-32:openai", "open_clip 3, sha256 0")
    ran = call("upscale", source, target, "-m", weights)
    ran.refused(5, "open_clip-ViT-B-32-openai.safetensors", "$SRKIT_WEIGHTS")
    assert not target.parent.exists()


def test_eval_ends_before_any_work(
    call: Callable[..., Any], save: Callable[..., Path], with_encoder: Callable[..., Path], tmp_path: Path
) -> None:
    save(tmp_path / "own/HR/a.png", 48, 32)
    weights = with_encoder("random", "compact, seed 7")
    ran = call("eval", "--dataset", "own", "--data-root", tmp_path, "-m", weights)
    ran.refused(5, "random", "compact, seed 7")
