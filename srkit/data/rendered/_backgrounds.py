"""What is behind the figures of a comic: screentone, speed lines, hatching, towns, hills, rooms."""

from __future__ import annotations

import math

import numpy as np

from srkit.data.rendered._canvas import Point, Sheet, between, curve, pick
from srkit.data.rendered._figures import INK, PAPER
from srkit.data.rendered._screentone import Pattern, tone


def backdrop(panel: Sheet, rng: np.random.Generator) -> None:
    w, h = panel.width, panel.height
    whole = [(0.0, 0.0), (float(w), 0.0), (float(w), float(h)), (0.0, float(h))]
    pitch = _ruling(rng)
    kind = int(rng.integers(6))
    if kind == 0:
        radial_lines(panel, (w / 2, h / 2), INK, rng)
    elif kind == 1:
        levels = (between(rng, 0.0, 0.2), between(rng, 0.4, 0.85))
        tone(panel, whole, levels if rng.random() < 0.6 else levels[::-1], pitch, INK)
    elif kind == 2:
        pattern: Pattern = pick(rng, ("dots", "lines", "grain"))
        tone(panel, whole, between(rng, 0.12, 0.5), pitch, INK, pattern)
    elif kind == 3:
        _hatching(panel, rng)
    elif kind == 4:
        panel.box((0, 0, w, h), INK)
        for _ in range(int(w * h / 900)):
            at = (between(rng, 0, w), between(rng, 0, h))
            panel.ellipse(at, between(rng, 0.3, 1.4), PAPER)
    else:
        tone(panel, whole, (0.25, 0.05), pitch, INK)
        for _ in range(int(rng.integers(6, 16))):
            _sparkle(panel, (between(rng, 0, w), between(rng, 0, h)), between(rng, 4, 16))


def _ruling(rng: np.random.Generator) -> float:
    """The pitch of a screen in pixels: 3 to 8, fine ones more often."""
    return 3 + 5 * float(rng.random()) ** 2


def _sparkle(panel: Sheet, at: Point, size: float) -> None:
    points = []
    for k in range(8):
        radius, angle = (size if k % 2 == 0 else size * 0.18), math.pi * k / 4
        points.append((at[0] + radius * math.sin(angle), at[1] - radius * math.cos(angle)))
    panel.polygon(points, PAPER, INK, 0.6)


def radial_lines(panel: Sheet, focus: Point, ink: int, rng: np.random.Generator) -> None:
    w, h = panel.width, panel.height
    reach = math.hypot(w, h)
    free = min(w, h) * between(rng, 0.28, 0.45)
    angle = 0.0
    while angle < 2 * math.pi:
        angle += between(rng, 0.01, 0.07)
        start = free * between(rng, 0.85, 1.6)
        dx, dy = math.cos(angle), math.sin(angle)
        ends = [(focus[0] + dx * r, focus[1] + dy * r) for r in (reach, (reach + start) / 2, start)]
        panel.stroke(ends, ink, between(rng, 0.6, 3.4), (1.6, 0.0))


def parallel_lines(panel: Sheet, ink: int, rng: np.random.Generator) -> None:
    w, h = panel.width, panel.height
    reach = math.hypot(w, h)
    angle = between(rng, -0.5, 0.5)
    dx, dy = math.cos(angle), math.sin(angle)
    offset = -reach / 2
    while offset < reach / 2:
        offset += between(rng, 1.6, 9)
        start, length = between(rng, -0.6, 0.2) * reach, between(rng, 0.3, 0.9) * reach
        x, y = w / 2 - dy * offset, h / 2 + dx * offset
        ends = [(x + dx * (start + length * t), y + dy * (start + length * t)) for t in (0.0, 0.5, 1.0)]
        panel.stroke(ends, ink, between(rng, 0.5, 2.6), (0.9, 0.0))


def _hatching(panel: Sheet, rng: np.random.Generator) -> None:
    """Patches of short parallel strokes, crossed where it is darker."""
    w, h = panel.width, panel.height
    step = between(rng, 13, 22)
    y = 0.0
    while y < h + step:
        x = 0.0
        while x < w + step:
            angle = between(rng, 0, math.pi)
            for _ in range(1 + int(rng.random() < y / h)):
                angle += 1.3
                dx, dy = math.cos(angle), math.sin(angle)
                for k in range(-3, 4):
                    cx, cy = x - dy * k * step / 7, y + dx * k * step / 7
                    ends = [(cx + dx * step * t, cy + dy * step * t) for t in (-0.5, 0.0, 0.5)]
                    panel.stroke(ends, INK, between(rng, 0.6, 1.3))
            x += step
        y += step


