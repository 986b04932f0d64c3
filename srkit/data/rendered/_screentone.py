"""Screentone: the printed dot, line and grain patterns that stand for gray on a page of black ink."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from typing import Literal

import numpy as np
from PIL import Image, ImageChops, ImageDraw

from srkit.data.rendered._canvas import Ink, Noise, Pixels, Point, Sheet

Pattern = Literal["dots", "lines", "grain"]


def tone(
    sheet: Sheet,
    shape: Sequence[Point],
    level: float | tuple[float, float],
    pitch: float,
    ink: Ink,
    pattern: Pattern = "dots",
) -> None:
    """Lay screentone within `shape`.

    Args:
        level: share of the paper that ink covers, 0..1; two for a gradient from the shape's top to its bottom.
        pitch: pixels from one dot or line to the next. Dots stand on a lattice turned by 45 degrees.
    """
    f = sheet.finer
    xs, ys = [x * f for x, _ in shape], [y * f for _, y in shape]
    left, right = max(0, math.floor(min(xs))), min(sheet.image.width, math.ceil(max(xs)) + 1)
    top, bottom = max(0, math.floor(min(ys))), min(sheet.image.height, math.ceil(max(ys)) + 1)
    if right <= left or bottom <= top:
        return
    tile = _grain() if pattern == "grain" else _thresholds(round(pitch * f * math.sqrt(2)), pattern)
    rows = np.arange(top, bottom) % tile.shape[0]
    columns = np.arange(left, right) % tile.shape[1]
    start, end = level if isinstance(level, tuple) else (level, level)
    share = (np.arange(top, bottom) - min(ys)) / max(1.0, max(ys) - min(ys))
    limit = np.clip((start + (end - start) * share) * 255, 0, 255).round().astype(np.uint8)
    dots = (tile[rows][:, columns] < limit[:, None]).astype(np.uint8) * np.uint8(255)
    within = Image.new("L", (right - left, bottom - top), 0)
    ImageDraw.Draw(within).polygon([(x - left, y - top) for x, y in zip(xs, ys, strict=True)], fill=255)
    sheet.image.paste(ink, (left, top), ImageChops.multiply(within, Image.fromarray(dots)))


@lru_cache(maxsize=64)
def _thresholds(period: int, pattern: Pattern) -> Pixels:
    """One period of a screen as the rank of each of its samples, 0..254, so that level x covers x of the paper."""
    wave = [round(math.cos(2 * math.pi * k / period) * 2**20) for k in range(period)]
    a = np.array(wave, np.int64)
    spot = (
        -a[:, None] * a[None, :]
        if pattern == "dots"
        else a[(np.arange(period)[:, None] + np.arange(period)) % period]
    )
    rank = np.empty(period * period, np.int64)
    rank[np.argsort(spot.ravel(), kind="stable")] = np.arange(period * period)
    return (rank * 255 // (period * period)).astype(np.uint8).reshape(period, period)


@lru_cache(maxsize=1)
def _grain() -> Pixels:
    """A field of specks about a pixel wide, as ranks 0..254."""
    noise = Noise(np.random.default_rng(0), 512, 512, (5.0, 5.0)).rows(0, 512)
    rank = np.empty(noise.size, np.int64)
    rank[np.argsort(noise.ravel(), kind="stable")] = np.arange(noise.size)
    return (rank * 255 // noise.size).astype(np.uint8).reshape(noise.shape)
