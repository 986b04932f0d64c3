"""Learning of rates (kind `meta`): from weights and photographs to weights that adapt with what was learned.

What it shares with the other kinds is tested in test_training_kinds.py.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import pytest
import torch

from srkit.errors import ResourceError, SrkitError, UsageError
from srkit.recipes.kinds import load_training_recipe
from srkit.recipes.load import to_mapping, to_toml
from srkit.recipes.meta import MetaRecipe
from srkit.rendered import render
from srkit.tasks.train import run
from srkit.tasks.train.experiment import check_experiment
from srkit.tasks.train.job import TrainJob
from srkit.zoo.weights import load_weights
from tests.helpers import Listening, refused
from tests.tasks.training_cases import CASES
from tests.training.runs import same


@pytest.fixture(scope="module")
def photographs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six images of two kinds; every third is held out, too few for an episode."""
    folder = tmp_path_factory.mktemp("photographs")
    for i in range(6):
        image = render("manga" if i % 2 else "street", 72, 64, i)
        cv2.imwrite(str(folder / f"{i}.png"), image[:, :, ::-1])
    return folder


@pytest.fixture
def learn(photographs: Path, tmp_path: Path) -> Callable[..., Any]:
    def go(start: Path | str, *settings: str, progress: Any = None) -> Any:
        return run(CASES["meta"].job(photographs, tmp_path / "run", *settings, start=str(start)), progress)

    return go


@pytest.mark.parametrize("granularity", ["tensor", "element"])
def test_from_weights_to_weights_with_rates(
    granularity: str, learn: Callable[..., Any], edsr_weights: Path, tmp_path: Path
) -> None:
    result = learn(edsr_weights, f'inner = {{ granularity = "{granularity}", rule = "adam" }}')
    assert result.validation_psnr is None
    assert result.held_out == ("screen",)
    base, learned = load_weights(edsr_weights), load_weights(result.weights)
    assert same(dict(base.network.state_dict()), dict(learned.network.state_dict()))
    for name, parameter in learned.network.named_parameters():
        assert learned.rates[name].shape == (parameter.shape if granularity == "element" else ())
    moved = [float((rate - math.log(0.01)).abs().max()) for rate in learned.rates.values()]
    assert max(moved) > 0.1
    assert learned.header is not None
    rates = learned.header.rates
    assert (rates["rule"], rates["loss"], rates["sha256"]) == ("adam", {"l1": 1.0}, base.sha256)
    assert rates["gains"].keys() == {"screen"}
    lines = [json.loads(line) for line in (tmp_path / "run/metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines if "loss" in line] == [1, 2, 3, 4, 5]


def test_the_start_is_swept_for(learn: Callable[..., Any], edsr_weights: Path) -> None:
    progress = Listening()
    learn(edsr_weights, "inner.rate = 0.0", progress=progress)
    assert len(progress.about(0.0001, 0.001, 0.01, 0.1)) == 1
    assert progress.about("photographs (4)", "texture (4)", "screen")


def test_weights_are_learned_too(learn: Callable[..., Any], edsr_weights: Path) -> None:
    result = learn(edsr_weights, "outer.weights_lr = 1e-3")
    base, learned = load_weights(edsr_weights), load_weights(result.weights)
    assert not same(dict(base.network.state_dict()), dict(learned.network.state_dict()))
    assert learned.header is not None
    assert learned.header.scores == {}


def test_a_conditioned_network(learn: Callable[..., Any], cdasr_weights: Path) -> None:
    """Its own encoder groups the photographs, and is what the network is conditioned by."""
    progress = Listening()
    result = learn(cdasr_weights, "tasks = { shots = 1, rendered = 2 }", progress=progress)
    assert set(result.held_out) == {"screen", "photographs"}
    assert progress.about("photographs 0", "photographs 1")
    names = dict(load_weights(cdasr_weights).network.named_parameters())
    assert load_weights(result.weights).rates.keys() == names.keys()


def test_photographs_may_be_one_domain(learn: Callable[..., Any], edsr_weights: Path) -> None:
    assert learn(edsr_weights, "tasks = { clusters = 0, domains = [] }").steps == 5


def test_what_nothing_can_be_learned_from(
    learn: Callable[..., Any], edsr_weights: Path, tmp_path: Path
) -> None:
    with refused(UsageError, "start"):
        learn("")
    with refused(SrkitError, "tasks.shots", 2):
        learn(edsr_weights, "tasks.held_out = []")
    with refused(ResourceError, edsr_weights):  # it names no encoder, which the loss needs
        learn(edsr_weights, "loss = { semantic = 1.0 }")
    pytest.importorskip("spandrel")
    from spandrel.architectures import Compact

    torch.save(Compact.Compact(num_feat=8, num_conv=1, upscale=2).state_dict(), tmp_path / "foreign.pth")
    with refused(ResourceError, tmp_path / "foreign.pth"):
        learn(tmp_path / "foreign.pth")


def test_the_shipped_recipe(tmp_path: Path) -> None:
    shipped = load_training_recipe(
        "cdasr-meta", ["start=x.safetensors"], {"steps": 7, "seed": 3, "dtype": "fp32"}
    )
    assert isinstance(shipped, MetaRecipe)
    assert (shipped.outer.steps, shipped.seed, shipped.run.precision, shipped.start) == (
        7,
        3,
        "fp32",
        "x.safetensors",
    )
    assert set(shipped.tasks.held_out).isdisjoint(shipped.tasks.domains)
    check_experiment(TrainJob(shipped, (tmp_path,), tmp_path))
    (tmp_path / "again.toml").write_text(to_toml(shipped))
    assert to_mapping(load_training_recipe(tmp_path / "again.toml")) == to_mapping(shipped)