def city(panel: Sheet, rng: np.random.Generator) -> None:
    w, h = panel.width, panel.height
    sky = [(0.0, 0.0), (float(w), 0.0), (float(w), h * 0.8), (0.0, h * 0.8)]
    tone(panel, sky, (between(rng, 0.2, 0.6), 0.0), _ruling(rng), INK)
    _cloud(panel, (w * between(rng, 0.2, 0.8), h * between(rng, 0.12, 0.25)), w * 0.22, rng)
    for layer in range(2):
        x = -between(rng, 0, 20)
        while x < w:
            wide = between(rng, 24, 64)
            top = h * (between(rng, 0.18, 0.5) + 0.14 * layer)
            _building(panel, (x, top, x + wide, float(h)), rng)
            x += wide + between(rng, -2, 6)
    if rng.random() < 0.6:
        for k in range(3):
            y = h * (0.1 + 0.05 * k)
            sag = curve([(0.0, y), (w * 0.5, y + h * 0.08), (float(w), y - h * 0.03)], 10)
            panel.line(sag, INK, 0.8)


def _building(panel: Sheet, box: tuple[float, float, float, float], rng: np.random.Generator) -> None:
    x0, y0, x1, y1 = box
    panel.box(box, PAPER, INK, 1.2)
    face = pick(rng, ("white", "white", "tone", "hatch"))
    shape = [(x0 + 1, y0 + 1), (x1 - 1, y0 + 1), (x1 - 1, y1), (x0 + 1, y1)]
    if face == "tone":
        tone(panel, shape, between(rng, 0.1, 0.35), _ruling(rng), INK)
    elif face == "hatch":
        tone(panel, shape, 0.25, 3.5, INK, "lines")
    columns, cell = max(2, int((x1 - x0) / between(rng, 7, 13))), between(rng, 8, 15)
    lit = between(rng, 0.1, 0.9)
    y = y0 + 5
    while y < y1 - 6:
        for k in range(columns):
            x = x0 + (x1 - x0) * (k + 0.22) / columns
            window = (x, y, x + (x1 - x0) * 0.56 / columns, y + cell * 0.58)
            panel.box(window, PAPER if rng.random() < lit else INK, INK, 0.7)
        y += cell


def _cloud(panel: Sheet, at: Point, wide: float, rng: np.random.Generator) -> None:
    points = []
    count = int(rng.integers(7, 12))
    for k in range(count * 6):
        angle = 2 * math.pi * k / (count * 6)
        bump = 1 + 0.28 * abs(math.sin(angle * count / 2))
        points.append((at[0] + wide * bump * math.cos(angle), at[1] + wide * 0.38 * bump * math.sin(angle)))
    panel.polygon(points, PAPER, INK, 1.1)


def landscape(panel: Sheet, rng: np.random.Generator) -> None:
    w, h = panel.width, panel.height
    sky = [(0.0, 0.0), (float(w), 0.0), (float(w), h * 0.7), (0.0, h * 0.7)]
    tone(
        panel,
        sky,
        (between(rng, 0.2, 0.8), 0.0),
        _ruling(rng),
        INK,
        pick(rng, ("dots", "dots", "lines")),
    )
    panel.ellipse((w * between(rng, 0.2, 0.8), h * 0.22), min(w, h) * 0.12, PAPER, INK, 1.0)
    _cloud(panel, (w * between(rng, 0.1, 0.9), h * 0.3), w * 0.18, rng)
    for layer in range(3):
        base = h * (0.45 + 0.13 * layer)
        ridge = curve([(w * k / 5, base + h * between(rng, -0.09, 0.05)) for k in range(6)], 8)
        shape = [*ridge, (float(w), float(h)), (0.0, float(h))]
        panel.polygon(shape, PAPER)
        if rng.random() < 0.7:
            level = between(rng, 0.1, 0.55)
            tone(panel, shape, (level, level * 0.2), _ruling(rng), INK, pick(rng, ("dots", "grain")))
        panel.stroke(ridge, INK, 2.2, (0.6, 0.6))
    for _ in range(int(w / 16)):
        _tree(
            panel,
            (between(rng, 0, w), h * between(rng, 0.7, 1.0)),
            h * between(rng, 0.12, 0.25),
            rng,
        )
    for _ in range(int(w / 2)):
        x, y = between(rng, 0, w), h * between(rng, 0.8, 1.02)
        tall, lean = between(rng, 5, 14), between(rng, -4, 4)
        panel.stroke([(x, y), (x + lean * 0.3, y - tall * 0.6), (x + lean, y - tall)], INK, 1.3, (1.0, 0.0))


