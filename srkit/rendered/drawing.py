"""Technical drawings and maps: parts with dimensions and sections, floor plans, contour maps, street maps.

Lines are 0.5 to 2.5 pixels wide, lettering 6 to 13 pixels, for any image size; a larger sheet holds more parts, rooms,
hills or streets.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise

from srkit.rendered._drafting import PAPERS, Style, arrow, cut_up, dim, hatch, some_style
from srkit.rendered._machine import PARTS, parts
from srkit.rendered._maps import LANDS, TOWNS, hills, streets
from srkit.rendered.canvas import Box, Rendered, Rng, Sheet
from srkit.rendered.lettering import sign_word
from srkit.rendered.specs import Caption, Spec, Split, Wording, a, choice, words


def _name(rng: Rng, split: Split) -> str:
    return sign_word(rng, split).upper()


@dataclass(frozen=True, kw_only=True)
class Drawing(Spec):
    """Sheet of one kind, with a name in its middle."""

    domain = "drawing"
    kind: str = choice(
        "part: technical drawing|engineering drawing, plan: floor plan|architect's floor plan, "
        "contours: contour map|topographic map, streets: street map|city map"
    )
    part: str = choice(PARTS, kind="part")
    walls: str = choice("solid: solid walls, hatched: hatched walls", kind="plan")
    paper: str = choice(
        [f"{paper}: {paper} paper" for paper in PAPERS], weights="8 4 3 3 2", kind=("part", "plan")
    )
    land: str = choice([f"{land}: {land} ground" for land in LANDS], kind="contours")
    town: str = choice([f"{town}: {town} colours" for town in TOWNS], kind="streets")
    name: str = words(_name)

    def draw(self, width: int, height: int) -> Rendered:
        rng = self.rng(self.kind)
        match self.kind:
            case "part":
                sheet = parts(width, height, self.part, self.name, self.paper, rng)
            case "plan":
                sheet = _plan(width, height, self.walls, self.name, self.paper, rng)
            case "contours":
                sheet = hills(width, height, self.land, self.name, rng)
            case _:
                sheet = streets(width, height, self.town, self.name, rng)
        return sheet.rendered()

    def describe(self, say: Wording) -> Caption:
        shown = self.shown()
        subject = f" of {a(say('part'))}" if "part" in shown else ""
        lines = {
            "part": ("dimension lines with arrows", "thin dimension lines"),
            "plan": ("doors and windows", "rooms with dimensions"),
            "contours": ("thin contour lines", "roads and lakes"),
            "streets": ("streets with names", "blocks of houses"),
        }[self.kind]
        detail = [f"label {say.reads('name')}", say.pick(*lines)]
        detail += [say(key) for key in ("walls", "paper", "land", "town") if key in shown]
        keywords = ("drawing" if self.kind in ("part", "plan") else "map", say("kind"), "thin lines", "text")
        return say.caption(f"{say('kind')}{subject}", detail, keywords)


_ROOMS = (
    "KITCHEN", "BEDROOM", "LIVING", "DINING", "BATH", "HALL", "STUDY", "STORE", "OFFICE", "LOBBY", "LAUNDRY", "GUEST",
    "PANTRY", "WORKSHOP", "MEETING", "ARCHIVE",
)  # fmt: skip


def _plan(width: int, height: int, walls: str, name: str, paper: str, rng: Rng) -> Sheet:
    """Draw a floor plan: walls, doors, windows, furniture, names and areas of rooms, outer dimensions."""
    style = some_style(paper, rng.child("style"))
    sheet = Sheet(width, height, style.paper)
    edge = 34.0 if min(width, height) > 200 else 8.0
    wall = rng.between(3.5, 6.5)
    outer = (edge, edge, width - edge, height - edge)
    rooms = cut_up(outer, rng.between(80, 140), rng)
    largest = max(rooms, key=lambda room: (room[2] - room[0]) * (room[3] - room[1]))
    for k, room in enumerate(rooms):
        part = rng.child("room", k)
        _furnish(sheet, room, wall, style, part)
        _room_name(
            sheet, room, wall, style, part.pick(_ROOMS) if room != largest else name, named=room == largest
        )
    solid = walls == "solid"
    for x0, y0, x1, y1 in rooms:
        half = wall / 2
        bands = (
            (x0 - half, y0 - half, x1 + half, y0 + half),
            (x0 - half, y1 - half, x1 + half, y1 + half),
            (x0 - half, y0 - half, x0 + half, y1 + half),
            (x1 - half, y0 - half, x1 + half, y1 + half),
        )
        for band in bands:
            sheet.box(band, style.ink if solid else style.paper, style.ink, style.heavy * 0.7)
            if not solid:
                corners = [(band[0], band[1]), (band[2], band[1]), (band[2], band[3]), (band[0], band[3])]
                hatch(sheet, corners, 3.2, 45, style.thin, 0.6)
    for room in rooms:
        _openings(sheet, room, outer, wall, style, rng)
    if edge > 20:
        xs = sorted({round(v, 2) for room in rooms for v in (room[0], room[2]) if room[1] == outer[1]})
        ys = sorted({round(v, 2) for room in rooms for v in (room[1], room[3]) if room[0] == outer[0]})
        for a, b in pairwise(xs):
            dim(sheet, (b, edge), (a, edge), 15, style, rng, f"{(b - a) * 0.05:.2f}")
        for a, b in pairwise(ys):
            dim(sheet, (edge, a), (edge, b), 15, style, rng, f"{(b - a) * 0.05:.2f}")
        dim(
            sheet,
            (edge, height - edge),
            (width - edge, height - edge),
            17,
            style,
            rng,
            f"{(width - 2 * edge) * 0.05:.2f}",
        )
    return sheet


def _openings(sheet: Sheet, room: Box, outer: Box, wall: float, style: Style, rng: Rng) -> None:
    x0, y0, x1, y1 = room
    half = wall / 2 + 0.2
    if y0 == outer[1] or y1 == outer[3]:  # windows in outer walls
        y = y0 if y0 == outer[1] else y1
        a, b = x0 + (x1 - x0) * 0.28, x0 + (x1 - x0) * 0.72
        sheet.box((a, y - half, b, y + half), style.paper, style.ink, 0.7)
        sheet.line([(a, y), (b, y)], style.ink, 0.6)
    if x0 == outer[0] or x1 == outer[2]:
        x = x0 if x0 == outer[0] else x1
        a, b = y0 + (y1 - y0) * 0.3, y0 + (y1 - y0) * 0.7
        sheet.box((x - half, a, x + half, b), style.paper, style.ink, 0.7)
        sheet.line([(x, a), (x, b)], style.ink, 0.6)
    leaf = min(22.0, (x1 - x0) * 0.4, (y1 - y0) * 0.4)
    if x1 != outer[2]:  # a door to the right
        y = y0 + (y1 - y0) * rng.between(0.15, 0.5)
        sheet.box((x1 - half, y, x1 + half, y + leaf), style.paper)
        sheet.line([(x1, y), (x1 - leaf, y)], style.ink, 1.2)
        sheet.arc((x1, y), (leaf, leaf), (90, 180), style.thin, 0.6)
    if y1 != outer[3] and rng.chance(0.7):  # and one below
        x = x0 + (x1 - x0) * rng.between(0.3, 0.55)
        sheet.box((x, y1 - half, x + leaf, y1 + half), style.paper)
        sheet.line([(x, y1), (x, y1 - leaf)], style.ink, 1.2)
        sheet.arc((x, y1), (leaf, leaf), (270, 360), style.thin, 0.6)


def _furnish(sheet: Sheet, room: Box, wall: float, style: Style, rng: Rng) -> None:
    x0, y0, x1, y1 = room[0] + wall, room[1] + wall, room[2] - wall, room[3] - wall
    wide, tall = x1 - x0, y1 - y0
    if min(wide, tall) < 30:
        return
    thin = 0.7
    kind = rng.whole(6)
    if kind == 0:  # tiles
        for k in range(int(wide / 9)):
            sheet.line([(x0 + 9 * k, y0), (x0 + 9 * k, y1)], style.thin, 0.4)
        for k in range(int(tall / 9)):
            sheet.line([(x0, y0 + 9 * k), (x1, y0 + 9 * k)], style.thin, 0.4)
    elif kind == 1:  # a bed with pillows
        sheet.box((x0 + 3, y1 - 40, x0 + 31, y1 - 2), None, style.ink, thin, 2)
        sheet.box((x0 + 5, y1 - 38, x0 + 16, y1 - 30), None, style.ink, thin, 2)
        sheet.box((x0 + 18, y1 - 38, x0 + 29, y1 - 30), None, style.ink, thin, 2)
        sheet.line([(x0 + 3, y1 - 26), (x0 + 31, y1 - 26)], style.ink, thin)
    elif kind == 2:  # a table with chairs
        cx, cy, r = x0 + wide * 0.35, y0 + tall * 0.72, min(wide, tall) * 0.14
        sheet.ellipse((cx, cy), r, None, style.ink, thin)
        for k in range(6):
            at = (cx + 1.45 * r * math.cos(k * math.pi / 3), cy + 1.45 * r * math.sin(k * math.pi / 3))
            sheet.box((at[0] - 3, at[1] - 3, at[0] + 3, at[1] + 3), None, style.ink, thin, 1.2)
    elif kind == 3:  # a kitchen row
        sheet.box((x0 + 1, y0 + 1, x1 - 1, y0 + 13), None, style.ink, thin)
        for k in range(2):
            for j in range(2):
                sheet.ellipse((x0 + 8 + 7 * k, y0 + 4.5 + 5.5 * j), 2.2, None, style.ink, 0.6)
        sheet.box((x0 + 26, y0 + 3, x0 + 40, y0 + 11), None, style.ink, thin, 2)
    elif kind == 4:  # stairs
        for k in range(int(tall / 6)):
            sheet.line([(x1 - 26, y0 + 6 * k), (x1 - 2, y0 + 6 * k)], style.ink, thin)
        sheet.line([(x1 - 14, y1 - 4), (x1 - 14, y0 + 6)], style.thin, 0.7)
        arrow(sheet, (x1 - 14, y0 + 3), (x1 - 14, y1), style.thin)
    else:  # floor boards
        corners = [(x0, y0), (x1, y0), (x1, y1), (x0, y1)]
        hatch(sheet, corners, rng.between(5, 9), rng.pick((0, 90, 45)), style.thin, 0.4)


def _room_name(sheet: Sheet, room: Box, wall: float, style: Style, name: str, *, named: bool) -> None:
    wide, tall = room[2] - room[0] - 2 * wall, room[3] - room[1] - 2 * wall
    area, length = f"{wide * tall * 0.0025:.1f} m2", sheet.length(name, style.letters)
    if min(wide, tall) < 30 or (length >= wide and not named):
        return
    size = min(style.letters, style.letters * wide / length)
    x, y = (room[0] + room[2]) / 2, (room[1] + room[3]) / 2 - 6
    reach = max(sheet.length(name, size), sheet.length(area, size * 0.85)) / 2 + 3
    sheet.box((x - reach, y - size * 0.8, x + reach, y + size * 2), style.paper)
    sheet.text((x, y), name, size, style.ink, anchor="mm", named=named)
    sheet.text((x, y + size * 1.25), area, size * 0.85, style.thin, anchor="mm")
