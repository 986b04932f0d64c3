"""Which networks, one after another, give a factor."""

from __future__ import annotations

import math

import pytest

from srkit.inference.chain import choose_chain
from tests.helpers import refused


@pytest.mark.parametrize(
    ("factor", "scales", "chain"),
    [
        (2, [2, 4, 8], (2,)),
        (4, [2, 4, 8], (4,)),
        (8, [2, 4, 8], (8,)),
        (1.5, [2, 4, 8], (2,)),
        (3, [2, 4, 8], (4,)),
        (3, [2, 3, 4, 8], (3,)),
        (6, [2, 4, 8], (8,)),
        (8, [2, 4], (2, 4)),  # the small one first: least work
        (12, [2, 4, 8], (2, 8)),  # least work of those that make 16
        (16, [2, 4, 8], (2, 8)),
        (16, [4], (4, 4)),
        (16, [2], (2, 2, 2, 2)),
        (9, [3], (3, 3)),
        (16, [3], (3, 3, 3)),
        (1, [4], ()),
        (0.5, [4], ()),
        (2 + 1e-12, [2, 4], (2,)),  # a factor that rounding of a division made
        (2.01, [2, 4], (4,)),
    ],
)
def test_chain(factor: float, scales: list[int], chain: tuple[int, ...]) -> None:
    assert choose_chain(factor, scales) == chain


@pytest.mark.parametrize(
    ("factor", "first", "chain"),
    [
        (3, [4], (4,)),
        (8, [4], (4, 2)),
        (8, [2, 4], (4, 2)),
        (16, [4], (4, 4)),
        (16, [2], (2, 8)),
        (6, [2, 4], (4, 2)),
        (1, [4], ()),
    ],
)
def test_a_first_factor_of_its_own(factor: float, first: list[int], chain: tuple[int, ...]) -> None:
    assert choose_chain(factor, first, later=[2, 4, 8]) == chain


@pytest.mark.parametrize("scales", [[2], [3], [4], [8], [2, 3], [2, 4, 8], [2, 3, 4, 8]])
def test_every_factor_is_reached_with_the_fewest_networks(scales: list[int]) -> None:
    for tenths in range(11, 161):
        chain = choose_chain(tenths / 10, scales)
        assert math.prod(chain) >= tenths / 10
        assert max(scales) ** (len(chain) - 1) < tenths / 10


def test_out_of_reach() -> None:
    with refused(ValueError, 17):
        choose_chain(17, [2])
