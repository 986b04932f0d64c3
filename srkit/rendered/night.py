"""Night scenes: lit windows, lamps, neon signs, cars, bridges, fireworks, reflected in water or on a wet road.

Windows are 3 to 9 pixels wide, houses 30 to 120, for any image size: a taller image shows a town on a hill.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from PIL import Image

from srkit.rendered._light import glowing, reflect, wet
from srkit.rendered.canvas import (
    Box,
    Colour,
    Lettering,
    Pixels,
    Point,
    Rendered,
    Rng,
    Sheet,
    clouds,
    curve,
    f32,
    polar,
)
from srkit.rendered.colours import COLOURS, hue, mix, paint, shade
from srkit.rendered.lettering import noun, place, sign_text
from srkit.rendered.specs import Caption, Spec, Wording, a, choice, words

_SOFT = 4  # sampling distance of the sky in pixels
_SMALLEST = 256  # minimal side of a scene; smaller images are centre crops
_WARM: tuple[Colour, ...] = (
    (255, 214, 140), (255, 190, 100), (255, 232, 180), (250, 240, 215), (190, 220, 255), (255, 170, 80),
)  # fmt: skip
_LAMPS = {"yellow": (255, 196, 110), "white": (255, 226, 170), "bluish": (220, 234, 255)}
_TINTS = {"blue": (0.6, 0.66), "violet": (0.7, 0.74), "brown": (0.04, 0.06)}


@dataclass(frozen=True, kw_only=True)
class Night(Spec):
    """Town by night with a neon sign in the middle, above water or a wet road."""

    domain = "night"
    smallest = 256
    ground: str = choice("water: waterfront|quay, road: wet street|rainy street")
    bridge: str = choice("yes: lit bridge|suspension bridge with lights, no:", ground="water")
    sky: str = choice(
        "stars: stars|starry sky, moon: moon|moonlit sky, fireworks: fireworks|exploding fireworks, "
        "clouds: clouds|cloudy sky",
        weights="3 3 2 2",
    )
    tint: str = choice("blue, violet, brown", weights="3 1 1")
    lamps: str = choice("yellow: yellow|warm, white, bluish: bluish|cold")
    neon: str = words(sign_text)
    tube: str = choice(COLOURS)

    def draw(self, width: int, height: int) -> Rendered:
        scene = _Scene(max(width, _SMALLEST), max(height, _SMALLEST), self)
        left, top = (scene.width - width) // 2, (scene.height - height) // 2
        pixels = np.ascontiguousarray(scene.image()[top : top + height, left : left + width])
        found = ((s.words, s.box) for s in scene.sheet.lettering)
        boxes = (
            Lettering(text, (x0 - left, y0 - top, x1 - left, y1 - top)) for text, (x0, y0, x1, y1) in found
        )
        return Rendered(pixels, tuple(boxes))

    def describe(self, say: Wording) -> Caption:
        town = say.pick("town by night", "city at night", "night scene of a town")
        return say.caption(
            f"{say.pick('photograph of', '')} a {town} at a {say('ground')}",
            [
                f"{say('tube')} neon sign {say.reads('neon')}",
                f"{say('tint')} sky with {say('sky')}"
                if self.sky == "fireworks"
                else f"{say('sky')} in a {say('tint')} night",
                f"{say('lamps')} {say.pick('street lamps', 'lamps')}",
                a(say("bridge")) if "bridge" in self.shown() else "",
                say.pick("small lit windows", "rows of lit windows"),
            ],
            ("night", "town", "lights", "neon sign", "text", "reflections", self.sky),
        )


class _Scene:
    """Town by night in two drawings: everything, and the lights alone on black, which are blurred to a glow."""

    def __init__(self, width: int, height: int, spec: Night) -> None:
        self.width, self.height, self.spec = width, height, spec
        rng = spec.rng("scene")
        self.sky_to = int(min(height * 0.34, rng.between(70, 150)))
        self.ground = height - int(min(height * 0.34, rng.between(60, 130)))
        turn = rng.child("tint").between(*_TINTS[spec.tint])
        self.dark = hue(turn, rng.between(0.3, 0.7), rng.between(0.05, 0.12))
        self.haze = hue(turn + rng.between(-0.1, 0.1), 0.5, rng.between(0.16, 0.34))
        self.sheet = Sheet(width, height, self.dark)
        self.light = Sheet(width, height, (0, 0, 0), 1)
        self.open: Box = (0.0, 0.0, 0.0, 0.0)  # free of houses, for the moon or the fireworks

    def image(self) -> Pixels:
        self._sky(self.spec.rng("sky"))
        rows = max(2, round((self.ground - self.sky_to) / 62) + 1)
        for row in range(rows):
            near, rng = (row + 1) / rows, self.spec.rng("row", row)
            self._houses(self.sky_to + (self.ground - self.sky_to) * near, near, rng)
        rng = self.spec.rng(self.spec.ground)
        self._named_sign(rng)
        image = glowing(self.sheet.reduced(), self.light.image)
        if self.spec.ground == "water":
            reflect(image, self.ground, self.dark, rng.child("waves"))
        else:
            wet(image, self.ground, rng.child("puddles"))
        return image

    def _named_sign(self, ground: Rng) -> None:
        """Draw the house and sign that the Spec names, in the middle, with the foreground between their layers."""
        rng, lines = self.spec.rng("neon"), self.spec.neon.split()
        largest = rng.between(18, 22) if len(lines) == 1 else rng.between(13, 16)
        size = min(largest, 100 / max(self.sheet.length(line, 1) for line in lines))
        at = (self.width / 2 + rng.between(-8, 8), self.ground - rng.between(64, 76))
        half, top = rng.between(58, 64), at[1] - 20 - rng.between(3, 8)
        wall = mix(self.haze, self.dark, rng.between(0.6, 0.9))
        self._house(
            (at[0] - half, top, at[0] + half, self.ground + 40.0), wall, 0.9, rng.child("house"), flat=True
        )
        if self.spec.ground == "water":
            self._quay(ground)
        else:
            self._road(ground)
        colour = paint(self.spec.tube, rng.child("tube"), (0.7, 0.95), (1.0, 1.0))
        self._neon(at, lines, size, wall, colour, named=True)

    # Lights.

    def _lamp(self, at: Point, radius: float, colour: Colour, glow: float = 1.0) -> None:
        self.sheet.ellipse(at, radius * 1.25, colour)
        self.sheet.ellipse(at, radius * 0.8, mix(colour, (255, 255, 255), 0.75))
        reach = max(1.0, radius * 1.5 * glow)
        self.light.ellipse(at, reach, colour)

    def _sky(self, rng: Rng) -> None:
        sheet, low, kind = self.sheet, self.ground, self.spec.sky
        rows, columns = low // _SOFT + 1, self.width // _SOFT + 1
        down = np.linspace(0, 1, rows, dtype=np.float32)[:, None, None] ** 2
        ramp = np.array(self.dark, np.float32) * (1 - down) + np.array(self.haze, np.float32) * down
        field = clouds(rng.child("clouds"), rows, columns, (40 / _SOFT, 100 / _SOFT), 4)
        cover = np.clip((field - f32(0.5)) * 2, 0, 1)[:, :, None]
        thick = rng.between(0.6, 1.1) if kind == "clouds" else rng.between(0.0, 0.5)
        ramp = ramp + np.array(self.haze, np.float32) * cover * f32(thick)
        sky = Image.fromarray(np.clip(ramp, 0, 255).round().astype(np.uint8))
        size = (self.width * sheet.finer, low * sheet.finer)
        sheet.image.paste(sky.resize(size, Image.Resampling.BICUBIC), (0, 0))
        stars = rng.child("stars")
        for _ in range(self.width * self.sky_to // stars.whole(120, 900) * (kind != "clouds")):
            at, radius = stars.at(self.width, self.sky_to), 0.25 + 0.55 * stars.random() ** 3
            sheet.ellipse(at, radius, mix((150, 160, 190), (255, 255, 250), stars.random()))
        if kind == "moon":
            self._moon(rng.child("moon"))
        if kind == "fireworks":
            fire = rng.child("fireworks")
            for k in range(1 + self.width // 220):
                x, y = fire.between(0, self.width), self.sky_to * fire.between(0.4, 0.9)
                if k == 0:
                    x = 0.3 * self.width + 0.4 * x
                    self.open = (x - 26, 0.0, x + 26, y + 18)
                self._firework((x, y), fire)

    def _moon(self, rng: Rng) -> None:
        at = (self.width * rng.between(0.1, 0.9), self.sky_to * rng.between(0.3, 0.6))
        radius = rng.between(8, 18)
        self.open = (at[0] - radius, 0.0, at[0] + radius, at[1] + radius + 3)
        self.sheet.ellipse(at, radius, (246, 242, 224))
        self.light.ellipse(at, radius, (150, 148, 140))
        for _ in range(7):
            spot = polar(at, radius * 0.7 * rng.random(), rng.between(0, 6.3))
            self.sheet.ellipse(spot, radius * rng.between(0.08, 0.24), (222, 216, 198))

    def _firework(self, at: Point, rng: Rng) -> None:
        colour, reach, rays = (hue(rng.random(), 0.6, 1.0), rng.between(26, 60), rng.whole(18, 40))
        for k in range(rays):
            angle, far = 2 * math.pi * k / rays + rng.between(-0.05, 0.05), reach * rng.between(0.7, 1.05)
            points = [polar((at[0], at[1] + 7 * t * t), far * t, angle) for t in (0.25, 0.6, 1.0)]
            self.sheet.stroke(curve(points, 5), colour, 1.1, (0.2, 1.0))
            self.light.line(points, shade(colour, 0.7), 1)
            self._lamp(points[-1], 0.9, colour)

    def _houses(self, foot: float, near: float, rng: Rng) -> None:
        """Draw a row of houses on the line `foot`; nearer houses are larger and darker."""
        x = -rng.between(0, 60)
        while x < self.width:
            wide = rng.between(30, 90) * (0.6 + 0.5 * near)
            tall = rng.between(40, 125) * (0.7 + 0.5 * near)
            if x < self.open[2] and x + wide > self.open[0]:
                tall = min(tall, foot - self.open[3] - 0.35 * wide)
            wall = mix(self.haze, mix(self.dark, hue(rng.random(), 0.4, 0.12), 0.5), 0.35 + 0.6 * near)
            self._house((x, foot - tall, x + wide, foot + 40), wall, near, rng)
            x += wide + (rng.between(2, 14) if rng.chance(0.4) else 0)

    def _house(self, box: Box, wall: Colour, near: float, rng: Rng, *, flat: bool = False) -> None:
        sheet = self.sheet
        x0, y0, x1, y1 = box
        sheet.box(box, wall)
        self.light.box(box, (0, 0, 0))  # hidden lights
        sheet.box((x0, y0, x0 + 1, y1), shade(wall, 1.35))
        roof = 1.0 if flat else rng.random()
        if roof < 0.2:
            gable = [(x0 - 2, y0), (x1 + 2, y0), ((x0 + x1) / 2, y0 - (x1 - x0) * 0.32)]
            sheet.polygon(gable, shade(wall, 0.8))
            self.light.polygon(gable, (0, 0, 0))
        elif roof < 0.4:
            mast = x0 + (x1 - x0) * rng.between(0.2, 0.8)
            sheet.line([(mast, y0), (mast, y0 - 22)], shade(wall, 1.2), 0.8)
            self._lamp((mast, y0 - 22), 0.9, (255, 60, 50), 1.4)
        elif roof < 0.55:
            sheet.box((x0 + (x1 - x0) * 0.2, y0 - 8, x0 + (x1 - x0) * 0.6, y0), shade(wall, 0.85))
        self._windows(box, wall, near, rng)
        if x1 - x0 > 40 and rng.chance(0.16) and not flat:
            self._some_neon(((x0 + x1) / 2, y0 + 10), min(15.0, (x1 - x0) * 0.2), wall, rng)

    def _windows(self, box: Box, wall: Colour, near: float, rng: Rng) -> None:
        sheet = self.sheet
        x0, y0, x1, y1 = box
        kind = rng.random()
        cell_w = rng.between(5.5, 11) * (0.7 + 0.4 * near)
        cell_h = cell_w * rng.between(0.9, 1.6)
        fill_w, fill_h = rng.between(0.4, 0.66) if kind < 0.7 else 0.9, rng.between(0.4, 0.63)
        lit, tint = rng.between(0.08, 0.55), rng.pick(_WARM)
        columns, rows = max(1, int((x1 - x0 - 4) / cell_w)), int((y1 - 42 - y0) / cell_h)
        left = x0 + ((x1 - x0) - columns * cell_w) / 2
        for row in range(rows):
            whole = kind > 0.7 and rng.chance(0.2)  # an office floor with every lamp on
            for column in range(columns):
                x, y = left + column * cell_w + cell_w * (1 - fill_w) / 2, y0 + 5 + row * cell_h
                pane = (x, y, x + cell_w * fill_w, y + cell_h * fill_h)
                if not whole and rng.random() > lit:
                    sheet.box(pane, shade(mix(wall, self.haze, 0.35), 0.9))
                    continue
                colour = shade(mix(tint, rng.pick(_WARM), 0.3), rng.between(0.45, 1.05))
                sheet.box(pane, colour)
                if pane[2] - pane[0] > 3.4 and rng.chance(0.6):
                    middle = (pane[0] + pane[2]) / 2
                    sheet.box((middle - 0.3, pane[1], middle + 0.3, pane[3]), shade(wall, 0.8))
                if rng.chance(0.25):  # a half drawn blind
                    sheet.box((*pane[:3], y + cell_h * fill_h * 0.45), shade(colour, 0.55))
                self.light.box(pane, shade(colour, 0.42))

    def _some_neon(self, at: Point, size: float, wall: Colour, rng: Rng) -> None:
        text = rng.pick(("HOTEL", "CINEMA", "BAR", "CAFE", "24H", "OPEN", noun(rng).upper(), place(rng)))
        self._neon(at, [text], size, wall, hue(rng.random(), rng.between(0.6, 0.95), 1.0))

    def _neon(
        self, at: Point, lines: list[str], size: float, wall: Colour, colour: Colour, *, named: bool = False
    ) -> None:
        """Draw glowing words in a glowing frame; the frame of the Spec's words has a fixed size."""
        wide, tall = max(self.sheet.length(line, size) for line in lines) / 2 + 4, size * 0.7
        if named:
            wide, tall = 54.0, 20.0
        frame = (at[0] - wide, at[1] - tall, at[0] + wide, at[1] + tall)
        self.sheet.box(frame, shade(wall, 0.4), shade(colour, 0.8), 0.8, 2)
        self.light.box(frame, (0, 0, 0), colour if named else None)
        for k, line in enumerate(lines):
            place = (at[0], at[1] + (k - (len(lines) - 1) / 2) * size * 1.1)
            pale = mix(colour, (255, 255, 255), 0.45)
            self.sheet.text(place, line, size, pale, anchor="mm", bold=0.35, named=named)
            self.light.text(place, line, size, colour, anchor="mm", bold=1)

    def _street_lamps(self, foot: float, tall: float, rng: Rng) -> None:
        step, colour = rng.between(34, 70), _LAMPS[self.spec.lamps]
        x = rng.between(4, step)
        while x < self.width:
            self.sheet.line([(x, foot), (x, foot - tall), (x + 6, foot - tall - 2)], (14, 14, 18), 1.3)
            self._lamp((x + 7, foot - tall - 1), 1.9, colour, 2.0)
            x += step

    def _trees(self, foot: float, rng: Rng) -> None:
        for _ in range(self.width // 60):
            x, size, fairy = rng.between(0, self.width), rng.between(10, 20), rng.chance(0.4)
            for _ in range(26):
                at = (x + rng.between(-1, 1) * size, foot - size * rng.between(0.7, 2.0))
                leaf = shade((16, 26, 18), rng.between(0.6, 1.4))
                self.sheet.ellipse(at, size * rng.between(0.15, 0.32), leaf)
                if fairy and rng.chance(0.6):
                    self._lamp(at, 0.6, (255, 214, 130))
            self.sheet.line([(x, foot), (x, foot - size)], (10, 10, 10), size * 0.14)

    def _quay(self, rng: Rng) -> None:
        """Draw the shore: a wall, lamps, trees, boats or a bridge, above the water."""
        low = float(self.ground)
        self.sheet.box((0, low - 9, self.width, self.height), shade(self.haze, 0.25))
        self.light.box((0, low - 9, self.width, self.height), (0, 0, 0))
        self.sheet.box((0, low - 9, self.width, low - 8), shade(self.haze, 0.8))
        self._trees(low - 8, rng.child("trees"))
        self._street_lamps(low - 8, rng.between(16, 26), rng.child("lamps"))
        if self.spec.bridge == "yes":
            self._bridge(low, rng.child("bridge"))

    def _bridge(self, low: float, rng: Rng) -> None:
        """Draw a suspension bridge of two towers, with lights along its cables."""
        deck, span = low - 22, rng.between(150, 240)
        x = -rng.between(0, span)
        steel = shade(self.haze, 0.6)
        self.sheet.box((0, deck, self.width, deck + 4), steel)
        while x < self.width + span:
            self.sheet.box((x - 3, deck - 66, x + 3, low), shade(steel, 0.8))
            points = [(x + span * k / 24, deck - 62 + 54 * (1 - (k / 12 - 1) ** 2)) for k in range(25)]
            self.sheet.line(points, steel, 1.0)
            for at in points[1::2]:
                self.sheet.line([at, (at[0], deck)], steel, 0.5)
                self._lamp(at, 0.9, (255, 236, 190))
            self._lamp((x, deck - 68), 1.2, (255, 60, 50), 1.5)
            x += span
        for k in range(self.width // 9):
            car = (k * 9 + rng.between(0, 8), deck - 1.4)
            self._lamp(car, 0.8, rng.pick(((255, 240, 210), (255, 60, 40))))

    def _road(self, rng: Rng) -> None:
        """Draw shops along a pavement, cars with their lights, and lamps."""
        low = float(self.ground)
        self.sheet.box((0, low - 26, self.width, self.height), shade(self.haze, 0.3))
        self.light.box((0, low - 26, self.width, self.height), (0, 0, 0))
        x = 0.0
        while x < self.width:
            wide = rng.between(34, 70)
            if rng.chance(0.7):
                colour = shade(rng.pick((*_WARM, (255, 120, 160), (120, 200, 255))), rng.between(0.7, 1.0))
                pane = (x + 3, low - 17, x + wide - 3, low - 2)
                self.sheet.box(pane, colour)
                self.light.box(pane, shade(colour, 0.5))
                for k in range(1, rng.whole(2, 6)):
                    at = x + 3 + (wide - 6) * k / 5
                    self.sheet.box((at, low - 17, at + 0.9, low - 2), shade(self.haze, 0.3))
                for _ in range(rng.whole(1, 5)):  # people before the window
                    at = x + rng.between(5, wide - 5)
                    self.sheet.ellipse((at, low - 9.5), 1.5, (20, 16, 18))
                    self.sheet.box((at - 1.8, low - 8, at + 1.8, low), (20, 16, 18), radius=1.2)
                if wide > 44:
                    self._some_neon((x + wide / 2, low - 23), 8.5, self.dark, rng)
            x += wide
        lanes = max(1, int((self.height - low) / 26))
        for lane in range(lanes):
            wide = (self.height - low) / lanes
            y, edge = low + wide * (lane + 0.75), low + wide * lane
            self.sheet.box((0, edge, self.width, edge + 0.9), shade(self.haze, 0.8))
            x = rng.between(-30, 40)
            while x < self.width:
                self._car((x, y), 1.0 + 0.35 * lane / lanes, rng, forward=lane % 2 == 0)
                x += rng.between(48, 140)
        self._trees(low, rng.child("trees"))
        self._street_lamps(low + 2, rng.between(34, 50), rng.child("lamps"))

    def _car(self, at: Point, grow: float, rng: Rng, *, forward: bool) -> None:
        x, y = at
        body = ((0, -4), (3, -8), (9, -9), (13, -13.5), (23, -13.5), (28, -9), (33, -7.5), (34, -3), (0, -3))
        glass = ((11, -9.3), (14, -12.6), (22, -12.6), (26, -9.3))
        coat = shade(hue(rng.random(), rng.between(0, 0.7), 0.32), rng.between(0.5, 1.2))
        for shape, colour in ((body, coat), (glass, mix(self.haze, (200, 210, 230), 0.3))):
            self.sheet.polygon([(x + px * grow, y + py * grow) for px, py in shape], colour)
        for px in (7, 27):
            self.sheet.ellipse((x + px * grow, y - 3 * grow), 3.1 * grow, (8, 8, 10))
        front, back = (34, 0.5) if forward else (0.5, 34)
        self._lamp((x + front * grow, y - 6 * grow), 1.6 * grow, (255, 246, 220), 1.5)
        self._lamp((x + back * grow, y - 6.5 * grow), 1.2 * grow, (255, 40, 30), 1.4)
