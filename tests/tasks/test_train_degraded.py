"""Training by the pixels on degraded pairs (kind `sr`, `data.degradation`)."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import pytest
import torch

from srkit.data.pairs import Batch
from srkit.data.real_pairs import RealPairs, RealPlan
from srkit.errors import SrkitError
from srkit.ops.layout import RGB
from srkit.recipes.degradation import MILD
from srkit.tasks.train import run
from srkit.training import validation
from srkit.training.trainer import PairStep
from tests.helpers import Listening, refused
from tests.tasks.training_cases import CASES

CPU = torch.device("cpu")
JOB = CASES["sr, degraded"].job
SHORT = ("optim.steps = 2", "run.validate_every = 100")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, rendered: Callable[..., RGB]) -> Path:
    """Four images, the first and the last of which are held out, and a gray and a tiny one."""
    root = tmp_path_factory.mktemp("photographs")
    for i in range(4):
        cv2.imwrite(str(root / f"{i}.png"), rendered(48 + 2 * i, 64, seed=i % 2)[:, :, ::-1])
    cv2.imwrite(str(root / "4-gray.png"), rendered(64, 64)[:, :, 1])
    cv2.imwrite(str(root / "5-tiny.png"), rendered(31, 64)[:, :, ::-1])
    return root


@pytest.mark.parametrize("sharpen", [True, False])
def test_losses_aim_at_the_target_of_what_the_recipe_says(
    sharpen: bool,
    folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    rendered: Callable[..., RGB],
) -> None:
    seen: list[Batch] = []
    usual = PairStep.__call__

    def noting(self: PairStep, state: Any, forward: Any, batch: Batch, *rest: Any) -> Any:
        seen.append(batch)
        return usual(self, state, forward, batch, *rest)

    monkeypatch.setattr(PairStep, "__call__", noting)
    ranges = f"data.ranges = {{ sharpen = {str(sharpen).lower()}, first = {{ noise = [2.0, 3.0] }} }}"
    progress = Listening()
    result = run(JOB(folder, tmp_path, *SHORT, ranges), progress)
    assert (result.pictures, result.held_out) == (2, ("0.png", "3.png"))
    assert len(progress.warned) == 2
    assert progress.about("5-tiny.png", 32) and progress.about("4-gray.png")
    part = replace(MILD, sharpen=sharpen, first=replace(MILD.first, noise=(2.0, 3.0)))
    images = [rendered(48 + 2 * i, 64, seed=i % 2) for i in (1, 2)]
    pairs = RealPairs(images, RealPlan(2, 8, 2, 0, degradation=part), CPU)
    for step, batch in enumerate(seen):
        expected = pairs.draw(step)
        assert torch.equal(batch.lr, expected.lr)
        assert torch.equal(batch.target, expected.target)
        assert torch.equal(batch.target, batch.hr) == (not sharpen)


def test_what_validates_is_degraded_by_the_same_chance_each_time(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    judged: list[list[Batch]] = []

    def noting(image: RGB, number: int, *rest: Any) -> Batch:
        if number == 0:
            judged.append([])
        judged[-1].append(usual(image, number, *rest))
        return judged[-1][-1]

    usual = validation._middle
    monkeypatch.setattr(validation, "_middle", noting)
    for name, setting in (("a", ""), ("b", "seed = 5"), ("c", 'data.degradation = ""')):
        run(JOB(folder, tmp_path / name, *SHORT, setting))
    degraded, again, bicubic = judged
    assert len(degraded) == len(bicubic) == 2
    for one, other, clean in zip(degraded, again, bicubic, strict=True):
        assert torch.equal(one.lr, other.lr)
        assert torch.equal(one.hr, clean.hr)
        assert one.lr.shape == clean.lr.shape
        assert float((one.lr - clean.lr).abs().mean()) > 1 / 255
    noise = [(one.lr - clean.lr)[..., :24, :24] for one, clean in zip(degraded, bicubic, strict=True)]
    assert not torch.allclose(*noise, atol=1 / 255)


def test_the_share_of_the_data_is_logged_and_said(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("srkit.training.trainer.LOG_EVERY", 2)
    progress = Listening()
    run(JOB(folder, tmp_path, "optim.steps = 4"), progress)
    lines = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    shares = [line["data share"] for line in lines if "data share" in line]
    assert len(shares) == 2
    assert all(0 < share < 1 for share in shares)
    assert len([message for message in progress.said if f"{shares[-1]:.1%}" in message]) == 1


def test_images_that_do_not_fit_into_memory(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("srkit.tasks.train.images.fits_in_memory", lambda *_: False)
    with refused(SrkitError, "data.residency=memory"):
        run(JOB(folder, tmp_path / "auto", *SHORT))
    assert run(JOB(folder, tmp_path / "memory", *SHORT, 'data.residency = "memory"')).steps == 2


def test_folders_of_gray_images_alone(folder: Path, tmp_path: Path, rendered: Callable[..., RGB]) -> None:
    for i in range(3):
        cv2.imwrite(str(tmp_path / f"{i}.png"), rendered(64, 64, seed=i % 2)[:, :, 1])
    with refused(SrkitError, 32):
        run(JOB(tmp_path, tmp_path / "run"))
