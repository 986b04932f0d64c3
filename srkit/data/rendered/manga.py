"""Manga-like pages: panels, ink of varying width, figures, speed lines, screentone, balloons with lettering.

Nearly gray. Panels are 110 to 340 pixels wide whatever the picture's size, lettering 7 to 12 pixels, screentone has
a pitch of 3 to 8 pixels.
"""

from __future__ import annotations

import math

import numpy as np

from srkit.data.rendered._backgrounds import (
    backdrop,
    burst,
    city,
    landscape,
    parallel_lines,
    radial_lines,
    room,
)
from srkit.data.rendered._canvas import Pixels, Point, Sheet, between, pick
from srkit.data.rendered._figures import INK, PAPER, bust
from srkit.data.rendered._words import noun

Quad = tuple[Point, Point, Point, Point]  # from the upper left, clockwise

_LINES = (
    "What?!", "No way!", "Run!", "Wait!", "Look out!", "It can't be...", "You again?", "Ha ha!", "Huh?", "Stop!",
    "Over there!", "Hurry!", "At last...", "I knew it!", "Who is it?", "Finally!", "Not yet!",
    "Where is the {}?", "The {} is gone!", "I saw it by the {}.", "Not without my {}!", "Give me that {}!",
    "We have to reach the {} before the {} does.", "So this is the {} they spoke of...", "Remember the {}?",
    "The {} was here yesterday!", "Nobody leaves the {}!", "My {}! It was in the {} all along!",
    "Is that really your {}?", "Meanwhile, at the {}...", "One {}, one {} and no time left.",
)  # fmt: skip
_SOUNDS = (
    "BAM",
    "DOOM",
    "SWOOSH",
    "CRASH",
    "THUD",
    "KLANG",
    "ZING",
    "RUMBLE",
    "SLAM",
    "WHAM",
    "CLICK",
    "GASP",
    "TAP",
)


def draw(width: int, height: int, seed: int) -> Pixels:
    """The picture, (height, width, 3)."""
    rng = np.random.default_rng(seed)
    page = Sheet(width, height, PAPER)
    size = between(rng, 150, 300)
    margin = min(between(rng, 3, 14), width / 10, height / 10)
    whole: Quad = (
        (margin, margin),
        (width - margin, margin),
        (width - margin, height - margin),
        (margin, height - margin),
    )
    gutter = between(rng, 4, 9)
    border = between(rng, 1.0, 2.4)
    for quad in _panels(whole, size, gutter, rng):
        _panel(page, quad, rng)
        page.polygon(quad, None, INK, border)
        _balloons(page, quad, rng)
    return _printed(page.reduced(), rng)


def _printed(pixels: Pixels, rng: np.random.Generator) -> Pixels:
    """Some pages are on cream paper in a warm black: nearly gray, not quite."""
    warm = between(rng, 0, 1) if rng.random() < 0.4 else 0.0
    high, low = np.array([253, 253 - 5 * warm, 253 - 16 * warm]), np.array([22, 22 - 2 * warm, 22 - 4 * warm])
    ramp = low + (high - low) * (np.clip(np.arange(256)[:, None] - 22, -8, 231) / 230)
    table = np.clip(ramp.round(), 0, 255).astype(np.uint8)
    printed: Pixels = table[pixels[:, :, 0]]
    return printed


def _panels(quad: Quad, size: float, gutter: float, rng: np.random.Generator) -> list[Quad]:
    """Cut into panels whose sides are near `size`, some of the cuts aslant."""
    a, b, c, d = quad
    wide, tall = (math.dist(a, b) + math.dist(d, c)) / 2, (math.dist(a, d) + math.dist(b, c)) / 2
    longest = max(wide, tall)
    if longest < size * 0.9 or (longest < size * 1.5 and rng.random() < 0.55):
        return [quad]
    across = tall * between(rng, 0.8, 1.25) < wide  # a cut that runs down
    at = between(rng, 0.36, 0.64)
    aslant = between(rng, -0.09, 0.09) if rng.random() < 0.45 else 0.0
    gap = gutter / longest / 2 * (1.0 if across else 1.4)
    if across:
        up, down = _along(a, b, at + aslant, gap), _along(d, c, at - aslant, gap)
        parts: tuple[Quad, Quad] = ((a, up[0], down[0], d), (up[1], b, c, down[1]))
    else:
        left, right = _along(a, d, at + aslant, gap), _along(b, c, at - aslant, gap)
        parts = ((a, b, right[0], left[0]), (left[1], right[1], c, d))
    return [panel for part in parts for panel in _panels(part, size, gutter, rng)]


