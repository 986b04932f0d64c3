"""Screens: windows with code, articles, tables, forms, icons, charts, chats and terminals.

A screen is a grid of pixels, so here nothing is drawn larger: boxes lie on the grid and FreeType sets the letters at
their own size, 9 to 30 pixels, as desktops do; only curves are drawn finer and reduced to coverage. One seed in
three is a display of double density, on which everything has twice as many pixels.
"""

from __future__ import annotations

import numpy as np
from PIL import Image

from srkit.rendered.canvas import Pixels, Sheet, between, pick
from srkit.rendered._panes import CONTENTS
from srkit.rendered._widgets import Theme, disc, fitted, some_theme
from srkit.rendered._words import menu, title

Box = tuple[int, int, int, int]
_LEAST_DENSE = 256


def draw(width: int, height: int, seed: int, density: int | None = None) -> Pixels:
    """The picture, (height, width, 3).

    Args:
        density: pixels of the picture to a pixel of the desktop's layout; None: 1 or 2, by the seed, and 1 where a
            side is too short to show much at 2.
    """
    rng = np.random.default_rng(seed)
    dense = rng.chance(0.33) and min(width, height) >= _LEAST_DENSE
    density = density or (2 if dense else 1)
    theme = some_theme(rng)
    desktop = _desktop(-(-width // density), -(-height // density), theme, density, rng)
    return np.array(desktop.image.convert("RGB"))[:height, :width]


def _desktop(width: int, height: int, theme: Theme, density: int, rng: Rng) -> Sheet:
    desktop = Sheet(width, height, theme.desk, density)
    gap = rng.whole(0, 14)
    whole = (gap, gap, width - gap, height - gap)
    bar = rng.whole(22, 31) if rng.chance(0.5) and height > 150 else 0
    if bar:
        _menu_bar(desktop, bar, theme, rng)
        whole = (gap, bar + gap, width - gap, height - gap)
    largest = rng.whole(220, 420)
    for box in _tiles(whole, largest, gap, rng):
        inside = theme if rng.chance(0.75) else some_theme(rng)
        _window(desktop, box, inside, rng)
    if rng.chance(0.5) and min(width, height) >= 200:
        _floating(desktop, theme, rng)
    return desktop


def _tiles(box: Box, largest: int, gap: int, rng: Rng) -> list[Box]:
    x0, y0, x1, y1 = box
    wide, tall = x1 - x0, y1 - y0
    if max(wide, tall) < largest or (max(wide, tall) < 1.6 * largest and rng.chance(0.35)):
        return [box]
    share = rng.between(0.33, 0.67)
    if wide > tall * rng.between(0.75, 1.2):
        cut = x0 + int(wide * share)
        parts = ((x0, y0, cut, y1), (cut + gap, y0, x1, y1))
    else:
        cut = y0 + int(tall * share)
        parts = ((x0, y0, x1, cut), (x0, cut + gap, x1, y1))
    return [tile for part in parts for tile in _tiles(part, largest, gap, rng)]


def _window(desktop: Sheet, box: Box, theme: Theme, rng: Rng) -> None:
    x0, y0, x1, y1 = box
    wide, tall = x1 - x0, y1 - y0
    if wide < 24 or tall < 24:
        return
    head = rng.whole(20, 31) if tall > 90 and rng.chance(0.8) else 0
    window = Sheet(wide, tall, theme.paper, desktop.finer)
    if head:
        _title_bar(window, head, theme, rng)
    content = Sheet(max(1, wide - 2), max(1, tall - head - 1), theme.paper, desktop.finer)
    rng.pick(CONTENTS)(content, theme, rng)
    window.lay(content, (1, head))
    window.box((0, 0, wide, tall), None, theme.line, 1)
    desktop.lay(window, (x0, y0))


def _title_bar(window: Sheet, head: int, theme: Theme, rng: Rng) -> None:
    wide = window.width
    window.box((0, 0, wide, head), theme.bar)
    window.box((0, head - 1, wide, head), theme.line)
    size = rng.whole(11, 14)
    name = title(rng)
    if rng.chance(0.5):
        for k, colour in enumerate(((255, 95, 86), (255, 189, 46), (39, 201, 63))):
            disc(window, (14 + 18 * k, head / 2), 5.5, colour)
        name = fitted(window, name, size, wide - 80)
        window.text((66 + (wide - 66) // 2, head // 2), name, size, theme.text, anchor="mm", bold=0.3)
        return
    window.box((8, head // 2 - 6, 20, head // 2 + 6), theme.accent)
    window.text(
        (27, head // 2), fitted(window, name, size, wide - (105 if wide > 140 else 50)), size, theme.text
    )
    y = head // 2
    if wide > 140:
        window.line([(wide - 66, y), (wide - 57, y)], theme.text, 1)
        window.box((wide - 42, y - 4, wide - 33, y + 5), None, theme.text, 1)
    for dx in (-4, 4):
        window.line([(wide - 14 - dx, y - 4), (wide - 14 + dx, y + 4)], theme.text, 1)


def _menu_bar(desktop: Sheet, bar: int, theme: Theme, rng: Rng) -> None:
    desktop.box((0, 0, desktop.width, bar), theme.bar)
    size, x = rng.whole(11, 15), 12
    while x < desktop.width - 120:
        word = menu(rng)
        desktop.text((x, bar // 2), word, size, theme.text, bold=0.4 if x == 12 else 0)
        x += round(desktop.length(word, size)) + rng.whole(12, 20)
    clock = f"{rng.whole(24):02d}:{rng.whole(60):02d}"
    desktop.text((desktop.width - 10, bar // 2), clock, size, theme.text, anchor="rm")


def _floating(desktop: Sheet, theme: Theme, rng: Rng) -> None:
    """A menu or a message above the windows, with its shadow."""
    size = rng.whole(11, 15)
    rows = rng.whole(4, 9)
    wide, step = rng.whole(120, 190), size + rng.whole(8, 14)
    tall = rows * step + 10
    x = rng.whole(4, max(5, desktop.width - wide - 4))
    y = rng.whole(4, max(5, desktop.height - tall - 4))
    f = desktop.finer
    for k in range(4):  # veils on each other make a soft edge
        veil = Image.new("L", ((wide + 2 * k) * f, (tall + 2 * k) * f), 30)
        desktop.image.paste((0, 0, 0), ((x - k + 1) * f, (y - k + 4) * f), veil)
    desktop.box((x, y, x + wide, y + tall), theme.raised, theme.line, 1)
    chosen = rng.whole(rows)
    for k in range(rows):
        middle = y + 5 + k * step + step // 2
        ink = theme.text
        if k == chosen:
            desktop.box((x + 3, middle - step // 2, x + wide - 3, middle + step // 2), theme.accent)
            ink = (255, 255, 255)
        desktop.text((x + 12, middle), menu(rng), size, ink)
        if rng.chance(0.5):
            desktop.text((x + wide - 10, middle), f"Ctrl+{rng.pick('ACEFNOPQSVWXZ')}", size, ink, anchor="rm")
        elif rng.chance(0.2) and k != chosen:
            desktop.box((x + 4, middle + step // 2, x + wide - 4, middle + step // 2 + 1), theme.line)
