"""Built surfaces: brickwork in four bonds, cobbles, dressed stone, shingles, tiles, mosaic, planks and parquet.

Bricks are 26 to 64 pixels long (small ones 8 to 19), tiles 14 to 54, planks 18 to 48 wide, stones 22 to 70, for any
image size.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from srkit.rendered._masonry import (
    BRICKS,
    FINER,
    ROOFS,
    STONES,
    Band,
    Indices,
    Surface,
    ashlar,
    bevel,
    brick,
    cells,
    cobbles,
    laid,
    over,
    painted,
    ramp,
    shingles,
    to_edge,
)  # fmt: skip
from srkit.rendered.canvas import Colour, Floats, Noise, Pixels, Rendered, Rng, cosine, f32, reduce_bands
from srkit.rendered.colours import COLOURS, hue, mix, paint, shade
from srkit.rendered.specs import Caption, Spec, Wording, choice

_WHERE = {"brick": "wall", "cobbles": "paving", "blocks": "wall", "shingles": "roof"}
_NOUNS = (
    "brick: brick wall|brickwork, cobbles: cobbles|stone paving, blocks: stone wall|dressed stone, "
    "shingles: tiled roof|roof tiles, tiles: glazed tiles|wall tiles, "
    "hexagons: hexagonal tiles|hexagon mosaic, planks: wooden boards|wood planks"
)
WOODS: dict[str, Colour] = {
    "light brown": (186, 140, 92), "brown": (150, 104, 66), "dark brown": (112, 74, 48), "pale": (206, 172, 128),
    "gray": (140, 130, 118), "deep brown": (96, 62, 44), "reddish": (168, 96, 60),
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Texture(Spec):
    """Wall, roof or floor in frontal view."""

    domain = "texture"
    surface: str = choice(_NOUNS, weights="2 1 1 1 1 1 2")
    bricks: str = choice(BRICKS, surface="brick")
    bond: str = choice(
        "running: running bond, third: third bond|raking bond, flemish: Flemish bond, stack: stack bond",
        weights="2 1 1 1",
        surface="brick",
    )
    size: str = choice("large: large bricks, small: small bricks|tiny bricks", weights="2 1", surface="brick")
    stone: str = choice(STONES, surface=("cobbles", "blocks"))
    roof: str = choice(ROOFS, surface="shingles")
    edge: str = choice(
        "round: rounded edges, straight: straight edges, waved: waved tiles|pantiles",
        weights="2 1 1",
        surface="shingles",
    )
    glaze: str = choice(COLOURS, surface=("tiles", "hexagons"))
    pattern: str = choice(
        "plain: one colour, checkered: checkered|chequered, mixed: mixed colours|random colours, "
        "figured: star figures|printed stars",
        weights="1 2 2 2",
        surface="tiles",
    )
    lines: str = choice("level: level rows, diagonal: laid diagonally", weights="3 1", surface="tiles")
    wood: str = choice(WOODS, surface="planks")
    laying: str = choice(
        "level: horizontal boards, upright: vertical boards|upright boards, parquet: parquet blocks",
        weights="9 6 5",
        surface="planks",
    )

    def draw(self, width: int, height: int) -> Rendered:
        surface = Surface(width, height, self.rng("grain"))
        return Rendered(reduce_bands(width, height, FINER, self._band(surface, self.rng(self.surface))))

    def _band(self, surface: Surface, rng: Rng) -> Band:
        match self.surface:
            case "brick":
                return brick(surface, rng, self.bricks, self.bond, self.size)
            case "cobbles":
                return cobbles(surface, rng, self.stone)
            case "blocks":
                return ashlar(surface, rng, self.stone)
            case "shingles":
                return shingles(surface, rng, self.roof, self.edge)
            case "tiles":
                return _tiles(surface, rng, self.glaze, self.pattern, diagonal=self.lines == "diagonal")
            case "hexagons":
                return _hexagons(surface, rng, self.glaze)
        return _planks(surface, rng, self.wood, self.laying)

    def describe(self, say: Wording) -> Caption:
        shown = self.shown()
        colour = next(say(name) for name in ("bricks", "stone", "roof", "glaze", "wood") if name in shown)
        detail = [
            say(name) for name in ("bond", "size", "edge", "pattern", "lines", "laying") if name in shown
        ]
        rough = {"brick": "rough faces", "shingles": "overlapping rows", "planks": "wood grain and knots"}
        detail.append(rough.get(self.surface, "thin joints"))
        start = say.pick("photograph of", "close-up of", "texture of", "")
        return say.caption(
            f"{start} {colour} {say('surface')}",
            detail,
            (self.surface, say("surface"), _WHERE.get(self.surface, "floor")),
        )


_GROUTS = ((214, 210, 204), (120, 118, 116), (70, 70, 74), (240, 238, 232), (170, 166, 160))


def _tiles(surface: Surface, rng: Rng, glaze: str, pattern: str, *, diagonal: bool) -> Band:
    """Square or oblong glazed tiles: plain, checkered, mixed, or with a printed figure."""
    wide = max(rng.between(14, 54), 22 if pattern in ("plain", "figured") else 14)
    tall = wide * rng.pick((1.0, 1.0, 1.0, 0.5))
    joint, stagger = rng.between(1.0, 2.6), 0.5 if rng.chance(0.7) and tall < wide else 0.0
    grout, eight, ring = rng.pick(_GROUTS), rng.chance(0.5), rng.between(0.25, 0.42)
    second = hue(rng.random(), 0.5, 0.85)
    first = paint(glaze, rng.child("glaze"), (0.25, 0.75), (0.4, 0.95))
    colours = np.array([first, second, (238, 236, 230), shade(first, 0.7)], np.float32)

    def face(row: Indices, column: Indices, u: Floats, v: Floats) -> Floats:
        if pattern == "figured":
            return _figure(colours, u, v, f32(min(wide, tall) / 2), eight=eight, ring=ring)
        if pattern == "checkered":
            return colours[np.where((row + column) % 2 == 0, 0, 2)]
        if pattern == "mixed":
            return colours[np.minimum(3, surface.chance(0, row, column) * 4).astype(np.int32)]
        return colours[np.zeros_like(column)]

    def band(top: int, bottom: int) -> Pixels:
        x, y = surface.at(top, bottom, 0.12, 0.06)
        if diagonal:
            x, y = (x + y) * f32(math.sqrt(0.5)), (y - x) * f32(math.sqrt(0.5))
        row, above = cells(y, tall)
        column, left = cells(x + (row % 2).astype(np.float32) * f32(stagger * wide), wide)
        sides = (left, f32(wide) - left, above, f32(tall) - above)
        light = surface.grain(top, bottom, 0.04, 0.05, 0.12)
        light *= f32(0.94) + f32(0.12) * surface.chance(1, row, column)
        light += f32(0.14) * bevel(*sides, joint, 1.6)
        gloss = np.abs(left / f32(wide) + above / f32(tall) - f32(0.55))
        light += f32(0.09) * np.clip(1 - gloss * f32(5), 0, 1)
        shown = face(row, column, left * f32(2 / wide) - 1, above * f32(2 / tall) - 1)
        return laid(surface.mortar(top, bottom, grout), shown, light, to_edge(*sides, joint))

    return band


def _figure(colours: Floats, u: Floats, v: Floats, sharp: np.float32, *, eight: bool, ring: float) -> Floats:
    """Star, ring and quarter circles in the corners; u and v are -1..1 across the tile."""
    far = np.sqrt(u * u + v * v)
    star = np.abs(u) + np.abs(v)
    if eight:
        star = np.maximum(star, f32(1.3) * np.maximum(np.abs(u), np.abs(v)))
    corner = np.sqrt((1 - np.abs(u)) ** 2 + (1 - np.abs(v)) ** 2)
    shown: Floats = np.full((*u.shape, 3), colours[2], np.float32)
    for colour, inside in (
        (1, f32(0.95) - star),
        (2, f32(0.72) - star),
        (0, f32(0.09) - np.abs(far - f32(ring))),
        (3, f32(0.4) - corner),
    ):
        shown = over(shown, colours[colour], np.clip(inside * sharp, 0, 1))
    return shown


_TINTS = {"light": ((0.35, 0.35), (0.85, 0.85)), "dark": ((0.5, 0.5), (0.6, 0.6))}  # saturation and value


def _hexagons(surface: Surface, rng: Rng, glaze: str) -> Band:
    """Mosaic of hexagons in four colours."""
    pitch, joint, grout = rng.between(14, 44), rng.between(1.0, 2.4), rng.pick(_GROUTS)
    light, dark = (paint(glaze, rng.child(name), *sv) for name, sv in _TINTS.items())
    colours = np.array([(236, 234, 228), dark, light, (44, 46, 52)], np.float32)
    shares = np.cumsum(rng.random(4) + 0.1)
    limits = (shares / shares[-1]).astype(np.float32)
    tall = pitch * math.sqrt(3)

    def nearest(x: Floats, y: Floats, shift: float) -> tuple[Floats, Floats, Indices, Indices]:
        """Offset from the nearest centre, and its index, in a lattice that is shifted by a fraction of its pitch."""
        column, u = cells(x + f32((0.5 - shift) * pitch), pitch)
        row, v = cells(y + f32((0.5 - shift) * tall), tall)
        return u - f32(pitch / 2), v - f32(tall / 2), row, column

    def band(top: int, bottom: int) -> Pixels:
        x, y = surface.at(top, bottom, 0.2, 0.08)
        # The centres of hexagons form two rectangular lattices, one offset to the middles of the other.
        u, v, row, column = nearest(x, y, 0.0)
        u2, v2, row2, column2 = nearest(x, y, 0.5)
        other = u2 * u2 + v2 * v2 < u * u + v * v
        u, v = np.where(other, u2, u), np.where(other, v2, v)
        row, column = np.where(other, 2 * row2 + 1, 2 * row), np.where(other, column2, column)
        reach = np.maximum(np.abs(u), np.abs(u) * f32(0.5) + np.abs(v) * f32(math.sqrt(3) / 2))
        edge = f32(pitch / 2 - joint / 2) - reach
        light = surface.grain(top, bottom, 0.05, 0.05, 0.12)
        light *= f32(0.92) + f32(0.16) * surface.chance(1, row, column)
        light -= f32(0.22 / pitch) * np.clip(1 - edge / f32(1.8), 0, 1) * (u + v)
        face = colours[np.minimum(3, np.searchsorted(limits, surface.chance(0, row, column)))]
        return laid(surface.mortar(top, bottom, grout), face, light, edge)

    return band


def _planks(surface: Surface, rng: Rng, wood: str, laying: str) -> Band:
    """Boards with rings, fibres, pores and knots; sometimes laid as parquet."""
    wide, gap, rings, knots = (
        rng.between(18, 48),
        rng.between(0.6, 2.0),
        rng.between(0.5, 1.4),
        rng.between(0, 0.5),
    )
    base, upright, parquet = WOODS[wood], laying == "upright", laying == "parquet"
    palette = (shade(base, 0.66), shade(base, 0.92), base, mix(base, (240, 214, 170), 0.3))
    long = wide * (rng.between(4, 9), 4)[parquet]
    size = (surface.height, surface.width)
    fibres = ((3.0, 70.0), (0.8, 16.0), (9.0, 44.0))  # streaks, pores, and distortion of the rings
    level = [Noise(rng, *size, cell) for cell in fibres]
    steep = [Noise(rng, *size, (across, along)) for along, across in fibres]

    def band(top: int, bottom: int) -> Pixels:
        x, y = surface.at(top, bottom, 0.15, 0.05)
        if parquet:  # blocks of boards in alternating directions
            turned = (cells(x, long)[0] + cells(y, long)[0]) % 2 == 1
            pairs = zip(level, steep, strict=True)
            streak, pore, swell = (
                np.where(turned, b.rows(top, bottom, FINER), a.rows(top, bottom, FINER)) for a, b in pairs
            )
            across, along = np.where(turned, x, y), np.where(turned, y, x)
        else:
            streak, pore, swell = (noise.rows(top, bottom, FINER) for noise in (steep if upright else level))
            across, along = (x, y) if upright else (y, x)
        row, inside = cells(across, wide)
        start = surface.chance(2, row, row * 0) * f32(0.0 if parquet else long)
        column, end = cells(along + start, long)
        # Rings: the distance from the heartwood beside the board, bent around knots.
        heart = (surface.chance(1, row, column) * 2 - f32(0.5)) * f32(wide)
        knotty = surface.chance(2, row, column) < f32(knots)
        kx = (end - (surface.chance(3, row, column) * f32(0.8) + f32(0.1)) * f32(long)) * f32(0.45)
        ky = inside - f32(wide * 0.5)
        far = np.sqrt(kx * kx + ky * ky)
        pull = knotty * f32(wide * 1.4) / (1 + far * far * f32(18 / (wide * wide)))
        ring = cosine((np.abs(inside - heart) + swell * f32(7) + pull) * f32(rings / 6))
        tone = f32(0.5) + f32(0.2) * ring + f32(0.34) * (streak - f32(0.5))
        tone += f32(0.5) * (surface.chance(0, row, column) - f32(0.5))
        edge = to_edge(inside, f32(wide) - inside, end, f32(long) - end, gap)
        light = surface.grain(top, bottom, 0.06, 0.05, 0.14)
        light -= f32(0.34) * np.clip((pore - f32(0.8)) * f32(8), 0, 1)
        light *= 1 - f32(0.6) * knotty * np.clip(1 - far / f32(wide * 0.16), 0, 1)
        light *= f32(0.3) + f32(0.7) * np.clip(edge + f32(0.5), 0, 1)
        light += f32(0.1) * np.clip(1 - np.abs(inside - f32(gap / 2 + 1)), 0, 1)
        return painted(ramp(palette, tone) * light[:, :, None])

    return band
