"""Contour maps of hills, and maps of towns."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from PIL import Image

from srkit.rendered._drafting import dashed, label, slope, wander
from srkit.rendered.canvas import Box, Colour, Floats, Point, Rng, Sheet, clouds
from srkit.rendered.colours import mix, shade
from srkit.rendered.lettering import place, street_name

_GRID = 5.0  # sampling distance of the height field in pixels


LANDS: dict[str, tuple[Colour, Colour]] = {  # paper and contour lines
    "ivory": ((252, 250, 242), (176, 112, 60)), "tan": ((246, 240, 222), (150, 100, 70)),
    "white": ((255, 255, 255), (196, 140, 90)), "pale green": ((240, 246, 236), (120, 116, 96)),
}  # fmt: skip
_WOODS_AND_WATERS = (
    ((206, 230, 190), (170, 208, 236)), ((190, 222, 176), (146, 196, 226)), ((222, 236, 206), (190, 220, 240)),
)  # fmt: skip


def hills(width: int, height: int, land: str, name: str, rng: Rng) -> Sheet:
    """Draw contour lines with heights, woods, lakes, a stream, roads, houses, names, a grid and a legend."""
    (paper, contour), (wood, water) = LANDS[land], rng.pick(_WOODS_AND_WATERS)
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
    _label(sheet, name, rng.child("name"), (46, 40, 40), (250, 248, 240))
    return sheet


def _label(sheet: Sheet, name: str, rng: Rng, ink: Colour, halo: Colour) -> None:
    """Write the Spec's name near the middle."""
    size = min(rng.between(11, 14), sheet.width * 0.8 / sheet.length(name, 1.0))
    at = (sheet.width * rng.between(0.46, 0.54), sheet.height * rng.between(0.36, 0.5))
    sheet.text(at, name, size, ink, anchor="mm", bold=1.4, halo=halo, named=True)


def _area(sheet: Sheet, field: Floats, above: float, fill: Colour, edge: Colour | None = None) -> None:
    """Fill the area in which the field, sampled on the grid, exceeds `above`."""
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
                turn = slope(path[at - 2], path[at + 2])
                label(sheet, path[at], str(start + 10 * k), 7.5, ink, paper, 1.6, turn)


