"""The image of a kernel map: its size for images of every shape, and that its colours say what is known."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from srkit.io.kernel_map import KernelMap
from srkit.tasks.kernels import drawing as drawing
from srkit.tasks.kernels.preview import Fact, draw_preview


def made(height: int, width: int, **changes: Any) -> KernelMap:
    """A map whose blur grows from left to right, of which nothing is known in the lower half."""
    x = np.linspace(0.5, 6, width, dtype=np.float32) * np.ones((height, 1), np.float32)
    known = np.ones((height, width), np.float32)
    known[height // 2 :] = 0 if height > 1 else 1
    values = {
        "codes": np.ones((1, height, width), np.float32),
        "basis": np.full((1, 21, 21), 1 / 21, np.float32),
        "covariance": np.stack([x, 0 * x, x]),
        "confidence": known,
        "depth": np.full((height, width), 0.4, np.float32),
        "scale": 4,
    }
    return KernelMap(**{**values, **changes})


def panel_of(page: Any, index: int) -> Any:
    """One of the four panels of a page for an image of 4 : 3."""
    row, column = divmod(index, 2)
    top, left = 162 + row * (498 + 44 + 30), 40 + column * (664 + 32)
    return page[top : top + 498, left : left + 664]


@pytest.mark.parametrize(
    "size", [(1, 1), (2, 3), (60, 80), (80, 60), (20, 300), (300, 20), (1, 500), (500, 1)], ids=str
)
def test_pages_are_of_a_size_to_be_looked_at(size: tuple[int, int]) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (*size, 3), np.uint8)
    page = draw_preview(pixels, made(*size), title="a.png", subtitle="b", facts=[Fact("width", "1 px")])
    assert page.dtype == np.uint8
    assert page.shape[2] == 3
    assert 1000 <= page.shape[1] <= 1600
    assert 300 <= page.shape[0] <= 2400
    assert tuple(page[2, 2]) == drawing.PAPER
    again = draw_preview(pixels, made(*size), title="a.png", subtitle="b", facts=[Fact("width", "1 px")])
    np.testing.assert_array_equal(page, again)


def test_a_large_image_makes_no_larger_page() -> None:
    pixels = np.zeros((900, 1200, 3), np.uint8)
    page = draw_preview(pixels, made(900, 1200))
    assert page.shape == draw_preview(pixels[:90, :120], made(90, 120)).shape


def holds(page: Any, colour: Any) -> bool:
    return bool((page == np.asarray(colour)).all(axis=2).any())


def test_what_is_not_known_is_grey_and_what_is_known_coloured(rendered: Callable[..., Any]) -> None:
    pixels = rendered(60, 80)
    page = draw_preview(pixels, made(60, 80))
    area = 664 * 498
    grey = (page == drawing.UNKNOWN).all(axis=2).sum()
    assert 0.4 * area < grey < 0.6 * area
    sharp, blurred = (panel_of(page, 3)[100, x].astype(int) for x in (2, -3))
    assert sharp[2] > sharp[0] + 100
    assert blurred[0] > blurred[2] + 100
    flat = draw_preview(pixels, made(60, 80, confidence=np.zeros((60, 80), np.float32)))
    assert (flat == drawing.UNKNOWN).all(axis=2).sum() > 0.95 * area


def test_depth_that_is_not_known_is_said(rendered: Callable[..., Any]) -> None:
    known = draw_preview(rendered(60, 80), made(60, 80))
    unknown = draw_preview(rendered(60, 80), made(60, 80, depth=np.zeros((60, 80), np.float32)))
    near = drawing.coloured(np.array(0.4), drawing.DEPTHS)
    assert holds(panel_of(known, 1), near)
    assert not holds(panel_of(unknown, 1), near)


def test_a_uniform_blur_is_shown_as_one(rendered: Callable[..., Any]) -> None:
    """Small differences of an estimate must not be spread over all colours."""
    random = np.random.default_rng(0)
    width = 2 + random.normal(0, 0.02, (60, 80)).astype(np.float32)
    covariance = np.stack([width, 0 * width, width])
    page = draw_preview(
        rendered(60, 80), made(60, 80, covariance=covariance, confidence=np.ones((60, 80), np.float32))
    )
    panel = panel_of(page, 3).reshape(-1, 3).astype(int)
    assert panel.std(axis=0).max() < 12


@pytest.mark.parametrize("bands", [1, 3])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_gray_and_16_bit(bands: int, dtype: Any) -> None:
    top = np.iinfo(dtype).max
    pixels = np.full((30, 40, bands), top, dtype)
    page = draw_preview(pixels, made(30, 40))
    assert (panel_of(page, 0) == 255).all()


@pytest.mark.parametrize("grid", [1, 5, 64])
def test_more_ellipses_for_a_larger_grid(grid: int, rendered: Callable[..., Any]) -> None:
    dark = made(60, 80, confidence=np.zeros((60, 80), np.float32))
    page = draw_preview(np.zeros((60, 80, 3), np.uint8), dark, grid=grid)
    dots = (panel_of(page, 2).astype(int).sum(axis=2) > 200).sum()
    # Where nothing is known there is a dot of three pixels' diameter for each cell, and the samples' marks.
    cells = grid * round(grid * 60 / 80) if grid > 1 else 1
    assert 3 * cells < dots < 14 * cells + 8 * 300


@pytest.mark.parametrize("name", ["ünïcode 名前.png", "x" * 300, "", "line\nbreak\x07"])
def test_names_that_the_font_does_not_hold(name: str) -> None:
    page = draw_preview(np.zeros((9, 12, 3), np.uint8), made(9, 12), title=name, subtitle=name)
    assert page.shape[1] >= 1000


def test_plain_text() -> None:
    assert drawing.plain("a·ü名.png") == "a·??.png"
    assert drawing.plain("abcdefghij", 7) == "abc…hij"


def test_ellipses_have_the_covariance_s_axes() -> None:
    corners = np.array(drawing.ellipse((5, 7), (9, 0, 1), 2))
    assert corners[:, 0].min() == pytest.approx(5 - 6)
    assert corners[:, 1].max() == pytest.approx(7 + 2)
    angle = 0.6
    turn = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    turned = turn @ np.diag([9, 1]) @ turn.T
    corners = np.array(drawing.ellipse((0, 0), (turned[0, 0], turned[0, 1], turned[1, 1]), 1))
    far = corners[np.argmax(np.hypot(*corners.T))]
    assert np.hypot(*far) == pytest.approx(3, rel=1e-3)
    assert math.atan2(far[1], far[0]) % math.pi == pytest.approx(angle, abs=0.05)
    assert np.hypot(*np.array(drawing.ellipse((0, 0), (0, 0, -1), 1, min_axis=2)).T) == pytest.approx(2)


@pytest.mark.parametrize(("value", "rounded"), [(7.9, 6), (8, 8), (0.19, 0.15), (14.9, 10), (1.6, 1.5)])
def test_nice_numbers(value: float, rounded: float) -> None:
    assert drawing.nice(value) == pytest.approx(rounded)