def _along(p: Point, q: Point, at: float, gap: float) -> tuple[Point, Point]:
    def point(t: float) -> Point:
        return (p[0] + (q[0] - p[0]) * t, p[1] + (q[1] - p[1]) * t)

    return point(at - gap), point(at + gap)


def _panel(page: Sheet, quad: Quad, rng: np.random.Generator) -> None:
    left, top = math.floor(min(p[0] for p in quad)), math.floor(min(p[1] for p in quad))
    right, bottom = math.ceil(max(p[0] for p in quad)), math.ceil(max(p[1] for p in quad))
    panel = Sheet(max(8, right - left), max(8, bottom - top), PAPER)
    pick(rng, _SCENES)(panel, rng)
    page.lay(panel, (left, top), quad)


# What a panel shows.


def _close_up(panel: Sheet, rng: np.random.Generator) -> None:
    backdrop(panel, rng)
    size = min(panel.width, panel.height) * between(rng, 0.24, 0.36)
    at = (panel.width * between(rng, 0.35, 0.65), panel.height * between(rng, 0.45, 0.58))
    bust(panel, at, max(10.0, size), rng)


def _conversation(panel: Sheet, rng: np.random.Generator) -> None:
    pick(rng, (backdrop, city, room))(panel, rng)
    size = max(9.0, min(panel.width / 6.5, panel.height / 5))
    for x in (0.27, 0.73):
        at = (
            panel.width * (x + between(rng, -0.04, 0.04)),
            panel.height * between(rng, 0.5, 0.62),
        )
        bust(panel, at, size * between(rng, 0.85, 1.15), rng)


def _action(panel: Sheet, rng: np.random.Generator) -> None:
    w, h = panel.width, panel.height
    focus = (w * between(rng, 0.3, 0.7), h * between(rng, 0.35, 0.65))
    dark = rng.random() < 0.35
    if dark:
        panel.box((0, 0, w, h), INK)
    if rng.random() < 0.7:
        radial_lines(panel, focus, PAPER if dark else INK, rng)
    else:
        parallel_lines(panel, PAPER if dark else INK, rng)
    if rng.random() < 0.6:
        bust(panel, focus, max(9.0, min(w, h) * between(rng, 0.16, 0.26)), rng)
    else:
        burst(panel, focus, min(w, h) * 0.33, rng)
    _sound(panel, rng)


def _outside(panel: Sheet, rng: np.random.Generator) -> None:
    pick(rng, (city, landscape))(panel, rng)
    if rng.random() < 0.5:
        at = (panel.width * between(rng, 0.25, 0.75), panel.height * between(rng, 0.55, 0.7))
        bust(panel, at, max(9.0, min(panel.width, panel.height) * between(rng, 0.12, 0.2)), rng)


def _inside(panel: Sheet, rng: np.random.Generator) -> None:
    room(panel, rng)
    if rng.random() < 0.7:
        at = (panel.width * between(rng, 0.3, 0.7), panel.height * between(rng, 0.5, 0.65))
        bust(panel, at, max(9.0, min(panel.width, panel.height) * between(rng, 0.15, 0.24)), rng)


_SCENES = (_close_up, _close_up, _conversation, _action, _action, _outside, _inside)


# Lettering.


def _sound(panel: Sheet, rng: np.random.Generator) -> None:
    """A sound in large letters, each turned a little."""
    letters = pick(rng, _SOUNDS) + pick(rng, ("", "!", "!!"))
    size = min(panel.width / (0.62 * len(letters) + 1), panel.height * 0.4) * between(rng, 0.7, 1.0)
    if size < 10:
        return
    x, y = panel.width * 0.08 + size * 0.4, panel.height * pick(rng, (0.2, 0.8))
    slope = between(rng, -0.25, 0.25)
    placed = []
    for letter in letters:
        grow = size * between(rng, 0.9, 1.2)
        half = panel.length(letter, grow) / 2 + size * 0.06
        placed.append(
            (
                (x + half, y + between(rng, -0.08, 0.08) * size),
                letter,
                grow,
                between(rng, -14, 14) or 1.0,
            )
        )
        x += 2 * half
        y += slope * size * 0.5
    inks = (PAPER, INK) if rng.random() < 0.5 else (INK, PAPER)
    for ink, thick in zip(inks, (0.17, 0.07), strict=True):
        for at, letter, grow, turn in placed:
            panel.text(at, letter, grow, ink, bold=size * thick, angle=turn)


