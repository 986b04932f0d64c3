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
    with pytest.raises(UsageError, match=r"no degradation 'mld'.*Did you mean 'mild'"):
        second_order_settings("mld")


@pytest.mark.parametrize("part", SETTINGS.values())
def test_settings_come_back_from_toml(part: SecondOrderPart) -> None:
    assert from_mapping(SecondOrderPart, tomllib.loads(to_toml(part))) == part


def test_a_key_left_out_of_the_second_order_is_that_of_the_second_order() -> None:
    part = from_mapping(SecondOrderPart, {"second": {"jpeg": [80, 90]}, "first": {"noise": [0, 2]}})
    assert part.second == SecondOrderStage(jpeg=(80, 90))
    assert part.first == FirstOrderPart(noise=(0.0, 2.0))


@pytest.mark.parametrize(
    ("order", "message"),
    [
        ({"blur": 1.2}, "key blur is 1.2.*share from 0 to 1"),
        ({"sinc": -0.1}, "key sinc"),
        ({"gaussian": 2.0}, "key gaussian"),
        ({"gray": -1.0}, "key gray"),
        ({"up": 0.6, "down": 0.5}, "up and down add up to 1.1"),
        ({"sides": [6, 21]}, r"range sides is \(6, 21\).*odd"),
        ({"sides": [7, 53]}, "range sides.*from 3 to 51"),
        ({"sides": [21, 7]}, "range sides.*smaller first"),
        ({"kernels": {"iso": 0.5}}, "kernels add up to 0.5"),
        ({"kernels": {"isso": 1.0}}, "names 'isso'.*Did you mean 'iso'"),
        ({"kernels": {"iso": 1.5, "aniso": -0.5}}, "key kernels.iso is 1.5"),
        ({"cutoff": [0.0, 1.0]}, "range cutoff"),
        ({"sigma": [0.0, 3.0]}, "range sigma.*from 0.1 to 20"),
        ({"sigma": [3.0, 0.2]}, "range sigma"),
        ({"sigma": [1.0]}, "range sigma.*two numbers"),
        ({"sigma": [0.2, float("nan")]}, "range sigma"),
        ({"generalized": [0.0, 4.0]}, "range generalized"),
        ({"plateau": [1.0, 30.0]}, "range plateau"),
        ({"factor": [1.1, 1.5]}, r"range factor is \(1.1, 1.5\).*1 must lie between"),
        ({"factor": [0.0, 1.5]}, "range factor"),
        ({"noise": [-1.0, 3.0]}, "range noise"),
        ({"noise": [30.0, 1.0]}, "range noise"),
        ({"poisson": [-1.0, 3.0]}, "range poisson"),
        ({"jpeg": [0, 95]}, "range jpeg.*from 1 to 100"),
        ({"jpeg": [30, 101]}, "range jpeg"),
    ],
)
@pytest.mark.parametrize("name", ["first", "second"])
def test_what_makes_no_sense_is_refused_by_name(name: str, order: Mapping[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message) as caught:
        from_mapping(SecondOrderPart, {name: order})
    assert str(caught.value).count("\n") == 0


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({"sinc": 1.5}, "key sinc"),
        ({"clean": -0.5}, "key clean"),
        ({"sinc_sides": [7, 20]}, "range sinc_sides"),
        ({"sinc_cutoff": [0.9, 0.5]}, "range sinc_cutoff"),
        ({"sharp": True}, "'sharp' is no setting.*Did you mean 'sharpen'"),
    ],
)
def test_what_makes_no_sense_of_the_whole_is_refused(table: Mapping[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        from_mapping(SecondOrderPart, table)
