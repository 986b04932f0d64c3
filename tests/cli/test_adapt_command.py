"""`srkit adapt`: flags, streams, JSON, report and exit codes; and `srkit upscale` with what it wrote."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest
import srkit_cli
import torch

from srkit.io.image import DecodedImage
from srkit.io.write import write_image
from srkit.rendered import draw, spec
from srkit.zoo.header import Header, read_header
from srkit.zoo.weights import load_weights, save_weights

SCHEMA = json.loads((Path(srkit_cli.__file__).parent / "schemas" / "adapt.json").read_text())


@pytest.fixture(scope="module")
def screens(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four small screens of one kind."""
    folder = tmp_path_factory.mktemp("data") / "screens"
    folder.mkdir()
    for i in range(4):
        screen = replace(spec("screen", i), content="article", theme="light")  # type: ignore[call-arg]
        write_image(DecodedImage(draw(screen, 88, 80).pixels), folder / f"{'abcd'[i]}.png", format="png")
    return folder


@pytest.fixture
def adapt(call: Callable[..., Any], screens: Path, edsr_weights: Path, tmp_path: Path) -> Callable[..., Any]:
    """Runs `srkit adapt` with the tiny network, for a few steps on two examples, into tmp_path/out.safetensors."""

    def run(
        *arguments: str | Path, domain: Path = screens, model: str | Path = edsr_weights, shots: int = 2
    ) -> Any:
        flags = ("-m", model, "-o", tmp_path / "out.safetensors", "--shots", shots, "--steps", 16)
        return call("adapt", domain, *flags, "--device", "cpu", *arguments)

    return run


def test_json(adapt: Callable[..., Any], tmp_path: Path) -> None:
    ran = adapt("--json", "-q")
    assert (ran.code, ran.err) == (0, "")
    (document,) = ran.records
    jsonschema.validate(document, SCHEMA)
    assert document["output"] == str(tmp_path / "out.safetensors")
    assert (document["support"], document["judge"], document["strips"]) == (["a", "b"], ["c", "d"], False)
    assert (document["steps"], document["stopped"], document["kept"]) == (16, "steps", True)
    assert document["after"]["psnr"] > document["before"]["psnr"]
    means = [np.mean([image[when]["psnr"] for image in document["images"]]) for when in ("before", "after")]
    assert means == [pytest.approx(document[when]["psnr"]) for when in ("before", "after")]


def test_table(adapt: Callable[..., Any], tmp_path: Path) -> None:
    ran = adapt("-v")
    assert ran.code == 0
    head, *rows = [line.split("\t") for line in ran.out.splitlines()]
    assert head == ["image", "PSNR before", "PSNR after", "SSIM before", "SSIM after", "gain"]
    assert [row[0] for row in rows] == ["c", "d", "mean of 2"]
    for row in rows:
        assert float(row[5]) == pytest.approx(float(row[2]) - float(row[1]), abs=0.011)
    assert "step 16: " in ran.err
    last = ran.err.splitlines()[-1]
    assert last.startswith(f"{tmp_path / 'out.safetensors'}: 16 steps, ")
    assert f"+{rows[-1][5].removeprefix('+')} dB" in last


def test_strips_are_said(adapt: Callable[..., Any]) -> None:
    ran = adapt("--holdout", 0.3, shots=4)
    assert ran.code == 0
    assert ran.out.startswith("strip of\t")
    assert "30%" in ran.err


def test_upscale_with_it(
    adapt: Callable[..., Any], call: Callable[..., Any], screens: Path, tmp_path: Path
) -> None:
    assert adapt("--report", tmp_path / "report.html", "-q").code == 0
    ran = call(
        "upscale",
        screens / "a.png",
        tmp_path / "up.png",
        "-m",
        tmp_path / "out.safetensors",
        "--device",
        "cpu",
    )
    assert ran.code == 0, ran.err
    assert (tmp_path / "up.png").is_file()
    assert "<title>Adaptation</title>" in (tmp_path / "report.html").read_text()
    assert read_header(tmp_path / "out.safetensors").adapted["support"] == ["a", "b"]


def test_the_base_stays(adapt: Callable[..., Any], edsr_weights: Path) -> None:
    before = edsr_weights.read_bytes()
    ran = adapt("-o", edsr_weights)
    ran.refused(2, edsr_weights)
    assert edsr_weights.read_bytes() == before


def test_a_broken_example(adapt: Callable[..., Any], screens: Path, tmp_path: Path) -> None:
    folder = tmp_path / "some"
    folder.mkdir()
    for name in "abc":
        (folder / f"{name}.png").write_bytes((screens / f"{name}.png").read_bytes())
    (folder / "b.png").write_bytes(b"broken")
    ran = adapt("--json", domain=folder, shots=1)
    assert ran.code == 3
    (document,) = ran.records
    jsonschema.validate(document, SCHEMA)
    assert [failed["name"] for failed in document["failed"]] == ["b"]
    assert document["judge"] == ["c"]


