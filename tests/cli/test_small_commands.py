"""`srkit doctor`, `demo-image` and `schema`, and that every --json has its schema."""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import jsonschema
import numpy as np
import pytest
import srkit_cli
import torch
from srkit_cli.app import app
from srkit_cli.commands.models import app as models

from srkit._version import __version__

SCHEMAS = Path(srkit_cli.__file__).parent / "schemas"


def _schema(name: str) -> Any:
    return json.loads((SCHEMAS / f"{name}.json").read_text(encoding="utf-8"))


# -- doctor -----------------------------------------------------------------------------------------------


def test_doctor_json(call: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SRKIT_DATA", "/somewhere/data")
    monkeypatch.delenv("SRKIT_WEIGHTS", raising=False)
    ran = call("doctor", "--json")
    assert (ran.code, ran.err) == (0, "")
    (report,) = ran.records
    jsonschema.validate(report, _schema("doctor"))
    assert report["srkit"] == __version__
    assert report["packages"]["torch"] == torch.__version__
    cpu = report["devices"][0]
    assert cpu["name"] == "cpu"
    assert cpu["precisions"][-1] == "fp32"
    assert 0 < cpu["free_bytes"] <= cpu["memory_bytes"]
    assert len(report["devices"]) == 1 + torch.cuda.device_count()
    assert report["data_roots"][0] == "/somewhere/data ($SRKIT_DATA)"
    assert report["metric_weights"][0] == "$SRKIT_WEIGHTS (not set)"


def test_doctor_for_people(call: Callable[..., Any]) -> None:
    ran = call("doctor")
    assert ran.code == 0
    labels = [line[:24].strip() for line in ran.out.splitlines()]
    assert labels[:3] == ["srkit", "python", "platform"]
    assert {"torch", "cpu", "threads", "disk", "shipped weights", "cache", "data", "metric weights"} <= set(
        labels
    )


def test_doctor_finds_what_is_wrong(call: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    import importlib.metadata

    usual = importlib.metadata.version

    def version(name: str) -> str:
        return "4.9.0" if name.startswith("opencv-") else usual(name)

    monkeypatch.setattr(importlib.metadata, "version", version)
    monkeypatch.setattr("srkit.tasks.doctor.Manifest.shipped", lambda _manifest: [])
    ran = call("doctor", "--json")
    assert ran.code == 0
    problems = ran.records[0]["problems"]
    assert any("Several OpenCV builds overwrite each other (opencv-python 4.9.0, " in p for p in problems)
    assert any("No shipped weights were found in" in p for p in problems)
    assert "warning: Several OpenCV builds" in call("doctor").err


# -- demo-image -------------------------------------------------------------------------------------------


def test_demo_image(call: Callable[..., Any], tmp_path: Path) -> None:
    file = tmp_path / "street.png"
    ran = call("demo-image", file, "--width", "100", "--height", "70", "--json")
    assert (ran.code, ran.err) == (0, "")
    (document,) = ran.records
    jsonschema.validate(document, _schema("demo-image"))
    assert document == {"output": str(file), "width": 100, "height": 70}
    image = cv2.imread(str(file))
    assert image is not None
    assert image.shape == (70, 100, 3)

    before = file.read_bytes()
    ran = call("demo-image", file)
    assert ran.out == ""
    ran.refused(2, file, "--overwrite")
    assert file.read_bytes() == before
    ran = call("demo-image", file, "--overwrite", "--seed", "1", "--width", "100", "--height", "70")
    assert (ran.code, ran.out) == (0, f"{file}\n")
    again = cv2.imread(str(file))
    assert again is not None
    assert not np.array_equal(again, image)


def test_demo_image_of_a_domain(call: Callable[..., Any], tmp_path: Path) -> None:
    size = ("--width", "64", "--height", "64")
    assert call("demo-image", tmp_path / "street.png", *size).code == 0
    assert call("demo-image", tmp_path / "page.png", "--domain", "manga", *size).code == 0
    street, page = (cv2.imread(str(tmp_path / name)) for name in ("street.png", "page.png"))
    assert street is not None
    assert page is not None
    assert np.abs(street.astype(int) - page.astype(int)).mean() > 30
    assert "street, sign, portrait, manga" in " ".join(call("demo-image", "--help").out.split())


def test_demo_image_has_a_default_name(
    call: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert call("demo-image", "--width", "64", "--height", "64").out == "demo.png\n"
    assert (tmp_path / "demo.png").exists()


@pytest.mark.parametrize("name", ["a.jpg", "a.webp", "a.tiff"])
def test_demo_image_in_other_formats(name: str, call: Callable[..., Any], tmp_path: Path) -> None:
    assert call("demo-image", tmp_path / name, "--width", "64", "--height", "64").code == 0
    image = cv2.imread(str(tmp_path / name))
    assert image is not None
    assert image.shape == (64, 64, 3)


@pytest.mark.parametrize(
    ("name", "arguments", "code", "named"),
    [
        ("a.xyz", (), 2, ("a.xyz", ".png")),
        ("a", (), 2, ("a", ".png")),
        ("a.png", ("--width", "10"), 2, ("10 x 320", 64)),
        ("a.png", ("--height", "100000"), 2, ("480 x 100000", 8192)),
        ("a.png", ("--seed", "-1"), 2, ("--seed", -1)),
        ("a.png", ("--domain", "nigth"), 2, ("nigth", "night", "street")),
        ("gone/a.png", ("--width", "64", "--height", "64"), 1, ("gone",)),
    ],
)
def test_demo_image_errors(
    name: str,
    arguments: tuple[str, ...],
    code: int,
    named: tuple[object, ...],
    call: Callable[..., Any],
    tmp_path: Path,
) -> None:
    ran = call("demo-image", tmp_path / name, *arguments)
    assert ran.out == ""
    ran.refused(code, *named)
    assert list(tmp_path.iterdir()) == []


# -- schema -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", sorted(path.stem for path in SCHEMAS.glob("*.json")))
def test_schemas(name: str, call: Callable[..., Any]) -> None:
    ran = call("schema", name)
    assert (ran.code, ran.err) == (0, "")
    schema = json.loads(ran.out)
    assert schema == _schema(name)
    jsonschema.Draft202012Validator.check_schema(schema)
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    words = schema["title"].split()
    assert words[0] == "srkit"
    assert any(word.startswith("--json") for word in words)
    # One that allows anything would make every test against it pass.
    assert list(jsonschema.Draft202012Validator(schema).iter_errors("text"))


def test_schema_of_nothing(call: Callable[..., Any]) -> None:
    ran = call("schema", "trian")
    assert ran.out == ""
    ran.refused(2, "trian", "train")


def test_every_command_with_json_has_a_schema() -> None:
    commands = [(c.name or c.callback.__name__, c.callback) for c in app.registered_commands if c.callback]
    commands += [
        (f"models-{c.name or c.callback.__name__}", c.callback)
        for c in models.registered_commands
        if c.callback
    ]
    speaking = {name for name, callback in commands if "json" in inspect.signature(callback).parameters}
    assert {"upscale", "train", "doctor", "demo-image", "models-list"} <= speaking
    assert speaking <= {path.stem for path in SCHEMAS.glob("*.json")}
