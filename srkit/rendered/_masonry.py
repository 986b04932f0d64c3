"""Walls, floors and roofs of brick, stone and shingles, with shared tools: distorted coordinates, random numbers per
cell, grain."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from srkit.rendered.canvas import Colour, Floats, Noise, Pixels, Rng, cosine, f32
from srkit.rendered.colours import mix, shade

FINER = 2  # little supersampling: edges are drawn from distances, soft over one pixel
_CHANCES = 256  # the random numbers repeat after this many cells
Indices = NDArray[np.int32]
Band = Callable[[int, int], Pixels]  # rows [top, bottom) of the finer sampling


class Surface:
    def __init__(self, width: int, height: int, rng: Rng) -> None:
        self.width, self.height = width, height
        self._drift = [Noise(rng, height, width, (19.0, 19.0)) for _ in range(2)]
        self._rough = [Noise(rng, height, width, (2.6, 2.6)) for _ in range(2)]
        self._fine, self._mid, self._wide = (Noise(rng, height, width, (c, c)) for c in (0.9, 4.0, 60.0))
        self._chance = rng.random((4, _CHANCES * _CHANCES), dtype=np.float32)

    def at(self, top: int, bottom: int, wander: float, rough: float) -> tuple[Floats, Floats]:
        """Coordinates x and y in pixels, displaced by at most `wander` smoothly and `rough` irregularly."""
        straight = (
            np.arange(self.width * FINER, dtype=np.float32)[None, :] / f32(FINER),
            np.arange(top, bottom, dtype=np.float32)[:, None] / f32(FINER),
        )
        moved: list[Floats] = []
        for line, drift, ragged in zip(straight, self._drift, self._rough, strict=True):
            slow = (drift.rows(top, bottom, FINER) - f32(0.5)) * f32(2 * wander)
            moved.append(line + slow + (ragged.rows(top, bottom, FINER) - f32(0.5)) * f32(2 * rough))
        return moved[0], moved[1]

    def chance(self, which: int, row: Indices, column: Indices) -> Floats:
        """Random number in [0, 1) for every cell; four independent fields."""
        cell = (row & (_CHANCES - 1)) * np.int32(_CHANCES) + (column & (_CHANCES - 1))
        out: Floats = self._chance[which].take(cell)
        return out

    def grain(self, top: int, bottom: int, fine: float, mid: float, wide: float) -> Floats:
        """Factor around 1 that varies at three scales, by `fine`, `mid` and `wide`."""
        total = self._fine.rows(top, bottom, FINER) * f32(fine)
        total += self._mid.rows(top, bottom, FINER) * f32(mid)
        total += self._wide.rows(top, bottom, FINER) * f32(wide)
        total += f32(1 - (fine + mid + wide) / 2)
        return total

    def mortar(self, top: int, bottom: int, colour: Colour) -> Floats:
        """Colour of the mortar: sandy, of one colour."""
        out: Floats = np.array(colour, np.float32) * self.grain(top, bottom, 0.25, 0.15, 0.1)[:, :, None]
        return out


def cells(at: Floats, size: float) -> tuple[Indices, Floats]:
    """Number of the cell of `size` pixels at every position, and distance from the cell's start, in pixels."""
    where = at / f32(size)
    index = np.floor(where)
    return index.astype(np.int32), ((where - index) * f32(size)).astype(np.float32)


def to_edge(left: Floats, right: Floats, above: Floats, below: Floats, joint: float) -> Floats:
    """Distance from the edge inside a stone, in pixels, from distances to the middles of the four joints."""
    out: Floats = np.minimum(np.minimum(left, right), np.minimum(above, below)) - f32(joint / 2)
    return out


