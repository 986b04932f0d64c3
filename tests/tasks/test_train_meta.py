"""Learning of rates as a user does it: from weights and photographs to weights that adapt with what was learned."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from srkit.errors import ResourceError, SrkitError, UsageError
from srkit.recipes.kinds import load_training_recipe
from srkit.recipes.load import from_mapping, load_recipe, to_mapping, to_toml
from srkit.recipes.meta import MetaRecipe
from srkit.rendered import render
from srkit.tasks import train_meta
from srkit.tasks.train import run
from srkit.tasks.train_job import TrainJob
from srkit.training import meta_loop
from srkit.training.state import CHECKPOINT, read_checkpoint
from srkit.zoo.load import load_model
from srkit.zoo.weights import load_weights
from tests.training.runs import InterruptAfter, same

CPU = torch.device("cpu")


def recipe(start: Path | str, **parts: dict[str, Any]) -> MetaRecipe:
    """Two shots, two inner steps on small crops of small pictures."""
    usual: dict[str, dict[str, Any]] = {
        "tasks": {
            "clusters": 2,
            "domains": ["texture"],
            "held_out": ["screen"],
            "rendered": 4,
            "rendered_side": 64,
            "shots": 2,
            "holdout_every": 3,
        },
        "inner": {"steps": 2, "patch": 8, "batch": 2, "rate": 0.01},
        "outer": {"steps": 4, "tasks": 2, "validate_every": 2, "judged": 1, "lr": 0.3},
        "run": {"precision": "fp32", "checkpoint_minutes": 1000.0},
    }
    for name, changes in parts.items():
        usual[name] = usual.get(name, {}) | changes
    return from_mapping(MetaRecipe, {"name": "tiny-meta", "start": str(start), **usual})


@pytest.fixture(scope="module")
def photographs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six pictures of two kinds; every third is held out."""
    folder = tmp_path_factory.mktemp("photographs")
    for i in range(6):
        picture = render("manga" if i % 2 else "street", 72, 64, i)
        cv2.imwrite(str(folder / f"{i}.png"), picture[:, :, ::-1])
    return folder


@pytest.fixture
def learn(photographs: Path, tmp_path: Path) -> Callable[..., Any]:
    def go(asked: MetaRecipe, progress: Any = None, output: str = "run", **job: Any) -> Any:
        return run(TrainJob(asked, (photographs,), tmp_path / output, device="cpu", **job), progress)

    return go


