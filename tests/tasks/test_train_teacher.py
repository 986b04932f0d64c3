"""A trained network whose results are one more target (the part `teacher`)."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from srkit.archs.edsr import EDSR
from srkit.errors import UsageError
from srkit.tasks.train import run
from srkit.training.teacher import Teacher
from srkit.zoo.files import sha256_of
from srkit.zoo.header import Header
from srkit.zoo.load import load_model
from srkit.zoo.weights import save_weights
from tests.helpers import refused
from tests.tasks.training_cases import CASES


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, rendered: Callable[..., NDArray[np.uint8]]) -> Path:
    root = tmp_path_factory.mktemp("photographs")
    for i in range(5):
        cv2.imwrite(str(root / f"{i}.png"), rendered(48 + 2 * i, 64 - i, seed=i)[:, :, ::-1])
    return root


def _teacher(path: Path, scale: int = 2, licence: str = "BSD-3-Clause") -> Path:
    arguments: dict[str, Any] = {"scale": scale, "features": 4, "blocks": 1, "upsampler": "single"}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(5)
        save_weights(path, EDSR(**arguments), Header("edsr", arguments, scale, licence=licence))
    return path


def test_the_term_aims_at_what_the_teacher_shows(tmp_path: Path) -> None:
    network = load_model(_teacher(tmp_path / "t.safetensors")).network
    lr = (3 * torch.rand(2, 3, 6, 6)).requires_grad_()
    sr = torch.rand(2, 3, 12, 12, requires_grad=True)
    term = Teacher(network, 0.5)(sr, lr)
    expected = network(lr).clamp(0, 1)
    torch.testing.assert_close(term, (sr - expected).abs().mean())
    assert float(Teacher(network, 0.5)(expected, lr).detach()) == 0
    torch.autograd.backward(term)
    assert lr.grad is None
    assert sr.grad is not None
    assert bool(sr.grad.abs().max() > 0)


@pytest.mark.parametrize("kind", ["sr", "gan"])
def test_it_is_learned_from_and_named(kind: str, folder: Path, tmp_path: Path) -> None:
    file = _teacher(tmp_path / "t.safetensors")
    taught = (f'teacher.model = "{file}"', "teacher.weight = 3.0")
    weights = {}
    for name, settings in (("plain", ()), ("off", (taught[0], "teacher.weight = 0.0")), ("taught", taught)):
        model = load_model(run(CASES[kind].job(folder, tmp_path / name, *settings)).weights)
        assert model.header is not None
        weights[name] = model.network.state_dict()
        if name == "taught":
            assert model.header.teacher == {
                "name": "t",
                "sha256": sha256_of(file),
                "licence": "BSD-3-Clause",
                "weight": 3.0,
            }
            for word in ("rendered", "teacher t", "BSD-3-Clause"):
                assert word in model.header.training_data
        else:
            assert model.header.teacher == {}
    same = {key: torch.equal(value, weights["off"][key]) for key, value in weights["plain"].items()}
    assert all(same.values())
    assert any(not torch.equal(value, weights["taught"][key]) for key, value in weights["plain"].items())


def test_the_term_is_logged(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("srkit.training.trainer.LOG_EVERY", 2)
    file = _teacher(tmp_path / "t.safetensors")
    run(CASES["sr"].job(folder, tmp_path / "run", f'teacher.model = "{file}"'))
    lines = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    assert any(key.endswith("teacher") and line[key] > 0 for line in lines for key in line)


def test_teachers_that_cannot_be(folder: Path, tmp_path: Path) -> None:
    large = _teacher(tmp_path / "large.safetensors", scale=4)
    free = _teacher(tmp_path / "free.safetensors", licence="")
    for file, named in ((large, ("large", "teacher.model")), (free, ("free", "teacher.licence"))):
        with refused(UsageError, *named):
            run(CASES["sr"].job(folder, tmp_path / "run", f'teacher.model = "{file}"'))
    said = CASES["sr"].job(
        folder, tmp_path / "said", f'teacher.model = "{free}"', 'teacher.licence = "CC0-1.0"'
    )
    header = load_model(run(said).weights).header
    assert header is not None
    assert header.teacher["licence"] == "CC0-1.0"