def bevel(left: Floats, right: Floats, above: Floats, below: Floats, joint: float, width: float) -> Floats:
    """Bevel of a stone: 1 on the lit upper and left rims, -1 on the others, 0 inside."""
    half, w = f32(joint / 2), f32(width)
    lit = np.clip(1 - (np.minimum(left, above) - half) / w, 0, 1)
    dim = np.clip(1 - (np.minimum(right, below) - half) / w, 0, 1)
    out: Floats = lit - dim
    return out


def laid(mortar: Floats, face: Floats, light: Floats, edge: Floats) -> Pixels:
    """Faces under `light` where `edge` is positive, mortar elsewhere, blended over one pixel."""
    return painted(over(mortar, face * light[:, :, None], np.clip(edge + f32(0.5), 0, 1)))


def over(below: Floats, above: Floats, cover: Floats) -> Floats:
    out: Floats = below + (above - below) * cover[:, :, None]
    return out


def painted(colours: Floats) -> Pixels:
    out: Pixels = np.clip(colours, 0, 255).round().astype(np.uint8)
    return out


def ramp(colours: Sequence[Colour], at: Floats) -> Floats:
    """Colour at position 0..1 along a list of colours."""
    steps = [mix(a, b, s / 32) for a, b in pairwise(colours) for s in range(32)]
    table = np.array(steps, np.float32)
    out: Floats = table[np.clip(at * f32(len(table)), 0, len(table) - 1).astype(np.int32)]
    return out


BRICKS: dict[str, Colour] = {
    "red": (166, 84, 62), "dark red": (150, 70, 54), "orange": (186, 120, 90), "yellow": (196, 168, 132),
    "brown": (120, 70, 62), "white": (226, 222, 214), "gray": (96, 96, 100),
}  # fmt: skip
_MORTARS = ((196, 190, 180), (168, 160, 150), (120, 116, 112), (222, 216, 206))
STONES: dict[str, Colour] = {
    "gray": (142, 140, 138), "dark gray": (120, 116, 112), "brown": (166, 150, 130), "bluish": (110, 118, 124),
    "beige": (180, 170, 158),
}  # fmt: skip
_EARTHS = ((70, 66, 60), (96, 90, 80), (190, 184, 174), (62, 74, 46))
ROOFS: dict[str, Colour] = {
    "orange": (176, 86, 60), "red": (150, 70, 50), "gray": (96, 98, 108), "slate gray": (70, 74, 84),
    "light orange": (196, 120, 84), "brown": (110, 84, 66),
}  # fmt: skip


def brick(surface: Surface, rng: Rng, colour: str, bond: str, size: str) -> Band:
    """Brickwork in running, third, Flemish or stack bond, with varying tones and shaded joints."""
    long = rng.between(26, 64) * (1.0 if size == "large" else 0.3)
    tall = long * rng.between(0.28, 0.4)
    joint = rng.between(1.4, 3.6) * min(0.7 + long / 110, long / 22)
    base, mortar = BRICKS[colour], np.array(rng.pick(_MORTARS), np.float32)
    palette = (shade(base, 0.62), base, mix(base, (214, 150, 110), 0.45), shade(base, 1.12))
    spread, wander, rough = rng.between(0.3, 1.0), rng.between(0.1, 0.7), rng.between(0.1, 0.6)
    wander, rough = min(wander, long / 40), min(rough, long / 60)
    shift = {"running": 0.5, "third": 1 / 3, "stack": 0.0, "flemish": 0.0}[bond]

    def along(x: Floats, row: Indices) -> tuple[Indices, Floats, Floats]:
        """Number of the brick in its row, and distances to its two ends."""
        if bond != "flemish":
            column, left = cells(x + row.astype(np.float32) * f32(shift * long), long)
            return column, left, f32(long) - left
        # A stretcher, then a header of half its length, each header centred on a stretcher of the next row.
        pair, inside = cells(x + (row % 2).astype(np.float32) * f32(0.75 * long), 1.5 * long)
        header = inside >= f32(long)
        left = np.where(header, inside - f32(long), inside)
        return pair * 2 + header, left, np.where(header, f32(0.5 * long), f32(long)) - left

    def band(top: int, bottom: int) -> Pixels:
        x, y = surface.at(top, bottom, wander, rough)
        row, above = cells(y, tall)
        column, left, right = along(x, row)
        sides = (left, right, above, f32(tall) - above)
        face = ramp(palette, f32(0.5 - spread / 2) + f32(spread) * surface.chance(0, row, column))
        light = surface.grain(top, bottom, 0.22, 0.16, 0.16)
        lit = f32(0.88) + f32(0.24) * surface.chance(1, row, column) + f32(0.16) * bevel(*sides, joint, 1.8)
        # The joint is recessed, in the shadow of the brick above it.
        deep = light * (f32(0.92) - f32(0.3) * np.clip(1 - above / f32(joint / 2), 0, 1))
        return laid(mortar * deep[:, :, None], face, light * lit, to_edge(*sides, joint))

    return band


