"""Fabric: plain, basket, twill, herringbone, satin and damask weaves in several dyes, and knit.

A thread is 3 to 11 pixels wide, a knitted stitch 9 to 26, for any image size.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from srkit.rendered.canvas import Colour, Floats, Noise, Pixels, Rendered, Rng, cosine, f32, reduce_bands
from srkit.rendered.colours import COLOURS, hue, mix, paint, shade
from srkit.rendered.specs import Caption, Spec, Wording, choice

_FINER = 3  # supersampling; rounded threads need less than lines
_MARGIN = 12  # pixels beyond the image, since threads are irregular
Indices = NDArray[np.int32]
Flags = NDArray[np.bool_]
_NAMES = {  # trade names of a weave in a dye
    ("twill", "small checks"): "houndstooth", ("twill", "indigo"): "denim", ("plain", "unbleached"): "linen",
    ("plain", "large checks"): "gingham",
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Textile(Spec):
    """Piece of cloth that fills the image."""

    domain = "textile"
    fabric: str = choice("woven: woven cloth|woven fabric, knitted: knitted fabric|knitwear", weights="64 36")
    weave: str = choice(
        "plain: plain weave|tabby weave, twill: twill weave|diagonal twill, herringbone: herringbone weave, "
        "basket: basket weave, satin: satin weave, damask: damask figures|damask weave",
        weights="6 10 2 2 1 1",
        fabric="woven",
    )
    dye: str = choice(
        "solid: one colour|solid colour, two-tone: two tones|two-tone threads, tartan: tartan|plaid, "
        "small checks, large checks, unbleached: unbleached yarn|natural yarn, "
        "indigo: indigo warp|indigo threads",
        weights="2 3 2 1 1 1 1",
        fabric="woven",
    )
    stitch: str = choice(
        "stockinette: stockinette stitch|plain knit, rib: ribbed knit|rib stitch",
        weights="5 1",
        fabric="knitted",
    )
    motif: str = choice(
        "plain: one yarn|one colour of yarn, stripes, figures: fair isle figures|figures",
        weights="3 1 2",
        fabric="knitted",
    )
    thread: str = choice("fine: fine threads|fine yarn, coarse: coarse threads|coarse yarn")
    colour: str = choice(COLOURS)

    def draw(self, width: int, height: int) -> Rendered:
        cloth = (_Weave if self.fabric == "woven" else _Knit)(width, height, self)
        return Rendered(reduce_bands(width, height, _FINER, cloth.band))

    def describe(self, say: Wording) -> Caption:
        names = ("weave", "dye") if self.fabric == "woven" else ("stitch", "motif")
        start = say.pick("close-up of", "photograph of", "piece of", "")
        trade = _NAMES.get((self.weave, self.dye), "") if self.fabric == "woven" else "knit"
        keywords = ("fabric", say("fabric"), trade, "threads")
        return say.caption(
            f"{start} {say('colour')} {say('fabric')}", [*map(say, names), say("thread")], keywords
        )


@dataclass(frozen=True)
class _Threads:
    """Parallel threads: index of the thread at every fine sample across them, and position in the thread (0..1)."""

    index: Indices
    across: Floats
    tone: Floats  # lightness of every thread
    colours: Floats  # (threads, 3)

    @staticmethod
    def laid(rng: Rng, length: int, pitch: float, uneven: float, sett: list[Colour]) -> _Threads:
        """Threads of about `pitch` pixels over `length` pixels and a margin, with colours in the order of `sett`."""
        count = int(length / pitch / max(0.2, 1 - uneven)) + 12
        widths = pitch * (1 + uneven * (2 * rng.random(count) - 1))
        edges = np.concatenate(([0.0], np.cumsum(widths)))
        at = (np.arange(int((length + _MARGIN * 2) * _FINER)) + 0.5) / _FINER
        index = np.minimum(np.searchsorted(edges, at, side="right") - 1, count - 1).astype(np.int32)
        across = np.clip((at - edges[index]) / widths[index], 0, 1).astype(np.float32)
        tone = (1 + uneven * 0.5 * (2 * rng.random(count, dtype=np.float32) - 1)).astype(np.float32)
        colours = np.array([sett[k % len(sett)] for k in range(count)], np.float32)
        return _Threads(index, across, tone, colours)


class _Weave:
    def __init__(self, width: int, height: int, spec: Textile) -> None:
        self.width, self.height = width, height
        size, rng = spec.rng("size").random(), spec.rng("cloth")
        self.pitch = 3.0 + 2.5 * size if spec.thread == "fine" else 5.5 + 5.5 * size**1.4
        warp, weft, uneven = _dyed(spec.dye, spec.colour, spec.rng("dye"))
        self.up = _pattern(spec.weave, spec.dye, spec.rng("weave"))
        stretch, wander = rng.between(0.85, 1.2), rng.between(0.15, 0.5)
        self.twist, self.plump = rng.between(0.6, 1.6), rng.between(0.45, 0.75)
        self.warp = _Threads.laid(rng.child("warp"), width, self.pitch, uneven, warp)
        self.weft = _Threads.laid(rng.child("weft"), height, self.pitch * stretch, uneven, weft)
        self.tones = np.concatenate((self.warp.tone, self.weft.tone))
        self.colours = np.concatenate((self.warp.colours, self.weft.colours))
        self.wander = wander * min(4.0, self.pitch * 0.4)
        self.drift = [Noise(rng, height, width, (26.0, 26.0)) for _ in range(2)]
        self.folds = Noise(rng, height, width, (150.0, 110.0))
        self.fuzz = Noise(rng, height, width, (0.9, 0.9))

    def band(self, top: int, bottom: int) -> Pixels:
        dx, dy = (
            ((noise.rows(top, bottom, _FINER) - f32(0.5)) * f32(2 * self.wander * _FINER)).astype(np.int32)
            for noise in self.drift
        )
        x = np.arange(self.width * _FINER, dtype=np.int32)[None, :] + dx + _MARGIN * _FINER
        y = np.arange(top, bottom, dtype=np.int32)[:, None] + dy + _MARGIN * _FINER
        i, j, u, v = self.warp.index[x], self.weft.index[y], self.warp.across[x], self.weft.across[y]
        rows, columns = self.up.shape
        state = self.up[j % rows, i % columns]
        # A thread bends down towards a neighbour that lies above it, and stays level over one that it covers.
        beside_j, beside_i = np.where(v < 0.5, j - 1, j + 1), np.where(u < 0.5, i - 1, i + 1)
        on_warp = self.up[beside_j % rows, i % columns] == state
        on_weft = self.up[j % rows, beside_i % columns] == state
        across, along = np.where(state, u, v) * 2 - 1, np.where(state, v, u) * 2 - 1
        bend = np.where(np.where(state, on_warp, on_weft), f32(0), along * along)
        light = f32(1.06) - f32(self.plump) * across * across - f32(0.42) * bend * bend
        ply = cosine(
            np.where(
                state,
                u * f32(0.9) + (y / (_FINER * self.pitch)) * self.twist,
                v * f32(0.9) + (x / (_FINER * self.pitch)) * self.twist,
            )
        )
        light *= f32(1) + f32(0.07) * ply
        light -= f32(0.08) * across  # the light comes from the left and from above
        thread = np.where(state, i, j + self.warp.tone.size)
        light *= self.tones[thread]
        light *= f32(0.9) + f32(0.2) * self.folds.rows(top, bottom, _FINER)
        light += f32(0.09) * (self.fuzz.rows(top, bottom, _FINER) - f32(0.5))
        return _coloured(light, self.colours[thread])


def _coloured(light: Floats, colours: Floats) -> Pixels:
    tone = np.clip(light, f32(0.04), f32(1.25))[:, :, None] * colours
    shown: Pixels = np.clip(tone, 0, 255).round().astype(np.uint8)
    return shown


def _dyed(dye: str, colour: str, rng: Rng) -> tuple[list[Colour], list[Colour], float]:
    """Colours of the threads of warp and weft in order, and the unevenness of the threads."""
    uneven, kind, count = rng.between(0.02, 0.14), rng.whole(3), rng.whole(5, 14)
    one = paint(colour, rng.child("colour"), (0.2, 0.75), (0.35, 0.95))
    if dye == "unbleached":
        raw = mix(one, (214, 200, 170), 0.7)
        return [raw], [shade(raw, 1.08)], rng.between(0.25, 0.5)
    if dye == "indigo":
        blue = mix(mix((34, 52, 96), (90, 120, 170), rng.random()), one, 0.12)
        return [blue, shade(blue, 0.92)], [(214, 214, 206)], uneven
    if dye == "tartan":
        sett = _sett(one, rng.child("sett"))
        return sett, sett, uneven
    if dye in ("small checks", "large checks"):
        wide = 4 if dye == "small checks" else count
        check = [mix(one, (20, 20, 26), 0.45)] * wide + [mix(one, (250, 246, 238), 0.85)] * wide
        return check, check, uneven
    two = (shade(one, 0.9), mix(one, (245, 240, 230), 0.75), mix(shade(one, 0.5), (60, 60, 70), 0.3))[kind]
    return [one], [one if dye == "solid" else two], uneven


def _pattern(weave: str, dye: str, rng: Rng) -> Flags:
    """Mask of the positions at which the warp is on top: (weft threads, warp threads) of one repeat."""
    if weave == "twill":
        floats = rng.pick(((2, 1), (2, 2), (3, 1), (3, 3)))
        floats = {"indigo": (3, 1), "tartan": (2, 2), "small checks": (2, 2)}.get(dye, floats)
        size = sum(floats)
        j, i = np.mgrid[0:size, 0:size]
        return np.asarray((i + j) % size < floats[0])
    if weave == "herringbone":
        half = rng.whole(4, 12) * 2
        j, i = np.mgrid[0:4, 0 : 2 * half]
        return np.asarray((np.where(i < half, i, 2 * half - 1 - i) + j) % 4 < 2)
    if weave in ("satin", "damask"):
        size, move = rng.pick(((5, 2), (8, 3)))
        j, i = np.mgrid[0:size, 0:size]
        ground = (i * move + j) % size != 0
        if weave == "satin":
            return np.asarray(ground)
        tile, figure = _motif(rng, 6), rng.whole(4, 8) * size  # the figure shows the weft
        big_j, big_i = np.mgrid[0 : figure * 6, 0 : figure * 6]
        inside = tile[big_j // figure, big_i // figure]
        base = np.tile(ground, (figure * 6 // size, figure * 6 // size))
        return np.asarray(np.where(inside, ~base, base))
    size = rng.pick((2, 3)) if weave == "basket" else 1
    j, i = np.mgrid[0 : 2 * size, 0 : 2 * size]
    return np.asarray((i // size + j // size) % 2 == 0)


def _sett(colour: Colour, rng: Rng) -> list[Colour]:
    """Stripes of a tartan, mirrored; the widest are of `colour`."""
    colours = [colour, hue(rng.random(), rng.between(0.5, 0.9), rng.between(0.2, 0.6))]
    colours += [(24, 26, 30), (236, 232, 222), hue(rng.between(0.0, 0.16), 0.85, 0.85)]
    half = [colour] * 16
    for _ in range(rng.whole(3, 7)):
        half += [rng.pick(colours)] * int(rng.choice((2, 2, 4, 8, 12)))
    return half + half[::-1]


def _motif(rng: Rng, size: int) -> Flags:
    """Figure with horizontal and vertical symmetry, (size, size) with size even."""
    quarter = rng.random((size // 2, size // 2)) < 0.5
    half = np.concatenate((quarter, quarter[:, ::-1]), axis=1)
    return np.concatenate((half, half[::-1]), axis=0)


class _Knit:
    def __init__(self, width: int, height: int, spec: Textile) -> None:
        self.width, self.height = width, height
        size, rng = spec.rng("size").random(), spec.rng("cloth")
        self.wide = 9.0 + 5.0 * size if spec.thread == "fine" else 14.0 + 12.0 * size**1.3
        self.tall, self.slope = self.wide * rng.between(0.62, 0.85), rng.between(0.7, 1.05)
        rib = rng.whole(1, 4)
        self.purl = rib if spec.stitch == "rib" else 0  # columns of a rib that show the back of the knit
        base = paint(spec.colour, spec.rng("dye").child("colour"), (0.2, 0.8), (0.35, 0.92))
        figure = rng.pick(((240, 234, 222), (40, 40, 48), mix(base, (250, 246, 238), 0.7)))
        palette = [base, figure, hue(rng.random(), 0.6, 0.75)]
        self.chart = _chart(spec.motif, spec.rng("motif"))
        self.palette = np.array(palette, np.float32)
        self.drift = [Noise(rng, height, width, (34.0, 34.0)) for _ in range(2)]
        self.folds = Noise(rng, height, width, (150.0, 110.0))
        self.fuzz = Noise(rng, height, width, (0.9, 0.9))
        self.hairs = Noise(rng, height, width, (2.2, 2.2))
        self.tones = rng.random((64, 64), dtype=np.float32) * f32(0.16) + f32(0.92)

    def band(self, top: int, bottom: int) -> Pixels:
        sway = f32(self.wide * 0.2)
        dx, dy = ((noise.rows(top, bottom, _FINER) - f32(0.5)) * sway for noise in self.drift)
        x = (np.arange(self.width * _FINER, dtype=np.float32)[None, :] / _FINER + dx) / f32(self.wide)
        y = (np.arange(top, bottom, dtype=np.float32)[:, None] / _FINER + dy) / f32(self.tall)
        at = np.floor(x)
        column = at.astype(np.int32)
        u = x - at - f32(0.5)
        side = np.abs(u) * 2  # 0 in the middle of a stitch, 1 where it meets the next
        # A row of legs leans up and outwards on both sides; each is a plump piece of yarn, rounded at its ends.
        row_at = y + f32(self.slope) * side
        if self.purl:
            back = column % (2 * self.purl) >= self.purl
            row_at = np.where(back, y + f32(0.28) * cosine(u) + f32(0.5) * (column % 2), row_at)
        at = np.floor(row_at)
        row = at.astype(np.int32)
        f = (row_at - at) * 2 - 1
        end = side * 2 - 1
        girth = f32(1.02) - f32(0.3) * end * end * end * end
        over = f / girth
        light = f32(1.08) - f32(0.62) * over * over - f32(0.34) * end * end * end * end
        ply = cosine((f * f32(0.32) + side * f32(0.9)) * f32(1.3))
        light += f32(0.09) * ply * np.clip(1 - over * over, 0, 1)
        light -= f32(0.07) * f + f32(0.05) * np.where(u > 0, f32(1), f32(-1))
        if self.purl:
            hollow = np.where(back, f32(0.7) + f32(0.1) * (1 - f * f), f32(1))
            light = np.where(back, f32(1.0) - f32(0.6) * f * f, light) * hollow
        light *= self.tones[row & 63, column & 63]
        light *= f32(0.9) + f32(0.2) * self.folds.rows(top, bottom, _FINER)
        light += f32(0.1) * (self.fuzz.rows(top, bottom, _FINER) - f32(0.5))
        light += f32(0.07) * (self.hairs.rows(top, bottom, _FINER) - f32(0.5))
        rows, columns = self.chart.shape
        return _coloured(light, self.palette[self.chart[row % rows, column % columns]])


def _chart(kind: str, rng: Rng) -> Indices:
    """Index of the colour of every stitch: (rows, columns) of one repeat."""
    if kind == "stripes":
        rows = [rng.whole(3) for _ in range(6) for _ in range(rng.whole(1, 7))]
        return np.array(rows, np.int32)[:, None]
    if kind == "figures":
        bands = []
        for _ in range(3):
            figure = _motif(rng, rng.pick((6, 8)))
            figure = np.tile(figure, (1, 24 // figure.shape[1]))
            bands += [np.full((2, 24), 0), np.where(figure, rng.whole(1, 3), 0)]
        return np.concatenate(bands).astype(np.int32)
    return np.zeros((1, 1), np.int32)