def lines(folder: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


@pytest.mark.parametrize("granularity", ["tensor", "element"])
def test_from_weights_to_weights_with_rates(
    granularity: str, learn: Callable[..., Any], edsr_weights: Path, tmp_path: Path
) -> None:
    asked = recipe(edsr_weights, inner={"granularity": granularity, "rule": "adam"})
    result = learn(asked, training_data="drawn, CC0", licence="CC0-1.0")
    assert (result.weights, result.steps) == (tmp_path / "run/model.safetensors", 4)
    assert result.validation_psnr is None
    assert set(result.held_out) == {"screen"}  # of photographs too few are held out for an episode
    base, learned = load_weights(edsr_weights), load_weights(result.weights)
    assert same(dict(base.network.state_dict()), dict(learned.network.state_dict()))
    for name, parameter in learned.network.named_parameters():
        assert learned.rates[name].shape == (parameter.shape if granularity == "element" else ())
    moved = [float((rate - math.log(0.01)).abs().max()) for rate in learned.rates.values()]
    assert max(moved) > 0.1
    header = learned.header
    assert header is not None
    assert (header.rates["rule"], header.rates["loss"]) == ("adam", {"l1": 1.0})
    assert header.rates["sha256"] == base.sha256
    assert header.rates["gains"].keys() == {"screen"}
    assert (header.recipe, header.recipe_sha256) == ("tiny-meta", asked.sha256)
    assert (header.training_data, header.licence) == ("drawn, CC0", "CC0-1.0")
    assert load_recipe(MetaRecipe, tmp_path / "run/recipe.toml") == asked
    steps = [line for line in lines(tmp_path / "run") if "loss" in line]
    assert [line["step"] for line in steps] == [1, 2, 3, 4]
    judged = [line for line in lines(tmp_path / "run") if "gain/screen" in line]
    assert [line["step"] for line in judged] == [2, 4]


def test_the_start_is_swept_for(learn: Callable[..., Any], edsr_weights: Path) -> None:
    said: list[str] = []

    class Listening(InterruptAfter):
        def __init__(self) -> None:
            super().__init__(10**9)

        def info(self, message: str) -> None:
            said.append(message)

    learn(recipe(edsr_weights, inner={"rate": 0.0}), Listening())
    (sweep,) = [message for message in said if "drop of the query loss" in message]
    assert "0.0001 " in sweep
    assert "0.1 " in sweep
    assert any("learning from photographs (4), texture (4); judging by screen" in message for message in said)


def test_weights_are_learned_too(learn: Callable[..., Any], edsr_weights: Path) -> None:
    result = learn(recipe(edsr_weights, outer={"weights_lr": 1e-3}))
    base, learned = load_weights(edsr_weights), load_weights(result.weights)
    assert not same(dict(base.network.state_dict()), dict(learned.network.state_dict()))
    assert learned.header is not None
    assert learned.header.scores == {}


def test_second_order(learn: Callable[..., Any], edsr_weights: Path) -> None:
    first, second = (
        load_model(
            learn(recipe(edsr_weights, inner={"second_order": order}), output=str(order)).weights
        ).rates
        for order in (False, True)
    )
    assert any(not torch.equal(first[name], rate) for name, rate in second.items())


def test_a_conditioned_network(learn: Callable[..., Any], cdasr_weights: Path) -> None:
    """Its own encoder groups the photographs, and tells the network of each picture."""
    said: list[str] = []

    class Listening(InterruptAfter):
        def __init__(self) -> None:
            super().__init__(10**9)

        def info(self, message: str) -> None:
            said.append(message)

    asked = recipe(cdasr_weights, tasks={"shots": 1, "rendered": 2})
    result = learn(asked, Listening())
    assert set(result.held_out) == {"screen", "photographs"}
    assert any("photographs 0 (" in message and "photographs 1 (" in message for message in said)
    assert (
        load_weights(result.weights).rates.keys()
        == dict(load_weights(cdasr_weights).network.named_parameters()).keys()
    )


def test_interrupted_and_resumed(learn: Callable[..., Any], edsr_weights: Path, tmp_path: Path) -> None:
    """As if it had never stopped."""
    asked = recipe(edsr_weights)
    straight = learn(asked)
    with pytest.raises(KeyboardInterrupt):
        learn(asked, InterruptAfter(4 + 2), output="parts")  # four pictures are read before
    assert read_checkpoint(tmp_path / "parts", CPU)["step"] == 2
    parts = learn(asked, output="parts", resume=True)
    assert parts.steps == 4
    assert same(dict(load_weights(straight.weights).rates), dict(load_weights(parts.weights).rates))


def test_a_run_of_another_granularity(learn: Callable[..., Any], edsr_weights: Path) -> None:
    learn(recipe(edsr_weights))
    with pytest.raises(UsageError, match="another granularity"):
        learn(recipe(edsr_weights, inner={"granularity": "element"}), resume=True)
    with pytest.raises(UsageError, match="holds a run already"):
        learn(recipe(edsr_weights))


def test_a_loss_that_is_no_number(
    learn: Callable[..., Any], edsr_weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, calls = meta_loop.MetaLearner.accumulate, []

    def spoilt(self: Any, *arguments: Any, **named: Any) -> float:
        calls.append(1)
        return real(self, *arguments, **named) if len(calls) < 6 else math.nan

    monkeypatch.setattr(meta_loop.MetaLearner, "accumulate", spoilt)
    with pytest.raises(SrkitError, match=r"no longer finite at step 2; the checkpoint .* is sound"):
        learn(recipe(edsr_weights, run={"checkpoint_minutes": 0.0}))
    assert read_checkpoint(tmp_path / "run", CPU)["step"] == 2


def test_minutes(learn: Callable[..., Any], edsr_weights: Path) -> None:
    assert learn(recipe(edsr_weights, outer={"steps": 1}), minutes=0.4 / 60).steps > 1


@pytest.mark.parametrize(
    ("parts", "words"),
    [
        ({"tasks": {"domains": ["brick"]}}, "no rendered domain 'brick'"),
        ({"tasks": {"domains": ["screen"]}}, "'screen' both teaches and judges"),
        ({"tasks": {"shots": 4}}, "'tasks.rendered' is 4; it must be at least 5"),
        ({"tasks": {"shots": 0}}, "'tasks.shots' is 0"),
        ({"inner": {"steps": 0}}, "'inner.steps' is 0"),
        ({"inner": {"rate": -1.0}}, "'inner.rate' -1.0"),
        ({"outer": {"lr": 0.0}}, "'outer.lr' is 0.0"),
        ({"outer": {"tasks": 0}}, "'outer.tasks' is 0"),
        ({"loss": {"l3": 1.0}}, "no loss 'l3'"),
        ({"loss": {"semantic": 1.0}}, "encoder"),
    ],
)
def test_what_makes_no_sense(
    parts: dict[str, dict[str, Any]],
    words: str,
    learn: Callable[..., Any],
    edsr_weights: Path,
    tmp_path: Path,
) -> None:
    with pytest.raises(SrkitError, match=words):
        learn(recipe(edsr_weights, **parts))
    assert not (tmp_path / "run" / CHECKPOINT).exists()


def test_weights_that_cannot_be_started_from(learn: Callable[..., Any], tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="names no weights"):
        learn(replace(recipe("x"), start=""))
    with pytest.raises(ResourceError, match="/gone"):
        learn(recipe(tmp_path / "gone.safetensors"))
    pytest.importorskip("spandrel")
    from spandrel.architectures import Compact

    torch.save(Compact.Compact(num_feat=8, num_conv=1, upscale=2).state_dict(), tmp_path / "foreign.pth")
    with pytest.raises(ResourceError, match="is a foreign checkpoint"):
        learn(recipe(tmp_path / "foreign.pth"))


def test_nothing_to_judge_by(learn: Callable[..., Any], edsr_weights: Path) -> None:
    with pytest.raises(SrkitError, match="No domain has more than the 2 pictures of tasks"):
        learn(recipe(edsr_weights, tasks={"held_out": []}))


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
    train_meta.check(TrainJob(shipped, (tmp_path,), tmp_path))
    (tmp_path / "again.toml").write_text(to_toml(shipped))
    assert to_mapping(load_training_recipe(tmp_path / "again.toml")) == to_mapping(shipped)


def test_photographs_may_be_one_domain(
    learn: Callable[..., Any], edsr_weights: Path, rendered: Callable[..., NDArray[np.uint8]]
) -> None:
    assert learn(recipe(edsr_weights, tasks={"clusters": 0, "domains": []})).steps == 4
