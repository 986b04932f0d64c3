"""Street at dusk: easy and difficult content for super-resolution in one small image.

It has facades with regular windows, lettering, thin wires, a brick wall, foliage, soft clouds and round lamps. The
image
grows with the image; its default of 480 x 320 is the demo image.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from srkit.rendered.canvas import FINER, Box, Colour, Rendered, Rng, Sheet, font
from srkit.rendered.lettering import sign_word
from srkit.rendered.specs import Caption, Spec, Split, Wording, a, choice, words

_SKY_SIDE = 4096  # a sky is smooth: beyond this size it is enlarged
_BOARDS: dict[str, Colour] = {
    "teal": (24, 58, 66), "navy blue": (28, 40, 78), "dark green": (22, 60, 40), "maroon": (84, 26, 34),
    "black": (26, 26, 30), "brown": (70, 46, 34),
}  # fmt: skip
_GOODS = (
    "coffee",
    "tea",
    "bread",
    "soup",
    "prints",
    "maps",
    "stamps",
    "cakes",
    "wine",
    "shoes",
    "toys",
    "seeds",
)


def _shop(rng: Rng, split: Split) -> str:
    return f"{sign_word(rng, split)} {sign_word(rng, split)}".title()


def _goods(rng: Rng, split: Split) -> str:
    one, two, three = rng.choice(_GOODS, 3, replace=False)
    return f"open {rng.whole(6, 11)} - {rng.whole(17, 24)}   {one} {rng.between(1, 9):.2f}   {two} & {three}"


@dataclass(frozen=True, kw_only=True)
class Street(Spec):
    """Brick house with a shop, a glass tower, a tree and lamps before an evening sky."""

    domain = "street"
    smallest = 384
    shop: str = words(_shop)
    goods: str = words(_goods)
    board: str = choice(_BOARDS)

    def draw(self, width: int, height: int) -> Rendered:
        rng = self.rng()
        sheet = Sheet(width, height, (0, 0, 0))
        w, h = width * FINER, height * FINER
        sheet.image.paste(_sky(w, h, rng))
        pen, ground = sheet.draw, int(h * 0.86)
        _skyline(pen, w, ground, rng)
        _brick_house(pen, (int(w * 0.04), int(h * 0.30), int(w * 0.40), ground), rng)
        _glass_tower(pen, (int(w * 0.62), int(h * 0.08), int(w * 0.88), ground), rng)
        _street(pen, w, h, ground)
        _tree(pen, int(w * 0.52), ground, h, rng)
        self._sign(sheet, (int(w * 0.07), int(h * 0.62), int(w * 0.37), int(h * 0.72)))
        _wires(pen, w, h)
        _lamps(sheet.image, w, ground, h)
        return sheet.rendered()

    def _sign(self, sheet: Sheet, box: Box) -> None:
        left, top, right, bottom = box
        sheet.draw.rectangle(box, fill=_BOARDS[self.board])
        sheet.draw.rectangle((left + 6, top + 6, right - 6, bottom - 6), outline=(240, 226, 180), width=3)
        for text, down, size, ink in (
            (self.shop, 0.38, 0.46, (250, 238, 200)),
            (self.goods, 0.78, 0.2, (214, 224, 214)),
        ):
            em = (bottom - top) * size
            em = min(em, em * (right - left) * 0.94 / font(em).getlength(text))
            at = ((left + right) / 2, top + (bottom - top) * down)
            sheet.draw.text(at, text, anchor="mm", fill=ink, font=font(em))
            sheet.note(text, sheet.draw.textbbox(at, text, font(em), "mm"))

    def describe(self, say: Wording) -> Caption:
        return say.caption(
            f"{say.pick('illustration of', 'drawing of', '')} a street at dusk with a brick shop {say.reads('shop')}",
            [
                f"a small line {say.reads('goods')}",
                f"{a(say('board'))} sign board",
                say.pick("glass tower with small windows", "regular windows of a glass tower"),
                say.pick("thin wires against the sky", "wires and clouds"),
                say.pick("dense leaves of a tree", "round tree with many leaves"),
            ],
            ("street", "shop", "text", "brick", "windows", "tree", "lamps"),
        )


def _sky(w: int, h: int, rng: Rng) -> Image.Image:
    drawn_w, drawn_h = min(w, _SKY_SIDE), min(h, _SKY_SIDE)
    clouds = _soft_noise(drawn_w, drawn_h, rng, 5)
    down = np.linspace(0, 1, drawn_h)
    sky = np.empty((drawn_h, drawn_w, 3), np.uint8)
    for row in range(drawn_h):  # one row at a time, which fits into the processor's cache
        y = down[row]
        tone = (1 - y) * np.array([58, 84, 138.0]) + y * np.array([244, 190, 142.0])
        cover = np.clip((clouds[row] - 0.52) * 4, 0, 1)[:, None] * (1 - y) * 0.8
        sky[row] = (tone * (1 - cover) + cover * np.array([238, 214, 208.0])).round()
    return Image.fromarray(sky).resize((w, h), Image.Resampling.BICUBIC)


def _soft_noise(w: int, h: int, rng: Rng, octaves: int) -> NDArray[np.float64]:
    """Value noise in [0, 1], stretched horizontally."""
    total: NDArray[np.float64] = np.zeros((h, w))
    for octave in range(octaves):
        cells = (3 * 2**octave, 4 * 2**octave)
        grid = Image.fromarray(rng.random(cells).astype(np.float32))
        total += np.asarray(grid.resize((w, h), Image.Resampling.BICUBIC)) / 2**octave
    low, high = float(total.min()), float(total.max())
    return (total - low) / (high - low)


def _skyline(draw: ImageDraw.ImageDraw, w: int, ground: int, rng: Rng) -> None:
    x = 0
    while x < w:
        width = int(w * rng.uniform(0.03, 0.07))
        top = int(ground * rng.uniform(0.55, 0.78))
        shade = int(rng.uniform(86, 120))
        draw.rectangle((x, top, x + width, ground), fill=(shade, shade + 4, shade + 22))
        x += width


def _brick_house(draw: ImageDraw.ImageDraw, box: tuple[int, int, int, int], rng: Rng) -> None:
    left, top, right, bottom = box
    draw.rectangle(box, fill=(176, 168, 158))
    brick_h, brick_w = max(6, (bottom - top) // 60), max(14, (right - left) // 36)
    for row, y in enumerate(range(top, bottom, brick_h)):
        for x in range(left - (row % 2) * brick_w // 2, right, brick_w):
            tone = rng.uniform(0.82, 1.1)
            colour = tuple(int(c * tone) for c in (150, 78, 60))
            x0, x1 = max(left, x + 1), min(right, x + brick_w - 2)
            if x1 > x0:
                draw.rectangle((x0, y + 1, x1, min(bottom, y + brick_h - 2)), fill=colour)
    draw.polygon(
        [(left - 12, top), (right + 12, top), ((left + right) // 2, top - (right - left) // 4)],
        fill=(70, 60, 66),
    )
    columns, rows = 4, 2
    for i in range(columns):
        for j in range(rows):
            x = left + int((i + 0.5) * (right - left) / columns)
            y = top + int((j + 0.55) * (bottom - top) * 0.5 / rows)
            _sash_window(draw, x, y, (right - left) // 14, (bottom - top) // 11, lit=rng.chance(0.5))
    for x in (left + (right - left) // 4, right - (right - left) // 4):
        _sash_window(
            draw, x, bottom - (bottom - top) // 10, (right - left) // 7, (bottom - top) // 16, lit=True
        )
    middle, half = (left + right) // 2, (right - left) // 18
    draw.rectangle((middle - half, bottom - (bottom - top) // 5, middle + half, bottom), fill=(44, 66, 58))
    draw.ellipse(
        (
            middle + half // 2,
            bottom - (bottom - top) // 10,
            middle + half * 3 // 4,
            bottom - (bottom - top) // 10 + half // 4,
        ),
        fill=(232, 208, 140),
    )


def _sash_window(draw: ImageDraw.ImageDraw, x: int, y: int, half_w: int, half_h: int, *, lit: bool) -> None:
    line = max(2, half_w // 9)
    draw.rectangle(
        (x - half_w - line, y - half_h - line, x + half_w + line, y + half_h + line), fill=(232, 226, 214)
    )
    draw.rectangle(
        (x - half_w, y - half_h, x + half_w, y + half_h), fill=(252, 216, 130) if lit else (62, 74, 96)
    )
    draw.line((x, y - half_h, x, y + half_h), fill=(232, 226, 214), width=line)
    draw.line((x - half_w, y, x + half_w, y), fill=(232, 226, 214), width=line)


def _glass_tower(draw: ImageDraw.ImageDraw, box: tuple[int, int, int, int], rng: Rng) -> None:
    left, top, right, bottom = box
    draw.rectangle(box, fill=(40, 52, 70))
    columns, rows = 14, 34
    cell_w, cell_h = (right - left) / columns, (bottom - top) / rows
    for i in range(columns):
        for j in range(rows):
            glow = rng.random()
            colour = (250, 222, 150) if glow > 0.86 else tuple(int(c + 26 * glow) for c in (84, 112, 148))
            x, y = left + i * cell_w, top + j * cell_h
            draw.rectangle(
                (x + cell_w * 0.14, y + cell_h * 0.2, x + cell_w * 0.9, y + cell_h * 0.86), fill=colour
            )


def _street(draw: ImageDraw.ImageDraw, w: int, h: int, ground: int) -> None:
    draw.rectangle((0, ground, w, h), fill=(74, 72, 78))
    draw.rectangle((0, ground, w, ground + (h - ground) // 6), fill=(150, 144, 138))
    for x in range(0, w, max(8, w // 48)):
        draw.line((x, ground, x - w // 90, ground + (h - ground) // 6), fill=(112, 108, 104), width=3)
    y = ground + int((h - ground) * 0.6)
    for x in range(0, w, w // 12):
        draw.polygon(
            [(x, y), (x + w // 22, y), (x + w // 26, y + h // 70), (x - w // 200, y + h // 70)],
            fill=(226, 222, 208),
        )


def _tree(draw: ImageDraw.ImageDraw, x: int, ground: int, h: int, rng: Rng) -> None:
    draw.polygon(
        [
            (x - h // 80, ground),
            (x + h // 80, ground),
            (x + h // 200, ground - h // 3),
            (x - h // 200, ground - h // 3),
        ],
        fill=(66, 50, 42),
    )
    for _ in range(2600):
        angle, radius = rng.uniform(0, 2 * math.pi), math.sqrt(rng.random()) * h * 0.15
        cx, cy = x + radius * math.cos(angle), ground - h * 0.36 + 1.15 * radius * math.sin(angle)
        light = rng.uniform(0.6, 1.25) * (1.15 - 0.35 * (cy - ground + h * 0.5) / (h * 0.3))
        size = h * rng.uniform(0.002, 0.006)
        colour = tuple(min(255, int(c * light)) for c in (66, 104, 54))
        draw.ellipse((cx - size, cy - size * 0.6, cx + size, cy + size * 0.6), fill=colour)


def _wires(draw: ImageDraw.ImageDraw, w: int, h: int) -> None:
    for k in range(3):
        points = [
            (x, h * (0.12 + 0.035 * k) + h * 0.05 * math.sin(math.pi * x / w))
            for x in range(0, w + 1, w // 60)
        ]
        draw.line(points, fill=(34, 34, 44), width=3)


def _lamps(image: Image.Image, w: int, ground: int, h: int) -> None:
    draw = ImageDraw.Draw(image, "RGBA")
    for x in (int(w * 0.45), int(w * 0.94)):
        top = int(ground - h * 0.34)
        draw.line((x, ground, x, top), fill=(30, 30, 36, 255), width=max(4, h // 160))
        for ring in range(14, 0, -1):
            radius = h * 0.006 * ring
            draw.ellipse((x - radius, top - radius, x + radius, top + radius), fill=(255, 236, 190, 12))
        radius = h * 0.016
        draw.ellipse((x - radius, top - radius, x + radius, top + radius), fill=(255, 248, 226, 255))
