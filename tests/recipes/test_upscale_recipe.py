"""The size that an upscaling job asks for, and values that make no sense."""

from __future__ import annotations

import math
from typing import Any

import pytest

from srkit.errors import UsageError
from srkit.recipes.upscale import Target, UpscaleRecipe
from tests.helpers import refused


@pytest.mark.parametrize(
    ("target", "size", "expected"),
    [
        (Target(), (30, 20), (120, 80)),
        (Target(scale=1.5), (31, 21), (47, 32)),  # 46.5 and 31.5, half up
        (Target(scale=2), (1, 1), (2, 2)),
        (Target(scale=16), (3, 5), (48, 80)),
        (Target(scale=1.0001), (3, 5), (3, 5)),
        (Target(width=100), (30, 20), (100, 67)),
        (Target(height=100), (30, 20), (150, 100)),
        (Target(width=7, height=90), (30, 20), (7, 90)),
        (Target(width=10), (1000, 3), (10, 1)),  # never 0
        (Target(max_size=100), (30, 20), (100, 67)),
        (Target(max_size=100), (20, 30), (67, 100)),
        (Target(max_size=10), (30, 20), (10, 7)),
    ],
)
def test_size(target: Target, size: tuple[int, int], expected: tuple[int, int]) -> None:
    assert target.size(*size, own_scale=4) == expected


def test_own_scale_is_the_models() -> None:
    assert Target().size(10, 10, own_scale=3) == (30, 30)
    assert Target().size(10, 10, own_scale=1) == (10, 10)


@pytest.mark.parametrize("target", [Target(width=161), Target(height=161), Target(max_size=161)])
def test_more_than_sixteen_times(target: Target) -> None:
    with refused(UsageError, "10 x 10", "161 x 161", 16.1):
        target.size(10, 10, own_scale=4)
    assert target.size(11, 11, own_scale=4) == (161, 161)


@pytest.mark.parametrize(
    "arguments",
    [
        {"scale": 0.0},
        {"scale": 1.0},
        {"scale": -2.0},
        {"scale": math.nan},
        {"scale": math.inf},
        {"scale": 17.0},
        {"width": 0},
        {"height": -1},
        {"max_size": 0},
        {"scale": 2.0, "width": 3},
        {"scale": 2.0, "max_size": 3},
        {"width": 2, "max_size": 3},
    ],
)
def test_targets_that_make_no_sense(arguments: dict[str, Any]) -> None:
    keys = [f"--{name.replace('_', '-')}" for name in arguments]
    with refused(UsageError, *keys, *(arguments.values() if len(arguments) == 1 else ())):
        Target(**arguments)


@pytest.mark.parametrize(
    "arguments",
    [
        {"tile": 15},
        {"overlap": -1},
        {"quality": 0},
        {"quality": 101},
        {"compression": -1},
        {"compression": 10},
        {"threads": 0},
        {"max_pixels": 0},
        {"seed": -1},
        {"seed": 2**63},
    ],
)
def test_settings_that_make_no_sense(arguments: dict[str, Any]) -> None:
    ((name, value),) = arguments.items()
    with refused(UsageError, f"--{name.replace('_', '-')}", value):
        UpscaleRecipe(**arguments)


def test_the_limits_are_allowed() -> None:
    UpscaleRecipe(tile=16, overlap=0, quality=100, compression=0, seed=2**63 - 1, max_pixels=1)
    Target(scale=16.0)
