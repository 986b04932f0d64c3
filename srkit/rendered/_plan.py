"""Floor plans."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np

from srkit.rendered.canvas import Sheet, between, pick
from srkit.rendered._drafting import Box, Style, arrow, cut_up, dim, hatch, some_style

_ROOMS = (
    "KITCHEN", "BEDROOM", "LIVING", "DINING", "BATH", "HALL", "STUDY", "STORE", "OFFICE", "LOBBY", "LAUNDRY", "GUEST",
    "PANTRY", "WORKSHOP", "MEETING", "ARCHIVE",
)  # fmt: skip


def plan(width: int, height: int, rng: Rng) -> Sheet:
    """A floor plan: walls, doors, windows, furniture, names and areas of rooms, dimensions around."""
    style = some_style(rng)
    sheet = Sheet(width, height, style.paper)
    edge = 34.0 if min(width, height) > 200 else 8.0
    wall = rng.between(3.5, 6.5)
    outer = (edge, edge, width - edge, height - edge)
    rooms = cut_up(outer, rng.between(80, 140), rng)
    for room in rooms:
        _furnish(sheet, room, wall, style, rng)
    solid = rng.chance(0.5)
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
    name, area = rng.pick(_ROOMS), f"{wide * tall * 0.0025:.1f} m2"
    at = ((x0 + x1) / 2, (y0 + y1) / 2 - 6)
    if sheet.length(name, style.letters) < wide:
        reach = max(sheet.length(name, style.letters), sheet.length(area, style.letters * 0.85)) / 2 + 3
        sheet.box(
            (at[0] - reach, at[1] - style.letters * 0.8, at[0] + reach, at[1] + style.letters * 2),
            style.paper,
        )
        sheet.text(at, name, style.letters, style.ink, anchor="mm")
        sheet.text((at[0], at[1] + style.letters * 1.25), area, style.letters * 0.85, style.thin, anchor="mm")
