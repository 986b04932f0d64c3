"""Training of diffusion models: what each stage leaves alone, kept crops, and stages one from another."""

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
from torch import Tensor

from srkit.errors import UsageError
from srkit.progress import Silent
from srkit.recipes.train import ModelPart
from srkit.tasks.train import blurred, run
from srkit.tasks.train.diffusion import Diffusion
from srkit.tasks.train.experiment import Setting
from srkit.training.distributed import World
from srkit.zoo.load import load_model
from tests.helpers import refused
from tests.tasks.training_cases import CASES

Image = NDArray[np.uint8]
CASE = CASES["diffusion"]


@pytest.fixture(autouse=True)
def few_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blurred, "_CODE_BATCHES", 2)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, rendered: Callable[..., Image]) -> Path:
    root = tmp_path_factory.mktemp("photographs")
    for i in range(3):
        cv2.imwrite(str(root / f"{i}.png"), rendered(72, 72 + i, seed=i)[:, :, ::-1])
    return root


def _weights(path: Path) -> dict[str, Tensor]:
    return dict(load_model(str(path)).network.state_dict())


def _changed(before: dict[str, Tensor], after: dict[str, Tensor]) -> set[str]:
    return {name.split(".")[0] for name in after if not torch.equal(before[name], after[name])}


def test_stages_learn_what_they_say_and_the_next_starts_from_it(folder: Path, tmp_path: Path) -> None:
    prior = run(CASE.job(folder, tmp_path / "prior", 'learned = "prior"'))
    start = f'model.start = "{prior.weights}"'
    fusion = run(CASE.job(folder, tmp_path / "fusion", 'learned = "fusion"', start))
    both = run(CASE.job(folder, tmp_path / "all", start))
    first, second, third = (_weights(done.weights) for done in (prior, fusion, both))
    assert _changed(first, second) == {"encoders", "fusion", "pull"}
    assert _changed(first, third) == {"encoders", "fusion", "pull", "unet"}
    assert bool(first["unet.tail.weight"].any())
    assert not bool(first["fusion.0.perceptrons.0.2.weight"].any())


def _experiment(folder: Path, output: Path, *settings: str) -> Diffusion:
    job = CASE.job(folder, output, *settings)
    return Diffusion(Setting(job, torch.device("cpu"), World(), Silent()))


def _batches(experiment: Diffusion, count: int) -> list[Any]:
    batches = experiment.plan().batches(0)
    return [next(batches) for _ in range(count)]


def test_kept_crops_come_again_with_other_noise(folder: Path, tmp_path: Path) -> None:
    torch.manual_seed(0)
    drawn = _batches(_experiment(folder, tmp_path), 6)  # of a cache of three
    first, second = ([batch.hr for batch in part] for part in (drawn[:3], drawn[3:]))
    assert {float(hr.sum()) for hr in first} == {float(hr.sum()) for hr in second}
    assert len({float(hr.sum()) for hr in first}) == 3
    assert len({float(batch.conditions["state"].sum()) for batch in drawn}) == 6


def test_kept_crops_are_nearly_those_drawn(folder: Path, tmp_path: Path) -> None:
    torch.manual_seed(0)
    kept = _batches(_experiment(folder, tmp_path), 3)
    torch.manual_seed(0)
    drawn = _batches(_experiment(folder, tmp_path, "data.cache = 0"), 3)
    order = np.random.default_rng((0, 0)).permutation(3)
    for step, number in enumerate(order):
        torch.testing.assert_close(kept[step].hr, drawn[number].hr, atol=1e-6, rtol=0)
        torch.testing.assert_close(
            kept[step].conditions["base"], drawn[number].conditions["base"], atol=1e-3, rtol=0
        )


def test_an_nbsr_of_other_arguments_is_refused(folder: Path, tmp_path: Path) -> None:
    with refused(UsageError, "nbsr-x2", "model.arguments.nbsr"):
        run(CASE.job(folder, tmp_path, 'nbsr = "nbsr-x2"'))


def test_an_estimator_of_another_scale_is_refused(folder: Path, tmp_path: Path) -> None:
    with refused(UsageError, "dkenet-x4", "x4", "x2"):
        run(CASE.job(folder, tmp_path, 'estimator = "dkenet-x4"'))


def test_a_network_that_is_none_is_refused(folder: Path, tmp_path: Path) -> None:
    job = CASE.job(folder, tmp_path)
    recipe = replace(job.recipe, model=ModelPart("edsr", {"scale": 2}))
    with refused(UsageError, "edsr", "diffusion"):
        run(replace(job, recipe=recipe))
