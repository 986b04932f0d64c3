"""The ranges of the second-order degradation: defaults, ready settings, and what is refused."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from typing import Any

import pytest

from srkit.errors import UsageError
from srkit.recipes.degradation import (
    KERNELS,
    MILD,
    REAL_ESRGAN,
    SETTINGS,
    FirstOrderPart,
    SecondOrderPart,
    SecondOrderStage,
    second_order_settings,
)
from srkit.recipes.load import from_mapping, to_toml
from tests.helpers import refused


def test_the_defaults_are_those_of_real_esrgan() -> None:
    part = from_mapping(SecondOrderPart, {})
    assert part == REAL_ESRGAN
    first, second = part.first, part.second
    assert list(first.kernels.values()) == [0.45, 0.25, 0.12, 0.03, 0.12, 0.03]
    assert tuple(first.kernels) == KERNELS
    assert (first.blur, second.blur) == (1.0, 0.8)
    assert (first.sigma, second.sigma) == ((0.2, 3.0), (0.2, 1.5))
    assert (first.up, first.down, second.up, second.down) == (0.2, 0.7, 0.3, 0.4)
    assert (first.factor, second.factor) == ((0.15, 1.5), (0.3, 1.2))
    assert (first.noise, second.noise) == ((1.0, 30.0), (1.0, 25.0))
    assert (first.poisson, second.poisson) == ((0.05, 3.0), (0.05, 2.5))
    for order in (first, second):
        assert (order.sides, order.sinc, order.gaussian, order.gray) == ((7, 21), 0.1, 0.5, 0.4)
        assert (order.generalized, order.plateau, order.jpeg) == ((0.5, 4.0), (1.0, 2.0), (30, 95))
    assert (part.sinc, part.clean, part.sharpen) == (0.8, 0.0, True)


def test_the_mild_settings_are_those_of_stablesr() -> None:
    first, second = MILD.first, MILD.second
    assert (first.sigma, second.sigma) == ((0.2, 1.5), (0.2, 1.0))
    assert (first.sides, second.sides) == ((7, 21), (7, 11))
    assert (first.factor, second.factor) == ((0.3, 1.5), (0.6, 1.2))
    assert (first.noise, second.noise) == ((1.0, 15.0), (1.0, 12.0))
    assert (first.poisson, second.poisson) == ((0.05, 2.0), (0.05, 1.0))
    assert (first.jpeg, second.jpeg) == ((60, 95), (60, 100))
    assert (second.blur, MILD.clean) == (0.5, 0.01)


def test_ready_settings_are_found_by_name() -> None:
    for name, part in SETTINGS.items():
        assert second_order_settings(name) is part
    with refused(UsageError, "mld", "mild"):
        second_order_settings("mld")


@pytest.mark.parametrize("part", SETTINGS.values())
def test_settings_come_back_from_toml(part: SecondOrderPart) -> None:
    assert from_mapping(SecondOrderPart, tomllib.loads(to_toml(part))) == part


def test_a_key_left_out_of_the_second_order_is_that_of_the_second_order() -> None:
    part = from_mapping(SecondOrderPart, {"second": {"jpeg": [80, 90]}, "first": {"noise": [0, 2]}})
    assert part.second == SecondOrderStage(jpeg=(80, 90))
    assert part.first == FirstOrderPart(noise=(0.0, 2.0))


@pytest.mark.parametrize(
    ("order", "named"),
    [
        ({"blur": 1.2}, ("blur", 1.2)),
        ({"sinc": -0.1}, ("sinc", -0.1)),
        ({"gaussian": 2.0}, ("gaussian", 2.0)),
        ({"gray": -1.0}, ("gray", -1.0)),
        ({"up": 0.6, "down": 0.5}, ("up", "down", 1.1)),
        ({"sides": [6, 21]}, ("sides", "[6, 21]")),
        ({"sides": [7, 53]}, ("sides", "[7, 53]", 3, 51)),
        ({"sides": [21, 7]}, ("sides", "[21, 7]")),
        ({"kernels": {"iso": 0.5}}, ("kernels", 0.5)),
        ({"kernels": {"isso": 1.0}}, ("kernels", "isso", "iso")),
        ({"kernels": {"iso": 1.5, "aniso": -0.5}}, ("kernels.iso", 1.5)),
        ({"cutoff": [0.0, 1.0]}, ("cutoff",)),
        ({"sigma": [0.0, 3.0]}, ("sigma", "[0.0, 3.0]", 0.1, 20)),
        ({"sigma": [3.0, 0.2]}, ("sigma", "[3.0, 0.2]")),
        ({"sigma": [1.0]}, ("sigma",)),
        ({"sigma": [0.2, float("nan")]}, ("sigma", "[0.2, nan]")),
        ({"generalized": [0.0, 4.0]}, ("generalized", "[0.0, 4.0]")),
        ({"plateau": [1.0, 30.0]}, ("plateau", "[1.0, 30.0]")),
        ({"factor": [1.1, 1.5]}, ("factor", "[1.1, 1.5]")),
        ({"factor": [0.0, 1.5]}, ("factor", "[0.0, 1.5]")),
        ({"noise": [-1.0, 3.0]}, ("noise", "[-1.0, 3.0]")),
        ({"noise": [30.0, 1.0]}, ("noise", "[30.0, 1.0]")),
        ({"poisson": [-1.0, 3.0]}, ("poisson", "[-1.0, 3.0]")),
        ({"jpeg": [0, 95]}, ("jpeg", "[0, 95]", 1, 100)),
        ({"jpeg": [30, 101]}, ("jpeg", "[30, 101]")),
    ],
)
@pytest.mark.parametrize("name", ["first", "second"])
def test_what_makes_no_sense_is_refused_by_name(
    name: str, order: Mapping[str, Any], named: tuple[object, ...]
) -> None:
    with refused(UsageError, *named):
        from_mapping(SecondOrderPart, {name: order})


@pytest.mark.parametrize(
    ("table", "named"),
    [
        ({"sinc": 1.5}, ("sinc", 1.5)),
        ({"clean": -0.5}, ("clean", -0.5)),
        ({"sinc_sides": [7, 20]}, ("sinc_sides", "[7, 20]")),
        ({"sinc_cutoff": [0.9, 0.5]}, ("sinc_cutoff", "[0.9, 0.5]")),
        ({"sharp": True}, ("sharp", "sharpen")),
    ],
)
def test_what_makes_no_sense_of_the_whole_is_refused(
    table: Mapping[str, Any], named: tuple[object, ...]
) -> None:
    with refused(UsageError, *named):
        from_mapping(SecondOrderPart, table)
