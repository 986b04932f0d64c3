"""Collapse is recognised from logits: what is normal goes on for ever, what teaches nothing is given some patience."""

from __future__ import annotations

import math

import pytest
import torch

from srkit.losses.gan import discriminator_loss
from srkit.training.collapse import LOOKED_EVERY, CollapseWatch

PATIENCE = 5 * LOOKED_EVERY


def _seen(watch: CollapseWatch, real: float, fake: float) -> str | None:
    """A look at logits that vary a little from place to place."""
    maps = [mean + 0.5 * torch.linspace(-1, 1, 49).reshape(1, 1, 7, 7) for mean in (real, fake)]
    loss = float(discriminator_loss(maps[1], maps[0]))
    return watch.see(loss, float(maps[0].mean()), float(maps[1].mean()))


@pytest.mark.parametrize(("real", "fake"), [(0.3, -0.4), (1.5, -1.0), (20.0, 19.0), (0.001, -0.001)])
def test_what_teaches_goes_on(real: float, fake: float) -> None:
    watch = CollapseWatch(PATIENCE)
    assert all(_seen(watch, real, fake) is None for _ in range(100))
    assert watch.is_sound


@pytest.mark.parametrize(
    ("real", "fake", "words"),
    [
        (
            3.0,
            -3.0,
            "has separated all images for 50 steps (mean logits 3 of real images and -3 of made",
        ),
        (-60.0, -61.0, "has been saturated for 50 steps (mean logits -60"),
        (2.0, 2.0, "has seen no difference for 50 steps (mean logits 2"),
    ],
)
def test_what_teaches_nothing_is_given_up_after_some_patience(real: float, fake: float, words: str) -> None:
    watch = CollapseWatch(PATIENCE)
    assert [_seen(watch, real, fake) for _ in range(4)] == [None] * 4
    assert not watch.is_sound
    found = _seen(watch, real, fake)
    assert found is not None
    assert words in found


def test_a_better_look_begins_the_count_anew() -> None:
    watch = CollapseWatch(PATIENCE)
    for _ in range(20):
        assert [_seen(watch, 4.0, -4.0) for _ in range(4)] == [None] * 4
        assert _seen(watch, 0.5, -0.5) is None
        assert watch.is_sound


@pytest.mark.parametrize("place", range(3))
@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_numbers_that_are_none_need_no_patience(place: int, value: float) -> None:
    numbers = [0.7, 0.1, -0.1]
    numbers[place] = value
    found = CollapseWatch(PATIENCE).see(*numbers)
    assert found is not None
    assert "not finite" in found


def test_the_count_is_gone_on_with() -> None:
    first, second = CollapseWatch(PATIENCE), CollapseWatch(PATIENCE)
    for _ in range(4):
        _seen(first, 3.0, -3.0)
    second.load_state_dict(first.state_dict())
    assert not second.is_sound
    assert _seen(second, 3.0, -3.0) is not None
