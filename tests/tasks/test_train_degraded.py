"""Training by the pixels on degraded pairs (kind `sr`, `data.degradation`)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from srkit.data.pairs import Batch
from srkit.data.real_pairs import RealPairs, RealPlan
from srkit.errors import SrkitError, UsageError
from srkit.progress import Silent
from srkit.recipes.degradation import MILD
from srkit.recipes.load import from_mapping, load_recipe
from srkit.recipes.train import TrainRecipe
from srkit.tasks.train import TrainJob, run
from srkit.training import loop, validation
from srkit.training.trainer import PairStep
from srkit.zoo.load import load_model

Picture = NDArray[np.uint8]
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, rendered: Callable[..., Picture]) -> Path:
    """Four pictures, the first and the last of which are held out, and a gray and a tiny one."""
    root = tmp_path_factory.mktemp("photographs")
    for i in range(4):
        cv2.imwrite(str(root / f"{i}.png"), rendered(48 + 2 * i, 64, seed=i % 2)[:, :, ::-1])
    cv2.imwrite(str(root / "4-gray.png"), rendered(64, 64)[:, :, 1])
    cv2.imwrite(str(root / "5-tiny.png"), rendered(31, 64)[:, :, ::-1])
    return root


def _recipe(steps: int = 2, seed: int = 0, **data: Any) -> TrainRecipe:
    return from_mapping(
        TrainRecipe,
        {
            "name": "tiny",
            "model": {
                "arch": "edsr",
                "arguments": {"scale": 2, "features": 8, "blocks": 1, "upsampler": "single"},
            },
            "data": {"patch": 8, "batch": 2, "holdout_every": 3, "degradation": "mild"} | data,
            "optim": {"steps": steps, "lr": 1e-3},
            "run": {"validate_every": 100, "precision": "fp32"},
            "seed": seed,
        },
    )


def _job(folder: Path, output: Path, recipe: TrainRecipe, **changes: Any) -> TrainJob[TrainRecipe]:
    return replace(TrainJob(recipe, (folder,), output, device="cpu"), **changes)


class Listening(Silent):
    def __init__(self) -> None:
        self.messages: list[str] = []

    def warn(self, message: str) -> None:
        self.messages.append(message)


@pytest.mark.parametrize("sharpen", [True, False])
def test_losses_aim_at_the_target_of_what_the_recipe_says(
    sharpen: bool,
    folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    rendered: Callable[..., Picture],
) -> None:
    seen: list[Batch] = []
    usual = PairStep.__call__

    def noting(self: PairStep, state: Any, forward: Any, batch: Batch, *rest: Any) -> Any:
        seen.append(batch)
        return usual(self, state, forward, batch, *rest)

    monkeypatch.setattr(PairStep, "__call__", noting)
    ranges = {"sharpen": sharpen, "first": {"noise": [2.0, 3.0]}}
    recipe = _recipe(ranges=ranges)
    result = run(_job(folder, tmp_path, recipe), progress := Listening())
    assert (result.pictures, result.held_out) == (2, ("0.png", "3.png"))
    gray, tiny = progress.messages
    assert "gray and are left out: 4-gray.png" in gray
    assert "below 32 pixels and are left out: 5-tiny.png" in tiny
    part = replace(MILD, sharpen=sharpen, first=replace(MILD.first, noise=(2.0, 3.0)))
    pictures = [rendered(48 + 2 * i, 64, seed=i % 2) for i in (1, 2)]
    pairs = RealPairs(pictures, RealPlan(2, 8, 2, 0, degradation=part), CPU)
    for step, batch in enumerate(seen):
        expected = pairs.draw(step)
        assert torch.equal(batch.lr, expected.lr)
        assert torch.equal(batch.hr, expected.target)
        assert torch.equal(batch.hr, expected.hr) == (not sharpen)
    assert load_recipe(TrainRecipe, tmp_path / "recipe.toml") == recipe
    header = load_model(result.weights).header
    assert header is not None
    assert set(header.scores["classical"]) == {"held out, degraded (mild)"}


def test_what_validates_is_degraded_by_the_same_chance_each_time(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    judged: list[list[Batch]] = []

    def noting(picture: Picture, number: int, *rest: Any) -> Batch:
        if number == 0:
            judged.append([])
        judged[-1].append(usual(picture, number, *rest))
        return judged[-1][-1]

    usual = validation._judge
    monkeypatch.setattr(validation, "_judge", noting)
    for name, recipe in {
        "a": _recipe(),
        "b": _recipe(seed=5),
        "c": _recipe(degradation=""),
    }.items():
        run(_job(folder, tmp_path / name, recipe))
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
    import json

    monkeypatch.setattr(loop, "LOG_EVERY", 2)
    said: list[str] = []

    class Told(Silent):
        def info(self, message: str) -> None:
            said.append(message)

    run(_job(folder, tmp_path, _recipe(4)), Told())
    lines = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    shares = [line["data share"] for line in lines if "data share" in line]
    assert len(shares) == 2
    assert all(0 < share < 1 for share in shares)
    (sentence,) = [message for message in said if message.startswith("drawing the data took ")]
    assert sentence.endswith(f"{shares[-1]:.1%} of the time of the steps")


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ({"degradation": "midl"}, "There is no degradation 'midl'; known are real-esrgan, mild"),
        (
            {"residency": "stream"},
            "'data.degradation' is 'mild' and 'data.residency' is 'stream'; crops are",
        ),
        ({"ranges": {"sinc": 1.5}}, "The key sinc is 1.5"),
        ({"ranges": {"second": {"jpeg": [90, 60]}}}, "The range jpeg is (90, 60)"),
        (
            {"ranges": {"second": {"jpgs": [60, 90]}}},
            "'data.ranges.second.jpgs' is no setting of this recipe.",
        ),
        ({"ranges": {"first": 3}}, "'data.ranges.first' is 3; it must be a table"),
        ({"ranges": {"first": {"kernels": {"iso": 0.9}}}}, "The shares of kernels add up to"),
        ({"degradation": "", "ranges": {"sinc": 0.5}}, "'data.ranges' sets sinc of a degradation, and"),
    ],
)
def test_degradations_that_make_no_sense(
    data: dict[str, Any], words: str, folder: Path, tmp_path: Path
) -> None:
    with pytest.raises(UsageError) as caught:
        run(_job(folder, tmp_path / "run", _recipe(**data)))
    assert words in str(caught.value)
    assert not (tmp_path / "run").exists()


def test_pictures_that_do_not_fit_into_memory(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("srkit.tasks.train.images.fits_in_memory", lambda *_: False)
    with pytest.raises(
        SrkitError, match="take more than half of the free memory, and those that are to be degraded"
    ):
        run(_job(folder, tmp_path / "auto", _recipe()))
    assert run(_job(folder, tmp_path / "memory", _recipe(residency="memory"))).steps == 2


def test_folders_of_gray_pictures_alone(
    folder: Path, tmp_path: Path, rendered: Callable[..., Picture]
) -> None:
    for i in range(3):
        cv2.imwrite(str(tmp_path / f"{i}.png"), rendered(64, 64, seed=i % 2)[:, :, 1])
    with pytest.raises(SrkitError, match="colour images with both sides of 32 pixels"):
        run(_job(tmp_path, tmp_path / "run", _recipe()))
