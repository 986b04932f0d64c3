"""The measures of artefacts find those that were made, and none where there are none."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from srkit.engine.resample import resample
from tests.helpers import refused
from tests.quality.artefacts import (
    BLOCKS,
    Pixels,
    colour_blocks,
    colour_shift,
    colour_wheel,
    complaints,
    deviation,
    flat_complaints,
    noise_complaints,
    pattern,
    spilled,
    tint,
)

LEVELS = 1.5


@pytest.fixture
def lr(rendered: Callable[..., Pixels]) -> Pixels:
    return rendered(64, 72)


def _bicubic(lr: Pixels) -> Pixels:
    return resample(lr, 4 * lr.shape[0], 4 * lr.shape[1])


def _board(shape: tuple[int, ...], period: int) -> Any:
    """Of root mean square 1 and mean 0, `period` pixels wide and high."""
    y, x = np.mgrid[0 : shape[0], 0 : shape[1]]
    return (2.0 * ((y // (period // 2) + x // (period // 2)) % 2) - 1)[..., None]


def _added(sr: Pixels, change: Any) -> Pixels:
    changed: Pixels = (np.clip(sr, 10, 245) + change).round().clip(0, 255).astype(np.uint8)
    return changed


@pytest.mark.parametrize("period", [2, 4])
def test_a_checkerboard_is_found_and_measured(lr: Pixels, period: int) -> None:
    sr = _bicubic(lr)
    before = pattern(sr, period)
    after = pattern(_added(sr, 2 * _board(sr.shape, period)), period)
    assert before.levels < 0.1
    assert after.levels == pytest.approx(2, rel=0.1)
    assert after.decibels > before.decibels + 20


@pytest.mark.parametrize("period", [2, 4])
def test_a_checkerboard_that_changes_from_place_to_place_is_found(lr: Pixels, period: int) -> None:
    """Turned over in every other square of 48 pixels, so that it cancels over the whole image."""
    sr = _bicubic(lr)
    y, x = np.mgrid[0 : sr.shape[0], 0 : sr.shape[1]] // 48 % 2
    signs = (1 - 2 * ((y + x) % 2))[..., None]
    assert pattern(_added(sr, 2 * signs * _board(sr.shape, period)), period).levels > 0.8
    assert complaints(_added(sr, 3 * signs * _board(sr.shape, period)), lr) != []


def test_lines_and_columns_are_found_too(lr: Pixels) -> None:
    sr = _bicubic(lr)
    y, x = np.mgrid[0 : sr.shape[0], 0 : sr.shape[1]]
    for coordinate in (y, x):
        (words,) = complaints(_added(sr, LEVELS * np.sqrt(2) * np.cos(np.pi / 2 * coordinate)[..., None]), lr)
        assert words.startswith("a pattern of 4 pixels, 1.")


def test_what_was_made_is_named_and_nothing_else(lr: Pixels) -> None:
    sr = _bicubic(lr)
    assert complaints(sr, lr) == []
    assert any(
        "pattern of 2 pixels" in words for words in complaints(_added(sr, LEVELS * _board(sr.shape, 2)), lr)
    )
    (words,) = complaints(_added(sr, LEVELS * _board(sr.shape, 4)), lr)
    assert "pattern of 4 pixels" in words
    (words,) = complaints(_added(sr, np.array([0, 0, 3.0])), lr)
    assert words.startswith("a mean colour that is ")


def test_detail_and_noise_are_no_pattern(rendered: Callable[..., Pixels], lr: Pixels) -> None:
    sharp = rendered(256, 256)
    noise = np.random.default_rng(0).normal(0, 8, sharp.shape)
    for image in (sharp, _added(sharp, noise), np.rot90(sharp).copy()):
        for period in (2, 4):
            found = pattern(image, period)
            assert found.decibels < 6 or found.levels < 0.5, found
    assert complaints(_added(_bicubic(lr), noise[:, :1].mean(2, keepdims=True)), lr) == []


def test_the_other_scales(lr: Pixels) -> None:
    for scale in (2, 3, 8):
        sr = resample(lr, scale * lr.shape[0], scale * lr.shape[1])
        assert complaints(sr, lr) == []
        x = np.arange(sr.shape[1])[None, :, None]
        comb = LEVELS * scale * ((x % scale == 0) - 1 / scale)
        assert any(f"pattern of {scale} pixels" in words for words in complaints(_added(sr, comb), lr))


def test_too_small_an_image_is_no_image_without_patterns() -> None:
    with refused(ValueError, 64):
        pattern(np.zeros((63, 80, 3), np.uint8), 4)


def test_flat_images(lr: Pixels) -> None:
    colours = [(0, 0, 0), (128, 128, 128), (240, 30, 90)]
    assert flat_complaints(_bicubic, colours) == []
    assert noise_complaints(_bicubic, [3, 10]) == []
    assert flat_complaints(
        lambda x: _added(_bicubic(x), _board((4 * len(x), 4 * len(x)), 4)), colours[1:]
    ) == [f"{colour} deviates by 1.00 levels" for colour in colours[1:]]
    assert flat_complaints(lambda x: _bicubic(x) // 2 + 64, colours[:1]) == [
        "(0, 0, 0) is shifted by 64.00 levels"
    ]
    (words,) = noise_complaints(lambda x: _added(_bicubic(x), 1.5 * (_bicubic(x) - 128.0)), [4])
    assert words.startswith("noise of 4 levels deviates by ")
    assert deviation(lr) > 5
    assert colour_shift(np.full((8, 8, 3), 9, np.uint8), np.full((2, 2, 3), 7, np.uint8)) == 2


def test_tint() -> None:
    gray = np.arange(48, dtype=np.uint8).reshape(4, 12, 1).repeat(3, 2)
    assert tint(gray) == 0
    gray[2, 3, 1] += 7
    assert tint(gray) == 7


def test_spilled() -> None:
    """A ring of 9 levels, one to two LR pixels outside a square."""
    lr = np.zeros((16, 16), np.uint8)
    lr[6:10, 6:10] = 255
    sr = lr.repeat(4, 0).repeat(4, 1)
    assert spilled(sr, lr, 0, radius=1) == 0 == spilled(sr, lr, 255, radius=1)
    sr[24 - 6, 24:40] = 9
    assert (spilled(sr, lr, 0, radius=1), spilled(sr, lr, 0, radius=2)) == (9, 0)
    sr[30, 30] = 250
    assert spilled(sr, lr, 255, radius=1) == 5
    with pytest.raises(ValueError, match="no pixel has 7"):
        spilled(sr, lr, 7, radius=1)


@pytest.mark.parametrize("scale", [2, 4, 8])
def test_blocks_of_colour(scale: int) -> None:
    lr = colour_wheel(32)
    smooth = resample(lr, 32 * scale, 32 * scale)
    nearest = lr.repeat(scale, axis=0).repeat(scale, axis=1)
    assert colour_blocks(smooth, scale) < 1.1
    assert colour_blocks(nearest, scale) > 10
    half = ((smooth.astype(int) + nearest) // 2).astype(np.uint8)
    assert colour_blocks(half, scale) > BLOCKS