def _tree(panel: Sheet, foot: Point, tall: float, rng: np.random.Generator) -> None:
    x, y = foot
    panel.stroke([(x, y), (x, y - tall * 0.3), (x, y - tall * 0.6)], INK, tall * 0.1, (1.0, 0.5))
    black = rng.random() < 0.4
    for _ in range(5):
        cx, cy = x + tall * between(rng, -0.22, 0.22), y - tall * between(rng, 0.5, 0.95)
        blob = []
        for k in range(40):
            angle = 2 * math.pi * k / 40
            radius = tall * 0.2 * (1 + 0.22 * abs(math.sin(angle * 4)))
            blob.append((cx + radius * math.cos(angle), cy + radius * math.sin(angle)))
        panel.polygon(blob, INK if black else PAPER, PAPER if black else INK, 0.8)
        if not black:
            tone(panel, blob, (0.05, 0.5), 3.6, INK)


def room(panel: Sheet, rng: np.random.Generator) -> None:
    """A room in one-point perspective: boards, a window, a shelf."""
    w, h = float(panel.width), float(panel.height)
    x0, x1 = w * between(rng, 0.08, 0.25), w * between(rng, 0.75, 0.92)
    y0, y1 = h * between(rng, 0.05, 0.16), h * between(rng, 0.62, 0.75)
    far = ((x0 + x1) / 2, (y0 + y1) / 2)
    pitch = _ruling(rng)
    wall = [(x0, y0), (x1, y0), (x1, y1), (x0, y1)]
    if rng.random() < 0.7:
        tone(panel, wall, between(rng, 0.08, 0.3), pitch, INK, pick(rng, ("dots", "lines")))
    for side in ([(0.0, 0.0), (x0, y0), (x0, y1), (0.0, h)], [(w, 0.0), (x1, y0), (x1, y1), (w, h)]):
        tone(panel, side, (0.45, 0.15), pitch, INK)
    for k in range(13):
        x = x0 + (x1 - x0) * k / 12
        end = (far[0] + (x - far[0]) * 3, far[1] + (y1 - far[1]) * 3)
        panel.line([(x, y1), end], INK, 0.9)
    panel.polygon(wall, None, INK, 1.6)
    for corner, outer in zip(wall, ((0.0, 0.0), (w, 0.0), (w, h), (0.0, h)), strict=True):
        panel.line([corner, outer], INK, 1.6)
    wide, tall = x1 - x0, y1 - y0
    _window(panel, (x0 + wide * 0.1, y0 + tall * 0.14, x0 + wide * 0.46, y0 + tall * 0.66), rng)
    shelf = (x0 + wide * 0.58, y0 + tall * 0.12, x0 + wide * 0.93, y1)
    panel.box(shelf, PAPER, INK, 1.4)
    for row in range(3):
        low = shelf[1] + (shelf[3] - shelf[1]) * (row + 1) / 3 - 2
        x = shelf[0] + 2
        while x < shelf[2] - 5:
            thick, high = (
                between(rng, 2.2, 5),
                (shelf[3] - shelf[1]) / 3 * between(rng, 0.55, 0.82),
            )
            panel.box((x, low - high, x + thick, low), pick(rng, (PAPER, INK, PAPER, 150)), INK, 0.7)
            x += thick
        panel.line([(shelf[0], low), (shelf[2], low)], INK, 1.2)


def _window(panel: Sheet, box: tuple[float, float, float, float], rng: np.random.Generator) -> None:
    x0, y0, x1, y1 = box
    panel.box(box, PAPER, INK, 1.4)
    view = [(x0 + 2, y0 + 2), (x1 - 2, y0 + 2), (x1 - 2, y1 - 2), (x0 + 2, y1 - 2)]
    tone(panel, view, (between(rng, 0.3, 0.7), 0.0), _ruling(rng), INK)
    panel.box(((x0 + x1) / 2 - 1, y0, (x0 + x1) / 2 + 1, y1), PAPER, INK, 0.6)
    panel.box((x0, (y0 + y1) / 2 - 1, x1, (y0 + y1) / 2 + 1), PAPER, INK, 0.6)
    for side in (x0, x1):  # curtains
        for k in range(4):
            x = side + (k - 1.5) * 3
            panel.stroke(curve([(x, y0 - 4), (x + 1.5, (y0 + y1) / 2), (x, y1 + 8)], 5), INK, 1.3)


def burst(panel: Sheet, at: Point, size: float, rng: np.random.Generator) -> None:
    points = []
    count = int(rng.integers(11, 19))
    for k in range(2 * count):
        radius = size * float(rng.uniform(0.9, 1.3) if k % 2 else rng.uniform(0.5, 0.65))
        points.append(
            (at[0] + radius * math.cos(math.pi * k / count), at[1] + radius * math.sin(math.pi * k / count))
        )
    panel.polygon(points, PAPER, INK, 2.0)
    inner = [(at[0] + (x - at[0]) * 0.62, at[1] + (y - at[1]) * 0.62) for x, y in points]
    tone(panel, inner, between(rng, 0.2, 0.5), _ruling(rng), INK)
    panel.polygon(inner, None, INK, 1.0)
