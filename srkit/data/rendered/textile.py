"""Fabric: plain, basket, twill, herringbone and satin weaves, tartan, houndstooth, gingham, denim, linen, and knit.

A thread is 3 to 11 pixels wide, a knitted stitch 9 to 26, whatever the picture's size.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from srkit.data.rendered._canvas import (
    Colour,
    Floats,
    Noise,
    Pixels,
    between,
    cosine,
    hue,
    mix,
    pick,
    reduce_bands,
    shade,
)

_FINER = 3  # rounded threads need less than lines do
Indices = NDArray[np.int32]
Flags = NDArray[np.bool_]


def draw(width: int, height: int, seed: int) -> Pixels:
    """The picture, (height, width, 3)."""
    rng = np.random.default_rng(seed)
    if rng.random() < 0.36:
        return _Knit(width, height, rng).picture()
    return _Weave(width, height, rng).picture()


@dataclass(frozen=True)
class _Threads:
    """Threads side by side: of every fine sample across them its thread, and where in the thread it lies (0..1)."""

    index: Indices
    across: Floats
    tone: Floats  # lightness of every thread
    colours: Floats  # (threads, 3)

    @staticmethod
    def laid(
        rng: np.random.Generator, length: int, pitch: float, uneven: float, sett: list[Colour]
    ) -> _Threads:
        """Threads of about `pitch` pixels over `length` pixels and a margin, their colours in the order of `sett`."""
        count = int(length / pitch / max(0.2, 1 - uneven)) + 12
        widths = pitch * (1 + uneven * (2 * rng.random(count) - 1))
        edges = np.concatenate(([0.0], np.cumsum(widths)))
        at = (np.arange(int((length + _MARGIN * 2) * _FINER)) + 0.5) / _FINER
        index = np.minimum(np.searchsorted(edges, at, side="right") - 1, count - 1).astype(np.int32)
        across = np.clip((at - edges[index]) / widths[index], 0, 1).astype(np.float32)
        tone = (1 + uneven * 0.5 * (2 * rng.random(count, dtype=np.float32) - 1)).astype(np.float32)
        colours = np.array([sett[k % len(sett)] for k in range(count)], np.float32)
        return _Threads(index, across, tone, colours)


_MARGIN = 12  # pixels beyond the picture, since threads wander


_KINDS = (
    "plain", "linen", "denim", "twill", "herringbone", "tartan", "tartan", "houndstooth", "gingham", "basket", "satin",
)  # fmt: skip


class _Weave:
    def __init__(self, width: int, height: int, rng: np.random.Generator) -> None:
        self.width, self.height = width, height
        kind = pick(rng, _KINDS)
        self.pitch = 3.0 + 8.0 * float(rng.random()) ** 1.4
        warp, weft, uneven = _dyed(kind, rng)
        self.up = _pattern(kind, rng)
        stretch = between(rng, 0.85, 1.2)
        self.warp = _Threads.laid(rng, width, self.pitch, uneven, warp)
        self.weft = _Threads.laid(rng, height, self.pitch * stretch, uneven, weft)
        self.tones = np.concatenate((self.warp.tone, self.weft.tone))
        self.colours = np.concatenate((self.warp.colours, self.weft.colours))
        self.wander = between(rng, 0.15, 0.5) * min(4.0, self.pitch * 0.4)
        self.drift = [Noise(rng, height, width, (26.0, 26.0)) for _ in range(2)]
        self.folds = Noise(rng, height, width, (150.0, 110.0))
        self.fuzz = Noise(rng, height, width, (0.9, 0.9))
        self.twist = between(rng, 0.6, 1.6)
        self.plump = between(rng, 0.45, 0.75)

    def picture(self) -> Pixels:
        return reduce_bands(self.width, self.height, _FINER, self._band)

    def _band(self, top: int, bottom: int) -> Pixels:
        dx, dy = (
            (
                (noise.rows(top, bottom, _FINER) - np.float32(0.5)) * np.float32(2 * self.wander * _FINER)
            ).astype(np.int32)
            for noise in self.drift
        )
        x = np.arange(self.width * _FINER, dtype=np.int32)[None, :] + dx + _MARGIN * _FINER
        y = np.arange(top, bottom, dtype=np.int32)[:, None] + dy + _MARGIN * _FINER
        i, j, u, v = self.warp.index[x], self.weft.index[y], self.warp.across[x], self.weft.across[y]
        rows, columns = self.up.shape
        state = self.up[j % rows, i % columns]
        # A thread bends down towards a neighbour that lies above it, and goes on level over one that it covers.
        beside_j, beside_i = np.where(v < 0.5, j - 1, j + 1), np.where(u < 0.5, i - 1, i + 1)
        on_warp = self.up[beside_j % rows, i % columns] == state
        on_weft = self.up[j % rows, beside_i % columns] == state
        across, along = np.where(state, u, v) * 2 - 1, np.where(state, v, u) * 2 - 1
        bend = np.where(np.where(state, on_warp, on_weft), np.float32(0), along * along)
        light = np.float32(1.06) - np.float32(self.plump) * across * across - np.float32(0.42) * bend * bend
        ply = cosine(
            np.where(
                state,
                u * np.float32(0.9) + (y / (_FINER * self.pitch)) * self.twist,
                v * np.float32(0.9) + (x / (_FINER * self.pitch)) * self.twist,
            )
        )
        light *= np.float32(1) + np.float32(0.07) * ply
        light -= np.float32(0.08) * across  # the light comes from the left and from above
        thread = np.where(state, i, j + self.warp.tone.size)
        light *= self.tones[thread]
        light *= np.float32(0.9) + np.float32(0.2) * self.folds.rows(top, bottom, _FINER)
        light += np.float32(0.09) * (self.fuzz.rows(top, bottom, _FINER) - np.float32(0.5))
        return _coloured(light, self.colours[thread])


def _coloured(light: Floats, colours: Floats) -> Pixels:
    tone = np.clip(light, np.float32(0.04), np.float32(1.25))[:, :, None] * colours
    shown: Pixels = np.clip(tone, 0, 255).round().astype(np.uint8)
    return shown


def _dyed(kind: str, rng: np.random.Generator) -> tuple[list[Colour], list[Colour], float]:
    """The colours of the warp's and the weft's threads in their order, and how uneven the threads are."""
    turn, uneven = float(rng.random()), between(rng, 0.02, 0.14)
    one = hue(turn, between(rng, 0.1, 0.75), between(rng, 0.35, 0.95))
    two = pick(rng, (shade(one, 0.9), mix(one, (245, 240, 230), 0.75), hue(turn + 0.5, 0.5, 0.5)))
    if kind == "linen":
        raw = mix(one, (214, 200, 170), 0.7)
        return [raw], [shade(raw, 1.08)], between(rng, 0.25, 0.5)
    if kind == "denim":
        blue = mix((34, 52, 96), (90, 120, 170), float(rng.random()))
        return [blue, shade(blue, 0.92)], [(214, 214, 206)], uneven
    if kind == "tartan":
        sett = _sett(rng)
        return sett, sett, uneven
    if kind in ("houndstooth", "gingham"):
        count = 4 if kind == "houndstooth" else int(rng.integers(5, 14))
        check = [mix(one, (20, 20, 26), 0.45)] * count + [mix(one, (250, 246, 238), 0.85)] * count
        return check, check, uneven
    return [one], [one if kind in ("plain", "basket") and rng.random() < 0.5 else two], uneven


def _pattern(kind: str, rng: np.random.Generator) -> Flags:
    """Where the warp lies above: (weft threads, warp threads) of one repeat."""
    if kind in ("twill", "denim", "tartan", "houndstooth"):
        floats = {"twill": pick(rng, ((2, 1), (2, 2), (3, 1), (3, 3))), "denim": (3, 1)}.get(kind, (2, 2))
        size = sum(floats)
        j, i = np.mgrid[0:size, 0:size]
        return np.asarray((i + j) % size < floats[0])
    if kind == "herringbone":
        half = int(rng.integers(4, 12)) * 2
        j, i = np.mgrid[0:4, 0 : 2 * half]
        return np.asarray((np.where(i < half, i, 2 * half - 1 - i) + j) % 4 < 2)
    if kind == "satin":
        size, move = pick(rng, ((5, 2), (8, 3)))
        j, i = np.mgrid[0:size, 0:size]
        ground = (i * move + j) % size != 0
        if rng.random() < 0.5:
            return np.asarray(ground)
        tile, figure = _motif(rng, 6), int(rng.integers(4, 8)) * size  # damask: the figure shows the weft
        big_j, big_i = np.mgrid[0 : figure * 6, 0 : figure * 6]
        inside = tile[big_j // figure, big_i // figure]
        base = np.tile(ground, (figure * 6 // size, figure * 6 // size))
        return np.asarray(np.where(inside, ~base, base))
    size = pick(rng, (2, 3)) if kind == "basket" else 1
    j, i = np.mgrid[0 : 2 * size, 0 : 2 * size]
    return np.asarray((i // size + j // size) % 2 == 0)


def _sett(rng: np.random.Generator) -> list[Colour]:
    """The stripes of a tartan, mirrored."""
    colours = [hue(float(rng.random()), between(rng, 0.5, 0.9), between(rng, 0.2, 0.6)) for _ in range(2)]
    colours += [(24, 26, 30), (236, 232, 222), hue(between(rng, 0.0, 0.16), 0.85, 0.85)]
    half: list[Colour] = []
    for _ in range(int(rng.integers(4, 8))):
        half += [pick(rng, colours)] * int(rng.choice((2, 2, 4, 8, 12, 16)))
    return half + half[::-1]


def _motif(rng: np.random.Generator, size: int) -> Flags:
    """A figure that is symmetrical both ways, (size, size) with size even."""
    quarter = rng.random((size // 2, size // 2)) < 0.5
    half = np.concatenate((quarter, quarter[:, ::-1]), axis=1)
    return np.concatenate((half, half[::-1]), axis=0)


class _Knit:
    def __init__(self, width: int, height: int, rng: np.random.Generator) -> None:
        self.width, self.height = width, height
        self.wide = 9.0 + 17.0 * float(rng.random()) ** 1.3
        self.tall = self.wide * between(rng, 0.62, 0.85)
        self.slope = between(rng, 0.7, 1.05)
        turn = float(rng.random())
        base = hue(turn, between(rng, 0.1, 0.8), between(rng, 0.35, 0.92))
        kind = pick(rng, ("even", "even", "stripes", "figures", "figures", "rib"))
        palette = [
            base,
            pick(rng, ((240, 234, 222), hue(turn + 0.45, 0.6, 0.6), (40, 40, 48))),
            hue(turn + 0.3, 0.6, 0.75),
        ]
        self.purl = rng.integers(1, 4) if kind == "rib" else 0  # columns of a rib that show their back
        self.chart = _chart(kind, rng)
        self.palette = np.array(palette, np.float32)
        self.drift = [Noise(rng, height, width, (34.0, 34.0)) for _ in range(2)]
        self.folds = Noise(rng, height, width, (150.0, 110.0))
        self.fuzz = Noise(rng, height, width, (0.9, 0.9))
        self.hairs = Noise(rng, height, width, (2.2, 2.2))
        self.tones = rng.random((64, 64), dtype=np.float32) * np.float32(0.16) + np.float32(0.92)

    def picture(self) -> Pixels:
        return reduce_bands(self.width, self.height, _FINER, self._band)

    def _band(self, top: int, bottom: int) -> Pixels:
        sway = np.float32(self.wide * 0.2)
        dx, dy = ((noise.rows(top, bottom, _FINER) - np.float32(0.5)) * sway for noise in self.drift)
        x = (np.arange(self.width * _FINER, dtype=np.float32)[None, :] / _FINER + dx) / np.float32(self.wide)
        y = (np.arange(top, bottom, dtype=np.float32)[:, None] / _FINER + dy) / np.float32(self.tall)
        at = np.floor(x)
        column = at.astype(np.int32)
        u = x - at - np.float32(0.5)
        side = np.abs(u) * 2  # 0 in the middle of a stitch, 1 where it meets the next
        # A row of legs leans up and outwards on both sides; each is a plump piece of yarn, rounded at its ends.
        row_at = y + np.float32(self.slope) * side
        if self.purl:
            back = column % (2 * self.purl) >= self.purl
            row_at = np.where(back, y + np.float32(0.28) * cosine(u) + np.float32(0.5) * (column % 2), row_at)
        at = np.floor(row_at)
        row = at.astype(np.int32)
        f = (row_at - at) * 2 - 1
        end = side * 2 - 1
        girth = np.float32(1.02) - np.float32(0.3) * end * end * end * end
        over = f / girth
        light = np.float32(1.08) - np.float32(0.62) * over * over - np.float32(0.34) * end * end * end * end
        ply = cosine((f * np.float32(0.32) + side * np.float32(0.9)) * np.float32(1.3))
        light += np.float32(0.09) * ply * np.clip(1 - over * over, 0, 1)
        light -= np.float32(0.07) * f + np.float32(0.05) * np.where(u > 0, np.float32(1), np.float32(-1))
        if self.purl:
            hollow = np.where(back, np.float32(0.7) + np.float32(0.1) * (1 - f * f), np.float32(1))
            light = np.where(back, np.float32(1.0) - np.float32(0.6) * f * f, light) * hollow
        light *= self.tones[row & 63, column & 63]
        light *= np.float32(0.9) + np.float32(0.2) * self.folds.rows(top, bottom, _FINER)
        light += np.float32(0.1) * (self.fuzz.rows(top, bottom, _FINER) - np.float32(0.5))
        light += np.float32(0.07) * (self.hairs.rows(top, bottom, _FINER) - np.float32(0.5))
        rows, columns = self.chart.shape
        return _coloured(light, self.palette[self.chart[row % rows, column % columns]])


def _chart(kind: str, rng: np.random.Generator) -> Indices:
    """Which colour every stitch has: (rows, columns) of one repeat."""
    if kind == "stripes":
        rows = [int(rng.integers(3)) for _ in range(6) for _ in range(int(rng.integers(1, 7)))]
        return np.array(rows, np.int32)[:, None]
    if kind == "figures":
        bands = []
        for _ in range(3):
            figure = _motif(rng, pick(rng, (6, 8)))
            figure = np.tile(figure, (1, 24 // figure.shape[1]))
            bands += [np.full((2, 24), 0), np.where(figure, int(rng.integers(1, 3)), 0)]
        return np.concatenate(bands).astype(np.int32)
    return np.zeros((1, 1), np.int32)
