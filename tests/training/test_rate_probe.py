"""The probe of rates: each from the same start, the best by what validates, and divergence never."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from torch import nn

from srkit.progress import Silent
from srkit.training.rate_probe import best_rate, probe_rates
from tests.training.runs import same
from tests.training.test_adapt import Brighter, Pairs, nearness, settings


def test_the_rate_that_gains_most_is_taken() -> None:
    """From 1 to 2 in 10 steps of falling lengths: 0.01 is too short, 1 far too long."""
    network = Brighter()
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    gains = probe_rates(network, Pairs(), (0.01, 0.2, 1.0), 10, nearness, settings(network), Silent())
    assert same(dict(network.state_dict()), before)
    assert list(gains) == [0.01, 0.2, 1.0]
    assert 0 < gains[0.01] < 0.11
    assert best_rate(gains) == 0.2


def test_each_starts_from_the_network_as_it_is() -> None:
    network = Brighter()
    twice = probe_rates(network, Pairs(), (0.05, 0.2), 10, nearness, settings(network), Silent())
    once = probe_rates(network, Pairs(), (0.2,), 10, nearness, settings(network), Silent())
    assert twice[0.2] == once[0.2]


def test_what_diverges_is_not_taken() -> None:
    network = Brighter()
    gains = probe_rates(network, Pairs(spoilt_from=3), (0.05,), 10, nearness, settings(network), Silent())
    assert gains == {0.05: -math.inf}
    assert best_rate({**gains, 0.5: -3.0}) == 0.5
    assert best_rate({0.2: -math.inf, 0.1: -math.inf}) == 0.1


@pytest.mark.parametrize("shift", [-1.0, 1.0])
def test_equal_gains_take_the_smallest(shift: float) -> None:
    assert best_rate({0.4: shift, 0.1: shift, 0.2: shift}) == 0.1


def test_minutes_are_shared() -> None:
    """A limit that has run out after a step of each."""
    network = Brighter()
    pairs = Pairs()
    limited = replace(settings(network), minutes=1e-9)
    probe_rates(network, pairs, (0.05, 0.2), 10**6, nearness, limited, Silent())
    assert pairs.taken <= 4


def test_it_judges_a_network_that_whose_scores_stay() -> None:
    """Its gain is exactly none."""
    network = Brighter()

    def constant(network: nn.Module) -> list[float]:
        return [1.0, 2.0]

    gains = probe_rates(network, Pairs(), (0.05, 0.1), 3, constant, settings(network), Silent())
    assert gains == {0.05: 0.0, 0.1: 0.0}
