"""Maps of towns."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from srkit.rendered.canvas import Colour, Point, Sheet, between, mix, pick, shade
from srkit.rendered._drafting import dashed, wander
from srkit.rendered._words import place, street_name


@dataclass(frozen=True)
class _Town:
    """Streets on a grid that is turned and bent: (u, v) along and across it give the place on the sheet."""

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
        return [
            *self.path((u0, v0), (u1, v0)),
            *self.path((u1, v0), (u1, v1)),
            *self.path((u1, v1), (u0, v1)),
            *self.path((u0, v1), (u0, v0)),
        ]


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


_PALETTES = (
    _Colours(
        (242, 239, 233), (217, 208, 201), (200, 230, 180), (170, 211, 223),
        (255, 255, 255), (252, 214, 120), (190, 180, 170), (60, 56, 52),
    ),
    _Colours(
        (238, 240, 243), (222, 225, 231), (203, 234, 205), (156, 200, 240),
        (255, 255, 255), (253, 226, 147), (200, 206, 214), (70, 76, 90),
    ),
    _Colours(
        (38, 42, 52), (54, 60, 74), (40, 66, 56), (24, 44, 70),
        (84, 92, 110), (150, 130, 80), (26, 28, 36), (220, 224, 230),
    ),
    _Colours(
        (244, 234, 208), (206, 160, 130), (190, 206, 150), (150, 190, 200),
        (252, 248, 236), (226, 150, 110), (110, 84, 66), (60, 40, 30),
    ),
    _Colours(
        (255, 255, 255), (60, 60, 62), (226, 238, 214), (200, 222, 240),
        (255, 255, 255), (255, 255, 255), (70, 70, 72), (20, 20, 22),
    ),
)  # fmt: skip


def streets(width: int, height: int, rng: Rng) -> Sheet:
    """Blocks with houses, parks, a river, streets by rank with their names along them, signs, a scale."""
    colours = rng.pick(_PALETTES)
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
    roads = [([(u, -reach), (u, reach)], rng.chance(0.2)) for u in us] + [
        ([(-reach, v), (reach, v)], rng.chance(0.2)) for v in vs
    ]
    drawn = [
        (town.path(ends[0], ends[1]), 9.0 if main else rng.between(4.5, 6.5), main) for ends, main in roads
    ]
    for path, wide, _ in drawn:
        sheet.line(path, colours.casing, wide + 1.4)
    for path, wide, main in sorted(drawn, key=lambda road: road[2]):
        sheet.line(path, colours.main if main else colours.street, wide)
    for path, wide, main in drawn:
        _names(sheet, path, wide, main, colours, rng)
    if rng.chance(0.5):
        line = wander(sheet, rng)
        ink = rng.pick(((214, 60, 60), (40, 110, 200), (30, 140, 80)))
        dashed(sheet, line, ink, 2.0, (8, 3))
    _signs(sheet, colours, rng)
    return sheet


def _spaced(reach: float, step: float, rng: Rng) -> list[float]:
    out = [-reach]
    while out[-1] < reach:
        out.append(out[-1] + step * rng.between(0.6, 1.5))
    return out


def _block(
    sheet: Sheet, town: _Town, box: tuple[float, float, float, float], colours: _Colours, rng: Rng
) -> None:
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
                inset = rng.between(0, deep * 0.3)
                house = town.block(
                    u,
                    top + (inset if top > v0 + 2 else 0),
                    u + wide - 1.2,
                    top + deep - (0 if top > v0 + 2 else inset),
                )
                sheet.polygon(house, colours.house, shade(colours.house, 0.82), 0.6)
                if rng.chance(0.25):
                    sheet.text(
                        town.at(u + wide / 2, top + deep / 2),
                        str(rng.whole(1, 180)),
                        5.5,
                        mix(colours.house, colours.text, 0.6),
                        anchor="mm",
                    )
            u += wide


def _names(sheet: Sheet, path: Sequence[Point], wide: float, main: bool, colours: _Colours, rng: Rng) -> None:
    name, size = street_name(rng), 9.0 if main else rng.between(6.5, 7.8)
    reach = sheet.length(name, size) / 12
    k = rng.between(2, 8)
    while k + reach < len(path) - 1:
        (xa, ya), (xb, yb) = path[int(k)], path[int(k + reach)]
        turn = (-math.degrees(math.atan2(yb - ya, xb - xa)) + 90) % 180 - 90
        at = ((xa + xb) / 2, (ya + yb) / 2)
        if 0 < at[0] < sheet.width and 0 < at[1] < sheet.height:
            halo = colours.main if main else colours.street
            sheet.text(at, name, size, colours.text, anchor="mm", angle=turn or 0.5, bold=0.9, halo=halo)
        k += reach + rng.between(9, 22)


def _signs(sheet: Sheet, colours: _Colours, rng: Rng) -> None:
    w, h = sheet.width, sheet.height
    for _ in range(max(2, w * h // 14000)):
        x, y = rng.between(8, w - 8), rng.between(8, h - 8)
        ink = rng.pick(((200, 60, 60), (40, 100, 190), (150, 80, 160), (30, 130, 90), (220, 130, 40)))
        if rng.chance(0.5):
            sheet.ellipse((x, y), 6.5, ink, (255, 255, 255), 1.0)
            sheet.text((x, y), rng.pick("MPTHBS"), 8, (255, 255, 255), anchor="mm", bold=0.2)
        else:
            sheet.polygon([(x, y + 7), (x - 4.6, y - 1.5), (x + 4.6, y - 1.5)], ink)
            sheet.ellipse((x, y - 3), 5.2, ink)
            sheet.ellipse((x, y - 3), 2.0, (255, 255, 255))
        if rng.chance(0.45):
            sheet.text(
                (x, y + 13),
                place(rng) + rng.pick((" Hall", " Museum", " School", " Cafe", " Station")),
                8,
                ink,
                anchor="mm",
                bold=1.0,
                halo=colours.land,
            )
    for _ in range(max(1, w * h // 90000)):
        at = (rng.between(40, max(41, w - 40)), rng.between(12, h - 12))
        sheet.text(
            at,
            (place(rng) + rng.pick((" Town", " Quarter", "side", " Hill"))).upper(),
            rng.between(11, 14),
            mix(colours.text, colours.land, 0.25),
            anchor="mm",
            bold=1.4,
            halo=colours.land,
        )
    if min(w, h) > 150:
        sheet.box((8, h - 18, 92, h - 4), mix(colours.land, (255, 255, 255), 0.5))
        sheet.line(
            [(12, h - 11), (12, h - 7), (62, h - 7), (62, h - 11)],
            colours.text if sum(colours.land) > 300 else (0, 0, 0),
            1.0,
        )
        sheet.text(
            (66, h - 10),
            f"{rng.whole(1, 9) * 50} m",
            8,
            colours.text if sum(colours.land) > 300 else (0, 0, 0),
        )