def _balloons(page: Sheet, quad: Quad, rng: np.random.Generator) -> None:
    wide, tall = math.dist(quad[0], quad[1]), math.dist(quad[0], quad[3])
    chance = 0.9 if wide * tall > 30000 else 0.6
    corners = [(0.0, 0.0), (1.0, 0.05), (1.0, 1.0), (0.0, 1.0)]
    start = int(rng.integers(4))
    for k in range(2):
        if rng.random() > chance * (1 - 0.4 * k) or min(wide, tall) < 50:
            continue
        u, v = corners[(start + k) % 4]
        x = quad[0][0] + (quad[1][0] - quad[0][0]) * u + (quad[3][0] - quad[0][0]) * v
        y = quad[0][1] + (quad[1][1] - quad[0][1]) * u + (quad[3][1] - quad[0][1]) * v
        _balloon(page, (x, y), (wide * 0.46, tall * 0.34), (0.5 - u, 0.5 - v), rng)


def _balloon(page: Sheet, corner: Point, room: Point, toward: Point, rng: np.random.Generator) -> None:
    """Lettering in a balloon near a panel's `corner` that takes about `room`; its tail points `toward` the speaker."""
    size = between(rng, 7.0, 12.0)
    words = pick(rng, _LINES).format(noun(rng), noun(rng)).upper().split()
    lines = _broken(page, words, size, max(room[0] * 0.72, size * 3.4))
    while len(lines) > 1 and len(lines) * size * 1.15 > room[1] * 0.8:
        size *= 0.9
        lines = _broken(page, words, size, max(room[0] * 0.72, size * 3.4))
        if size < 6.5:
            return
    rx = max(page.length(line, size) for line in lines) * 0.5 * 1.25 + size * 0.7
    ry = len(lines) * size * 0.58 * 1.3 + size * 0.75
    x = corner[0] + (rx + 5) * (1 if toward[0] > 0 else -1)
    y = corner[1] + (ry + 5) * (1 if toward[1] > 0 else -1)
    at = (min(max(x, rx + 2), page.width - rx - 2), min(max(y, ry + 2), page.height - ry - 2))
    kind = pick(rng, ("round", "round", "round", "burst", "cloud", "box"))
    paper, ink = (INK, PAPER) if rng.random() < 0.06 else (PAPER, INK)
    if kind == "box":
        page.box((at[0] - rx, at[1] - ry, at[0] + rx, at[1] + ry), paper, INK, 1.3)
    else:
        page.polygon(_outline(at, rx, ry, kind, toward, rng), paper, INK, between(rng, 0.9, 1.9))
    for k, line in enumerate(lines):
        middle = at[1] + (k - (len(lines) - 1) / 2) * size * 1.16
        page.text((at[0], middle), line, size, ink, anchor="mm", bold=size * 0.03)


def _outline(
    at: Point, rx: float, ry: float, kind: str, toward: Point, rng: np.random.Generator
) -> list[Point]:
    points = []
    spikes = int(rng.integers(12, 20))
    aim = math.atan2(toward[1] * ry, toward[0] * rx)
    for k in range(120):
        angle = 2 * math.pi * k / 120
        radius = 1.0
        if kind == "burst":
            phase = angle * spikes / (2 * math.pi) % 1.0
            radius = 0.98 + 0.34 * (1 - 2 * abs(phase - 0.5)) ** 2
        elif kind == "cloud":
            radius = 1.0 + 0.12 * abs(math.sin(angle * 5))
        away = abs((angle - aim + math.pi) % (2 * math.pi) - math.pi)
        if kind == "round" and away < 0.16:
            radius += (0.16 - away) / 0.16 * 0.55
        points.append((at[0] + rx * radius * math.cos(angle), at[1] + ry * radius * math.sin(angle)))
    return points


def _broken(page: Sheet, words: list[str], size: float, room: float) -> list[str]:
    lines = [words[0]]
    for word in words[1:]:
        longer = f"{lines[-1]} {word}"
        if page.length(longer, size) <= room:
            lines[-1] = longer
        else:
            lines.append(word)
    return lines
