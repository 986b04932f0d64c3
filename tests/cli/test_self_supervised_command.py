"""`srkit adapt --self-supervised`: flags, streams, JSON, report, exit codes; and `srkit upscale` with what it wrote."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest
import srkit_cli
import torch

from srkit.data.pairs import make_lr
from srkit.degradation.jpeg import jpegs
from srkit.io.image import DecodedImage
from srkit.io.write import write_image
from srkit.zoo.header import read_header

SCHEMA = json.loads((Path(srkit_cli.__file__).parent / "schemas" / "adapt.json").read_text())


@pytest.fixture(scope="module")
def phone(tmp_path_factory: pytest.TempPathFactory, rendered: Callable[..., Any]) -> Path:
    """Five small images, all compressed."""
    folder = tmp_path_factory.mktemp("data") / "phone"
    folder.mkdir()
    for i in range(5):
        lr = torch.from_numpy(make_lr(rendered(96, 96, i), 2)).permute(2, 0, 1)[None].float() / 255
        pixels = (jpegs([lr], [35])[0][0].permute(1, 2, 0) * 255).round().to(torch.uint8).numpy()
        write_image(DecodedImage(np.ascontiguousarray(pixels)), folder / f"{'abcde'[i]}.png", format="png")
    return folder


@pytest.fixture
def adapt(
    call: Callable[..., Any],
    phone: Path,
    edsr_weights: Path,
    reconstructor_weights: Path,
    tmp_path: Path,
) -> Callable[..., Any]:
    """Runs the command with tiny networks, for a few steps, into tmp_path/out.safetensors."""

    def run(*arguments: str | Path, domain: Path = phone, reconstructor: Path = reconstructor_weights) -> Any:
        flags = ("--self-supervised", "-m", edsr_weights, "--reconstructor", reconstructor)
        more = ("-o", tmp_path / "out.safetensors", "--steps", 4, "--device", "cpu")
        return call("adapt", domain, *flags, *more, *arguments)

    return run


def test_json(adapt: Callable[..., Any], tmp_path: Path) -> None:
    ran = adapt("--json", "-q")
    assert (ran.code, ran.err) == (0, "")
    (document,) = ran.records
    jsonschema.validate(document, SCHEMA)
    assert (document["way"], document["method"], document["pairs"]) == ("self-supervised", "loop", None)
    assert document["output"] == str(tmp_path / "out.safetensors")
    assert (document["support"], document["judge"]) == (["b", "c", "d", "e"], ["a"])
    assert (document["steps"], document["stopped"], document["protocol"]) == (4, "steps", "none")
    assert document["raw"]["change"] < document["average"]["change"]
    means = [np.mean([image["before"]["far"] for image in document["images"]]), document["before"]["far"]]
    assert means[0] == pytest.approx(means[1])
    assert document["traces"]["compressed"] > 0.5


def test_table_and_report(adapt: Callable[..., Any], tmp_path: Path) -> None:
    ran = adapt("--report", tmp_path / "report.html", "-v")
    assert ran.code == 0
    head, *rows = [line.split("\t") for line in ran.out.splitlines()]
    assert head[:3] == ["image", "L_rec alike before", "L_rec alike after"]
    assert rows[-1][0] == f"mean of {len(rows) - 1}"
    assert "step 4: " in ran.err
    assert "Adaptation" in (tmp_path / "report.html").read_text()


def test_upscale_with_it(
    adapt: Callable[..., Any], call: Callable[..., Any], phone: Path, tmp_path: Path
) -> None:
    assert adapt("-q").code == 0
    weights = tmp_path / "out.safetensors"
    ran = call("upscale", phone / "a.png", tmp_path / "up.png", "-m", weights, "--device", "cpu")
    assert ran.code == 0, ran.err
    assert (tmp_path / "up.png").is_file()
    assert read_header(weights).adapted["support"] == ["b", "c", "d", "e"]


def test_a_broken_image(adapt: Callable[..., Any], phone: Path, tmp_path: Path) -> None:
    folder = tmp_path / "some"
    folder.mkdir()
    for name in "abcde":
        (folder / f"{name}.png").write_bytes((phone / f"{name}.png").read_bytes())
    (folder / "b.png").write_bytes(b"broken")
    ran = adapt("--json", domain=folder)
    assert ran.code == 3
    (document,) = ran.records
    jsonschema.validate(document, SCHEMA)
    assert [failed["name"] for failed in document["failed"]] == ["b"]


def test_a_reconstructor_that_is_missing(adapt: Callable[..., Any], tmp_path: Path) -> None:
    ran = adapt(reconstructor=tmp_path / "gone.safetensors")
    assert ran.out == ""
    ran.refused(5, tmp_path / "gone.safetensors")
    assert not (tmp_path / "out.safetensors").exists()


@pytest.mark.parametrize(
    ("arguments", "code", "named"),
    [
        (("--shots", "5"), 2, ("--shots", 5, "--self-supervised")),
        (("-s", "4"), 2, ("--scale", 2, 4)),
        (("--steps", "0"), 2, ("--steps", 0)),
        (("--minutes", "-1"), 2, ("--minutes", -1.0)),
        (("--holdout", "1"), 2, ("--holdout", 1.0)),
        (("-m", "edsr-x99"), 5, ("edsr-x99",)),
        (("-o", "out.pth"), 2, (".safetensors",)),
        (("--report", "/gone/report.html"), 2, ("/gone/report.html",)),
        (("--set", "loop.control=papper"), 2, ("loop.control", "papper", "paper")),
        (("--set", "tune.rate=1"), 2, ("tune",)),
    ],
)
def test_errors(
    adapt: Callable[..., Any], arguments: tuple[str, ...], code: int, named: tuple[object, ...]
) -> None:
    ran = adapt(*arguments)
    assert ran.out == ""
    ran.refused(code, *named)


def test_what_serves_it_alone(
    call: Callable[..., Any], phone: Path, tmp_path: Path, edsr_weights: Path
) -> None:
    flags = ("-m", edsr_weights, "-o", tmp_path / "out.safetensors", "--device", "cpu")
    for flag, value in (
        ("--reconstructor", "reconstructor-x2"),
        ("--method", "pairs"),
        ("--clean", tmp_path),
    ):
        call("adapt", phone, *flags, flag, value).refused(2, flag, "--self-supervised")


def test_folders_without_low_resolution_images(
    adapt: Callable[..., Any], tmp_path: Path, phone: Path
) -> None:
    ran = adapt(domain=tmp_path / "gone")
    assert (ran.code, ran.out) == (2, "")
    (tmp_path / "pairs/HR").mkdir(parents=True)
    ran = adapt(domain=tmp_path / "pairs")
    ran.refused(2, tmp_path / "pairs", "HR/", "LR/")
    (tmp_path / "empty").mkdir()
    ran = adapt(domain=tmp_path / "empty")
    assert (ran.code, ran.out) == (1, "")


def test_settings_of_the_paper(adapt: Callable[..., Any], tmp_path: Path) -> None:
    settings = ("loop.control=paper", "loop.noise_std=1.0", "loop.keep=average", "loop.rate=5e-6")
    ran = adapt(*(word for one in settings for word in ("--set", one)), "--json", "-q")
    assert ran.code == 0, ran.err
    (document,) = ran.records
    assert (document["best"], document["rates"]) == ("average", "5e-06 (adam)")
    asked = read_header(tmp_path / "out.safetensors").adapted["recipe"]["loop"]
    assert (asked["control"], asked["noise_std"], asked["steps"]) == ("paper", 1.0, 4)


def test_by_pairs(adapt: Callable[..., Any], tmp_path: Path, rendered: Callable[..., Any]) -> None:
    """The document says what was matched; steps are those of this method."""
    (tmp_path / "clean").mkdir()
    for i in range(3):
        image = DecodedImage(np.ascontiguousarray(rendered(96, 96, 30 + i)))
        write_image(image, tmp_path / "clean" / f"{i}.png", format="png")
    small = ("--set", "pairs.draws=6", "--set", "pairs.kept=2", "--set", "pairs.patch=16")
    ran = adapt("--method", "pairs", "--clean", tmp_path / "clean", *small, "--json", "-q")
    assert ran.code == 0, ran.err
    (document,) = ran.records
    jsonschema.validate(document, SCHEMA)
    assert (document["method"], document["steps"]) == ("pairs", 4)
    assert (document["pairs"]["drawn"], document["pairs"]["kept"]) == (6, 2)
    assert document["raw"] is None
