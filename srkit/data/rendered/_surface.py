"""What built surfaces share: coordinates that wander a little, chances for every cell, grain, and how they meet."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from srkit.data.rendered._canvas import Colour, Floats, Noise, Pixels, mix

FINER = 2  # every edge here is soft already: its distance is known, and it is drawn over a pixel
_CHANCES = 256  # after so many cells their chances repeat
Indices = NDArray[np.int32]
Band = Callable[[int, int], Pixels]  # rows [top, bottom) of the finer sampling


def f32(value: float) -> np.float32:
    """A number that leaves an array of float32 what it is, under every version of NumPy."""
    return np.float32(value)


class Surface:
    def __init__(self, width: int, height: int, rng: np.random.Generator) -> None:
        self.width, self.height = width, height
        self._drift = [Noise(rng, height, width, (19.0, 19.0)) for _ in range(2)]
        self._rough = [Noise(rng, height, width, (2.6, 2.6)) for _ in range(2)]
        self._fine, self._mid, self._wide = (Noise(rng, height, width, (c, c)) for c in (0.9, 4.0, 60.0))
        self._chance = rng.random((4, _CHANCES * _CHANCES), dtype=np.float32)

    def at(self, top: int, bottom: int, wander: float, rough: float) -> tuple[Floats, Floats]:
        """x and y in pixels, moved by so many pixels at most, smoothly and raggedly."""
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
        """A number in [0, 1) for every cell; four kinds."""
        cell = (row & (_CHANCES - 1)) * np.int32(_CHANCES) + (column & (_CHANCES - 1))
        out: Floats = self._chance[which].take(cell)
        return out

    def grain(self, top: int, bottom: int, fine: float, mid: float, wide: float) -> Floats:
        """A factor around 1 that varies by so much from speck to speck, patch to patch and side to side."""
        total = self._fine.rows(top, bottom, FINER) * f32(fine)
        total += self._mid.rows(top, bottom, FINER) * f32(mid)
        total += self._wide.rows(top, bottom, FINER) * f32(wide)
        total += f32(1 - (fine + mid + wide) / 2)
        return total

    def mortar(self, top: int, bottom: int, colour: Colour) -> Floats:
        """What is between the stones: sandy, of one colour."""
        out: Floats = np.array(colour, np.float32) * self.grain(top, bottom, 0.25, 0.15, 0.1)[:, :, None]
        return out


def cells(at: Floats, size: float) -> tuple[Indices, Floats]:
    """The number of the cell of `size` pixels that every place lies in, and how far from its start, in pixels."""
    where = at / f32(size)
    index = np.floor(where)
    return index.astype(np.int32), ((where - index) * f32(size)).astype(np.float32)


def to_edge(left: Floats, right: Floats, above: Floats, below: Floats, joint: float) -> Floats:
    """How far inside a stone a place is, in pixels, its four neighbours half a joint away."""
    out: Floats = np.minimum(np.minimum(left, right), np.minimum(above, below)) - f32(joint / 2)
    return out


def bevel(left: Floats, right: Floats, above: Floats, below: Floats, joint: float, width: float) -> Floats:
    """1 on the upper and left rims of a stone, which the light meets, -1 on the others, 0 inside."""
    half, w = f32(joint / 2), f32(width)
    lit = np.clip(1 - (np.minimum(left, above) - half) / w, 0, 1)
    dim = np.clip(1 - (np.minimum(right, below) - half) / w, 0, 1)
    out: Floats = lit - dim
    return out


def laid(mortar: Floats, face: Floats, light: Floats, edge: Floats) -> Pixels:
    """Faces under `light` where `edge` is positive, mortar elsewhere, over a pixel between them."""
    return painted(over(mortar, face * light[:, :, None], np.clip(edge + f32(0.5), 0, 1)))


def over(below: Floats, above: Floats, cover: Floats) -> Floats:
    out: Floats = below + (above - below) * cover[:, :, None]
    return out


def painted(colours: Floats) -> Pixels:
    out: Pixels = np.clip(colours, 0, 255).round().astype(np.uint8)
    return out


def ramp(colours: Sequence[Colour], at: Floats) -> Floats:
    """A colour along a list of them, at 0..1."""
    steps = [mix(a, b, s / 32) for a, b in pairwise(colours) for s in range(32)]
    table = np.array(steps, np.float32)
    out: Floats = table[np.clip(at * f32(len(table)), 0, len(table) - 1).astype(np.int32)]
    return out
