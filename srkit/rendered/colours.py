"""Named and mixed colours; and screentone, which represents gray on pages printed in one colour."""

from __future__ import annotations

import math
from collections.abc import Sequence
from colorsys import hsv_to_rgb
from functools import lru_cache

import numpy as np
from PIL import Image, ImageChops, ImageDraw

from srkit.rendered.canvas import Colour, Ink, Noise, Pixels, Point, Rng, Sheet


def mix(a: Colour, b: Colour, share: float) -> Colour:
    """Mixture of `share` of b and 1 - share of a."""
    return (
        round(a[0] + (b[0] - a[0]) * share),
        round(a[1] + (b[1] - a[1]) * share),
        round(a[2] + (b[2] - a[2]) * share),
    )


def shade(colour: Colour, factor: float) -> Colour:
    """Colour times `factor`, clipped to 0..255."""
    r, g, b = (min(255, max(0, round(c * factor))) for c in colour)
    return (r, g, b)


def hue(turn: float, saturation: float, value: float) -> Colour:
    """Colour of HSV values in [0, 1]."""
    r, g, b = (round(255 * channel) for channel in hsv_to_rgb(turn % 1.0, saturation, value))
    return (r, g, b)


_TURNS = {
    "red": (-0.02, 0.02), "orange": (0.05, 0.09), "yellow": (0.13, 0.17), "green": (0.25, 0.42), "teal": (0.46, 0.53),
    "blue": (0.56, 0.66), "purple": (0.71, 0.79), "pink": (0.86, 0.93),
}  # fmt: skip
COLOURS = "red, orange, yellow, green, teal, blue, purple: purple|violet, pink"  # as a choice of a Spec


def paint(name: str, rng: Rng, saturation: Point, value: Point) -> Colour:
    """Random colour of a name: hue, saturation and value are drawn from their ranges."""
    return hue(rng.between(*_TURNS[name]), rng.between(*saturation), rng.between(*value))


def tone(
    sheet: Sheet,
    shape: Sequence[Point],
    level: float | tuple[float, float],
    pitch: float,
    ink: Ink,
    pattern: str = "dots",
) -> None:
    """Lay screentone within `shape`.

    Args:
        level: share of the paper that ink covers, 0..1; a pair for a gradient from the shape's top to its bottom.
        pitch: distance of dots or lines in pixels. Dots are on a lattice rotated by 45 degrees.
        pattern: dots, lines, grain or crosses.
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
def _thresholds(period: int, pattern: str) -> Pixels:
    """One period of a screen as ranks of its samples, 0..254; level x covers a share x of the paper."""
    wave = [round(math.cos(2 * math.pi * k / period) * 2**20) for k in range(period)]
    a = np.array(wave, np.int64)
    down, across = np.arange(period)[:, None], np.arange(period)
    spot = -a[:, None] * a[None, :] if pattern == "dots" else a[(down + across) % period]
    if pattern == "crosses":
        spot = np.minimum(spot, a[(down - across) % period])
    rank = np.empty(period * period, np.int64)
    rank[np.argsort(spot.ravel(), kind="stable")] = np.arange(period * period)
    return (rank * 255 // (period * period)).astype(np.uint8).reshape(period, period)


@lru_cache(maxsize=1)
def _grain() -> Pixels:
    """Field of specks about a pixel wide, as ranks 0..254."""
    noise = Noise(Rng(0), 512, 512, (5.0, 5.0)).rows(0, 512)
    rank = np.empty(noise.size, np.int64)
    rank[np.argsort(noise.ravel(), kind="stable")] = np.arange(noise.size)
    return (rank * 255 // noise.size).astype(np.uint8).reshape(noise.shape)
