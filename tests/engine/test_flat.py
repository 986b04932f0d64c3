"""Flat areas keep their colour: against the definition, pixel by pixel, and in any tiling."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from srkit.engine.flat import hold_flat
from srkit.engine.runner import Plane
from tests.engine.networks import Pixels, Toy, run_one, runner


def radii(lr: Pixels) -> Pixels:
    """The radius, up to 8, of the largest square around each pixel that is constant so far as it lies in the image."""
    x = torch.from_numpy(lr.astype(np.float64)).permute(2, 0, 1)[None]
    found = np.zeros(lr.shape[:2], int)
    for radius in range(1, 9):
        around = F.pad(x, (radius,) * 4, mode="replicate")
        high, low = (sign * F.max_pool2d(sign * around, 2 * radius + 1, 1) for sign in (1, -1))
        found[(high == low).all(1)[0].numpy()] = radius
    return found


def expected(sr: Pixels, lr: Pixels, scale: int) -> Pixels:
    """What `hold_flat` is defined to give: half of the way at radius 1 for black and white, and so on."""
    radius = radii(lr)
    extreme = (lr == 0).all(2) | (lr == np.iinfo(lr.dtype).max).all(2)
    weight = np.maximum(
        np.where(radius >= 5, (radius - 4) / 4, 0), np.where(extreme, np.minimum(radius, 2) / 2, 0)
    )
    if not (weight == 1).any():
        return sr
    large, weight = (x.repeat(scale, 0).repeat(scale, 1) for x in (lr, weight[:, :, None]))
    return np.floor(sr * (1 - weight) + large * weight + 0.5).astype(lr.dtype)


def blocks(rng: np.random.Generator, height: int, width: int, channels: int, dtype: Any) -> Pixels:
    """Rectangles of black, white and gray, and some noise."""
    top = np.iinfo(dtype).max
    lr = np.full((height, width, channels), rng.choice([0, top, 77]), dtype)
    for _ in range(rng.integers(0, 5)):
        y, x = rng.integers(0, height), rng.integers(0, width)
        part = lr[y : y + rng.integers(1, 14), x : x + rng.integers(1, 14)]
        part[:] = rng.choice([0, top, 99]) if rng.random() < 0.7 else rng.integers(0, top, part.shape)
    return lr


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("scale", [1, 2, 3, 4])
def test_against_the_definition(dtype: Any, channels: int, scale: int) -> None:
    rng = np.random.default_rng(scale)
    top = np.iinfo(dtype).max
    for _ in range(30):
        height, width = rng.integers(1, 40, 2)
        lr = blocks(rng, int(height), int(width), channels, dtype)
        near = rng.integers(-top // 60, top // 60 + 1, (height * scale, width * scale, channels))
        sr = np.clip(lr.repeat(scale, 0).repeat(scale, 1).astype(int) + near, 0, top).astype(dtype)
        wanted = expected(sr, lr, scale)
        hold_flat(sr, lr, scale)
        assert np.array_equal(sr, wanted)


def test_more_rows_than_are_worked_on_at_a_time() -> None:
    lr = np.full((600, 9, 3), 255, np.uint8)
    lr[290:294, 4] = 10
    sr = np.full((1200, 18, 3), 253, np.uint8)
    wanted = expected(sr, lr, 2)
    hold_flat(sr, lr, 2)
    assert np.array_equal(sr, wanted)


@pytest.mark.parametrize("colour", [0, 128, 255])
def test_a_network_that_changes_colours_is_left_alone(colour: int) -> None:
    lr = np.full((20, 20, 3), colour, np.uint8)
    sr = np.full((40, 40, 3), abs(colour - 30), np.uint8)
    hold_flat(sr, lr, 2)
    assert (sr == abs(colour - 30)).all()


def test_nothing_is_touched_where_nothing_is_flat() -> None:
    lr = np.random.default_rng(0).integers(0, 256, (40, 40, 3)).astype(np.uint8)
    lr[:4, :4] = 255  # flat, but no square of 5 x 5 is
    lr[20:30, 20:30] = 90  # no square of 17 x 17
    sr = np.random.default_rng(1).integers(0, 256, (80, 80, 3)).astype(np.uint8)
    before = sr.copy()
    lr[0, 0, 0] = 254
    hold_flat(sr, lr, 2)
    assert np.array_equal(sr, before)


class Uneven(Toy):
    """Shifts each colour by up to two levels of 255, by a 3 x 3 convolution that pads with zeros."""

    def __init__(self, **facts: Any) -> None:
        super().__init__(scale=2, receptive_field=1, **facts)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            self.convolution = nn.Conv2d(3, 3, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        shift = torch.tanh(self.convolution(x)) * 0.008 * self.one
        return F.interpolate(x + shift, scale_factor=2, mode="nearest").float()


def page(dtype: Any = np.uint8) -> Pixels:
    """White paper with ink, a gray plane and a coloured one."""
    top = np.iinfo(dtype).max
    lr = np.full((60, 72, 3), top, dtype)
    lr[8:20, 10:12] = 0
    lr[30:, :26] = top // 2
    lr[26:60, 40:] = (top // 9, top // 3, top)
    return lr


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("tiling", ["exact", "blend"])
@pytest.mark.parametrize("tta", [False, True])
def test_tiles_do_not_show_and_flat_areas_are_exact(dtype: Any, tiling: str, tta: bool) -> None:
    lr = page(dtype)
    network = Uneven(tiling=tiling)
    whole = run_one(network, lr, tta=tta, hold_flat=True)
    raw = run_one(network, lr, tta=tta)
    large, radius = lr.repeat(2, 0).repeat(2, 1), radii(lr).repeat(2, 0).repeat(2, 1)
    extreme = (large == 0).all(2) | (large == np.iinfo(dtype).max).all(2)
    exact = (radius == 8) | (extreme & (radius >= 2))
    assert 0.2 < exact.mean() < 0.9
    assert (whole == large)[exact].all() and not (raw == large)[exact].all()
    assert (whole == raw)[radius == 0].all()
    for tile, overlap in ((16, 4), (23, 8)):
        tiled = run_one(network, lr, tta=tta, hold_flat=True, tile=tile, overlap=overlap)
        assert np.abs(tiled.astype(int) - whole).max() <= np.iinfo(dtype).max // 255
        assert (tiled == large)[exact].all()


def gray(dtype: Any, seed: int) -> Pixels:
    return (
        np.random.default_rng(seed).integers(0, np.iinfo(dtype).max, (33, 41, 1)).repeat(3, 2).astype(dtype)
    )


class Tinting(Toy):
    """Another tone curve for each channel."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([x[:, :1] * self.one, x[:, 1:2].square(), x[:, 2:].sqrt()], 1).float()


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("tiling", ["exact", "blend"])
@pytest.mark.parametrize("tile", [None, 16])
def test_gray_content_stays_gray(dtype: Any, tiling: str, tile: int | None) -> None:
    """The mean of what the channels become, rounded once; for a tile of a coloured image nothing changes."""
    lr, top = gray(dtype, 0), np.iinfo(dtype).max
    network = Tinting(tiling=tiling)
    found = run_one(network, lr, tile=tile, overlap=4)
    x = lr[..., 0].astype(np.float64) / top
    assert (found == found[..., :1]).all()
    assert np.abs(found[..., 0] - (x + x**2 + np.sqrt(x)) / 3 * top).max() <= 0.51
    coloured = lr.copy()
    coloured[-1, -1, 0] ^= 1
    tinted = run_one(network, coloured, tile=tile, overlap=4)
    assert not (tinted[:16] == tinted[:16, :, :1]).all()


def test_gray_and_coloured_images_in_one_batch() -> None:
    planes = [gray(np.uint8, 1), gray(np.uint8, 2), gray(np.uint8, 3)]
    planes[1][3, 3] = (1, 2, 3)
    alone = [run_one(Tinting(), lr) for lr in planes]
    together = runner(Tinting(), batch=8).run([Plane(lr, None) for lr in planes])
    for one, other in zip(alone, together, strict=True):
        assert other is not None and np.array_equal(one, other.pixels)
    assert [bool((x == x[..., :1]).all()) for x in alone] == [True, False, True]
