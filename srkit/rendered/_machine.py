"""Drawings of machine parts: views, sections and dimensions in a frame with a title block."""

from __future__ import annotations

import math
from collections.abc import Callable

from srkit.rendered._drafting import CENTRE, Style, arrow, cut_up, dashed, dim, hatch, some_style
from srkit.rendered.canvas import Box, Point, Rng, Sheet, circle, curve, polar
from srkit.rendered.lettering import person, title

PARTS = ("flange", "shaft", "bracket", "gear", "block")


def parts(width: int, height: int, part: str, name: str, paper: str, rng: Rng) -> Sheet:
    """Draw views of parts with dimensions, in a frame with a title block; the largest view is of `part`."""
    style = some_style(paper, rng.child("style"))
    sheet = Sheet(width, height, style.paper)
    if rng.chance(0.25):
        _squares(sheet, style, rng)
    edge = 12.0 if min(width, height) > 150 else 3.0
    _frame(sheet, style, edge)
    inner = (edge + 4, edge + 4, width - edge - 4, height - edge - 4)
    title_box = (inner[2] - 150, inner[3] - 62, inner[2] + 4, inner[3] + 4)
    titled = min(width, height) > 380
    cells = []
    for x0, y0, x1, y1 in cut_up(inner, rng.between(130, 230), rng.child("cells")):
        if titled and x1 > title_box[0] and y1 > title_box[1] + 20:
            y1 = min(y1, title_box[1] - 4)
        if y1 - y0 > 30 and x1 - x0 > 30:
            cells.append((x0, y0, x1, y1))
    cells.sort(key=lambda box: (box[0] - box[2]) * (box[3] - box[1]))
    for k, box in enumerate(cells):
        view = rng.child("view", k)
        _VIEWS[part if k == 0 else view.pick(tuple(_VIEWS))](sheet, box, style, view)
    if cells and name:
        x0, _, x1, y1 = cells[0]
        size = min(10.0, 10.0 * (x1 - x0) * 0.9 / sheet.length(name, 10.0))
        at = ((x0 + x1) / 2, y1 - size * 0.7)
        sheet.text(at, name, size, style.ink, anchor="mm", bold=1.0, halo=style.paper)
        sheet.text(at, name, size, style.ink, anchor="mm", bold=0.2, named=True)
    if titled:
        _title_block(sheet, title_box, style, rng.child("title"))
    return sheet


def _squares(sheet: Sheet, style: Style, rng: Rng) -> None:
    faint = tuple(round(p + (t - p) * 0.16) for p, t in zip(style.paper, style.thin, strict=True))
    step = rng.between(7, 13)
    for k in range(int(max(sheet.width, sheet.height) / step) + 1):
        wide = 0.9 if k % 5 == 0 else 0.4
        sheet.line([(k * step, 0), (k * step, sheet.height)], (faint[0], faint[1], faint[2]), wide)
        sheet.line([(0, k * step), (sheet.width, k * step)], (faint[0], faint[1], faint[2]), wide)


def _frame(sheet: Sheet, style: Style, edge: float) -> None:
    w, h = float(sheet.width), float(sheet.height)
    sheet.box((edge, edge, w - edge, h - edge), None, style.ink, 1.5)
    if edge < 8:
        return
    sheet.box((1.5, 1.5, w - 1.5, h - 1.5), None, style.thin, 0.6)
    for k in range(1, round(w / 90) + 1):
        x = w * k / round(w / 90)
        for y in (edge / 2 + 1, h - edge / 2 - 1):
            sheet.line([(x, y - 4), (x, y + 4)], style.thin, 0.6)
            sheet.text((x - 45, y), str(k), 7, style.thin, anchor="mm")
    for k in range(1, round(h / 90) + 1):
        y = h * k / round(h / 90)
        for x in (edge / 2 + 1, w - edge / 2 - 1):
            sheet.line([(x - 4, y), (x + 4, y)], style.thin, 0.6)
            sheet.text((x, y - 45), "ABCDEFGHJKLMNPQRSTUVWXYZ"[(k - 1) % 24], 7, style.thin, anchor="mm")


