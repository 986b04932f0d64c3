"""`srkit train`: flags, streams, JSON and exit codes."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import jsonschema
import numpy as np
import pytest
import srkit_cli
from numpy.typing import NDArray

from srkit.recipes.kinds import load_training_recipe
from srkit.zoo.load import load_model

SCHEMAS = Path(srkit_cli.__file__).parent / "schemas"
RECIPE = """
name = "tiny"
[model]
arch = "edsr"
arguments = { scale = 2, features = 8, blocks = 1, upsampler = "single" }
[data]
patch = 8
batch = 2
holdout_every = 3
[optim]
steps = 3
[run]
precision = "fp32"
"""


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory, rendered: Callable[..., NDArray[np.uint8]]) -> Path:
    folder = tmp_path_factory.mktemp("photographs")
    for i in range(4):
        cv2.imwrite(str(folder / f"{i}.png"), rendered(40, 48 + i)[:, :, ::-1])
    return folder


@pytest.fixture
def train(call: Callable[..., Any], data: Path, tmp_path: Path) -> Callable[..., Any]:
    """Runs `srkit train` with the tiny recipe into tmp_path/run; a name in place of the recipe comes first."""
    recipe = tmp_path / "tiny.toml"
    recipe.write_text(RECIPE)

    def run(*arguments: str | Path, recipe: str | Path = recipe, data: Path = data) -> Any:
        return call("train", recipe, "--data", data, "-o", tmp_path / "run", "--device", "cpu", *arguments)

    return run


def test_json(train: Callable[..., Any], tmp_path: Path) -> None:
    ran = train("--json", "--data-terms", "rendered, CC0", "--licence", "Apache-2.0")
    assert ran.code == 0, ran.err
    (document,) = ran.records
    jsonschema.validate(document, json.loads((SCHEMAS / "train.json").read_text()))
    assert document["weights"] == str(tmp_path / "run" / "model.safetensors")
    assert (document["steps"], document["pictures"], document["held_out"]) == (3, 2, ["0.png", "3.png"])
    header = load_model(Path(document["weights"])).header
    assert header is not None
    assert (header.training_data, header.licence) == ("rendered, CC0", "Apache-2.0")


def test_plain(train: Callable[..., Any], tmp_path: Path) -> None:
    ran = train("-v")
    assert (ran.code, ran.out) == (0, "")
    last = ran.err.splitlines()[-1]
    assert last.startswith(f"{tmp_path / 'run' / 'model.safetensors'}: 3 steps, 0.0 min, ")
    assert " dB" in last
    assert train("--resume", "-q").err == ""


def test_flags_are_settings(train: Callable[..., Any], tmp_path: Path) -> None:
    ran = train(
        "--steps", "2", "--seed", "7", "--dtype", "bf16", "--set", "optim.lr=1e-3", "--set", "data.patch=9"
    )
    assert ran.code == 0, ran.err
    recipe = load_training_recipe(tmp_path / "run" / "recipe.toml")
    assert (recipe.optim.steps, recipe.seed, recipe.run.precision) == (2, 7, "bf16")
    assert (recipe.optim.lr, recipe.data.patch) == (1e-3, 9)


def test_stages(train: Callable[..., Any], tmp_path: Path) -> None:
    stages = tmp_path / "stages.toml"
    named = "".join(f'[stages.{name}]\nrecipe = "{tmp_path}/tiny.toml"\n' for name in ("one", "two"))
    stages.write_text(f'kind = "stages"\nname = "both"\nscale = 2\n{named}')
    settings = ("--steps", "4", "--seed", "7", "--dtype", "bf16", "--set", "stages.two.set.data.patch=9")
    ran = train(*settings, "--json", recipe=stages)
    assert ran.code == 0, ran.err
    (document,) = ran.records
    jsonschema.validate(document, json.loads((SCHEMAS / "train.json").read_text()))
    assert document["weights"] == str(tmp_path / "run" / "model.safetensors")
    assert document["steps"] == 4
    one, two = (load_training_recipe(tmp_path / "run" / name / "recipe.toml") for name in ("one", "two"))
    for recipe in (one, two):
        assert (recipe.optim.steps, recipe.seed, recipe.run.precision) == (2, 7, "bf16")
    assert (one.data.patch, two.data.patch) == (8, 9)
    train("--steps", "0", recipe=stages).refused(2, "steps", 0)


def test_val_and_minutes(train: Callable[..., Any], data: Path) -> None:
    ran = train("--val", data, "--data", data, "--json")
    assert ran.out == ""
    ran.refused(1, "--data")
    ran = train("--minutes", "0.0001", "--json")
    assert ran.code == 0, ran.err
    assert ran.records[0]["steps"] >= 1


@pytest.mark.parametrize(
    ("arguments", "code", "named"),
    [
        (("--set", "optim.learning_rate=1"), 2, ("optim.learning_rate",)),
        (("--set", "data.batches=1"), 2, ("data.batches", "batch")),
        (("--set", "nonsense"), 2, ("nonsense", "key=value")),
        (("--steps", "0"), 2, ("optim.steps", 0)),
        (("--steps", "many"), 2, ("--steps",)),
        (("--minutes", "-1"), 2, ("--minutes", -1.0)),
        (("--threads", "0"), 2, ("--threads", 0)),
        (("--seed", "-1"), 2, ("seed", -1)),
        (("--dtype", "fp16"), 2, ("run.precision", "fp16", "auto", "bf16", "fp32")),
        (("--device", "tpu"), 2, ("--device", "tpu")),
        (("--data", "/nonexistent/photographs"), 2, ("/nonexistent/photographs",)),
        (("--val", "/nonexistent/val"), 2, ("/nonexistent/val",)),
        (("--resume",), 5, ("--resume",)),
        (("--set", "model.start=/nonexistent/x.safetensors"), 5, ("/nonexistent/x.safetensors",)),
        (("--set", "model.arguments.scale=5"), 2, ("EDSR", 5)),
    ],
)
def test_errors(
    train: Callable[..., Any], arguments: tuple[str, ...], code: int, named: tuple[object, ...]
) -> None:
    ran = train(*arguments)
    assert ran.out == ""
    ran.refused(code, *named)


def test_recipes_that_are_not_there(train: Callable[..., Any], tmp_path: Path) -> None:
    ran = train(recipe="edsr-x5")
    assert ran.out == ""
    ran.refused(5, "edsr-x5", "edsr-x2", "edsr-x3", "edsr-x4", "edsr-x8")
    assert train(recipe=tmp_path / "gone.toml").code == 5
    bad = tmp_path / "bad.toml"
    bad.write_text("name = ")
    assert train(recipe=bad).code == 2


@pytest.mark.parametrize(
    "setting",
    [
        *(
            f"{key}={value}"
            for key in ("data.patch", "data.batch", "optim.steps", "run.validate_every", "seed")
            for value in (-1, 10**12, 10**30)
        ),
        *(f"optim.lr={value}" for value in ("nan", "inf", "-1", "0", "-inf")),
        *(f"optim.ema={value}" for value in ("nan", "1", "-0.1", "inf")),
        *(f"optim.betas={value}" for value in ("[]", "[0.9]", "[0.9, 1.0]", "[nan, 0.9]")),
        *(f"data.sizes={value}" for value in ("[]", "[0]", "[nan]", "[1e9]", "[-1]")),
        *(f"data.holdout_every={value}" for value in (-1, 0, 1)),
        *(f"data.workers={value}" for value in (-1, 10**12)),
        *(f"optim.rates={value}" for value in ("{ head = nan }", "{ head = -1 }", '{ "../x" = 1 }')),
        "data.residency='disk'",
        "model.arch='../../etc/passwd'",
        "model.arguments.features=0",
        "model.start='\\u0000'",
    ],
)
def test_absurd_values_are_refused(train: Callable[..., Any], tmp_path: Path, setting: str) -> None:
    ran = train("--set", setting)
    assert ran.code in (2, 5), ran.err
    assert ran.err.count("\n") == 1
    assert "unforeseen" not in ran.err
    assert not (tmp_path / "run").exists()


def test_an_empty_folder(train: Callable[..., Any], tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    ran = train(data=tmp_path / "empty")
    ran.refused(1, tmp_path / "empty")


def test_an_existing_run(train: Callable[..., Any], tmp_path: Path) -> None:
    assert train().code == 0
    train().refused(2, tmp_path / "run", "--resume")


def test_interrupted_and_resumed(train: Callable[..., Any], server: Any, data: Path, tmp_path: Path) -> None:
    """A user's Ctrl-C, in a process of its own; then the same command with --resume."""
    arguments = ("--data", data, "-o", tmp_path / "run", "--device", "cpu", "--threads", "1")
    child = server.start("train", tmp_path / "tiny.toml", *arguments, "--steps", "1000000")
    deadline = time.monotonic() + 200
    log = tmp_path / "run" / "metrics.jsonl"
    while not (log.exists() and log.stat().st_size):  # after a hundred steps
        assert time.monotonic() < deadline
        time.sleep(0.05)
    child.signal(signal.SIGINT)
    ran = child.wait()
    assert ran.code == 130
    assert "Interrupted" in ran.err
    assert "Traceback" not in ran.err
    assert sorted(p.name for p in (tmp_path / "run").iterdir() if p.is_file()) == [
        "checkpoint.pt",
        "metrics.jsonl",
        "recipe.toml",
    ]
    resumed = train("--resume", "--json", "--steps", "1000000", "--minutes", "0.0001")
    assert resumed.code == 0, resumed.err
    assert resumed.records[0]["steps"] >= 100


def test_weights_of_public_encoders(
    call: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From the folder that is named; where they are missing, the message names the option."""
    from tests.encoders.public_files import VGG19

    monkeypatch.setenv("SRKIT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setenv("SRKIT_OFFLINE", "1")
    monkeypatch.setenv("SRKIT_WEIGHTS", str(tmp_path))
    perceptual = ("--set", "loss.perceptual=0.1", "--set", "providers.perceptual=vgg19")
    where = ("train", "edsr-x2", "--data", tmp_path, "-o", tmp_path / "run", *perceptual)
    call(*where).refused(5, VGG19, "--weights-dir")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / VGG19).write_bytes(b"")
    call(*where, "--weights-dir", tmp_path / "mine").refused(5, tmp_path / "mine" / VGG19)
    call(*where, "--weights-dir", tmp_path / "gone").refused(2, tmp_path / "gone", "--weights-dir")
