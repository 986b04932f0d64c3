"""People as comics draw them: a head with large eyes and falling hair, and shoulders."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from srkit.data.rendered._canvas import Point, Sheet, between, curve, pick
from srkit.data.rendered._screentone import Pattern, tone

INK, PAPER = 22, 252
Place = Callable[[float, float], Point]

_FACE = (
    (-0.98, -0.4),
    (-0.97, 0.1),
    (-0.86, 0.5),
    (-0.5, 0.93),
    (0.0, 1.2),
    (0.5, 0.93),
    (0.86, 0.5),
    (0.97, 0.1),
    (0.98, -0.4),
)


def bust(sheet: Sheet, centre: Point, size: float, rng: np.random.Generator) -> None:
    """Head and shoulders around `centre` (between the eyes); `size` pixels from there to the ear."""
    tilt = between(rng, -0.22, 0.22)
    turn = between(rng, -0.32, 0.32)
    c, s = math.cos(tilt), math.sin(tilt)

    def on_head(x: float, y: float) -> Point:
        return (centre[0] + (x * c - y * s) * size, centre[1] + (x * s + y * c) * size)

    def upright(x: float, y: float) -> Point:
        return (centre[0] - s * size + x * size, centre[1] + y * size)

    line = max(0.7, min(2.4, size * 0.035))
    fill = _Fill(rng)
    long = float(rng.choice([0.0, 0.0, 1.2, 2.0, 2.6]))
    if long:
        _back_hair(sheet, on_head, long, line, fill, rng)
    else:
        fill.shape(sheet, curve([on_head(x, y) for x, y in _nape()], 4, closed=True), line)
    _shoulders(sheet, upright, line, rng)
    _face(sheet, on_head, turn, line, rng)
    _features(sheet, on_head, turn, line, rng)
    _bangs(sheet, on_head, turn, line, fill, rng)


def _nape() -> list[Point]:
    return [
        (-1.1, 0.0),
        (-1.12, -0.7),
        (-0.7, -1.3),
        (0.0, -1.5),
        (0.7, -1.3),
        (1.12, -0.7),
        (1.1, 0.0),
        (0.8, 0.7),
        (-0.8, 0.7),
    ]


class _Fill:
    """How a head of hair is filled: black with light, white with strands, or screentone."""

    def __init__(self, rng: np.random.Generator) -> None:
        self.kind = pick(rng, ("black", "black", "white", "tone"))
        self.pitch = between(rng, 3.2, 5.5)
        self.level = between(rng, 0.2, 0.55)
        self.pattern: Pattern = pick(rng, ("dots", "dots", "lines"))

    @property
    def strand(self) -> int:
        return PAPER if self.kind == "black" else INK

    def shape(self, sheet: Sheet, outline: list[Point], line: float) -> None:
        sheet.polygon(outline, INK if self.kind == "black" else PAPER)
        if self.kind == "tone":
            tone(sheet, outline, self.level, self.pitch, INK, self.pattern)
        sheet.polygon(outline, None, INK, line)


def _back_hair(
    sheet: Sheet, at: Place, long: float, line: float, fill: _Fill, rng: np.random.Generator
) -> None:
    wide = between(rng, 1.15, 1.5)
    top = [
        (-wide, long * 0.5),
        (-1.2, -0.4),
        (-0.75, -1.25),
        (0.0, -1.48),
        (0.75, -1.25),
        (1.2, -0.4),
        (wide, long * 0.5),
    ]
    ends: list[Point] = []
    count = int(rng.integers(5, 10))
    for k in range(count):
        x = wide * (1 - 2 * (k + 0.5) / count)
        ends += [(x + 0.4 * wide / count, long * 0.82), (x, long + between(rng, 0, 0.3))]
    outline = curve([at(x, y) for x, y in top], 6) + [at(x, y) for x, y in ends]
    fill.shape(sheet, outline, line)
    for _ in range(int(rng.integers(8, 18))):
        x = between(rng, -1.0, 1.0)
        path = curve([at(x * 0.9, -0.3), at(x * 1.08, long * 0.4), at(x * 1.1 + 0.05, long * 0.85)], 6)
        sheet.stroke(path, fill.strand, line * between(rng, 0.5, 1.2), (0.1, 0.1))


def _shoulders(sheet: Sheet, at: Place, line: float, rng: np.random.Generator) -> None:
    outline = [at(-0.38, 0.9), at(-0.4, 1.42), at(-1.0, 1.68), at(-1.85, 2.0), at(-2.2, 2.9), at(-2.3, 4.4)]
    outline += [(2 * at(0, 0)[0] - x, y) for x, y in reversed(outline)]
    body = curve(outline, 5)
    sheet.polygon(body, PAPER)
    clothes = [p for p in body if p[1] >= at(0, 1.42)[1]]
    neck = [at(-0.42, 1.4), at(0.0, 2.25), at(0.42, 1.4)]
    kind = pick(rng, ("black", "tone", "stripes", "white"))
    if kind == "black":
        sheet.polygon(clothes, INK)
    elif kind == "tone":
        tone(sheet, clothes, between(rng, 0.15, 0.6), between(rng, 3.2, 7), INK)
    elif kind == "stripes":
        tone(sheet, clothes, 0.35, between(rng, 4, 9), INK, "lines")
    sheet.polygon([*neck, at(0.36, 0.95), at(-0.36, 0.95)], PAPER)
    for side in (-1, 1):
        lapel = [at(side * 0.42, 1.4), at(side * 0.95, 1.66), at(side * 0.62, 2.3), at(0.0, 2.3)]
        sheet.polygon(lapel, PAPER, INK, line)
        fold = curve([at(side * 1.5, 2.3), at(side * 1.3, 2.9), at(side * 1.45, 3.6)], 6)
        sheet.stroke(fold, PAPER if kind == "black" else INK, line * 1.4)
        sheet.stroke([at(side * 0.36, 0.9), at(side * 0.38, 1.2), at(side * 0.42, 1.42)], INK, line * 1.2)
    if rng.random() < 0.5:
        tie = [at(-0.16, 2.2), at(0.16, 2.2), at(0.24, 3.4), at(0.0, 3.7), at(-0.24, 3.4)]
        sheet.polygon(tie, INK if kind != "black" else PAPER, INK, line)
    sheet.line([p for p in body if p[1] >= at(0, 1.42)[1]], INK, line * 1.2)
    # A shadow of the chin on the neck, hatched.
    for k in range(6):
        x = -0.3 + 0.12 * k
        sheet.stroke([at(x, 1.08), at(x + 0.05, 1.2), at(x + 0.1, 1.38)], INK, line * 0.6, (1.0, 0.1))


def _face(sheet: Sheet, at: Place, turn: float, line: float, rng: np.random.Generator) -> None:
    for side in (-1, 1):
        ear = at(side * 1.0 - turn * 0.1, 0.25)
        radius = abs(at(0.16, 0)[0] - at(0, 0)[0]) + 0.5
        sheet.ellipse(ear, (radius, radius * 1.6), PAPER, INK, line)
    chin = turn * 0.35
    outline = curve([at(x + chin * max(0.0, y), y) for x, y in _FACE], 6)
    sheet.polygon([*outline, at(0.7, -1.2), at(-0.7, -1.2)], PAPER)
    sheet.stroke(outline, INK, line * 1.7, (0.5, 0.5))
    if rng.random() < 0.35:  # a shadowed cheek
        side = 1 if turn < 0 else -1
        cheek = [
            at(side * 0.94, 0.0),
            at(side * 0.55, 0.3),
            at(side * 0.3, 0.95),
            at(side * 0.62, 0.85),
            at(side * 0.9, 0.45),
        ]
        tone(sheet, cheek, 0.28, between(rng, 3, 4.5), INK)


def _features(sheet: Sheet, at: Place, turn: float, line: float, rng: np.random.Generator) -> None:
    mood = pick(rng, ("calm", "calm", "wide", "angry", "closed", "glad"))
    shift = turn * 0.9
    tall = {"calm": 0.3, "wide": 0.38, "angry": 0.24, "closed": 0.0, "glad": 0.33}[mood]
    for side in (-1, 1):
        x, near = side * 0.44 + shift * 0.5, 1 - 0.25 * side * -turn
        _eye(sheet, at, (x, 0.22), 0.27 * near, tall, line, side, rng)
        slant = {"angry": 0.16, "wide": -0.06}.get(mood, -0.02) * -side
        brow = [at(x - 0.3, -0.22 + slant), at(x, -0.3), at(x + 0.3, -0.22 - slant)]
        sheet.stroke(curve(brow, 5), INK, line * 2.4, (0.3, 0.3))
    nose = [at(shift + 0.02, 0.5), at(shift + (0.1 if turn >= 0 else -0.1), 0.64), at(shift, 0.66)]
    sheet.stroke(curve(nose, 4), INK, line * 1.3, (0.1, 0.4))
    mouth = shift * 0.9
    if mood in ("wide", "angry", "glad") and rng.random() < 0.75:
        open_ = curve(
            [
                at(mouth - 0.2, 0.82),
                at(mouth, 0.79),
                at(mouth + 0.2, 0.82),
                at(mouth + 0.08, 1.0),
                at(mouth - 0.08, 1.0),
            ],
            4,
            closed=True,
        )
        sheet.polygon(open_, INK)
        sheet.polygon(
            [at(mouth - 0.14, 0.835), at(mouth + 0.14, 0.835), at(mouth + 0.1, 0.87), at(mouth - 0.1, 0.87)],
            PAPER,
        )
    else:
        sheet.stroke(
            curve([at(mouth - 0.18, 0.86), at(mouth, 0.88), at(mouth + 0.18, 0.85)], 4), INK, line * 1.5
        )
    if mood in ("glad", "closed") or rng.random() < 0.3:
        for side in (-1, 1):
            for k in range(4):
                x = side * 0.6 + shift * 0.4 - 0.1 + 0.08 * k
                sheet.stroke([at(x + 0.04, 0.52), at(x + 0.01, 0.58), at(x - 0.02, 0.64)], INK, line * 0.7)


def _eye(
    sheet: Sheet,
    at: Place,
    middle: Point,
    wide: float,
    tall: float,
    line: float,
    side: int,
    rng: np.random.Generator,
) -> None:
    x, y = middle
    if tall == 0.0:  # closed
        sheet.stroke(
            curve([at(x - wide, y - 0.02), at(x, y + 0.13), at(x + wide, y - 0.02)], 6),
            INK,
            line * 2.8,
            (0.4, 0.4),
        )
        return
    unit = math.dist(at(0, 0), at(1, 0))
    white = curve(
        [at(x - wide, y), at(x, y - tall * 0.95), at(x + wide, y), at(x, y + tall * 0.85)], 6, closed=True
    )
    sheet.polygon(white, PAPER)
    iris = at(x, y - 0.02)
    sheet.ellipse(iris, (wide * 0.66 * unit, tall * 0.86 * unit), INK)
    sheet.ellipse(at(x, y + tall * 0.42), (wide * 0.4 * unit, tall * 0.3 * unit), 150)
    sheet.ellipse(at(x - wide * 0.22, y - tall * 0.36), (wide * 0.26 * unit, tall * 0.26 * unit), PAPER)
    sheet.ellipse(at(x + wide * 0.24, y + tall * 0.3), wide * 0.12 * unit, PAPER)
    lash = curve(
        [
            at(x - wide * 1.15, y - 0.02),
            at(x - wide * 0.4, y - tall * 0.92),
            at(x + wide * 0.4, y - tall * 0.92),
            at(x + wide * 1.15, y - 0.02),
        ],
        6,
    )
    sheet.stroke(lash, INK, line * 4.2, (0.35, 0.35))
    for k in range(2):  # lashes at the outer corner
        root = at(x + side * wide * (1.1 - 0.12 * k), y - 0.04 - 0.07 * k)
        tip = at(x + side * wide * (1.5 - 0.1 * k), y - 0.14 - 0.1 * k)
        sheet.stroke(
            [root, ((root[0] + tip[0]) / 2, (root[1] + tip[1]) / 2), tip], INK, line * 1.8, (1.0, 0.1)
        )
    lower = curve(
        [at(x - wide * 0.6, y + tall * 0.85), at(x, y + tall * 0.97), at(x + wide * 0.7, y + tall * 0.8)], 5
    )
    sheet.stroke(lower, INK, line * 1.1)
    if rng.random() < 0.7:
        fold = curve(
            [at(x - wide * 0.8, y - tall * 1.05), at(x, y - tall * 1.3), at(x + wide * 0.8, y - tall * 1.05)],
            5,
        )
        sheet.stroke(fold, INK, line * 0.9)


def _bangs(sheet: Sheet, at: Place, turn: float, line: float, fill: _Fill, rng: np.random.Generator) -> None:
    top = curve(
        [
            at(1.1, 0.35),
            at(1.16, -0.5),
            at(0.72, -1.28),
            at(0.0, -1.52),
            at(-0.72, -1.28),
            at(-1.16, -0.5),
            at(-1.1, 0.35),
        ],
        6,
    )
    count = int(rng.integers(4, 9))
    sweep = between(rng, -0.25, 0.25) + turn * 0.3
    deep = between(rng, -0.2, 0.12)
    edge: list[Point] = []
    tips: list[Point] = []
    for k in range(count):
        x = -0.92 + 1.84 * (k + 0.5) / count
        tip = (x + sweep + between(rng, -0.06, 0.06), deep + between(rng, -0.18, 0.12))
        valley = (-0.92 + 1.84 * (k + 1) / count, between(rng, -0.62, -0.42))
        edge += [(tip[0] - 0.10, tip[1] - 0.16), tip, (tip[0] + 0.05, tip[1] - 0.2)]
        if k < count - 1:
            edge.append(valley)
        tips.append(tip)
    first = [(-0.98, -0.1)] if count else []
    outline = [*top, *(at(x, y) for x, y in [*first, *edge, (0.98, -0.1)])]
    fill.shape(sheet, outline, line * 1.2)
    for tip in tips:  # strands from the crown to every tip
        for _ in range(2):
            off = between(rng, -0.14, 0.14)
            path = curve(
                [
                    at(tip[0] * 0.25 + off, -1.25),
                    at(tip[0] * 0.75 + off, -0.8),
                    at(tip[0] - 0.02 + off * 0.3, tip[1] - 0.22),
                ],
                5,
            )
            sheet.stroke(path, fill.strand, line * between(rng, 0.5, 1.3), (0.1, 0.1))
    if fill.kind == "black":  # the gloss
        for k in range(count + 3):
            x = -0.75 + 1.5 * (k + 0.5) / (count + 3)
            low, high = -0.72 - 0.2 * (1 - x * x), -0.98 - 0.2 * (1 - x * x)
            shape = [at(x - 0.05, low), at(x, high), at(x + 0.05, low + 0.02), at(x, low + 0.14)]
            sheet.polygon(shape, PAPER)
