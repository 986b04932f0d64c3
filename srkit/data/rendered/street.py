"""A street at dusk: what super-resolution is good and bad at, in one small picture.

Facades with regular windows, lettering, thin wires, a brick wall, foliage, soft clouds and round lamps. The scene
grows with the picture; its default of 480 x 320 is the demo picture.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from srkit.data.rendered._canvas import FINER, Pixels, reduce_bands

_SKY_SIDE = 4096  # a sky is soft: beyond this it is enlarged


def draw(width: int, height: int, seed: int) -> Pixels:
    """The picture, (height, width, 3)."""
    rng = np.random.default_rng(seed)
    w, h = width * FINER, height * FINER
    image = _sky(w, h, rng)
    pen = ImageDraw.Draw(image)
    ground = int(h * 0.86)
    _skyline(pen, w, ground, rng)
    _brick_house(pen, (int(w * 0.04), int(h * 0.30), int(w * 0.40), ground), rng)
    _glass_tower(pen, (int(w * 0.62), int(h * 0.08), int(w * 0.88), ground), rng)
    _street(pen, w, h, ground, rng)
    _tree(pen, int(w * 0.52), ground, h, rng)
    _sign(pen, (int(w * 0.07), int(h * 0.62), int(w * 0.37), int(h * 0.72)))
    _wires(pen, w, h)
    _lamps(image, w, ground, h)
    return reduce_bands(width, height, FINER, lambda top, bottom: np.array(image.crop((0, top, w, bottom))))


def _sky(w: int, h: int, rng: np.random.Generator) -> Image.Image:
    drawn_w, drawn_h = min(w, _SKY_SIDE), min(h, _SKY_SIDE)
    clouds = _soft_noise(drawn_w, drawn_h, rng, 5)
    down = np.linspace(0, 1, drawn_h)
    sky = np.empty((drawn_h, drawn_w, 3), np.uint8)
    for row in range(drawn_h):  # a row at a time stays in the processor's cache
        y = down[row]
        tone = (1 - y) * np.array([58, 84, 138.0]) + y * np.array([244, 190, 142.0])
        cover = np.clip((clouds[row] - 0.52) * 4, 0, 1)[:, None] * (1 - y) * 0.8
        sky[row] = (tone * (1 - cover) + cover * np.array([238, 214, 208.0])).round()
    return Image.fromarray(sky).resize((w, h), Image.Resampling.BICUBIC)


def _soft_noise(w: int, h: int, rng: np.random.Generator, octaves: int) -> NDArray[np.float64]:
    """Value noise in [0, 1], wider than high."""
    total: NDArray[np.float64] = np.zeros((h, w))
    for octave in range(octaves):
        cells = (3 * 2**octave, 4 * 2**octave)
        grid = Image.fromarray(rng.random(cells).astype(np.float32))
        total += np.asarray(grid.resize((w, h), Image.Resampling.BICUBIC)) / 2**octave
    low, high = float(total.min()), float(total.max())
    return (total - low) / (high - low)


def _skyline(draw: ImageDraw.ImageDraw, w: int, ground: int, rng: np.random.Generator) -> None:
    x = 0
    while x < w:
        width = int(w * rng.uniform(0.03, 0.07))
        top = int(ground * rng.uniform(0.55, 0.78))
        shade = int(rng.uniform(86, 120))
        draw.rectangle((x, top, x + width, ground), fill=(shade, shade + 4, shade + 22))
        x += width


def _brick_house(draw: ImageDraw.ImageDraw, box: tuple[int, int, int, int], rng: np.random.Generator) -> None:
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
            _sash_window(draw, x, y, (right - left) // 14, (bottom - top) // 11, lit=rng.random() < 0.5)
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


def _glass_tower(draw: ImageDraw.ImageDraw, box: tuple[int, int, int, int], rng: np.random.Generator) -> None:
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


def _street(draw: ImageDraw.ImageDraw, w: int, h: int, ground: int, rng: np.random.Generator) -> None:
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


def _tree(draw: ImageDraw.ImageDraw, x: int, ground: int, h: int, rng: np.random.Generator) -> None:
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


def _sign(draw: ImageDraw.ImageDraw, box: tuple[int, int, int, int]) -> None:
    left, top, right, bottom = box
    draw.rectangle(box, fill=(24, 58, 66))
    draw.rectangle((left + 6, top + 6, right - 6, bottom - 6), outline=(240, 226, 180), width=3)
    draw.text(
        ((left + right) / 2, top + (bottom - top) * 0.38),
        "Harbour Books",
        anchor="mm",
        fill=(250, 238, 200),
        font=ImageFont.load_default(size=(bottom - top) * 0.46),
    )
    draw.text(
        ((left + right) / 2, top + (bottom - top) * 0.78),
        "open 7 - 23   coffee 2.40   prints & maps",
        anchor="mm",
        fill=(214, 224, 214),
        font=ImageFont.load_default(size=(bottom - top) * 0.2),
    )


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
