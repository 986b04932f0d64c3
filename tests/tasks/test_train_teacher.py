"""A trained network whose results are one more target (the part `teacher`)."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from srkit.archs.edsr import EDSR
from srkit.data.pairs import Batch
from srkit.errors import UsageError
from srkit.ops.geometry import TURNS, turn
from srkit.ops.resize import bicubic
from srkit.tasks.train import run
from srkit.training.teacher import TaughtPairs, Teacher
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


def test_its_results_are_the_network_s_clipped(tmp_path: Path) -> None:
    network = load_model(_teacher(tmp_path / "t.safetensors")).network
    lr = (3 * torch.rand(2, 3, 6, 6)).requires_grad_()
    distilled = Teacher(network, 2)(lr)
    torch.testing.assert_close(distilled, network(lr).detach().clamp(0, 1))
    assert not distilled.requires_grad


def test_results_of_a_larger_scale_are_shrunk(tmp_path: Path) -> None:
    network = load_model(_teacher(tmp_path / "t.safetensors", scale=4)).network
    lr = torch.rand(2, 3, 6, 7)
    distilled = Teacher(network, 2)(lr)
    torch.testing.assert_close(distilled, bicubic(network(lr).detach(), (12, 14)).clamp(0, 1))


class _Numbered:
    """Pairs whose LR has one bright pixel at a place that is its batch's number."""

    def __init__(self) -> None:
        self.drawn: list[int] = []

    def batches(self, first_step: int) -> Iterator[Batch]:
        for step in itertools.count(first_step):
            self.drawn.append(step)
            lr = torch.zeros(1, 3, 8, 8)
            lr.view(3, 64)[:, step] = 1.0
            yield Batch(lr, lr.repeat_interleave(2, 2).repeat_interleave(2, 3))


def _taught(source: _Numbered, reuse: int, kept: int) -> TaughtPairs:
    teacher = Teacher(torch.nn.UpsamplingNearest2d(scale_factor=2), 2)
    return TaughtPairs(source, teacher, reuse, kept, 3, torch.device("cpu"))


def _numbers(batch: Batch) -> set[int]:
    """Numbers that the batch can have: those of all transforms of its LR."""
    return {int(turn(batch.lr, kind)[0, 0].flatten().argmax()) for kind in range(TURNS)}


def test_each_batch_serves_several_steps() -> None:
    source = _Numbered()
    drawn = list(itertools.islice(_taught(source, 4, 3).batches(0), 60))
    assert source.drawn == list(range(15))
    for step, batch in enumerate(drawn):
        newest = step // 4
        assert _numbers(batch) & set(range(max(0, newest - 2), newest + 1))
        assert batch.distilled is not None
        torch.testing.assert_close(batch.distilled, batch.hr)  # transformed like LR
    turned = [batch.lr for step, batch in enumerate(drawn) if step % 4]
    assert len({int(lr[0, 0].flatten().argmax()) for lr in turned}) > 20


@pytest.mark.parametrize("first", [1, 8, 22, 23])
def test_steps_are_the_same_after_an_interruption(first: int) -> None:
    whole = list(itertools.islice(_taught(_Numbered(), 4, 3).batches(0), 40))
    rest = list(itertools.islice(_taught(_Numbered(), 4, 3).batches(first), 40 - first))
    for one, other in zip(whole[first:], rest, strict=True):
        torch.testing.assert_close(one.lr, other.lr)
        torch.testing.assert_close(one.distilled, other.distilled)


@pytest.mark.parametrize("kind", ["sr", "gan"])
def test_it_is_learned_from_and_named(kind: str, folder: Path, tmp_path: Path) -> None:
    file = _teacher(tmp_path / "t.safetensors")
    distilled = (f'teacher.model = "{file}"', "teacher.weight = 3.0")
    weights = {}
    for name, settings in (
        ("plain", ()),
        ("off", (distilled[0], "teacher.weight = 0.0")),
        ("distilled", distilled),
    ):
        model = load_model(run(CASES[kind].job(folder, tmp_path / name, *settings)).weights)
        assert model.header is not None
        weights[name] = model.network.state_dict()
        if name == "distilled":
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
    assert any(not torch.equal(value, weights["distilled"][key]) for key, value in weights["plain"].items())


def test_the_term_is_logged(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("srkit.training.trainer.LOG_EVERY", 2)
    file = _teacher(tmp_path / "t.safetensors")
    run(CASES["sr"].job(folder, tmp_path / "run", f'teacher.model = "{file}"'))
    lines = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    assert any(key.endswith("teacher") and line[key] > 0 for line in lines for key in line)


def test_teachers_that_cannot_be(folder: Path, tmp_path: Path) -> None:
    large = _teacher(tmp_path / "large.safetensors", scale=3)
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
