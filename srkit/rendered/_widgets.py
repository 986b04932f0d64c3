"""The colours of a screen, and its smooth shapes and fitted words."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw

from srkit.rendered.canvas import Colour, Point, Sheet, between, hue, mix, pick, shade

_SMOOTH = 4  # curves are drawn this much finer than the display


@dataclass(frozen=True)
class Theme:
    desk: Colour
    paper: Colour
    raised: Colour
    bar: Colour
    line: Colour
    text: Colour
    dim: Colour
    accent: Colour
    code: tuple[Colour, ...]  # keywords, names, strings, numbers, comments


def some_theme(rng: Rng) -> Theme:
    """A light, a dark or a tinted theme, its accent by chance."""
    turn = rng.random()
    accent, other = hue(turn, 0.75, 0.8), hue(turn + 0.4, 0.5, 0.55)
    light_code = ((160, 20, 150), (20, 70, 180), (170, 60, 20), (20, 120, 90), (110, 130, 110))
    dark_code = ((198, 120, 221), (97, 175, 239), (152, 195, 121), (209, 154, 102), (110, 118, 132))
    night = mix((20, 22, 26), hue(turn + 0.1, 0.6, 0.3), 0.4)
    tint = mix((248, 246, 240), hue(turn, 0.25, 1.0), 0.3)
    light = Theme(
        other,
        (255, 255, 255),
        (250, 250, 250),
        (236, 237, 240),
        (205, 207, 212),
        (28, 30, 34),
        (120, 124, 132),
        accent,
        light_code,
    )
    dark = Theme(
        shade(night, 0.6),
        night,
        shade(night, 1.5),
        shade(night, 1.3),
        shade(night, 2.0),
        (220, 223, 228),
        (128, 134, 146),
        accent,
        dark_code,
    )
    tinted = Theme(
        shade(tint, 0.8),
        tint,
        shade(tint, 1.03),
        shade(tint, 0.93),
        shade(tint, 0.83),
        (44, 40, 36),
        (130, 122, 112),
        other,
        light_code,
    )
    return rng.pick((light, light, light, dark, dark, tinted))


def smooth(
    sheet: Sheet,
    box: tuple[float, float, float, float],
    ink: Colour,
    shape: Callable[[ImageDraw.ImageDraw, float], None],
) -> None:
    """Colour the part of `box` that `shape` covers; it draws in white at so many samples a pixel, from the corner."""
    f = sheet.finer
    left, top = math.floor(box[0] * f), math.floor(box[1] * f)
    right, bottom = math.ceil(box[2] * f) + 1, math.ceil(box[3] * f) + 1
    mask = Image.new("L", ((right - left) * _SMOOTH, (bottom - top) * _SMOOTH), 0)
    shape(ImageDraw.Draw(mask), float(_SMOOTH * f))
    sheet.image.paste(ink, (left, top), mask.reduce(_SMOOTH))


def disc(sheet: Sheet, centre: Point, radius: float, ink: Colour) -> None:
    x, y = centre[0] - radius, centre[1] - radius
    off = (x % 1, y % 1)

    def shape(pen: ImageDraw.ImageDraw, s: float) -> None:
        pen.ellipse((off[0] * s, off[1] * s, (off[0] + 2 * radius) * s, (off[1] + 2 * radius) * s), fill=255)

    smooth(sheet, (math.floor(x), math.floor(y), x + 2 * radius, y + 2 * radius), ink, shape)


def rounded(sheet: Sheet, box: tuple[int, int, int, int], radius: float, ink: Colour) -> None:
    x0, y0, x1, y1 = box

    def shape(pen: ImageDraw.ImageDraw, s: float) -> None:
        pen.rounded_rectangle((0, 0, (x1 - x0) * s - 1, (y1 - y0) * s - 1), radius * s, fill=255)

    if x1 > x0 and y1 > y0:
        smooth(sheet, box, ink, shape)


def path(sheet: Sheet, points: list[Point], ink: Colour, width: float, *, closed: bool = False) -> None:
    x0, y0 = math.floor(min(p[0] for p in points) - width), math.floor(min(p[1] for p in points) - width)
    x1, y1 = max(p[0] for p in points) + width, max(p[1] for p in points) + width

    def shape(pen: ImageDraw.ImageDraw, s: float) -> None:
        fine = [((x - x0) * s, (y - y0) * s) for x, y in points]
        if closed:
            pen.polygon(fine, fill=255)
        else:
            pen.line(fine, fill=255, width=max(1, round(width * s)), joint="curve")

    smooth(sheet, (x0, y0, x1, y1), ink, shape)


def fitted(pane: Sheet, words: str, size: float, room: float) -> str:
    """`words`, or as many letters of them as fit, with dots."""
    if pane.length(words, size) <= room:
        return words
    while words and pane.length(words + "...", size) > room:
        words = words[:-1]
    return words.rstrip() + "..." if words else ""


def wrapped(pane: Sheet, words: str, size: float, room: float) -> list[str]:
    lines = [""]
    for part in words.split():
        longer = f"{lines[-1]} {part}".strip()
        if lines[-1] and pane.length(longer, size) > room:
            lines.append(part)
        else:
            lines[-1] = longer
    return lines


def thumbnail(pane: Sheet, box: tuple[int, int, int, int], rng: Rng) -> None:
    """A little picture: sky, sun and hills in flat colours."""
    x0, y0, x1, y1 = box
    if x1 - x0 < 8:
        return
    turn = rng.random()
    pane.box(box, hue(turn, 0.35, 0.92))
    disc(
        pane,
        (x0 + (x1 - x0) * rng.between(0.2, 0.8), y0 + (y1 - y0) * 0.35),
        (y1 - y0) * 0.14,
        (255, 240, 200),
    )
    for k in range(2):
        low = y0 + (y1 - y0) * (0.55 + 0.2 * k)
        ridge = [(x0 + (x1 - x0) * i / 6, low - (y1 - y0) * 0.2 * rng.random()) for i in range(7)]
        path(pane, [*ridge, (x1, y1), (x0, y1)], hue(turn + 0.3, 0.5, 0.6 - 0.2 * k), 0, closed=True)
