"""Shifts between LR and HR: found, whatever else was done to the LR image, and not seen where there are none."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from srkit.data.alignment import match
from srkit.data.pairs import make_lr
from srkit.io.image import DecodedImage
from srkit.io.read import read_image
from srkit.io.write import encode_image
from srkit.ops.layout import RGB

Rendered = Callable[..., RGB]


def cut(whole: RGB, down: int = 0, right: int = 0, side: int = 192) -> RGB:
    """A square from the middle; its content lies so much further down and right."""
    top, left = 32 - down, 32 - right
    return np.ascontiguousarray(whole[top : top + side, left : left + side])


@pytest.mark.parametrize("scale", [2, 4])
@pytest.mark.parametrize(("down", "right"), [(0, 0), (1, 0), (0, -1), (3, 2), (-7, 5), (16, -12)])
def test_shifts_in_hr_pixels(scale: int, down: int, right: int, rendered: Rendered) -> None:
    whole = rendered(256, 256)
    found = match(make_lr(cut(whole, down, right), scale), make_lr(cut(whole), scale))
    assert found is not None
    assert found.down * scale == pytest.approx(down, abs=0.3)
    assert found.right * scale == pytest.approx(right, abs=0.3)
    assert found.correlation > 0.9


def _blurred(x: RGB) -> RGB:
    padded = np.pad(x.astype(np.float64), ((1, 1), (1, 1), (0, 0)), mode="edge")
    rows = (padded[:-2] + 2 * padded[1:-1] + padded[2:]) / 4
    return ((rows[:, :-2] + 2 * rows[:, 1:-1] + rows[:, 2:]) / 4).round().astype(np.uint8)


def _noisy(x: RGB) -> RGB:
    noise = np.random.default_rng(0).normal(0, 10, x.shape)
    return (x + noise).clip(0, 255).astype(np.uint8)


def _jpeg(x: RGB) -> RGB:
    data, _ = encode_image(DecodedImage(x), format="jpg", quality=40)
    return read_image(data).pixels.astype(np.uint8)


def _darker(x: RGB) -> RGB:
    return (x * 0.6 + 20).astype(np.uint8)


@pytest.mark.parametrize("change", [_blurred, _noisy, _jpeg, _darker])
@pytest.mark.parametrize("down", [0, 2])
def test_through_degradations(change: Callable[[RGB], RGB], down: int, rendered: Rendered) -> None:
    whole = rendered(256, 256, seed=1)
    found = match(change(make_lr(cut(whole, down), 2)), make_lr(cut(whole), 2))
    assert found is not None
    assert found.down == pytest.approx(down / 2, abs=0.12)
    assert found.right == pytest.approx(0, abs=0.12)


def test_another_image(rendered: Rendered) -> None:
    found = match(make_lr(rendered(192, 192), 2), make_lr(rendered(192, 192, seed=1)[::-1], 2))
    assert found is None or found.correlation < 0.5


@pytest.mark.parametrize("kind", ["black", "small"])
def test_nothing_to_go_by(kind: str, rendered: Rendered) -> None:
    lr = np.zeros((40, 40, 3), np.uint8) if kind == "black" else rendered(8, 40)
    assert match(lr, lr) is None
