"""Windows to work in: forms, files, charts, calendars; and the list of all that a window can show."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from srkit.rendered.canvas import Colour, Sheet, between, hue, pick, shade
from srkit.rendered._reading import article, chat, editor, inbox, table, terminal
from srkit.rendered._widgets import Theme, disc, fitted, path, rounded, thumbnail
from srkit.rendered._words import menu, noun, number, person, term, title, word

_WHITE = (255, 255, 255)


def form(pane: Sheet, theme: Theme, rng: Rng) -> None:
    """Labels with fields, check boxes, switches, sliders and buttons."""
    size, y = rng.whole(11, 15), 12
    while y < pane.height:
        y += rng.pick((_field, _checks, _switch, _slider, _buttons, _heading))(pane, y, size, theme, rng)


_MARGIN = 14  # pixels beside the widgets of a form; each of them draws from `y` on and tells its height


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


def files(pane: Sheet, theme: Theme, rng: Rng) -> None:
    """A grid of icons with names."""
    size, cell = rng.whole(9, 13), rng.whole(62, 88)
    icon = cell // 2
    for top in range(8, pane.height, cell + size):
        for left in range(4, pane.width, cell + 6):
            x, y = left + (cell - icon) // 2, top
            _icon(pane, (x, y), icon, theme, rng)
            name = rng.pick((noun(rng), f"{noun(rng)}.txt", f"IMG_{rng.whole(9999):04d}", f"{menu(rng)}"))
            pane.text(
                (left + cell // 2, y + icon + 5 + size // 2),
                fitted(pane, name, size, cell + 2),
                size,
                theme.text,
                anchor="mm",
            )


def _icon(pane: Sheet, at: tuple[int, int], size: int, theme: Theme, rng: Rng) -> None:
    colour = hue(rng.random(), rng.between(0.4, 0.8), rng.between(0.6, 0.95))
    kind = rng.whole(6)
    if kind == 0:
        x, y = at
        thumbnail(pane, (x, y + size // 8, x + size, y + size - size // 8), rng)
    else:
        (_folder, _page, _music, _gear, _lens)[kind - 1](pane, at, size, colour, theme)


def _folder(pane: Sheet, at: tuple[int, int], size: int, colour: Colour, theme: Theme) -> None:
    x, y = at
    rounded(pane, (x, y + size // 8, x + size // 2, y + size // 2), 3, shade(colour, 0.8))
    rounded(pane, (x, y + size // 4, x + size, y + size - 2), 3, colour)


def _page(pane: Sheet, at: tuple[int, int], size: int, colour: Colour, theme: Theme) -> None:
    x, y = at
    pane.box((x + size // 6, y, x + size - size // 6, y + size), (252, 252, 252), theme.dim, 1)
    for k in range(4):
        line = y + size // 5 + k * size // 6
        pane.box((x + size // 4, line, x + size - size // 4 - (k % 2) * 4, line + 1), shade(colour, 0.7))


def _music(pane: Sheet, at: tuple[int, int], size: int, colour: Colour, theme: Theme) -> None:
    x, y = at
    rounded(pane, (x, y, x + size, y + size), size / 5, colour)
    low, high = ((0.36, 0.68), (0.64, 0.62)), ((0.46, 0.28), (0.74, 0.22))
    for u, v in low:
        disc(pane, (x + size * u, y + size * v), size * 0.11, _WHITE)
    stems = ((low[0][0] + 0.1, low[0][1]), *high, (low[1][0] + 0.1, low[1][1]))
    path(pane, [(x + size * u, y + size * v) for u, v in stems], _WHITE, size * 0.05)


def _gear(pane: Sheet, at: tuple[int, int], size: int, colour: Colour, theme: Theme) -> None:
    x, y = at[0] + size / 2, at[1] + size / 2
    points = []
    for k in range(32):
        radius, angle = size * (0.48 if k % 4 < 2 else 0.37), math.pi * k / 16
        points.append((x + radius * math.cos(angle), y + radius * math.sin(angle)))
    path(pane, points, colour, 0, closed=True)
    disc(pane, (x, y), size * 0.15, theme.paper)


def _lens(pane: Sheet, at: tuple[int, int], size: int, colour: Colour, theme: Theme) -> None:
    x, y = at
    disc(pane, (x + size * 0.42, y + size * 0.42), size * 0.36, colour)
    disc(pane, (x + size * 0.42, y + size * 0.42), size * 0.25, theme.paper)
    path(pane, [(x + size * t, y + size * t) for t in (0.66, 0.92)], colour, size * 0.12)


def chart(pane: Sheet, theme: Theme, rng: Rng) -> None:
    """Bars, lines or a pie between labelled axes."""
    size = rng.whole(9, 13)
    pane.text(
        (12, 8 + size), fitted(pane, title(rng), size + 5, pane.width - 20), size + 5, theme.text, bold=0.4
    )
    left, top, right = 44, 30 + size, pane.width - 12
    while top < pane.height - 40:
        bottom = min(pane.height - 24, top + rng.whole(90, 170))
        rows = max(2, (bottom - top) // 26)
        for k in range(rows + 1):
            y = bottom - (bottom - top) * k // rows
            pane.box((left, y, right, y + 1), theme.line)
            pane.text((left - 6, y), f"{k * 20}", size, theme.dim, anchor="rm")
        count = max(3, (right - left) // rng.whole(18, 42))
        step = (right - left) / count
        turn, kind = rng.random(), rng.random()
        values = np.clip(np.cumsum(rng.uniform(-0.25, 0.27, (2, count)), axis=1) + 0.5, 0.05, 0.98)
        for series in range(2):
            colour = hue(turn + 0.37 * series, 0.65, 0.8)
            points = [
                (left + step * (k + 0.5), bottom - (bottom - top) * float(values[series, k]))
                for k in range(count)
            ]
            if kind < 0.5:
                for x, height in points:
                    x0 = round(x - step * 0.36 + series * step * 0.36)
                    pane.box((x0, round(height), round(x0 + step * 0.33), bottom), colour)
            else:
                path(pane, points, colour, 2.0)
                for at in points[:: max(1, count // 12)]:
                    disc(pane, at, 3, colour)
        for k in range(0, count, max(1, int(40 / step))):
            pane.text(
                (left + round(step * (k + 0.5)), bottom + 4 + size // 2),
                f"{word(rng)[:3].capitalize()}",
                size,
                theme.dim,
                anchor="mm",
            )
        top = bottom + 34


def month(pane: Sheet, theme: Theme, rng: Rng) -> None:
    """A calendar with entries."""
    size = rng.whole(9, 13)
    columns = 7 if pane.width > 230 else 4
    cell_w, cell_h = pane.width // columns, rng.whole(40, 66)
    day = rng.whole(1, 8)
    for k in range(columns):
        pane.text(
            (k * cell_w + cell_w // 2, 9),
            ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")[k],
            size,
            theme.dim,
            anchor="mm",
        )
    for y in range(18, pane.height, cell_h):
        for k in range(columns):
            x = k * cell_w
            pane.box((x, y, x + cell_w + 1, y + cell_h + 1), None, theme.line, 1)
            pane.text((x + 4, y + 8), str(day), size, theme.text)
            day = day % 31 + 1
            for entry in range(rng.whole(0, 3)):
                top = y + 16 + entry * (size + 3)
                colour = hue(rng.random(), 0.45, 0.8)
                if top + size + 2 < y + cell_h:
                    pane.box((x + 2, top, x + cell_w - 1, top + size + 2), colour)
                    pane.text(
                        (x + 4, top + size // 2 + 1),
                        fitted(pane, noun(rng), size - 1, cell_w - 5),
                        size - 1,
                        (255, 255, 255),
                    )


CONTENTS: tuple[Callable[[Sheet, Theme, Rng], None], ...] = (
    editor, editor, article, article, table, table, form, files, chart, chat, terminal, inbox, month,
)  # fmt: skip
