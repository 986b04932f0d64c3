"""Halftone print: a soft scene in dots, lines or grain of cyan, magenta, yellow and black ink on paper.

Screens are rotated by the usual 15, 75, 0 and 45 degrees and have a pitch of 4 to 9 pixels, for any image size.
Overlapping inks multiply (Neugebauer's primaries), inks are slightly misregistered, and the paper is tinted.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from srkit.rendered.canvas import (
    FINER,
    Colour,
    Floats,
    Lettering,
    Noise,
    Pixels,
    Point,
    Rendered,
    Rng,
    Sheet,
    clouds,
    cosine,
    curve,
    f32,
    polar,
    reduce_bands,
)
from srkit.rendered.colours import hue, mix, shade
from srkit.rendered.lettering import sign_text
from srkit.rendered.specs import Caption, Spec, Split, Wording, choice, words

_ANGLES = (15.0, 75.0, 0.0, 45.0)  # degrees; cyan, magenta, yellow, black
_INKS = ((0, 152, 218), (218, 16, 116), (255, 232, 18), (34, 31, 33))
_PAPERS = {
    "white": (252, 250, 246),
    "cream": (246, 240, 226),
    "tan": (236, 226, 204),
    "gray": (226, 222, 214),
}
_ASIDE = 2  # maximal misregistration of an ink in pixels
_FULL = f32(255)


def _headline(rng: Rng, split: Split) -> str:
    return sign_text(rng, split).upper() if rng.chance(0.4) else ""


@dataclass(frozen=True, kw_only=True)
class Halftone(Spec):
    """Printed image of fruit, flowers, a landscape or balloons, perhaps with a headline."""

    domain = "halftone"
    scene: str = choice(
        "fruit: fruit on a cloth|fruit, landscape: a landscape with hills|hills below a sky, "
        "flowers: flowers in a garden|blossoms, balloons: balloons in the sky|striped balloons",
        weights="2 2 1 1",
    )
    screen: str = choice(
        "dots: round dots|dot screen, lines: fine lines|line screen, grain: irregular grain|random grain",
        weights="6 2 2",
    )
    pitch: str = choice("fine: fine screen|closely spaced, coarse: coarse screen|widely spaced")
    inks: str = choice(
        "colour: four-colour print|colour print, black: black ink|newspaper print", weights="7 1"
    )
    paper: str = choice(_PAPERS)
    headline: str = words(_headline)

    def draw(self, width: int, height: int) -> Rendered:
        rng, size = self.rng("press"), self.rng("pitch").random()
        pitch = 4.0 + 1.5 * size if self.pitch == "fine" else 5.5 + 3.5 * size**1.5
        turn = rng.between(-2, 2) if rng.chance(0.4) else 0.0
        aside, black = rng.between(0.0, 0.9), rng.between(0.5, 0.9)
        shifts = rng.uniform(-aside, aside, (4, 2))
        scene, lettering = self._scene(width, height)
        gray = self.inks == "black"
        padded = [
            Image.fromarray(np.pad(plate, _ASIDE, mode="edge"))
            for plate in _separated(scene, black, gray=gray)
        ]
        table, limits = _overprints(_PAPERS[self.paper]), _limits(self.screen)
        grain = [
            Noise(rng.child("grain", ink), height, width, (pitch * 0.3, pitch * 0.3)) for ink in range(4)
        ]

        def band(top: int, bottom: int) -> Pixels:
            printed: Pixels = np.zeros((bottom - top, width * FINER), np.uint8)
            for ink, plate in enumerate(padded):
                if gray and ink < 3:
                    continue
                dx, dy = (float(v) for v in shifts[ink])
                x, y = _ASIDE - dx, _ASIDE - dy
                box = (x, y + top / FINER, x + width, y + bottom / FINER)
                size = (width * FINER, bottom - top)
                tone = np.asarray(plate.resize(size, Image.Resampling.BICUBIC, box=box))
                angle, moved = _ANGLES[ink] + turn, (dx * FINER, dy * FINER)
                if self.screen == "grain":
                    spot = grain[ink].rows(top, bottom, FINER)
                else:
                    both = self.screen == "dots"
                    spot = _spot(top, bottom, width * FINER, pitch * FINER, angle, moved, both=both)
                printed |= (spot > limits[tone]).astype(np.uint8) << np.uint8(ink)
            return table[printed]

        return Rendered(reduce_bands(width, height, FINER, band), lettering)

    def _scene(self, width: int, height: int) -> tuple[Pixels, tuple[Lettering, ...]]:
        """Scene before printing: no fine detail, objects of 20 to 160 pixels, and large words."""
        soft = _SCENES[self.scene](width, height, self.rng(self.scene))
        whole = Image.fromarray(np.clip(soft, 0, 255).round().astype(np.uint8))
        image = whole.filter(ImageFilter.BoxBlur(1))
        if not self.headline:
            return np.asarray(image), ()
        sheet, rng, lines = Sheet(width, height, (0, 0, 0), 1), self.rng("headline"), self.headline.split()
        sheet.image.paste(image)
        fit = width * 0.86 / max(sheet.length(line, 100) / 100 for line in lines)
        size = max(14, round(min(fit, height * 0.24, rng.between(30, 70))))
        y = height * rng.between(0.06, 0.16) + size / 2
        ink = rng.pick(((0, 0, 0), (255, 255, 255), (230, 20, 30), (250, 230, 20)))
        rim = (255, 255, 255) if sum(ink) < 300 else (0, 0, 0)
        for k, line in enumerate(lines):
            at = (width * 0.06, y + k * size * 1.08)
            sheet.text(at, line, size, ink, bold=max(1.0, size * 0.08), halo=rim)
            sheet.text(at, line, size, ink, bold=size * 0.03, named=True)
        return np.asarray(sheet.image), tuple(sheet.lettering)

    def describe(self, say: Wording) -> Caption:
        return say.caption(
            f"{say.pick('halftone print of', 'printed picture of', 'printed image of')} {say('scene')}",
            [
                f"printed in {say('screen')}",
                say("pitch"),
                say("inks"),
                f"on {say('paper')} paper",
                f"headline {say.reads('headline')}" if self.headline else "",
            ],
            ("halftone", "print", self.scene, say("screen"), "text" if self.headline else ""),
        )


def _separated(scene: Pixels, black: float, *, gray: bool) -> list[Pixels]:
    """Amounts of the inks, 0..255; the share `black` of the three inks' common part is printed in black."""
    lack = 255 - scene.astype(np.int32)
    if gray:
        luminance = (lack[:, :, 0] * 77 + lack[:, :, 1] * 150 + lack[:, :, 2] * 29) >> 8
        return [np.zeros_like(luminance, np.uint8)] * 3 + [luminance.astype(np.uint8)]
    shared = lack.min(axis=2)
    # Black starts late, as in print: faces and skies are free of it.
    key = (np.clip(shared - 50, 0, 255) * (black * 255 / 205)).astype(np.int32)
    colours = [np.clip((lack[:, :, c] - key) * 255 // np.maximum(1, 255 - key), 0, 255) for c in range(3)]
    return [plate.astype(np.uint8) for plate in (*colours, key)]


def _spot(
    top: int, bottom: int, width: int, pitch: float, degrees: float, shift: Point, *, both: bool
) -> Floats:
    """Spot function cos u, or cos u + cos v if `both`, over axes rotated by `degrees`, of period `pitch` in samples."""
    c, s = (round(f(math.radians(degrees)) * 2**24) / 2**24 / pitch for f in (math.cos, math.sin))
    x, y = np.arange(width) - shift[0], np.arange(top, bottom) - shift[1]
    total: Floats = np.zeros((bottom - top, width), np.float32)
    for a, b in ((c, s), (-s, c))[: 1 + both]:
        # cos(p + q) = cos p cos q - sin p sin q: cosines per column and row instead of per sample.
        p, q = x * a, y * b
        total += cosine(q)[:, None] * cosine(p)[None, :]
        total -= cosine(q - 0.25)[:, None] * cosine(p - 0.25)[None, :]
    return total


@lru_cache(maxsize=3)
def _limits(screen: str) -> Floats:
    """Threshold of a screen for every tone 0..255, such that the tone's share of the screen exceeds it."""
    heights = cosine(np.arange(512) / 512)
    if screen == "dots":
        heights = heights[:, None] + heights[None, :]
    elif screen == "grain":
        heights = Noise(Rng(0), 512, 512, (5.0, 5.0)).rows(0, 512)
    heights = np.sort(heights.ravel())[::-1]
    at = np.arange(1, 255) * heights.size // 255
    limits: Floats = np.concatenate(([f32(3)], heights[at], [f32(-3)])).astype(np.float32)
    return limits


def _overprints(paper: Colour) -> NDArray[np.uint8]:
    """Colours of the 16 overprints of the inks."""
    table = np.empty((16, 3), np.uint8)
    for way in range(16):
        colour = [float(v) for v in paper]
        for ink in range(4):
            if way >> ink & 1:
                colour = [v * t / 255 for v, t in zip(colour, _INKS[ink], strict=True)]
        table[way] = [round(v) for v in colour]
    return table


# Soft scenes in full colour, like photographs.


def _gradient(width: int, height: int, top: Colour, bottom: Colour) -> Floats:
    y = np.linspace(0, 1, height, dtype=np.float32)[:, None, None]
    ramp = np.array(top, np.float32) * (1 - y) + np.array(bottom, np.float32) * y
    return np.repeat(ramp, width, axis=1).astype(np.float32)


def _sky(width: int, height: int, top: Colour, low: Colour, thick: float, rng: Rng) -> Floats:
    scene = _gradient(width, height, top, low)
    cover = np.clip((clouds(rng, height, width, (50, 110), 4) - f32(0.5)) * 3, 0, 1)[:, :, None]
    scene += (np.array((251, 248, 245), np.float32) - scene) * cover * f32(thick)
    return scene


def _ball(scene: Floats, centre: Point, radii: Point, colour: Colour, gloss: float) -> None:
    """Draw a shaded ball with a highlight, lit from the upper left."""
    (x, y), (rx, ry) = centre, radii
    height, width = scene.shape[:2]
    x0, x1, y0, y1 = (
        max(0, int(x - rx) - 1),
        min(width, int(x + rx) + 2),
        max(0, int(y - ry) - 1),
        min(height, int(y + ry) + 2),
    )
    if x1 <= x0 or y1 <= y0:
        return
    u = ((np.arange(x0, x1, dtype=np.float32) - f32(x)) / f32(rx))[None, :]
    v = ((np.arange(y0, y1, dtype=np.float32) - f32(y)) / f32(ry))[:, None]
    far = u * u + v * v
    depth = np.sqrt(np.clip(1 - far, 0, 1))
    light = np.clip(f32(0.62) * depth - f32(0.5) * u - f32(0.6) * v, 0, 1)
    cover = np.clip((1 - far) * f32(min(rx, ry) / 2.5), 0, 1)[:, :, None]
    bounce = np.clip(u * f32(0.5) + v * f32(0.6), 0, 1) * (1 - depth) * f32(0.35)
    tone = np.array(colour, np.float32) * (f32(0.22) + f32(0.95) * light + bounce)[:, :, None]
    spot = (u + f32(0.36)) ** 2 + (v + f32(0.42)) ** 2
    tone = tone + (_FULL - tone) * (np.clip(1 - spot * f32(9), 0, 1) ** 2 * f32(gloss))[:, :, None]
    part = scene[y0:y1, x0:x1]
    part += (tone - part) * cover


def _shadow(scene: Floats, centre: Point, radii: Point, dark: float) -> None:
    (x, y), (rx, ry) = centre, radii
    height, width = scene.shape[:2]
    x0, x1, y0, y1 = (
        max(0, int(x - rx)),
        min(width, int(x + rx) + 1),
        max(0, int(y - ry)),
        min(height, int(y + ry) + 1),
    )
    if x1 <= x0 or y1 <= y0:
        return
    u = ((np.arange(x0, x1, dtype=np.float32) - f32(x)) / f32(rx))[None, :]
    v = ((np.arange(y0, y1, dtype=np.float32) - f32(y)) / f32(ry))[:, None]
    scene[y0:y1, x0:x1] *= (1 - f32(dark) * np.clip(1 - u * u - v * v, 0, 1))[:, :, None]


def _glow(scene: Floats, centre: Point, radius: float, colour: Colour) -> None:
    """Draw a sun: a flat disc in a halo."""
    height, width = scene.shape[:2]
    u = (np.arange(width, dtype=np.float32) - f32(centre[0]))[None, :] / f32(radius)
    v = (np.arange(height, dtype=np.float32) - f32(centre[1]))[:, None] / f32(radius)
    far = u * u + v * v
    disc, halo = (np.clip((1 - far) * f32(radius / 2), 0, 1), f32(0.6) / (1 + far * f32(0.35)))
    light = np.maximum(disc, halo)
    scene += (np.array(colour, np.float32) - scene) * light[:, :, None]


_FRUIT = (  # hue, saturation and value
    (0.0, 0.85, 0.85), (0.07, 0.9, 0.98), (0.14, 0.8, 0.98), (0.25, 0.7, 0.75), (0.85, 0.6, 0.5), (0.97, 0.75, 0.75),
    (0.33, 0.6, 0.5),
)  # fmt: skip
_SKIES = (  # at the top and at the horizon
    ((70, 130, 210), (220, 232, 240)), ((60, 60, 140), (250, 170, 110)), ((40, 110, 190), (170, 214, 240)),
    ((120, 60, 110), (255, 196, 120)),
)  # fmt: skip


def _fruit(width: int, height: int, rng: Rng) -> Floats:
    """Scene of apples, oranges, plums and grapes on a cloth."""
    turn = rng.random()
    scene = _gradient(width, height, hue(turn, 0.35, 0.75), hue(turn + 0.08, 0.4, 0.95))
    scene *= f32(0.8) + f32(0.35) * clouds(rng, height, width, (60, 90), 3)[:, :, None]
    places = [
        rng.at(height * 1.05, width * 1.05, -0.05 * height) for _ in range(max(6, width * height // 7000))
    ]
    for y, x in sorted(places):
        h, s, v = rng.pick(_FRUIT)
        colour = hue(h + rng.between(-0.02, 0.02), s, v)
        if rng.chance(0.2):  # a bunch of grapes
            for row in range(5):
                for k in range(5 - row):
                    r = 9 + 4 * rng.random()
                    at = (x + (k - (4 - row) / 2) * 17, y + row * 14)
                    _shadow(scene, (at[0] + 4, at[1] + 6), (r * 1.4, r * 1.3), 0.35)
                    _ball(scene, at, (r, r * 1.1), shade(colour, rng.between(0.85, 1.1)), 0.8)
            continue
        r = rng.between(20, 56)
        _shadow(scene, (x + r * 0.3, y + r * 0.75), (r * 1.3, r * 0.6), 0.6)
        _ball(scene, (x, y), (r, r * rng.between(0.9, 1.08)), colour, rng.between(0.4, 0.95))
        _shadow(scene, (x, y - r * 0.72), (r * 0.24, r * 0.14), 0.8)  # where the stalk is
    return scene


def _landscape(width: int, height: int, rng: Rng) -> Floats:
    """Scene of sky with clouds and sun, ridges that fade with distance, a lake or a field in rows."""
    top, low = rng.pick(_SKIES)
    horizon = int(height * rng.between(0.35, 0.55))
    ground = _gradient(width, height - horizon, low, shade(low, 0.8))
    scene = np.concatenate([_sky(width, horizon, top, low, 0.85, rng), ground])
    _glow(scene, (width * rng.between(0.15, 0.85), horizon * 0.45), rng.between(16, 30), (255, 250, 220))
    near, layers = hue(rng.between(0.2, 0.42), 0.65, 0.48), max(3, (height - horizon) // 60 + 2)
    for layer in range(layers):
        share = (layer + 1) / layers
        base = horizon + (height - horizon) * (share - 1 / layers) - 14
        rise = Noise(rng, 2, width, (1.0, 60.0 + 60 * share)).rows(0, 1)[0] * f32(50)
        rise = rise + Noise(rng, 2, width, (1.0, 14.0)).rows(0, 1)[0] * f32(9)
        down = np.arange(height, dtype=np.float32)[:, None]
        below = down - (f32(base + 25) - rise)[None, :]
        tone = np.array(mix(low, near, 0.25 + 0.75 * share), np.float32)
        light = f32(1.05) - np.clip(below / f32(260), 0, f32(0.35))
        if layer >= layers - 2:
            light += f32(0.5) * (Noise(rng, height, width, (7.0, 16.0)).rows(0, height) - f32(0.5))
        inside = np.clip(below, 0, 1)[:, :, None]
        scene += (tone * (light[:, :, None]) - scene) * inside
    return scene


def _flowers(width: int, height: int, rng: Rng) -> Floats:
    """Scene of blossoms with shaded petals before a blurred garden."""
    back = Sheet(width, height, hue(rng.between(0.22, 0.42), 0.55, 0.4), 1)
    for _ in range(width * height // 1500):
        back.ellipse(
            rng.at(width, height),
            rng.between(8, 30),
            hue(rng.between(0.15, 0.45), 0.5, rng.between(0.25, 0.8)),
        )
    scene = np.asarray(back.image.filter(ImageFilter.BoxBlur(9))).astype(np.float32)
    for _ in range(max(3, width * height // 11000)):
        x, y = rng.at(width, height)
        petals, reach, turn = rng.whole(5, 13), rng.between(26, 64), rng.between(0, 1)
        colour = hue(rng.pick((0.95, 0.0, 0.13, 0.8, 0.62, 0.05)), rng.between(0.3, 0.85), 0.97)
        _shadow(scene, (x + 8, y + 12), (reach * 1.1, reach * 1.1), 0.5)
        for ring in (1.0, 0.66):
            for k in range(petals):
                angle = 2 * math.pi * (k / petals + turn + ring)
                at = polar((x, y), reach * 0.55 * ring, angle)
                size = reach * (0.25 + 1.1 / petals) * (0.6 + 0.4 * ring)
                _shadow(scene, (at[0] + 2, at[1] + 3), (size * 1.05, size * 1.05), 0.35)
                _ball(scene, at, (size, size), shade(colour, 0.85 + 0.3 * rng.random()), 0.15)
        _ball(scene, (x, y), (reach * 0.24, reach * 0.24), (250, 200, 50), 0.4)
    return scene


def _balloons(width: int, height: int, rng: Rng) -> Floats:
    """Scene of striped balloons in a cloudy sky."""
    top = rng.pick(((50, 110, 200), (90, 150, 220), (240, 150, 110)))
    scene = _sky(width, height, top, (232, 238, 240), 1.0, rng)
    for _ in range(max(3, width * height // 14000)):
        (x, y), r = rng.at(width, height), rng.between(22, 60)
        first, second = hue(rng.random(), 0.85, 0.9), hue(rng.random(), 0.7, 0.95)
        for k in range(6):  # ever narrower balls make stripes that meet at the poles
            radii = (max(2.0, r * math.cos(k / 6 * math.pi / 2)), r * 1.12)
            _ball(scene, (x, y), radii, (first, second)[k % 2], 0.35 if k == 5 else 0.0)
        basket = Sheet(24, 20, (120, 80, 50), 1)
        basket.polygon(curve([(0, 0), (24, 0), (20, 19), (4, 19)], 2, closed=True), (150, 100, 60))
        left, upper = int(x - r * 0.16), int(y + r * 1.35)
        size = (max(3, int(r * 0.32)), max(3, int(r * 0.26)))
        patch = np.asarray(basket.image.resize(size)).astype(np.float32)
        x0, y0, x1, y1 = max(0, left), max(0, upper), min(width, left + size[0]), min(height, upper + size[1])
        if y1 > y0 and x1 > x0:
            scene[y0:y1, x0:x1] = patch[y0 - upper : y1 - upper, x0 - left : x1 - left]
    return scene


_SCENES: dict[str, Callable[[int, int, Rng], Floats]] = {
    "fruit": _fruit, "landscape": _landscape, "flowers": _flowers, "balloons": _balloons,
}  # fmt: skip