def cobbles(surface: Surface, rng: Rng, colour: str) -> Band:
    """Cobbles or crazy paving: cells of scattered points (Worley 1996), domed or flat."""
    pitch, squash = rng.between(22, 58), rng.between(0.75, 1.0)
    jitter, joint, domed = rng.between(0.45, 0.95), rng.between(1.5, 5.0), rng.between(0.0, 0.5)
    base, earth = STONES[colour], rng.pick(_EARTHS)
    palette = (shade(base, 0.68), base, mix(base, (200, 170, 140), 0.4), shade(base, 1.2))
    margin = f32((1 - jitter) / 2)

    def from_point(x: Floats, y: Floats, row: Indices, column: Indices) -> tuple[Floats, Floats]:
        """Offset from every position to the point of a cell, in cells."""
        u = column.astype(np.float32) + (margin + f32(jitter) * surface.chance(0, row, column)) - x
        v = row.astype(np.float32) + (margin + f32(jitter) * surface.chance(1, row, column)) - y
        return u, v

    def band(top: int, bottom: int) -> Pixels:
        x, y = surface.at(top, bottom, 1.2, 0.5)
        x, y = x / f32(pitch), y / f32(pitch * squash)
        i, j = np.floor(x).astype(np.int32), np.floor(y).astype(np.int32)
        first, second = np.full(x.shape, 9, np.float32), np.full(x.shape, 9, np.float32)
        row, column = np.zeros(x.shape, np.int32), np.zeros(x.shape, np.int32)
        for dj in (-1, 0, 1):
            for di in (-1, 0, 1):
                u, v = from_point(x, y, j + dj, i + di)
                far = u * u + v * v
                closer = far < first
                second = np.minimum(second, np.maximum(first, far))
                first = np.minimum(first, far)
                np.copyto(row, j + dj, where=closer)
                np.copyto(column, i + di, where=closer)
        u, v = from_point(x, y, row, column)
        edge = (np.sqrt(second) - np.sqrt(first)) * f32(pitch / 2) - f32(joint / 2)
        light = surface.grain(top, bottom, 0.3, 0.22, 0.1)
        light += (u + v) * (f32(0.3) * np.clip(1 - edge / f32(5), 0, 1) + f32(domed))
        face = ramp(palette, surface.chance(2, row, column))
        return laid(surface.mortar(top, bottom, earth), face, light, edge)

    return band