def test_encoders_that_are_missing_or_wrong(
    adapt: Callable[..., Any], cdasr_weights: Path, tmp_path: Path
) -> None:
    model = load_weights(cdasr_weights)
    assert model.header is not None
    missing = {"semantic": "open_clip:ViT-B-32:/gone/clip.pt", "semantic version": "1"}
    for providers in (missing, {**model.header.providers, "semantic version": "2"}):
        header = Header(**{**vars(model.header), "providers": providers})
        save_weights(tmp_path / "conditioned.safetensors", model.network, header)
        ran = adapt(model=tmp_path / "conditioned.safetensors")
        assert ran.out == ""
        ran.refused(5)
    assert not (tmp_path / "out.safetensors").exists()


@pytest.mark.parametrize(
    ("arguments", "code", "named"),
    [
        (("-s", "4"), 2, ("--scale", 2, 4)),
        (("-s", "99"), 2, ("--scale", 99)),
        (("--shots", "0"), 2, ("--shots", 0)),
        (("--steps", "0"), 2, ("--steps", 0)),
        (("--minutes", "-1"), 2, ("--minutes", -1.0)),
        (("--holdout", "1"), 2, ("--holdout", 1.0)),
        (("--device", "tpu"), 2, ("--device", "tpu")),
        (("--dtype", "fp16"), 2, ("--dtype", "fp16")),
        (("-m", "edsr-x99"), 5, ("edsr-x99",)),
        (("-m", "/gone.safetensors"), 5, ("/gone.safetensors",)),
        (("-o", "/gone/out.safetensors"), 2, ("/gone",)),
        (("-o", "out.pth"), 2, (".safetensors",)),
        (("--report", "/gone/report.html"), 2, ("/gone/report.html",)),
        (("--set", "tune.rate"), 2, ("tune.rate", "key=value")),
        (("--set", "tune.rate=0"), 2, ("tune.rate", 0.0)),
        (("--set", "tune.rates=1"), 2, ("tune.rates", "rate")),
        (("--set", "rate=1"), 2, ("rate", "tune.rate")),
        (("--set", "loop.draws=2"), 2, ("loop",)),
        (("--set", "tune.optimiser=lion"), 2, ("tune.optimiser", "lion", "auto", "adam", "sgd", "muon")),
    ],
)
def test_errors(
    adapt: Callable[..., Any], arguments: tuple[str, ...], code: int, named: tuple[object, ...]
) -> None:
    ran = adapt(*arguments)
    assert ran.out == ""
    ran.refused(code, *named)


def test_domains_that_are_none(adapt: Callable[..., Any], tmp_path: Path) -> None:
    ran = adapt(domain=tmp_path / "gone")
    assert ran.out == ""
    ran.refused(2, tmp_path / "gone")
    (tmp_path / "empty").mkdir()
    ran = adapt(domain=tmp_path / "empty")
    assert (ran.code, ran.out) == (1, "")
    (tmp_path / "HR").mkdir()
    write_image(DecodedImage(np.zeros((64, 64, 3), np.uint8)), tmp_path / "empty" / "black.png", format="png")
    ran = adapt(domain=tmp_path / "empty")
    ran.refused(1, "'black'")


def test_the_command_line_asks_for_what_the_recipe_says(adapt: Callable[..., Any], tmp_path: Path) -> None:
    ran = adapt("--seed", 7, "--threads", torch.get_num_threads(), "--dtype", "fp32", "--minutes", 9, "-q")
    assert ran.code == 0
    asked = read_header(tmp_path / "out.safetensors").adapted["recipe"]
    assert (asked["seed"], asked["dtype"], asked["shots"], asked["tune"]["steps"]) == (7, "fp32", 2, 16)
    assert asked["tune"]["minutes"] == 9


def test_settings(adapt: Callable[..., Any], tmp_path: Path) -> None:
    """Each as given, flags over them, in the header; a loss is laid over the recipe's, as in `srkit train`."""
    settings = ("tune.rate=1e-3", "tune.optimiser=sgd", "tune.loss.l1=0.5", "tune.steps=99", "holdout=0.4")
    ran = adapt(*(word for one in settings for word in ("--set", one)), "--json", "-q")
    assert ran.code == 0, ran.err
    (document,) = ran.records
    assert (document["rates"], document["steps"]) == ("0.001 (sgd)", 16)
    asked = read_header(tmp_path / "out.safetensors").adapted["recipe"]
    assert (asked["holdout"], asked["shots"], asked["tune"]["rate"]) == (0.4, 2, 1e-3)
    assert (asked["tune"]["steps"], asked["tune"]["loss"]) == (16, {"l2": 1.0, "l1": 0.5})
