"""The loop: it learns, resumes exactly, survives interrupts, and says when it has diverged."""

from __future__ import annotations

import json
import math
import os
import signal
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from tensorboard.backend.event_processing.event_file_loader import LegacyEventFileLoader
from torch import Tensor, nn

from srkit.data.pairs import CropPlan, MemoryPairs
from srkit.errors import SrkitError
from srkit.losses.images import l1
from srkit.losses.table import Losses
from srkit.progress import Silent
from srkit.training.state import (
    CHECKPOINT,
    TrainState,
    new_state,
    read_checkpoint,
    restore,
    update_ema,
)
from srkit.training.trainer import DataClock, Limits, RunLog, gradient_ratios
from srkit.training.validation import psnr_validator
from tests.helpers import conditioned_on, refused
from tests.training.runs import (
    CPU,
    InvalidPairs,
    content,
    pairs,
    recipe,
    same,
    state,
    trainer,
    with_run,
)

Images = list[NDArray[np.uint8]]


def _resumed(base: Any, folder: Path) -> TrainState:
    fresh = state(base)
    restore(fresh, read_checkpoint(folder, CPU))
    return fresh


def test_it_learns(images: Images, tmp_path: Path) -> None:
    base = recipe(60, lr=5e-3, ema=0.9)
    run, validate = state(base), psnr_validator(images, 2, CPU, None)
    before = validate(run.ema)
    trainer(base, pairs(images, base), tmp_path, validate=validate).fit(run)
    assert run.best_score > before + 1
    assert run.best is not None
    run.ema.load_state_dict(run.best)
    assert validate(run.ema) == pytest.approx(run.best_score)