def ashlar(surface: Surface, rng: Rng, colour: str) -> Band:
    """Dressed stone in courses of blocks of different lengths with rough faces."""
    tall, long = rng.between(20, 46), rng.between(40, 70)
    joint, pits = rng.between(1.5, 4.0), rng.between(0.0, 0.4)
    base = shade(STONES[colour], 1.08)
    palette = (shade(base, 0.8), base, shade(base, 1.1), mix(base, (170, 120, 90), 0.35))
    mortar = shade(base, rng.pick((0.5, 0.62, 0.74, 1.2)))

    def along(x: Floats, row: Indices) -> tuple[Indices, Floats, Floats]:
        """Number of the block in its course, and distances to its two ends; joints are near the middles of cells."""
        cell, inside = cells(x + surface.chance(3, row, row * 0) * f32(long), long)

        def cut(number: Indices) -> Floats:
            return (f32(0.25) + f32(0.5) * surface.chance(0, row, number)) * f32(long)

        here = cut(cell)
        before = inside < here
        left = inside - np.where(before, cut(cell - 1) - f32(long), here)
        right = np.where(before, here, f32(long) + cut(cell + 1)) - inside
        return np.where(before, cell, cell + 1), left, right

    def band(top: int, bottom: int) -> Pixels:
        x, y = surface.at(top, bottom, 1.0, 0.7)
        row, above = cells(y, tall)
        column, left, right = along(x, row)
        sides = (left, right, above, f32(tall) - above)
        light = surface.grain(top, bottom, 0.26, 0.26, 0.14)
        light -= f32(pits) * np.clip((surface.grain(top, bottom, 0.3, 0.7, 0.0) - f32(1.22)) * f32(6), 0, 1)
        light += f32(0.16) * bevel(*sides, joint, 3.0)
        face = ramp(palette, surface.chance(1, row, column))
        return laid(surface.mortar(top, bottom, mortar), face, light, to_edge(*sides, joint))

    return band


def shingles(surface: Surface, rng: Rng, colour: str, form: str) -> Band:
    """Roof tiles in overlapping rows, with a round, straight or wavy lower edge."""
    wide = rng.between(16, 40)
    tall = wide * rng.between(0.6, 1.1)
    base, spread = ROOFS[colour], rng.between(0.4, 1.0)
    palette = (shade(base, 0.7), base, shade(base, 1.18))

    def along(x: Floats, row: Indices) -> tuple[Indices, Floats]:
        """Number of the tile in its row, and position in the tile, -1..1 from side to side."""
        odd = (row % 2).astype(np.float32) * f32(0.0 if form == "waved" else 0.5 * wide)
        column, left = cells(x + odd, wide)
        return column, left * f32(2 / wide) - 1

    def lip(u: Floats) -> Floats:
        """Overhang of a tile's lower edge into the next row, in pixels."""
        if form == "round":
            arch: Floats = np.sqrt(np.clip(1 - u * u, 0, 1)) * f32(0.62 * tall)
            return arch
        if form == "waved":
            return (f32(0.12) + f32(0.08) * cosine(u * f32(0.5))) * f32(tall)
        return np.full_like(u, f32(0.1 * tall))

    def band(top: int, bottom: int) -> Pixels:
        x, y = surface.at(top, bottom, 0.4, 0.25)
        row, down = cells(y, tall)
        covered = down < lip(along(x, row)[1])  # covered by the row above
        row = np.where(covered, row - 1, row)
        down = np.where(covered, down + f32(tall), down)
        column, u = along(x, row)
        hidden = down - lip(along(x, row - 1)[1])  # distance below the edge of the row above
        reach = f32(tall) + lip(u) - down  # distance above its own edge
        light = surface.grain(top, bottom, 0.16, 0.16, 0.14)
        light *= f32(0.8) + f32(0.3) * np.clip(down / f32(tall * 1.4), 0, 1)
        light -= f32(0.42) * np.clip(1 - hidden / f32(3), 0, 1)
        light += f32(0.18) * np.clip(1 - reach / f32(1.6), 0, 1)
        if form == "waved":
            light += f32(0.28) * cosine(u * f32(0.5) + f32(0.12))
        else:
            light -= f32(0.5) * np.clip(1 - (1 - np.abs(u)) * f32(wide / 2), 0, 1)
        face = ramp(palette, f32(0.5 - spread / 2) + f32(spread) * surface.chance(0, row, column))
        return painted(face * np.clip(light, f32(0.12), f32(1.4))[:, :, None])

    return band
