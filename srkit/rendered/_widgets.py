"""Themes of screens, antialiased shapes, and form widgets."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from PIL import Image, ImageDraw

from srkit.rendered.canvas import Box, Colour, Point, Rng, Sheet
from srkit.rendered.colours import hue, mix, paint, shade
from srkit.rendered.lettering import fitted, menu, noun, number, person, term, title

_SMOOTH = 4  # supersampling of curves
_WHITE = (255, 255, 255)


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
    code: tuple[Colour, ...]  # see `_CODE`


_CODE = {  # keywords, names, strings, numbers, comments
    "light": ((160, 20, 150), (20, 70, 180), (170, 60, 20), (20, 120, 90), (110, 130, 110)),
    "dark": ((198, 120, 221), (97, 175, 239), (152, 195, 121), (209, 154, 102), (110, 118, 132)),
}


def theme_of(kind: str, accent: str, rng: Rng) -> Theme:
    """Light, dark or tinted theme with an accent of a named colour."""
    turn, bright = rng.random(), paint(accent, rng.child("accent"), (0.75, 0.75), (0.8, 0.8))
    other = hue(turn, 0.5, 0.55)
    if kind == "light":
        paper, raised, bar, line = (255, 255, 255), (250, 250, 250), (236, 237, 240), (205, 207, 212)
        return Theme(other, paper, raised, bar, line, (28, 30, 34), (120, 124, 132), bright, _CODE["light"])
    dark = kind == "dark"
    if dark:
        base, factors = mix((20, 22, 26), hue(turn, 0.6, 0.3), 0.4), (0.6, 1.0, 1.5, 1.3, 2.0)
    else:
        base, factors = mix((248, 246, 240), hue(turn, 0.25, 1.0), 0.3), (0.8, 1.0, 1.03, 0.93, 0.83)
    desk, paper, raised, bar, line = (shade(base, factor) for factor in factors)
    text, dim = ((220, 223, 228), (128, 134, 146)) if dark else ((44, 40, 36), (130, 122, 112))
    return Theme(desk, paper, raised, bar, line, text, dim, bright, _CODE["dark" if dark else "light"])


def smooth(sheet: Sheet, box: Box, ink: Colour, shape: Callable[[ImageDraw.ImageDraw, float], None]) -> None:
    """Fill the part of `box` that `shape` covers; `shape` draws in white, at a given number of samples per pixel."""
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


def thumbnail(pane: Sheet, box: tuple[int, int, int, int], rng: Rng) -> None:
    """Draw a small image of sky, sun and hills in flat colours."""
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


def form(pane: Sheet, theme: Theme, rng: Rng) -> None:
    """Draw labels with fields, check boxes, switches, sliders and buttons."""
    size, y = rng.whole(11, 15), 12
    while y < pane.height:
        y += rng.pick((_field, _checks, _switch, _slider, _buttons, _heading))(pane, y, size, theme, rng)


_MARGIN = 14  # pixels beside the widgets of a form; each widget is drawn from `y` on and returns its height


def _field(pane: Sheet, y: int, size: int, theme: Theme, rng: Rng) -> int:
    pane.text((_MARGIN, y + 6), f"{menu(rng)} {term(rng)}", size - 1, theme.dim)
    pane.box((_MARGIN, y + 15, pane.width - _MARGIN, y + 39), theme.raised, theme.line, 1)
    filled = rng.pick((title(rng), number(rng), f"{person(rng).lower()}@mail.net"))
    pane.text((_MARGIN + 7, y + 27), filled, size, theme.text)
    return 48


def _checks(pane: Sheet, y: int, size: int, theme: Theme, rng: Rng) -> int:
    count = rng.whole(1, 4)
    for k in range(count):
        on, top, x = rng.chance(0.5), y + 23 * k, _MARGIN
        fill, edge = (theme.accent, theme.accent) if on else (theme.paper, theme.dim)
        pane.box((x, top + 6, x + 13, top + 19), fill, edge, 1)
        if on:
            path(pane, [(x + 3, top + 12.5), (x + 5.5, top + 15.5), (x + 10.5, top + 9)], _WHITE, 1.6)
        pane.text((x + 21, top + 13), f"{menu(rng)} {noun(rng)}s", size, theme.text)
    return 23 * count


def _switch(pane: Sheet, y: int, size: int, theme: Theme, rng: Rng) -> int:
    on, right = rng.chance(0.5), pane.width - _MARGIN
    pane.text((_MARGIN, y + 13), f"{menu(rng)} {term(rng)}", size, theme.text)
    rounded(pane, (right - 34, y + 4, right, y + 22), 9, theme.accent if on else theme.line)
    disc(pane, (right - (9 if on else 25), y + 13), 7, _WHITE)
    return 30


def _slider(pane: Sheet, y: int, size: int, theme: Theme, rng: Rng) -> int:
    right = pane.width - _MARGIN
    knob = _MARGIN + (right - _MARGIN) * rng.between(0.1, 0.9)
    pane.text((_MARGIN, y + 6), f"{term(rng).capitalize()}: {number(rng)}", size - 1, theme.text)
    pane.box((_MARGIN, y + 23, right, y + 26), theme.line)
    pane.box((_MARGIN, y + 23, round(knob), y + 26), theme.accent)
    disc(pane, (knob, y + 24.5), 7, theme.accent)
    return 40


def _buttons(pane: Sheet, y: int, size: int, theme: Theme, rng: Rng) -> int:
    x = _MARGIN
    while x < pane.width - _MARGIN - 60:
        label, filled = menu(rng), rng.chance(0.5)
        wide = round(pane.length(label, size)) + 24
        rounded(pane, (x, y, x + wide, y + 27), 4, theme.accent if filled else theme.line)
        if not filled:
            rounded(pane, (x + 1, y + 1, x + wide - 1, y + 26), 3, theme.raised)
        pane.text((x + wide // 2, y + 13), label, size, _WHITE if filled else theme.text, anchor="mm")
        x += wide + 8
    return 38


def _heading(pane: Sheet, y: int, size: int, theme: Theme, rng: Rng) -> int:
    right = pane.width - _MARGIN
    words = fitted(pane, title(rng), size + 4, right - _MARGIN)
    pane.text((_MARGIN, y + 12), words, size + 4, theme.text, bold=0.4)
    pane.box((_MARGIN, y + 26, right, y + 27), theme.line)
    return 36