def _title_block(sheet: Sheet, box: Box, style: Style, rng: Rng) -> None:
    x0, y0, x1, y1 = box
    sheet.box(box, style.paper, style.ink, 1.4)
    for y in (y0 + 18, y0 + 34, y0 + 50):
        sheet.line([(x0, y), (x1, y)], style.ink, 0.7)
    for x in (x0 + 52, x0 + 104):
        sheet.line([(x, y0 + 18), (x, y1)], style.ink, 0.7)
    sheet.text((x0 + 5, y0 + 9), title(rng).upper(), 9, style.ink, bold=0.15)
    scale, number = (
        rng.pick(("1:1", "1:2", "1:5", "2:1", "1:10")),
        f"No. {rng.whole(100, 9999)}-{rng.pick('ABCDEFG')}",
    )
    notes = (
        "DRAWN",
        person(rng),
        "CHECKED",
        person(rng),
        "SCALE",
        scale,
        "SHEET",
        f"{rng.whole(1, 5)} / 5",
        number,
    )
    for k, note in enumerate(notes):
        sheet.text((x0 + 4 + 52 * (k % 3), y0 + 26 + 16 * (k // 3)), note, 6.5, style.ink)


def _leader(sheet: Sheet, at: Point, to: Point, note: str, style: Style) -> None:
    out = 12.0 if to[0] >= at[0] else -12.0
    sheet.line([at, to, (to[0] + out, to[1])], style.thin, 0.6)
    arrow(sheet, at, to, style.thin, 5)
    sheet.text((to[0] + out * 1.15, to[1]), note, style.letters, style.thin, anchor="lm" if out > 0 else "rm")


def _round(sheet: Sheet, middle: Point, radius: float, style: Style) -> None:
    around = circle(middle, radius, 90)
    dashed(sheet, [*around, around[0]], style.mark, 0.6, CENTRE)


def _cross(sheet: Sheet, at: Point, reach: float, style: Style) -> None:
    dashed(sheet, [(at[0] - reach, at[1]), (at[0] + reach, at[1])], style.mark, 0.6, CENTRE)
    dashed(sheet, [(at[0], at[1] - reach), (at[0], at[1] + reach)], style.mark, 0.6, CENTRE)


def _room_for(box: Box) -> tuple[Point, float]:
    """Centre of a cell, and maximal radius of a view in it, with space for its dimensions."""
    return ((box[0] + box[2]) / 2, (box[1] + box[3]) / 2), min(box[2] - box[0], box[3] - box[1]) / 2 - 4


def _flange(sheet: Sheet, box: Box, style: Style, rng: Rng) -> None:
    middle, reach = _room_for(box)
    outer = max(8.0, reach * 0.7)
    bore, ring = outer * rng.between(0.2, 0.42), outer * rng.between(0.66, 0.78)
    count, hole = int(rng.pick((3, 4, 5, 6, 8))), outer * rng.between(0.07, 0.12)
    sheet.ellipse(middle, outer, None, style.ink, style.heavy)
    sheet.ellipse(middle, bore, None, style.ink, style.heavy)
    sheet.ellipse(middle, bore * 1.22, None, style.ink, style.heavy * 0.6)
    _round(sheet, middle, ring, style)
    turn = rng.between(0, math.pi)
    for at in circle(middle, ring, count, turn):
        sheet.ellipse(at, hole, None, style.ink, style.heavy)
        _cross(sheet, at, hole * 1.7, style)
    _cross(sheet, middle, outer * 1.1, style)
    dim(sheet, (middle[0] - outer, middle[1]), (middle[0] + outer, middle[1]), outer + 14, style, rng)
    dim(sheet, (middle[0], middle[1] + bore), (middle[0], middle[1] - bore), outer + 12, style, rng)
    x, y = polar(middle, ring, turn + 2 * math.pi / count)
    to = (middle[0] + outer * 0.75, middle[1] - outer - 6)
    _leader(sheet, (x + hole, y), to, f"{count} x M{rng.whole(3, 13)}", style)


def _shaft(sheet: Sheet, box: Box, style: Style, rng: Rng) -> None:
    """Draw a stepped shaft from the side, or as a hatched section along its axis."""
    x0, x1, y = box[0] + 24, box[2] - 16, (box[1] + box[3]) / 2 - 4
    count, tallest = rng.whole(3, 6), max(8.0, (box[3] - box[1]) / 2 - 34)
    cuts = sorted(float(v) for v in rng.uniform(0.1, 0.9, count - 1))
    edges = [x0, *(x0 + (x1 - x0) * c for c in cuts), x1]
    radii = [tallest * rng.between(0.45, 1.0) for _ in range(count)]
    cut = rng.chance(0.6)
    bore = min(radii) * 0.5
    for k, radius in enumerate(radii):
        a, b = edges[k], edges[k + 1]
        if cut:
            for side in (-1, 1):
                low, high = y + side * bore, y + side * radius
                hatch(sheet, [(a, low), (b, low), (b, high), (a, high)], 4.2, 45, style.thin, 0.6)
        sheet.box((a, y - radius, b, y + radius), None, style.ink, style.heavy)
        if not cut and rng.chance(0.3):  # a thread
            for line in range(int((b - a) / 4)):
                sheet.line([(a + 4 * line + 2, y - radius), (a + 4 * line + 4, y + radius)], style.thin, 0.6)
        if b - a > 12:
            dim(sheet, (a, y + radius), (b, y + radius), tallest - radius + 12 + 12 * (k % 2), style, rng)
    if cut:
        for side in (-1, 1):
            sheet.line([(x0, y + side * bore), (x1, y + side * bore)], style.ink, style.heavy)
    dashed(sheet, [(x0 - 8, y), (x1 + 8, y)], style.mark, 0.6, CENTRE)
    dim(sheet, (edges[0], y + radii[0]), (edges[0], y - radii[0]), -14, style, rng)
    dim(sheet, (x1, y - tallest), (x0, y - tallest), 14, style, rng)


def _bracket(sheet: Sheet, box: Box, style: Style, rng: Rng) -> None:
    """Draw an angle bracket with rounded corner and holes, its cut faces hatched."""
    x0, y0, x1, y1 = box[0] + 26, box[1] + 24, box[2] - 24, box[3] - 30
    if x1 - x0 < 30 or y1 - y0 < 30:
        return
    thick = min(x1 - x0, y1 - y0) * rng.between(0.22, 0.36)
    corner = [(x0 + thick * u, y1 - thick * v) for u, v in ((1.0, 1.4), (1.12, 1.12), (1.4, 1.0))]
    shape = [(x0, y0), (x0 + thick, y0), *curve(corner, 4), (x1, y1 - thick), (x1, y1), (x0, y1)]
    if rng.chance(0.6):
        hatch(sheet, shape, rng.between(3.4, 5), rng.pick((45, 135)), style.thin, 0.6)
    sheet.polygon(shape, None, style.ink, style.heavy)
    for at in ((x0 + thick / 2, y0 + thick * 0.8), (x1 - thick * 0.8, y1 - thick / 2)):
        sheet.ellipse(at, thick * 0.24, style.paper, style.ink, style.heavy)
        _cross(sheet, at, thick * 0.42, style)
    dim(sheet, (x0, y1), (x1, y1), 14, style, rng)
    dim(sheet, (x0, y0), (x0, y1), 14, style, rng)
    dim(sheet, (x0 + thick, y0), (x0, y0), 12, style, rng)
    dim(sheet, (x1, y1), (x1, y1 - thick), 12, style, rng)
    at, to = (x0 + thick * 1.16, y1 - thick * 1.16), (x0 + thick * 1.9, y1 - thick * 2.1)
    _leader(sheet, at, to, f"R{thick / 3:.0f}", style)


def _gear(sheet: Sheet, box: Box, style: Style, rng: Rng) -> None:
    middle, reach = _room_for(box)
    outer, teeth = max(10.0, reach * 0.74), rng.whole(12, 30)
    root = outer * (1 - 3.2 / teeth)
    points = []
    for k in range(teeth):
        for share, radius in ((0.0, root), (0.28, root), (0.42, outer), (0.7, outer), (0.86, root)):
            points.append(polar(middle, radius, 2 * math.pi * (k + share) / teeth))
    sheet.polygon(points, None, style.ink, style.heavy)
    _round(sheet, middle, (root + outer) / 2, style)
    for radius in (root * 0.82, root * 0.42, root * 0.24):
        sheet.ellipse(middle, radius, None, style.ink, style.heavy * 0.8)
    for at in circle(middle, root * 0.62, rng.whole(3, 7), 0.3):
        sheet.ellipse(at, root * 0.12, None, style.ink, style.heavy * 0.8)
    x, y = middle
    keyway = (x - root * 0.06, y - root * 0.31, x + root * 0.06, y - root * 0.2)
    sheet.box(keyway, style.paper, style.ink, style.heavy * 0.8)
    _cross(sheet, middle, outer * 1.08, style)
    dim(sheet, (middle[0] - outer, middle[1]), (middle[0] + outer, middle[1]), outer + 13, style, rng)
    to = (x + outer * 0.8, y - outer - 5)
    _leader(sheet, (x + outer * 0.7, y - outer * 0.7), to, f"z = {teeth}", style)


def _block(sheet: Sheet, box: Box, style: Style, rng: Rng) -> None:
    """Draw a block with a step and a hole in oblique view, hidden edges dashed."""
    middle, reach = _room_for(box)
    unit = max(6.0, reach * 0.62)
    a, b, c = (rng.between(0.8, 1.5) for _ in range(3))
    step = rng.between(0.35, 0.65)

    def at(x: float, y: float, z: float) -> Point:
        return (middle[0] + (x - y) * unit * 0.866, middle[1] + ((x + y) * 0.5 - z) * unit)

    low, high = -c / 2, c / 2
    mid = low + c * step
    x0, x1, xm, y0, y1 = -a / 2, a / 2, 0.0, -b / 2, b / 2
    faces = (
        [at(x0, y0, high), at(xm, y0, high), at(xm, y1, high), at(x0, y1, high)],
        [at(xm, y0, high), at(xm, y0, mid), at(xm, y1, mid), at(xm, y1, high)],
        [at(xm, y0, mid), at(x1, y0, mid), at(x1, y1, mid), at(xm, y1, mid)],
        [at(x1, y0, mid), at(x1, y0, low), at(x1, y1, low), at(x1, y1, mid)],
        [at(x, y1, z) for x, z in ((x0, high), (xm, high), (xm, mid), (x1, mid), (x1, low), (x0, low))],
    )
    for face in faces:
        sheet.polygon(face, style.paper, style.ink, style.heavy)
    if rng.chance(0.5):
        hatch(sheet, faces[4], 4.0, 60, style.thin, 0.5)
    hole = at((xm + x1) / 2, 0, mid)
    ring = circle(((xm + x1) / 2, 0), a * 0.16, 40)
    sheet.polygon([at(x, y, mid) for x, y in ring], style.paper, style.ink, style.heavy * 0.8)
    dashed(sheet, [hole, (hole[0], hole[1] + unit * (mid - low))], style.mark, 0.6, CENTRE)
    for end in (at(x0, y1, low), at(x1, y0, low), at(x0, y0, high)):
        dashed(sheet, [at(x0, y0, low), end], style.thin, 0.7)
    dim(sheet, at(x0, y1, low), at(x1, y1, low), 12, style, rng)
    dim(sheet, at(x1, y1, low), at(x1, y0, low), 12, style, rng)


def _notes(sheet: Sheet, box: Box, style: Style, rng: Rng) -> None:
    """Draw a parts list in a ruled table, or remarks."""
    step = style.letters * 1.7
    x0, x1, y = box[0] + 10, box[2] - 10, box[1] + 14
    if rng.chance(0.5):
        sheet.text((x0, y), "NOTES", style.letters * 1.2, style.ink, bold=0.15)
        for k in range(int((box[3] - y - step) / step)):
            note = rng.pick(_REMARKS).format(f"{rng.between(0.1, 4):.1f}")
            if sheet.length(f"{k + 1}. {note}", style.letters) < x1 - x0:
                sheet.text((x0, y + step * (k + 1)), f"{k + 1}. {note}", style.letters, style.ink)
        return
    columns = [x0 + (x1 - x0) * share for share in (0.0, 0.14, 0.56, 0.72, 1.0)]
    rows = int((box[3] - 10 - y) / step)
    for row in range(rows):
        top = y + row * step
        metal = rng.pick(("S235", "C45", "AlMg3", "PA6", "CuZn"))
        cells = (str(row), rng.pick(_LISTED), str(rng.whole(1, 13)), metal)
        for k, cell in enumerate(("No", "Part", "Qty", "Material") if row == 0 else cells):
            if sheet.length(cell, style.letters) < columns[k + 1] - columns[k] - 3:
                sheet.text((columns[k] + 3, top + step / 2), cell, style.letters, style.ink)
        sheet.line([(x0, top), (x1, top)], style.ink, style.heavy * 0.8 if row < 2 else 0.6)
    for x in columns:
        sheet.line([(x, y), (x, y + rows * step)], style.ink, 0.7)
    sheet.line([(x0, y + rows * step), (x1, y + rows * step)], style.ink, 0.7)


_REMARKS = (
    "All edges {} x 45°", "Break sharp edges", "Surface Ra {}", "Tolerance ±{}", "Heat treated", "Weld a{} all round",
    "Dimensions in mm", "Do not scale", "Galvanized {}", "Torque {} Nm", "Paint RAL 7035", "Seal with O-ring {}",
)  # fmt: skip
_LISTED = (
    "Flange", "Shaft", "Bracket", "Gear", "Housing", "Washer", "Screw", "Key", "Bushing", "Cover", "Spring", "Plate",
    "Seal",
)  # fmt: skip
_VIEWS: dict[str, Callable[[Sheet, Box, Style, Rng], None]] = {
    "flange": _flange, "shaft": _shaft, "bracket": _bracket, "gear": _gear, "block": _block, "notes": _notes,
}  # fmt: skip
