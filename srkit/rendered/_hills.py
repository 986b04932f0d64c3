"""Maps of hills in contour lines."""

from __future__ import annotations

import math
from collections import defaultdict

import numpy as np
from PIL import Image

from srkit.rendered.canvas import Colour, Floats, Point, Sheet, between, clouds, pick, shade
from srkit.rendered._drafting import dashed, wander
from srkit.rendered._words import place

_GRID = 5.0  # pixels between the samples that contour lines are found from


def hills(width: int, height: int, rng: Rng) -> Sheet:
    """Contour lines with heights, woods, lakes, a stream, roads, houses, names, a grid and a legend."""
    paper, contour = rng.pick(
        (
            ((252, 250, 242), (176, 112, 60)),
            ((246, 240, 222), (150, 100, 70)),
            ((255, 255, 255), (196, 140, 90)),
            ((240, 246, 236), (120, 116, 96)),
        )
    )
    wood, water = rng.pick(
        (
            ((206, 230, 190), (170, 208, 236)),
            ((190, 222, 176), (146, 196, 226)),
            ((222, 236, 206), (190, 220, 240)),
        )
    )
    sheet = Sheet(width, height, paper)
    rows, columns = math.ceil(height / _GRID) + 2, math.ceil(width / _GRID) + 2
    cell = rng.between(70, 150) / _GRID
    field = clouds(rng, rows, columns, (cell, cell), 4)
    _area(sheet, clouds(rng, rows, columns, (cell * 0.6, cell * 0.6), 3), rng.between(0.45, 0.62), wood)
    low = float(np.quantile(field, rng.between(0.0, 0.14)))
    step = rng.between(0.035, 0.06)
    if rng.chance(0.4):
        _grid(sheet, rng.between(70, 120), (150, 170, 200))
    _contours(sheet, field, low + 0.02, step, contour, paper, rng)
    _area(sheet, 1 - field, 1 - low, water, shade(water, 0.6))
    _routes(sheet, rng)
    _symbols(sheet, rng)
    _legend(sheet, contour, wood, water, rng)
    return sheet


def _area(sheet: Sheet, field: Floats, above: float, fill: Colour, edge: Colour | None = None) -> None:
    """Fill where the field, sampled on the grid, exceeds `above`."""
    levels = Image.fromarray((np.clip((field - above) * 6 + 0.5, 0, 1) * 255).round().astype(np.uint8))
    f = sheet.finer
    box = (0.0, 0.0, sheet.width / _GRID, sheet.height / _GRID)
    fine = levels.resize((sheet.width * f, sheet.height * f), Image.Resampling.BICUBIC, box=box)
    if edge is not None:
        sheet.image.paste(edge, (0, 0), fine.point(lambda v: 255 if v > 121 else 0))
    sheet.image.paste(fill, (0, 0), fine.point(lambda v: 255 if v > 127 else 0))


def _contours(
    sheet: Sheet, field: Floats, low: float, step: float, ink: Colour, paper: Colour, rng: Rng
) -> None:
    start = rng.whole(2, 60) * 10
    for k in range(int((1 - low) / step)):
        main = k % 5 == 0
        for line in _lines_at(field, low + k * step):
            path = [(x * _GRID, y * _GRID) for x, y in line]
            sheet.line(path, ink, 1.3 if main else 0.65)
            if main and len(path) > 26:
                at = len(path) // 2
                (xa, ya), (xb, yb) = path[at - 2], path[at + 2]
                turn = (-math.degrees(math.atan2(yb - ya, xb - xa)) + 90) % 180 - 90
                sheet.text(
                    path[at],
                    str(start + 10 * k),
                    7.5,
                    ink,
                    anchor="mm",
                    angle=turn or 0.5,
                    bold=1.6,
                    halo=paper,
                )


def _lines_at(field: Floats, level: float) -> list[list[Point]]:
    """The lines (in grid units) where the field passes `level`: the sides of its cells crossed, joined end to end."""
    above = field > level
    down = np.argwhere(above[:-1] != above[1:])
    right = np.argwhere(above[:, :-1] != above[:, 1:])
    points: dict[tuple[int, int, int], Point] = {}
    for i, j in down:
        a, b = float(field[i, j]), float(field[i + 1, j])
        points[(0, int(i), int(j))] = (float(j), float(i) + (level - a) / (b - a))
    for i, j in right:
        a, b = float(field[i, j]), float(field[i, j + 1])
        points[(1, int(i), int(j))] = (float(j) + (level - a) / (b - a), float(i))
    joined: dict[tuple[int, int, int], list[tuple[int, int, int]]] = defaultdict(list)
    cells: dict[tuple[int, int], list[tuple[int, int, int]]] = defaultdict(list)
    for key in points:
        kind, i, j = key
        for cell in ((i, j), (i, j - 1)) if kind == 0 else ((i, j), (i - 1, j)):
            cells[cell].append(key)
    for sides in cells.values():
        for a_key, b_key in zip(sides[::2], sides[1::2], strict=False):
            joined[a_key].append(b_key)
            joined[b_key].append(a_key)
    lines: list[list[Point]] = []
    left = dict.fromkeys(
        sorted(points, key=lambda key: (len(joined[key]), key))
    )  # open lines from their ends
    while left:
        key = next(iter(left))
        line = [points[key]]
        del left[key]
        while True:
            onward = [other for other in joined[key] if other in left]
            if not onward:
                break
            key = onward[0]
            del left[key]
            line.append(points[key])
        if len(line) > 2 and math.dist(line[0], line[-1]) < 1.5:
            line.append(line[0])
        if len(line) > 1:
            lines.append(line)
    return lines


