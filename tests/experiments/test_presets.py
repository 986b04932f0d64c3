"""The hidden degradations on which models for real images are tested."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from experiments.presets import PRESETS, preset
from srkit.data.pairs import make_lr
from srkit.ops.layout import RGB

NAMES = tuple(PRESETS)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("scale", [2, 3, 4])
def test_a_preset_makes_a_worse_lr_that_repeats(name: str, scale: int, rendered: Callable[..., RGB]) -> None:
    hr = rendered(20 * scale, 25 * scale)
    lr = preset(name, hr, scale, 5)
    assert lr.shape == (20, 25, 3)
    assert lr.dtype == np.uint8
    assert np.array_equal(lr, preset(name, hr, scale, 5))
    assert not np.array_equal(lr, preset(name, hr, scale, 6))
    away = lr.astype(float) - make_lr(hr, scale)
    assert 5 < np.sqrt((away**2).mean()) < 60


def test_all_differ(rendered: Callable[..., RGB]) -> None:
    hr = rendered(96, 96)
    made = [preset(name, hr, 4).astype(float) for name in NAMES]
    for one in range(len(made)):
        for other in range(one):
            assert np.abs(made[one] - made[other]).mean() > 4


@pytest.mark.parametrize("name", NAMES)
def test_nothing_moves_and_colours_stay(name: str) -> None:
    y, x = np.mgrid[:160, :160]
    spot = np.exp(-((x - 70.3) ** 2 + (y - 91.6) ** 2) / 450)[..., None]
    hr = (60 + spot * np.array([120, 90, 60])).round().astype(np.uint8)
    lr = np.mean([preset(name, hr, 4, seed) for seed in range(24)], axis=0)
    assert np.abs(lr.mean((0, 1)) - hr.mean((0, 1))).max() < 2
    light = (lr.sum(2) - 180).clip(30) - 30  # above what noise does
    rows, columns = light.sum(1) / light.sum(), light.sum(0) / light.sum()
    place = 4 * np.arange(40) + 1.5
    assert abs(columns @ place - 70.3) < 0.8
    assert abs(rows @ place - 91.6) < 0.8


@pytest.mark.parametrize("name", NAMES)
def test_small_images_are_degraded_too(name: str) -> None:
    hr = np.full((4, 8, 3), 90, dtype=np.uint8)
    assert preset(name, hr, 4).shape == (1, 2, 3)