def test_an_interrupt_inside_a_step_waits_for_its_end(
    images: Images, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    base = recipe(12)
    straight = state(base)
    trainer(base, pairs(images, base), tmp_path).fit(straight)

    def interrupted(of: TrainState, decay: float) -> None:  # after the optimiser's update, before the count
        if of.step == 5:
            os.kill(os.getpid(), signal.SIGINT)
        update_ema(of, decay)

    first = state(base)
    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr("srkit.training.trainer.update_ema", interrupted)
        trainer(base, pairs(images, base), tmp_path).fit(first)
    second = _resumed(base, tmp_path)
    assert second.step == 6
    trainer(base, pairs(images, base), tmp_path).fit(second)
    assert same(content(straight), content(second))


def test_a_finished_run_goes_no_further(images: Images, tmp_path: Path) -> None:
    base = with_run(recipe(6), validate_every=3)
    scores: list[float] = []

    def validate(network: nn.Module) -> float:
        scores.append(float(len(scores)))
        return scores[-1]

    first = state(base)
    trainer(base, pairs(images, base), tmp_path, validate=validate).fit(first)
    assert len(scores) == 2  # not a third time for the last step
    again = _resumed(base, tmp_path)
    trainer(base, pairs(images, base), tmp_path, validate=validate).fit(again)
    assert len(scores) == 2
    assert same(content(first), content(again))


def test_the_best_average_is_kept(images: Images, tmp_path: Path) -> None:
    base = with_run(recipe(9), validate_every=2)
    seen: list[dict[str, torch.Tensor]] = []
    scores = iter([1.0, 3.0, 2.0, 3.0, 0.0])

    def validate(network: nn.Module) -> float:
        seen.append({k: v.clone() for k, v in network.state_dict().items()})
        return next(scores)

    run = state(base)
    trainer(base, pairs(images, base), tmp_path, validate=validate).fit(run)
    assert run.best_score == 3.0
    assert same(run.best, seen[1])
    assert not same(run.ema.state_dict(), seen[1])


def test_checkpoints_while_it_runs(images: Images, tmp_path: Path) -> None:
    base = with_run(recipe(5), checkpoint_minutes=0)

    class Died(Exception):  # noqa: N818
        pass

    class Dying(Silent):
        def __init__(self) -> None:
            self.steps = -1

        def advance(self, amount: float = 1.0) -> None:
            self.steps += 1
            if self.steps == 4:  # in the fourth step, as if the machine had stopped
                raise Died

    with pytest.raises(Died):
        trainer(base, pairs(images, base), tmp_path, progress=Dying()).fit(state(base))
    second = _resumed(base, tmp_path)
    assert second.step == 3
    trainer(base, pairs(images, base), tmp_path).fit(second)
    straight = state(base)
    trainer(base, pairs(images, base), tmp_path).fit(straight)
    assert same(content(straight), content(second))


@pytest.mark.parametrize("log_every", [1, 100])
def test_a_loss_that_is_no_number_leaves_the_last_good_checkpoint(
    log_every: int, images: Images, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("srkit.training.trainer.LOG_EVERY", log_every)
    base = with_run(recipe(10), checkpoint_minutes=0)
    invalid = InvalidPairs(pairs(images, base), step=6)
    with refused(SrkitError, 7, tmp_path, "optim.lr"):
        trainer(base, invalid, tmp_path).fit(state(base))
    again = _resumed(base, tmp_path)
    assert again.step == 6
    assert all(bool(p.isfinite().all()) for p in again.network.parameters())


@pytest.mark.parametrize("validate_every", [2, 1000])
def test_a_loss_that_is_no_number_without_a_checkpoint(
    validate_every: int, images: Images, tmp_path: Path
) -> None:
    base = with_run(recipe(10), validate_every=validate_every)
    with refused(SrkitError, "optim.lr"):
        trainer(base, InvalidPairs(pairs(images, base), 0), tmp_path).fit(state(base))
    assert not (tmp_path / CHECKPOINT).exists()
    for line in (tmp_path / "metrics.jsonl").read_text().splitlines():
        json.loads(line, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))


def test_what_is_logged(images: Images, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("srkit.training.trainer.LOG_EVERY", 4)
    base = with_run(recipe(10), validate_every=5)
    trainer(base, pairs(images, base), tmp_path, validate=lambda network: 30.5).fit(state(base))
    lines = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert [(line["step"], "val_psnr" in line) for line in lines] == [
        (4, False),
        (5, True),
        (8, False),
        (10, True),
    ]
    assert set(lines[0]) == {"step", "loss", "l1", "lr", "data share", "seconds"}
    assert 0 < lines[0]["loss"] == lines[0]["l1"] < 1
    assert lines[1]["val_psnr"] == 30.5
    (events,) = (tmp_path / "tensorboard").glob("events.*")
    scalars = [(e.step, v.tag) for e in LegacyEventFileLoader(str(events)).Load() for v in e.summary.value]
    assert scalars == [(line["step"], name) for line in lines for name in line if name != "step"]


def _two_terms() -> Losses:
    """The second's gradient is half as long as the first's."""
    return Losses({"l1": 1.0, "thrice": 0.25}, {"l1": l1, "thrice": lambda sr, hr: 2 * l1(sr, hr)})


def test_every_term_is_logged_and_now_and_then_which_leads(
    images: Images, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("srkit.training.trainer.LOG_EVERY", 2)
    base = with_run(recipe(8), gradients_every=4)
    trainer(base, pairs(images, base), tmp_path, losses=_two_terms()).fit(state(base))
    lines = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    steps = {line["step"]: line for line in lines if "loss" in line}
    assert set(steps) == {2, 4, 6, 8}
    for step, line in steps.items():
        assert line["thrice"] == pytest.approx(2 * line["l1"])
        assert line["loss"] == pytest.approx(1.5 * line["l1"])
        assert ("gradient/l1" in line) == (step % 4 == 0)
    assert steps[4]["gradient/l1"] > 0
    assert steps[4]["gradient ratio/thrice"] == pytest.approx(0.5)
    assert steps[8]["gradient/thrice"] == pytest.approx(0.5 * steps[8]["gradient/l1"])


@pytest.mark.parametrize("losses", [None, _two_terms()], ids=["a lone term", "never asked for"])
def test_gradients_of_terms_are_not_looked_at_for_nothing(
    losses: Losses | None, images: Images, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def looked(*_: Any) -> Any:
        raise AssertionError

    monkeypatch.setattr("srkit.training.trainer.LOG_EVERY", 1)
    monkeypatch.setattr(Losses, "gradient_norms", looked)
    base = with_run(recipe(2), gradients_every=1 if losses is None else 0)
    trainer(base, pairs(images, base), tmp_path, losses=losses).fit(state(base))


def test_gradient_ratios() -> None:
    assert gradient_ratios({"a": 2.0, "b": 1.0, "c": 8.0}) == {
        "gradient/a": 2.0,
        "gradient/b": 1.0,
        "gradient/c": 8.0,
        "gradient ratio/b": 0.5,
        "gradient ratio/c": 4.0,
    }
    assert gradient_ratios({"a": 0.0, "b": 1.0}) == {"gradient/a": 0.0, "gradient/b": 1.0}


class Modulated(nn.Module):
    """Adds a colour by the whole image's mean and a slope by the place to what it upscales."""

    def __init__(self) -> None:
        super().__init__()
        self.colour = nn.Linear(3, 3)
        self.slope = nn.Conv2d(2, 3, 1)

    def forward(self, x: Tensor, mean: Tensor, position: Tensor) -> Tensor:
        shift = self.colour(mean)[:, :, None, None] + self.slope(position)
        return nn.functional.interpolate(x + shift, scale_factor=2)


def test_numbers_that_are_not_finite_are_left_out_of_the_log(tmp_path: Path) -> None:
    with RunLog(tmp_path) as log:
        log.write(3, {"a": 1.0, "b": math.nan, "c": math.inf})
    assert json.loads((tmp_path / "metrics.jsonl").read_text()) == {"step": 3, "a": 1.0}


def test_conditions_of_crops_reach_the_network(
    images: Images, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    conditioning = conditioned_on(monkeypatch, position=True, mean=lambda lr: lr.mean((2, 3)))
    base = recipe(16, lr=1e-2)
    source = MemoryPairs(images, CropPlan(2, 8, 4, base.seed), CPU, conditioning)
    validate = psnr_validator(images, 2, CPU, None, conditioning)

    def fresh() -> TrainState:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            return new_state(Modulated(), base.optim)

    run, before = fresh(), fresh().network.state_dict()
    trainer(base, source, tmp_path, validate=validate).fit(run)
    after = run.network.state_dict()
    assert all(not torch.equal(before[name], after[name]) for name in before)
    assert run.best_score > validate(fresh().network)


def test_parts_learn_at_their_own_rates(images: Images, tmp_path: Path) -> None:
    """Adam's first step is as long as the rate, wherever the gradient is not small."""
    base = recipe(1, lr=1e-3, warmup_steps=0, rates={"trunk": 0.1, "trunk.head": 0.0})
    run = state(base)
    before = {name: p.detach().clone() for name, p in run.network.named_parameters()}
    trainer(base, pairs(images, base), tmp_path).fit(run)
    moved = {
        name: float((p.detach() - before[name]).abs().max()) for name, p in run.network.named_parameters()
    }
    assert moved["trunk.head.weight"] == 0
    assert moved["trunk.tail.weight"] == pytest.approx(1e-4, rel=0.05)
    assert moved["reconstruction.layers.0.weight"] == pytest.approx(1e-3, rel=0.05)


def test_without_tensorboard(images: Images, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tensorboard.summary.writer.record_writer", None)
    base = recipe(3)
    trainer(base, pairs(images, base), tmp_path).fit(state(base))
    assert (tmp_path / "metrics.jsonl").read_text().count("val_psnr") == 1
    assert not (tmp_path / "tensorboard").exists()


class Adding(Silent):
    def __init__(self) -> None:
        self.done, self.total = 0.0, 0.0

    def start(self, label: str, total: float | None) -> None:
        self.total = total or 0.0

    def advance(self, amount: float = 1.0) -> None:
        self.done += amount


@pytest.mark.parametrize("resumed", [0, 4])
def test_progress_adds_up(resumed: int, images: Images, tmp_path: Path) -> None:
    base, progress = recipe(10), Adding()
    run = state(base)
    run.step = resumed
    trainer(base, pairs(images, base), tmp_path, progress=progress).fit(run)
    assert progress.done == pytest.approx(progress.total) == 1.0


def test_minutes_replace_steps(images: Images, tmp_path: Path) -> None:
    base = recipe(1)  # a length in steps that must not count
    run = state(base)
    trainer(base, pairs(images, base), tmp_path, minutes=0.3 / 60).fit(run)
    assert run.step > 1
    assert run.seconds >= 0.3
    before = run.step
    trainer(base, pairs(images, base), tmp_path, minutes=0.3 / 60).fit(run)
    assert run.step == before  # earlier parts count


def test_the_clock_tells_the_share_of_the_data(monkeypatch: pytest.MonkeyPatch) -> None:
    now = iter([0.0, 1.0, 10.0, 100.0, 103.0, 110.0])
    monkeypatch.setattr("time.monotonic", lambda: next(now))
    clock = DataClock(CPU)
    assert clock.share == 0
    for step in range(2):
        clock.begin(step)
        clock.drawn()
        clock.end()
    assert clock.share == pytest.approx(4 / 20)  # 1 of 10, 3 of 10; what is between the steps does not count


def test_limits() -> None:
    assert Limits(200).progress(50, 1e9) == 0.25
    assert Limits(200, minutes=2).progress(10**9, 30) == 0.25