def _grid(sheet: Sheet, step: float, ink: Colour) -> None:
    for k in range(1, int(sheet.width / step) + 1):
        sheet.line([(k * step, 0), (k * step, sheet.height)], ink, 0.6)
        sheet.text((k * step + 3, 7), str(10 + k), 7, ink)
    for k in range(1, int(sheet.height / step) + 1):
        sheet.line([(0, k * step), (sheet.width, k * step)], ink, 0.6)
        sheet.text((3, k * step - 5), str(50 + k), 7, ink)


def _routes(sheet: Sheet, rng: Rng) -> None:
    sheet.line(wander(sheet, rng), (90, 150, 200), rng.between(1.2, 2.6))
    for _ in range(1 + max(sheet.width, sheet.height) // 400):
        road = wander(sheet, rng)
        wide = rng.between(2.6, 4.6)
        sheet.line(road, (70, 60, 56), wide)
        sheet.line(road, rng.pick(((244, 208, 96), (236, 120, 90), (255, 255, 255))), wide - 1.3)
        at = road[len(road) // 3]
        if rng.chance(0.6):
            sheet.box((at[0] - 10, at[1] - 6, at[0] + 10, at[1] + 6), (252, 238, 130), (60, 50, 40), 0.7, 2)
            sheet.text(at, f"{rng.pick('ABE')}{rng.whole(1, 99)}", 7.5, (40, 36, 30), anchor="mm")
    dashed(sheet, wander(sheet, rng), (60, 60, 60), 0.9, (4, 2.4))
    if rng.chance(0.6):  # a railway
        rail = wander(sheet, rng)
        sheet.line(rail, (40, 40, 44), 1.1)
        for (xa, ya), (xb, yb) in zip(rail[::2], rail[1::2], strict=False):
            length = math.dist((xa, ya), (xb, yb)) or 1.0
            nx, ny = -(yb - ya) / length * 2.6, (xb - xa) / length * 2.6
            sheet.line([(xa - nx, ya - ny), (xa + nx, ya + ny)], (40, 40, 44), 0.9)


def _symbols(sheet: Sheet, rng: Rng) -> None:
    w, h, ink = sheet.width, sheet.height, (46, 40, 40)
    for _ in range(max(1, w * h // 22000)):  # villages
        x, y, turn = (rng.between(10, w - 10), rng.between(10, h - 10), rng.between(0, math.pi))
        for _ in range(rng.whole(4, 14)):
            cx, cy = x + rng.between(-26, 26), y + rng.between(-18, 18)
            a, b, c, s = (rng.between(1.6, 3.2), rng.between(1.4, 2.2), math.cos(turn), math.sin(turn))
            sheet.polygon(
                [(cx + p * c - q * s, cy + p * s + q * c) for p, q in ((-a, -b), (a, -b), (a, b), (-a, b))],
                ink,
            )
        if rng.chance(0.5):
            sheet.ellipse((x, y - 14), 2.2, None, ink, 0.9)
            sheet.line([(x, y - 17), (x, y - 24)], ink, 0.9)
            sheet.line([(x - 2.4, y - 21.5), (x + 2.4, y - 21.5)], ink, 0.9)
        sheet.text(
            (x, y + 26),
            place(rng) + rng.pick(("", "ton", "ham", " End", "wick")),
            rng.between(9, 13),
            ink,
            anchor="mm",
            bold=1.2,
            halo=(250, 248, 240),
        )
    for _ in range(max(1, w * h // 30000)):  # heights
        x, y = rng.between(6, w - 6), rng.between(6, h - 6)
        sheet.polygon([(x - 2.6, y + 2), (x + 2.6, y + 2), (x, y - 2.8)], None, ink, 0.7)
        sheet.text((x + 5, y), str(rng.whole(90, 1900)), 7.5, ink)
    for _ in range(max(3, w * h // 9000)):  # trees
        x, y = rng.between(0, w), rng.between(0, h)
        sheet.ellipse((x, y), 1.8, None, (70, 120, 70), 0.7)
        sheet.line([(x, y + 1.8), (x, y + 4.4)], (70, 120, 70), 0.7)


def _legend(sheet: Sheet, contour: Colour, wood: Colour, water: Colour, rng: Rng) -> None:
    if min(sheet.width, sheet.height) < 220:
        return
    x, y = rng.pick(
        ((6, 6), (6, sheet.height - 92), (sheet.width - 112, 6), (sheet.width - 112, sheet.height - 92))
    )
    sheet.box((x, y, x + 106, y + 86), (254, 254, 252), (60, 56, 52), 0.9)
    rows: tuple[tuple[str, Colour], ...] = (
        ("Contour 10 m", contour),
        ("Woodland", wood),
        ("Lake, stream", water),
        ("Road", (244, 208, 96)),
    )
    for k, (name, colour) in enumerate(rows):
        middle = y + 11 + 13 * k
        if k in (1, 2):
            sheet.box((x + 6, middle - 4, x + 26, middle + 4), colour, shade(colour, 0.6), 0.6)
        else:
            sheet.line(
                [(x + 6, middle), (x + 26, middle)],
                shade(colour, 0.5) if k == 3 else colour,
                3.0 if k == 3 else 1.0,
            )
            if k == 3:
                sheet.line([(x + 6, middle), (x + 26, middle)], colour, 1.8)
        sheet.text((x + 32, middle), name, 8, (40, 38, 36))
    for k in range(4):  # a scale
        sheet.box(
            (x + 8 + 20 * k, y + 66, x + 28 + 20 * k, y + 70),
            (40, 38, 36) if k % 2 == 0 else (254, 254, 252),
            (40, 38, 36),
            0.6,
        )
    for k in (0, 2, 4):
        sheet.text((x + 8 + 20 * k, y + 78), f"{k * 250}", 7, (40, 38, 36), anchor="mm")
