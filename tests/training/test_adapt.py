"""Fine-tuning: it learns, leaves the base alone, stops in time, and gives back the base where it did not help."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from itertools import count
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from srkit.data.pairs import Batch
from srkit.training.adapt import AdaptSettings, Interpolation, adapt, pairs_loss, unchanged
from srkit.training.inner import SGD, uniform_rates
from tests.training.runs import same


class Brighter(nn.Module):
    """Multiplies with a number; pairs ask for twice the input."""

    def __init__(self) -> None:
        super().__init__()
        self.factor = nn.Parameter(torch.tensor(1.0))
        self.register_buffer("constant", torch.tensor(7.0))
        self.drop, self.norm = nn.Dropout(0.5), nn.BatchNorm2d(3, affine=False)

    def forward(self, x: Tensor) -> Tensor:
        assert not self.drop.training
        assert not self.norm.training
        y: Tensor = self.drop(self.norm(x * self.factor))
        return y


class Pairs:
    """The same batch again and again; from one step on the input holds NaN."""

    def __init__(self, spoilt_from: int = 10**9) -> None:
        self.spoilt_from = spoilt_from
        self.taken = 0

    def batches(self, first_step: int) -> Iterator[Batch]:
        x = torch.linspace(0.1, 0.9, 48).reshape(1, 3, 4, 4)
        for step in count(first_step):
            self.taken += 1
            yield Batch(x * math.nan if step >= self.spoilt_from else x, 2 * x)


def settings(network: nn.Module, rate: float = 0.05, **changes: Any) -> AdaptSettings:
    usual = AdaptSettings(uniform_rates(network, rate), warmup_steps=0, ema=0.0, judge_every=5)
    return replace(usual, **changes)


def nearness(network: nn.Module) -> list[float]:
    """Higher the nearer the factor is to 2."""
    factor = float(network.get_parameter("factor").detach())
    return [10 - abs(factor - 2), 20 - abs(factor - 2)]


def test_it_learns_and_leaves_the_base_alone() -> None:
    network = Brighter()
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    found = adapt(network, Pairs(), 40, nearness, settings(network, patience=9))
    assert same(dict(network.state_dict()), before)
    assert network.factor.requires_grad
    assert network.training
    assert found.kept
    assert (found.steps, found.stopped) == (40, "steps")
    assert float(found.state_dict["factor"]) > 1.7
    assert float(found.state_dict["constant"]) == 7
    assert found.state_dict.keys() == before.keys()
    assert found.before == (9.0, 19.0)
    assert found.best == tuple(nearness_of(found.state_dict))
    assert [step for step, _ in found.curve] == [0, 5, 10, 15, 20, 25, 30, 35, 40]


def nearness_of(state: dict[str, Tensor]) -> list[float]:
    network = Brighter()
    network.load_state_dict(state)
    return nearness(network)


def test_it_repeats() -> None:
    network = Brighter()
    one, two = (adapt(network, Pairs(), 13, nearness, settings(network, ema=0.9)) for _ in range(2))
    assert same(one.state_dict, two.state_dict)
    assert replace(one, seconds=0, state_dict={}) == replace(two, seconds=0, state_dict={})


def test_what_does_not_help_is_taken_back() -> None:
    network = Brighter()
    found = adapt(network, Pairs(), 100, lambda n: [-v for v in nearness(n)], settings(network, patience=3))
    assert not found.kept
    assert (found.best_step, found.stopped, found.steps) == (0, "judges", 15)
    assert same(found.state_dict, dict(network.state_dict()))
    assert found.best == found.before


def test_the_best_state_is_kept_not_the_last() -> None:
    network = Brighter()

    def score(of: nn.Module) -> list[float]:
        return [-abs(float(of.get_parameter("factor").detach()) - 1.3)] * 2

    found = adapt(network, Pairs(), 60, score, settings(network, patience=2))
    assert found.stopped == "judges"
    assert 0 < found.best_step < found.steps
    assert float(found.state_dict["factor"]) == pytest.approx(1.3, abs=0.2)


@pytest.mark.parametrize(
    ("gains", "kept"),
    [
        ((0.1, 0.12, 0.09), True),
        ((0.002, 0.002, 0.002), False),  # too little
        ((2.0, -0.9, -0.9), False),  # one image's chance
        ((0.06, 0.02, -0.01, 0.13, 0.09), True),
        ((0.06, 0.01, -0.03, 0.13, 0.02), False),
        ((0.1,), True),
        ((-0.1, 0.0, -0.2), False),
        ((math.nan, 1.0, 1.0), False),
    ],
)
def test_a_gain_must_be_beyond_doubt(gains: tuple[float, ...], kept: bool) -> None:
    network = Brighter()

    def score(of: nn.Module) -> list[float]:
        is_base = float(of.get_parameter("factor").detach()) == 1
        return [30.0 + (0 if is_base else gain) for gain in gains]

    found = adapt(network, Pairs(), 5, score, settings(network))
    assert found.kept is kept
    assert (float(found.state_dict["factor"]) != 1) is kept


@pytest.mark.parametrize("spoilt_from", [0, 3, 7])
def test_a_loss_that_is_no_number(spoilt_from: int) -> None:
    """Ends it; the last good state is judged too."""
    network, pairs = Brighter(), Pairs(spoilt_from)
    found = adapt(network, pairs, 50, nearness, settings(network))
    assert found.stopped == "diverged"
    assert (found.steps, pairs.taken) == (spoilt_from, spoilt_from + 1)
    assert found.best_step == spoilt_from
    assert found.kept is (spoilt_from > 0)
    assert all(bool(tensor.isfinite().all()) for tensor in found.state_dict.values())


def test_a_gradient_that_is_no_number() -> None:
    network = Brighter()

    def loss(sr: Tensor, hr: Tensor) -> Tensor:
        return (sr - sr.detach()).abs().sqrt().mean()  # 0 with an infinite slope

    found = adapt(network, Pairs(), 50, nearness, settings(network, loss=pairs_loss(loss)))
    assert (found.stopped, found.steps, found.kept) == ("diverged", 0, False)


def test_minutes() -> None:
    network = Brighter()
    found = adapt(network, Pairs(), 10**9, nearness, settings(network, minutes=0.2 / 60, patience=10**9))
    assert found.stopped == "minutes"
    assert 0.2 <= found.seconds < 30
    assert found.curve[-1][0] == found.steps > 0


def test_rates_rise_and_fall() -> None:
    """Plain steps with a gradient of 1: the way gone is the sum of the factors."""
    network = Brighter()
    plain = settings(network, 1e-2, rule=SGD, loss=lambda sr, batch: -network_sum(sr), warmup_steps=4)

    def network_sum(sr: Tensor) -> Tensor:
        return sr.sum() / (0.5 * 48 / math.sqrt(1 + 1e-5))

    found = adapt(network, Pairs(), 8, nearness, plain)
    wanted = sum(min(1, (k + 1) / 4) * 0.5 * (1 + math.cos(math.pi * k / 8)) for k in range(8))
    assert float(found.state_dict["factor"]) - 1 == pytest.approx(1e-2 * wanted, rel=1e-4)


def test_the_average_is_what_is_judged() -> None:
    network = Brighter()
    seen: list[float] = []

    def score(of: nn.Module) -> list[float]:
        seen.append(float(of.get_parameter("factor").detach()))
        return nearness(of)

    adapt(network, Pairs(), 5, score, settings(network, ema=0.98))
    straight = adapt(network, Pairs(), 5, nearness, settings(network))
    assert 1 < seen[-1] < float(straight.state_dict["factor"])


def test_training_mode_for_networks_that_overwrite_themselves() -> None:
    class Merged(Brighter):
        """In evaluation it runs with a copy of what it learns, made anew each time (as SPAN's convolutions)."""

        def __init__(self) -> None:
            super().__init__()
            self.copy = nn.Parameter(torch.tensor(1.0))

        def forward(self, x: Tensor) -> Tensor:
            if self.training:
                return super().forward(x)
            self.copy.data = self.factor.data.clone()
            return x * self.copy

    network = Merged()
    lost = adapt(network, Pairs(), 10, nearness, settings(network))
    assert not lost.kept
    found = adapt(network, Pairs(), 10, nearness, settings(network, training_mode=True))
    assert found.kept
    assert float(found.state_dict["factor"]) > 1.1


def test_half_the_way_is_judged_where_all_of_it_is_too_much() -> None:
    network = Brighter()

    def score(of: nn.Module) -> list[float]:
        return [-abs(float(of.get_parameter("factor").detach()) - 1.1)]

    found = adapt(network, Pairs(), 8, score, settings(network, judge_every=8))
    all_of_it = adapt(network, Pairs(), 8, nearness, settings(network, judge_every=8))
    far = float(all_of_it.state_dict["factor"]) - 1
    assert all_of_it.best_blend == 1
    assert found.best_blend in (0.5, 0.25)
    assert float(found.state_dict["factor"]) - 1 == pytest.approx(far * found.best_blend)
    assert found.kept
    assert float(network.factor.detach()) == 1


def test_the_weights_as_they_are_and_a_plain_average() -> None:
    """Without the smaller decay early, much of the base stays in an average over few steps."""
    network = Brighter()
    interpolations = (Interpolation("raw", 1.0), Interpolation("raw", 0.5), Interpolation("average", 1.0))
    plain = settings(
        network,
        ema=0.9,
        ema_warmup=False,
        interpolations=interpolations,
        all_interpolations=True,
        judge_every=5,
        patience=9,
    )
    found = adapt(network, Pairs(), 10, nearness, plain)
    assert [(one.step, one.interpolation) for one in found.validated] == [
        (5, interpolation) for interpolation in interpolations
    ] + [(10, interpolation) for interpolation in interpolations]
    raw, half, average = (10 - one.scores[0] for one in found.validated[3:])  # what is left to 2
    assert half == pytest.approx((1 + raw) / 2)
    assert raw < half
    assert 1 - average < (1 - raw) * (1 - 0.9**10)
    assert found.best_interpolation == Interpolation("raw", 1.0)
    assert found.best_blend == 1
    assert 2 - float(found.state_dict["factor"]) == pytest.approx(raw)
    assert [step for step, _ in found.curve] == [0, 5, 10]


def test_the_best_of_all_ways_and_not_the_first_that_is_better() -> None:
    network = Brighter()

    def score(of: nn.Module) -> list[float]:
        return [-abs(float(of.get_parameter("factor").detach()) - 1.11)] * 2

    interpolations = (Interpolation("raw", 0.9), Interpolation("raw", 0.5))
    both = settings(network, interpolations=interpolations, all_interpolations=True, judge_every=8)
    found = adapt(network, Pairs(), 8, score, both)
    first = adapt(network, Pairs(), 8, score, replace(both, all_interpolations=False))
    assert found.best_interpolation == Interpolation("raw", 0.5)
    assert first.best_interpolation == Interpolation("raw", 0.9)
    assert found.best[0] > first.best[0]
    assert float(network.factor.detach()) == 1


def test_gains_of_another_kind() -> None:
    network = Brighter()
    refuses = settings(network, gain=lambda before, after: math.nan)
    assert not adapt(network, Pairs(), 10, nearness, refuses).kept
    takes = settings(network, gain=lambda before, after: 1.0)
    assert adapt(network, Pairs(), 10, lambda n: [-v for v in nearness(n)], takes).kept


def test_unchanged() -> None:
    network = Brighter()
    found = unchanged(network, nearness)
    assert (found.kept, found.steps, found.validated, found.before) == (False, 0, (), found.best)
    assert same(found.state_dict, dict(network.state_dict()))
