"""Walls and roofs: brickwork, cobbles, dressed stone, shingles."""

from __future__ import annotations

import numpy as np

from srkit.data.rendered._canvas import Floats, Pixels, between, cosine, mix, pick, shade
from srkit.data.rendered._surface import (
    Band,
    Indices,
    Surface,
    bevel,
    cells,
    f32,
    laid,
    painted,
    ramp,
    to_edge,
)

_BRICKS = (
    (166, 84, 62), (150, 70, 54), (186, 120, 90), (196, 168, 132), (120, 70, 62), (226, 222, 214), (96, 96, 100),
)  # fmt: skip
_MORTARS = ((196, 190, 180), (168, 160, 150), (120, 116, 112), (222, 216, 206))
_STONES = ((142, 140, 138), (120, 116, 112), (166, 150, 130), (110, 118, 124), (180, 170, 158))
_EARTHS = ((70, 66, 60), (96, 90, 80), (190, 184, 174), (62, 74, 46))
_BLOCKS = ((196, 182, 156), (170, 162, 150), (150, 148, 146), (204, 176, 140), (126, 122, 118))
_ROOFS = ((176, 86, 60), (150, 70, 50), (96, 98, 108), (70, 74, 84), (196, 120, 84), (110, 84, 66))


def brick(surface: Surface, rng: np.random.Generator) -> Band:
    """Running, third, Flemish or stack bond; bricks differ in tone, joints lie in shadow."""
    long = between(rng, 26, 64)
    tall = long * between(rng, 0.28, 0.4)
    joint = between(rng, 1.4, 3.6) * (0.7 + long / 110)
    bond = pick(rng, ("running", "running", "third", "flemish", "stack"))
    base, mortar = pick(rng, _BRICKS), np.array(pick(rng, _MORTARS), np.float32)
    palette = (shade(base, 0.62), base, mix(base, (214, 150, 110), 0.45), shade(base, 1.12))
    spread, wander, rough = between(rng, 0.3, 1.0), between(rng, 0.1, 0.7), between(rng, 0.1, 0.6)
    shift = {"running": 0.5, "third": 1 / 3, "stack": 0.0, "flemish": 0.0}[bond]

    def along(x: Floats, row: Indices) -> tuple[Indices, Floats, Floats]:
        """The brick of its row, and how far its two ends are."""
        if bond != "flemish":
            column, left = cells(x + row.astype(np.float32) * f32(shift * long), long)
            return column, left, f32(long) - left
        # A stretcher, then a header of half its length, each header over the middle of a stretcher.
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
        # The joint lies deeper: the brick above it throws a shadow.
        deep = light * (f32(0.92) - f32(0.3) * np.clip(1 - above / f32(joint / 2), 0, 1))
        return laid(mortar * deep[:, :, None], face, light * lit, to_edge(*sides, joint))

    return band


def cobbles(surface: Surface, rng: np.random.Generator) -> Band:
    """Cobbles or crazy paving: the cells of scattered points (Worley 1996), domed or flat."""
    pitch, squash = between(rng, 22, 58), between(rng, 0.75, 1.0)
    jitter, joint, domed = between(rng, 0.45, 0.95), between(rng, 1.5, 5.0), between(rng, 0.0, 0.5)
    base, earth = pick(rng, _STONES), pick(rng, _EARTHS)
    palette = (shade(base, 0.68), base, mix(base, (200, 170, 140), 0.4), shade(base, 1.2))
    margin = f32((1 - jitter) / 2)

    def from_point(x: Floats, y: Floats, row: Indices, column: Indices) -> tuple[Floats, Floats]:
        """How far the point of a cell lies from every place, in cells."""
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


def ashlar(surface: Surface, rng: np.random.Generator) -> Band:
    """Dressed stone in courses: blocks of different lengths with rough faces."""
    tall, long = between(rng, 20, 46), between(rng, 40, 70)
    joint, pits = between(rng, 1.5, 4.0), between(rng, 0.0, 0.4)
    base = pick(rng, _BLOCKS)
    palette = (shade(base, 0.8), base, shade(base, 1.1), mix(base, (170, 120, 90), 0.35))
    mortar = shade(base, pick(rng, (0.5, 0.62, 0.74, 1.2)))

    def along(x: Floats, row: Indices) -> tuple[Indices, Floats, Floats]:
        """The block of its course, and how far its two ends are: a joint lies anywhere in the middle of its cell."""
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


def shingles(surface: Surface, rng: np.random.Generator) -> Band:
    """Roof tiles in rows that cover each other: round, straight or waved at their lower edge."""
    wide = between(rng, 16, 40)
    tall = wide * between(rng, 0.6, 1.1)
    base, spread = pick(rng, _ROOFS), between(rng, 0.4, 1.0)
    palette = (shade(base, 0.7), base, shade(base, 1.18))
    form = pick(rng, ("round", "round", "straight", "wave"))

    def along(x: Floats, row: Indices) -> tuple[Indices, Floats]:
        """The tile of its row, and where in it a place is, -1..1 from side to side."""
        odd = (row % 2).astype(np.float32) * f32(0.0 if form == "wave" else 0.5 * wide)
        column, left = cells(x + odd, wide)
        return column, left * f32(2 / wide) - 1

    def lip(u: Floats) -> Floats:
        """How far a tile's lower edge hangs into the next row, in pixels."""
        if form == "round":
            arch: Floats = np.sqrt(np.clip(1 - u * u, 0, 1)) * f32(0.62 * tall)
            return arch
        if form == "wave":
            return (f32(0.12) + f32(0.08) * cosine(u * f32(0.5))) * f32(tall)
        return np.full_like(u, f32(0.1 * tall))

    def band(top: int, bottom: int) -> Pixels:
        x, y = surface.at(top, bottom, 0.4, 0.25)
        row, down = cells(y, tall)
        covered = down < lip(along(x, row)[1])  # by the row above
        row = np.where(covered, row - 1, row)
        down = np.where(covered, down + f32(tall), down)
        column, u = along(x, row)
        hidden = down - lip(along(x, row - 1)[1])  # how far below the edge of the row above
        reach = f32(tall) + lip(u) - down  # how far above its own
        light = surface.grain(top, bottom, 0.16, 0.16, 0.14)
        light *= f32(0.8) + f32(0.3) * np.clip(down / f32(tall * 1.4), 0, 1)
        light -= f32(0.42) * np.clip(1 - hidden / f32(3), 0, 1)
        light += f32(0.18) * np.clip(1 - reach / f32(1.6), 0, 1)
        if form == "wave":
            light += f32(0.28) * cosine(u * f32(0.5) + f32(0.12))
        else:
            light -= f32(0.5) * np.clip(1 - (1 - np.abs(u)) * f32(wide / 2), 0, 1)
        face = ramp(palette, f32(0.5 - spread / 2) + f32(spread) * surface.chance(0, row, column))
        return painted(face * np.clip(light, f32(0.12), f32(1.4))[:, :, None])

    return band
