"""The state of a run: average, learning rate, checkpoints."""

from __future__ import annotations

import math
import pickle
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from srkit.errors import ResourceError, UsageError
from srkit.recipes.load import to_mapping
from srkit.recipes.train import OptimPart
from srkit.training.optim import learning_rate, set_rate
from srkit.training.state import (
    CHECKPOINT,
    read_checkpoint,
    restore,
    save_checkpoint,
    update_ema,
)
from tests.helpers import refused
from tests.training.runs import CPU, content, recipe, same, state


def test_average() -> None:
    run = state(recipe())
    start = [p.clone() for p in run.ema.parameters()]
    with torch.no_grad():
        for parameter in run.network.parameters():
            parameter.add_(1)
    run.step = 90  # (1 + 90) / (10 + 90) = 0.91, below the asked 0.999
    update_ema(run, 0.999)
    for old, new in zip(start, run.ema.parameters(), strict=True):
        torch.testing.assert_close(new, old + 0.09)
    run.step = 10**6
    update_ema(run, 0.5)
    for old, new in zip(start, run.ema.parameters(), strict=True):
        torch.testing.assert_close(new, old + 0.09 + 0.5 * 0.91)


def test_the_average_is_no_part_of_the_network() -> None:
    run = state(recipe())
    assert not run.ema.training
    assert all(not p.requires_grad for p in run.ema.parameters())
    network = {id(p) for p in run.network.parameters()}
    assert network.isdisjoint(id(p) for p in run.ema.parameters())
    assert network == {id(p) for group in run.optimizer.param_groups for p in group["params"]}


def test_parts_at_their_own_rates() -> None:
    run = state(recipe(rates={"trunk": 0.5, "trunk.blocks": 0.0, "reconstruction.layers.0": 2.0}))
    names = {id(p): name for name, p in run.network.named_parameters()}
    set_rate(run.optimizer, 1e-2)
    rates = {names[id(p)]: group["lr"] for group in run.optimizer.param_groups for p in group["params"]}
    assert rates == {
        "trunk.head.weight": 5e-3,
        "trunk.head.bias": 5e-3,
        "trunk.tail.weight": 5e-3,
        "trunk.tail.bias": 5e-3,
        "reconstruction.layers.0.weight": 2e-2,
        "reconstruction.layers.0.bias": 2e-2,
    }
    assert not any(p.requires_grad for p in run.network.trunk.blocks.parameters())


@pytest.mark.parametrize(
    ("rates", "named"),
    [
        ({"trunc": 0.5}, ("optim.rates", "trunc", "trunk", "reconstruction")),
        ({"trunk.hea": 0.5}, ("optim.rates", "trunk.hea")),
        ({"trunk": 0.0, "reconstruction": 0.0}, ("optim.rates", 0)),
    ],
)
def test_rates_that_make_no_sense(rates: dict[str, float], named: tuple[object, ...]) -> None:
    with refused(UsageError, *named):
        state(recipe(rates=rates))


def test_learning_rate() -> None:
    optim = OptimPart(lr=1e-3, lr_final=1e-5, warmup_steps=10)
    assert learning_rate(optim, 0, 0) == pytest.approx(1e-4)
    assert learning_rate(optim, 4, 0) == pytest.approx(5e-4)
    assert learning_rate(optim, 9, 0) == pytest.approx(1e-3)
    assert learning_rate(optim, 50, 0.5) == pytest.approx((1e-3 + 1e-5) / 2)
    quarter = 1e-5 + (1e-3 - 1e-5) * 0.5 * (1 + math.cos(math.pi / 4))
    assert learning_rate(optim, 50, 0.25) == pytest.approx(quarter)
    assert learning_rate(optim, 100, 1.0) == pytest.approx(1e-5)
    assert learning_rate(optim, 100, 1.7) == pytest.approx(1e-5)  # by the clock a step may end too late
    assert learning_rate(OptimPart(lr=1e-3, warmup_steps=0), 0, 0) == pytest.approx(1e-3)


def test_checkpoints_hold_everything(tmp_path: Path) -> None:
    base = recipe()
    run = state(base)
    for parameter in run.network.parameters():
        parameter.grad = torch.ones_like(parameter)
    run.optimizer.step()
    run.step, run.seconds, run.best_score, run.best = 7, 3.5, 31.25, run.ema.state_dict()
    save_checkpoint(run, tmp_path, to_mapping(base))
    saved = read_checkpoint(tmp_path, CPU)
    assert saved["recipe"] == to_mapping(base)
    again = state(base)
    assert not same(content(run), content(again))
    restore(again, saved)
    assert same(content(run), content(again))
    assert again.seconds == 3.5
    assert [path.name for path in tmp_path.iterdir()] == [CHECKPOINT]


def test_what_else_a_run_has_is_saved_too(tmp_path: Path) -> None:
    base = recipe()
    run, again = state(base), state(base)
    run.others["judge"], again.others["judge"] = nn.Linear(2, 3), nn.Linear(2, 3)
    save_checkpoint(run, tmp_path, to_mapping(base))
    saved = read_checkpoint(tmp_path, CPU)
    restore(again, saved)
    assert same(run.others["judge"].state_dict(), again.others["judge"].state_dict())
    restore(state(base), saved)  # what has no judge goes on without
    for other in (nn.Linear(2, 4), None):
        wanting = state(base)
        wanting.others["critic" if other is None else "judge"] = other or nn.Linear(2, 3)
        with refused(ResourceError, "critic" if other is None else "judge"):
            restore(wanting, saved)
    del saved["others"]  # as in checkpoints of earlier versions
    restore(state(base), saved)


def test_a_checkpoint_that_is_not_there(tmp_path: Path) -> None:
    with refused(ResourceError, tmp_path / CHECKPOINT, "--resume"):
        read_checkpoint(tmp_path, CPU)


class Malicious:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return (Path.touch, (self.path,))


@pytest.mark.parametrize("kind", ["empty", "text", "truncated", "other", "list", "pickle"])
def test_checkpoints_that_are_none(kind: str, tmp_path: Path) -> None:
    path, ran = tmp_path / CHECKPOINT, tmp_path / "ran"
    save_checkpoint(state(recipe()), tmp_path, {})
    if kind == "empty":
        path.write_bytes(b"")
    elif kind == "text":
        path.write_text("not a checkpoint\n")
    elif kind == "truncated":
        path.write_bytes(path.read_bytes()[:-2000])
    elif kind == "other":
        torch.save({"network": {}}, path)
    elif kind == "list":
        torch.save([1, 2], path)
    else:
        path.write_bytes(pickle.dumps(Malicious(ran), protocol=2))
    with refused(ResourceError, path):
        read_checkpoint(tmp_path, CPU)
    assert not ran.exists()
