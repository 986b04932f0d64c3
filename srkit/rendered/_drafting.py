"""Shared parts of drawings and maps: styles, hatching, dashed lines, arrows, dimensions, wandering lines."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from PIL import Image, ImageChops, ImageDraw

from srkit.rendered.canvas import Box, Colour, Ink, Point, Rng, Sheet, curve


@dataclass(frozen=True)
class Style:
    paper: Colour
    ink: Colour
    thin: Colour  # dimensions and hatching
    mark: Colour  # centre lines, notes
    letters: float  # pixels to the em
    heavy: float  # width of visible edges


PAPERS: dict[str, tuple[Colour, Colour, Colour, Colour]] = {  # paper, ink, thin lines, marks
    "white": ((255, 255, 255), (16, 16, 18), (60, 62, 66), (60, 62, 66)),
    "ivory": ((254, 254, 250), (14, 14, 20), (40, 60, 130), (180, 50, 40)),
    "cream": ((246, 240, 224), (44, 36, 30), (96, 80, 66), (140, 60, 40)),
    "blueprint": ((28, 66, 132), (236, 242, 250), (176, 200, 236), (220, 226, 190)),
    "black": ((22, 26, 32), (240, 240, 236), (80, 200, 120), (220, 80, 80)),
}


def some_style(paper: str, rng: Rng) -> Style:
    return Style(*PAPERS[paper], letters=rng.between(6.5, 9.5), heavy=rng.between(1.1, 2.0))


def cut_up(box: Box, size: float, rng: Rng) -> list[Box]:
    x0, y0, x1, y1 = box
    wide, tall = x1 - x0, y1 - y0
    if max(wide, tall) < size * 1.25:
        return [box]
    share = rng.between(0.4, 0.6)
    if wide > tall:
        cut = x0 + wide * share
        halves: tuple[Box, Box] = ((x0, y0, cut, y1), (cut, y0, x1, y1))
    else:
        cut = y0 + tall * share
        halves = ((x0, y0, x1, cut), (x0, cut, x1, y1))
    return [cell for half in halves for cell in cut_up(half, size, rng)]


def hatch(sheet: Sheet, shape: Sequence[Point], pitch: float, degrees: float, ink: Ink, width: float) -> None:
    """Draw parallel lines every `pitch` pixels within `shape`."""
    f = sheet.finer
    xs, ys = [x * f for x, _ in shape], [y * f for _, y in shape]
    left, top = math.floor(min(xs)), math.floor(min(ys))
    size = (math.ceil(max(xs)) - left + 1, math.ceil(max(ys)) - top + 1)
    within, lines = Image.new("L", size, 0), Image.new("L", size, 0)
    ImageDraw.Draw(within).polygon([(x - left, y - top) for x, y in zip(xs, ys, strict=True)], fill=255)
    pen = ImageDraw.Draw(lines)
    dx, dy = math.cos(math.radians(degrees)), -math.sin(math.radians(degrees))
    reach = math.hypot(*size)
    # Counted from the sheet's corner, so that the lines of neighbouring shapes coincide.
    middle = (left + size[0] / 2) * -dy + (top + size[1] / 2) * dx
    step = pitch * f
    for k in range(math.floor((middle - reach / 2) / step), math.ceil((middle + reach / 2) / step) + 1):
        offset = k * step - middle
        x, y = size[0] / 2 - dy * offset, size[1] / 2 + dx * offset
        pen.line(
            (x - dx * reach, y - dy * reach, x + dx * reach, y + dy * reach),
            fill=255,
            width=max(1, round(width * f)),
        )
    sheet.image.paste(ink, (left, top), ImageChops.multiply(within, lines))


def dashed(
    sheet: Sheet, points: Sequence[Point], ink: Ink, width: float, pattern: Sequence[float] = (5.0, 3.0)
) -> None:
    """Draw a dashed line; `pattern` has the lengths of dash, gap, dash, gap, ... in pixels."""
    kind, left = 0, pattern[0]
    for (x0, y0), (x1, y1) in pairwise(points):
        length = math.hypot(x1 - x0, y1 - y0)
        done = 0.0
        while done < length:
            piece = min(left, length - done)
            if kind % 2 == 0:
                ends = [
                    (x0 + (x1 - x0) * t / length, y0 + (y1 - y0) * t / length) for t in (done, done + piece)
                ]
                sheet.line(ends, ink, width)
            done, left = done + piece, left - piece
            if left <= 1e-9:
                kind += 1
                left = pattern[kind % len(pattern)]


def label(
    sheet: Sheet,
    at: Point,
    words: str,
    size: float,
    ink: Ink,
    halo: Ink,
    rim: float = 1.2,
    angle: float = 0.0,
) -> None:
    """Write words centred at a position, with a rim of `rim` pixels in another colour."""
    sheet.text(at, words, size, ink, anchor="mm", angle=angle, bold=rim, halo=halo)


def slope(a: Point, b: Point) -> float:
    """Angle in degrees of words along a line, never upside down and never 0."""
    return (-math.degrees(math.atan2(b[1] - a[1], b[0] - a[0])) + 90) % 180 - 90 or 0.5


CENTRE = (9.0, 2.5, 2.0, 2.5)  # dashes and dots of a centre line


def arrow(sheet: Sheet, tip: Point, start: Point, ink: Ink, length: float = 6.0) -> None:
    """Draw a slim filled arrow head at `tip`, coming from `start`."""
    dx, dy = tip[0] - start[0], tip[1] - start[1]
    norm = math.hypot(dx, dy) or 1.0
    dx, dy = dx / norm, dy / norm
    half = length * 0.19
    back = (tip[0] - dx * length, tip[1] - dy * length)
    sheet.polygon(
        [tip, (back[0] - dy * half, back[1] + dx * half), (back[0] + dy * half, back[1] - dx * half)], ink
    )


def dimension(
    sheet: Sheet, a: Point, b: Point, offset: float, label: str, ink: Ink, paper: Ink, size: float
) -> None:
    """Draw the dimension from a to b, on a line `offset` pixels to the right of that direction."""
    dx, dy = b[0] - a[0], b[1] - a[1]
    length = math.hypot(dx, dy) or 1.0
    nx, ny = -dy / length, dx / length
    away = math.copysign(1.0, offset)
    p, q = (a[0] + nx * offset, a[1] + ny * offset), (b[0] + nx * offset, b[1] + ny * offset)
    for foot, head in ((a, p), (b, q)):
        ends = [
            (foot[0] + nx * 2.0 * away, foot[1] + ny * 2.0 * away),
            (head[0] + nx * 3.0 * away, head[1] + ny * 3.0 * away),
        ]
        sheet.line(ends, ink, 0.6)
    sheet.line([p, q], ink, 0.6)
    wide = sheet.length(label, size)
    small = length < 20
    arrow(sheet, p, q if not small else (2 * p[0] - q[0], 2 * p[1] - q[1]), ink)
    arrow(sheet, q, p if not small else (2 * q[0] - p[0], 2 * q[1] - p[1]), ink)
    turn = -math.degrees(math.atan2(dy, dx))
    turn = (turn + 90) % 180 - 90  # never upside down
    if turn <= -89.9:
        turn += 180
    at = ((p[0] + q[0]) / 2, (p[1] + q[1]) / 2)
    if wide + 4 < length:
        c, s = math.cos(math.radians(turn)), -math.sin(math.radians(turn))
        box = [
            (-wide / 2 - 1.5, -size * 0.5),
            (wide / 2 + 1.5, -size * 0.5),
            (wide / 2 + 1.5, size * 0.5),
            (-wide / 2 - 1.5, size * 0.5),
        ]
        sheet.polygon([(at[0] + x * c - y * s, at[1] + x * s + y * c) for x, y in box], paper)
    else:
        at = (at[0] + nx * away * size * 0.75, at[1] + ny * away * size * 0.75)
    sheet.text(at, label, size, ink, anchor="mm", angle=turn if abs(turn) > 0.5 else 0.0)


def _size(rng: Rng, pixels: float, style: Style) -> str:
    """Text of a length, in a drawing's notation."""
    value = pixels * (0.5 + style.heavy)
    kind = rng.whole(6)
    return (
        f"{value:.0f}",
        f"{value:.1f}",
        f"{value:.0f}±0.1",
        f"R{value:.0f}",
        f"{value:.0f} H7",
        f"{value:.2f}",
    )[kind if kind != 3 else 0]


def dim(sheet: Sheet, a: Point, b: Point, offset: float, style: Style, rng: Rng, label: str = "") -> None:
    label = label or _size(rng, math.dist(a, b), style)
    dimension(sheet, a, b, offset, label, style.thin, style.paper, style.letters)


def wander(sheet: Sheet, rng: Rng) -> list[Point]:
    """Random smooth line across the sheet, from one edge to another."""
    w, h = sheet.width, sheet.height
    count = max(3, max(w, h) // 90)
    start, end = rng.between(0, 1), rng.between(0, 1)
    points = []
    for k in range(count + 1):
        t = k / count
        swing = rng.between(-24, 24)
        across = start + (end - start) * t
        points.append((-10 + (w + 20) * t, h * across + swing))
    if rng.chance(0.5):
        points = [(y * w / h, x * h / w) for x, y in points]
    return curve(points, 10)