def _lines_at(field: Floats, level: float) -> list[list[Point]]:
    """Contour lines of the field at `level`, in grid units: crossings of the cells' sides, joined end to end."""
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
        (x, y), turn = rng.at(w, h, 10), rng.between(0, math.pi)
        c, s = math.cos(turn), math.sin(turn)
        for _ in range(rng.whole(4, 14)):
            cx, cy = x + rng.between(-26, 26), y + rng.between(-18, 18)
            a, b = rng.between(1.6, 3.2), rng.between(1.4, 2.2)
            corners = ((-a, -b), (a, -b), (a, b), (-a, b))
            sheet.polygon([(cx + p * c - q * s, cy + p * s + q * c) for p, q in corners], ink)
        if rng.chance(0.5):
            sheet.ellipse((x, y - 14), 2.2, None, ink, 0.9)
            sheet.line([(x, y - 17), (x, y - 24)], ink, 0.9)
            sheet.line([(x - 2.4, y - 21.5), (x + 2.4, y - 21.5)], ink, 0.9)
        village = place(rng) + rng.pick(("", "ton", "ham", " End", "wick"))
        label(sheet, (x, y + 26), village, rng.between(9, 13), ink, (250, 248, 240))
    for _ in range(max(1, w * h // 30000)):  # heights
        x, y = rng.at(w, h, 6)
        sheet.polygon([(x - 2.6, y + 2), (x + 2.6, y + 2), (x, y - 2.8)], None, ink, 0.7)
        sheet.text((x + 5, y), str(rng.whole(90, 1900)), 7.5, ink)
    for _ in range(max(3, w * h // 9000)):  # trees
        x, y = rng.at(w, h)
        sheet.ellipse((x, y), 1.8, None, (70, 120, 70), 0.7)
        sheet.line([(x, y + 1.8), (x, y + 4.4)], (70, 120, 70), 0.7)


def _legend(sheet: Sheet, contour: Colour, wood: Colour, water: Colour, rng: Rng) -> None:
    if min(sheet.width, sheet.height) < 220:
        return
    x, y, road = rng.pick((6, sheet.width - 112)), rng.pick((6, sheet.height - 92)), (244, 208, 96)
    paper, ink = (254, 254, 252), (40, 38, 36)
    sheet.box((x, y, x + 106, y + 86), paper, (60, 56, 52), 0.9)
    for k, (name, lines) in enumerate({"Contour 10 m": [(contour, 1.0)], "Woodland": [], "Lake, stream": [],
                                       "Road": [(shade(road, 0.5), 3.0), (road, 1.8)]}.items()):  # fmt: skip
        middle = y + 11 + 13 * k
        if not lines:
            fill = wood if k == 1 else water
            sheet.box((x + 6, middle - 4, x + 26, middle + 4), fill, shade(fill, 0.6), 0.6)
        for colour, width in lines:
            sheet.line([(x + 6, middle), (x + 26, middle)], colour, width)
        sheet.text((x + 32, middle), name, 8, ink)
    for k in range(4):  # a scale
        bar = (x + 8 + 20 * k, y + 66, x + 28 + 20 * k, y + 70)
        sheet.box(bar, ink if k % 2 == 0 else paper, ink, 0.6)
    for k in (0, 2, 4):
        sheet.text((x + 8 + 20 * k, y + 78), f"{k * 250}", 7, ink, anchor="mm")


# Towns.


@dataclass(frozen=True)
class _Town:
    """Street grid that is rotated and bent: maps (u, v), along and across it, to positions on the sheet."""

    angle: float
    bend: float
    phase: float
    middle: Point

    def at(self, u: float, v: float) -> Point:
        u2 = u + self.bend * math.sin(v / 170 + self.phase)
        v2 = v + self.bend * math.sin(u / 210 + 2 * self.phase)
        c, s = math.cos(self.angle), math.sin(self.angle)
        return (self.middle[0] + u2 * c - v2 * s, self.middle[1] + u2 * s + v2 * c)

    def path(self, a: Point, b: Point) -> list[Point]:
        count = max(1, int(math.dist(a, b) / 12))
        return [
            self.at(a[0] + (b[0] - a[0]) * k / count, a[1] + (b[1] - a[1]) * k / count)
            for k in range(count + 1)
        ]

    def block(self, u0: float, v0: float, u1: float, v1: float) -> list[Point]:
        corners = ((u0, v0), (u1, v0), (u1, v1), (u0, v1), (u0, v0))
        return [point for a, b in pairwise(corners) for point in self.path(a, b)]


@dataclass(frozen=True)
class _Colours:
    land: Colour
    house: Colour
    park: Colour
    water: Colour
    street: Colour
    main: Colour
    casing: Colour
    text: Colour


TOWNS: dict[str, _Colours] = {
    "beige": _Colours(
        (242, 239, 233), (217, 208, 201), (200, 230, 180), (170, 211, 223),
        (255, 255, 255), (252, 214, 120), (190, 180, 170), (60, 56, 52),
    ),
    "gray": _Colours(
        (238, 240, 243), (222, 225, 231), (203, 234, 205), (156, 200, 240),
        (255, 255, 255), (253, 226, 147), (200, 206, 214), (70, 76, 90),
    ),
    "dark": _Colours(
        (38, 42, 52), (54, 60, 74), (40, 66, 56), (24, 44, 70),
        (84, 92, 110), (150, 130, 80), (26, 28, 36), (220, 224, 230),
    ),
    "tan": _Colours(
        (244, 234, 208), (206, 160, 130), (190, 206, 150), (150, 190, 200),
        (252, 248, 236), (226, 150, 110), (110, 84, 66), (60, 40, 30),
    ),
    "black and white": _Colours(
        (255, 255, 255), (60, 60, 62), (226, 238, 214), (200, 222, 240),
        (255, 255, 255), (255, 255, 255), (70, 70, 72), (20, 20, 22),
    ),
}  # fmt: skip


def streets(width: int, height: int, palette: str, name: str, rng: Rng) -> Sheet:
    """Draw blocks with houses, parks, a river, streets by rank with their names, signs, and a scale."""
    colours = TOWNS[palette]
    sheet = Sheet(width, height, colours.land)
    reach = math.hypot(width, height) / 2 + 80
    town = _Town(rng.between(-0.6, 0.6), rng.between(0, 26), rng.between(0, 6), (width / 2, height / 2))
    us, vs = (_spaced(reach, rng.between(42, 84), rng) for _ in range(2))
    for u0, u1 in pairwise(us):
        for v0, v1 in pairwise(vs):
            _block(sheet, town, (u0 + 4, v0 + 4, u1 - 4, v1 - 4), colours, rng)
    river = rng.chance(0.55)
    if river:
        banks, wide = wander(sheet, rng), rng.between(18, 44)
        sheet.line(banks, shade(colours.water, 0.8), wide + 2)
        sheet.line(banks, colours.water, wide)
    drawn = []
    for a, b in [*(((u, -reach), (u, reach)) for u in us), *(((-reach, v), (reach, v)) for v in vs)]:
        main = rng.chance(0.2)
        drawn.append((town.path(a, b), 9.0 if main else rng.between(4.5, 6.5), main))
    for path, wide, _ in drawn:
        sheet.line(path, colours.casing, wide + 1.4)
    for path, wide, main in sorted(drawn, key=lambda road: road[2]):
        sheet.line(path, colours.main if main else colours.street, wide)
    for path, _, main in drawn:
        _names(sheet, path, main, colours, rng)
    if rng.chance(0.5):
        line = wander(sheet, rng)
        ink = rng.pick(((214, 60, 60), (40, 110, 200), (30, 140, 80)))
        dashed(sheet, line, ink, 2.0, (8, 3))
    _signs(sheet, colours, rng)
    _label(sheet, name, rng.child("name"), colours.text, colours.land)
    return sheet


def _spaced(reach: float, step: float, rng: Rng) -> list[float]:
    out = [-reach]
    while out[-1] < reach:
        out.append(out[-1] + step * rng.between(0.6, 1.5))
    return out


def _block(sheet: Sheet, town: _Town, box: Box, colours: _Colours, rng: Rng) -> None:
    u0, v0, u1, v1 = box
    outline = town.block(*box)
    if all(not (-20 < x < sheet.width + 20 and -20 < y < sheet.height + 20) for x, y in outline):
        return
    kind = rng.random()
    if kind < 0.14:
        sheet.polygon(outline, colours.park, shade(colours.park, 0.85), 0.7)
        for _ in range(int((u1 - u0) * (v1 - v0) / 160)):
            at = town.at(rng.between(u0 + 4, u1 - 4), rng.between(v0 + 4, v1 - 4))
            sheet.ellipse(at, rng.between(1.4, 2.8), mix(colours.park, (60, 140, 60), 0.35))
        sheet.line(town.path((u0, v0), (u1, v1)), mix(colours.park, (255, 250, 230), 0.6), 1.4)
        return
    if kind < 0.17:
        sheet.polygon(outline, colours.water, shade(colours.water, 0.8), 0.8)
        return
    sheet.polygon(outline, mix(colours.land, colours.house, 0.25))
    deep = min(16.0, (v1 - v0) * 0.36)
    for top in (v0 + 1.5, v1 - 1.5 - deep):  # two rows of houses, back to back
        u = u0 + 2
        while u < u1 - 8:
            wide = min(rng.between(8, 22), u1 - 2 - u)
            if rng.chance(0.88):
                inset, far = rng.between(0, deep * 0.3), top > v0 + 2
                house = town.block(u, top + inset * far, u + wide - 1.2, top + deep - inset * (not far))
                sheet.polygon(house, colours.house, shade(colours.house, 0.82), 0.6)
                if rng.chance(0.25):
                    at, ink = town.at(u + wide / 2, top + deep / 2), mix(colours.house, colours.text, 0.6)
                    sheet.text(at, str(rng.whole(1, 180)), 5.5, ink, anchor="mm")
            u += wide


def _names(sheet: Sheet, path: Sequence[Point], main: bool, colours: _Colours, rng: Rng) -> None:
    name, size = street_name(rng), 9.0 if main else rng.between(6.5, 7.8)
    reach = sheet.length(name, size) / 12
    k = rng.between(2, 8)
    while k + reach < len(path) - 1:
        (xa, ya), (xb, yb) = ends = path[int(k)], path[int(k + reach)]
        at = ((xa + xb) / 2, (ya + yb) / 2)
        if 0 < at[0] < sheet.width and 0 < at[1] < sheet.height:
            halo = colours.main if main else colours.street
            label(sheet, at, name, size, colours.text, halo, 0.9, slope(*ends))
        k += reach + rng.between(9, 22)


def _signs(sheet: Sheet, colours: _Colours, rng: Rng) -> None:
    w, h = sheet.width, sheet.height
    for _ in range(max(2, w * h // 14000)):
        x, y = rng.at(w, h, 8)
        ink = rng.pick(((200, 60, 60), (40, 100, 190), (150, 80, 160), (30, 130, 90), (220, 130, 40)))
        if rng.chance(0.5):
            sheet.ellipse((x, y), 6.5, ink, (255, 255, 255), 1.0)
            sheet.text((x, y), rng.pick("MPTHBS"), 8, (255, 255, 255), anchor="mm", bold=0.2)
        else:
            sheet.polygon([(x, y + 7), (x - 4.6, y - 1.5), (x + 4.6, y - 1.5)], ink)
            sheet.ellipse((x, y - 3), 5.2, ink)
            sheet.ellipse((x, y - 3), 2.0, (255, 255, 255))
        if rng.chance(0.45):
            name = place(rng) + rng.pick((" Hall", " Museum", " School", " Cafe", " Station"))
            label(sheet, (x, y + 13), name, 8, ink, colours.land, 1.0)
    if min(w, h) > 150:
        ink = colours.text if sum(colours.land) > 300 else (0, 0, 0)
        sheet.box((8, h - 18, 92, h - 4), mix(colours.land, (255, 255, 255), 0.5))
        sheet.line([(12, h - 11), (12, h - 7), (62, h - 7), (62, h - 11)], ink, 1.0)
        sheet.text((66, h - 10), f"{rng.whole(1, 9) * 50} m", 8, ink)
