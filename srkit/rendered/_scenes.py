"""Soft scenes in full colour, as photographs in print are: fruit, flowers, landscapes, balloons, a poster."""

from __future__ import annotations

import math

import numpy as np
from PIL import Image, ImageFilter

from srkit.rendered.canvas import (
    Colour,
    Floats,
    Noise,
    Pixels,
    Sheet,
    between,
    clouds,
    curve,
    hue,
    mix,
    pick,
    shade,
)
from srkit.rendered._words import noun

_PIXELS = np.float32(255)


def soft_scene(width: int, height: int, rng: Rng) -> Pixels:
    """(height, width, 3) uint8, without fine detail; its objects are 20 to 160 pixels large."""
    scene = rng.pick((_fruit, _fruit, _landscape, _landscape, _flowers, _balloons))(width, height, rng)
    picture = Image.fromarray(np.clip(scene, 0, 255).round().astype(np.uint8))
    picture = picture.filter(ImageFilter.BoxBlur(1))
    if rng.chance(0.35):
        picture = _headline(picture, rng)
    return np.asarray(picture)


def _headline(picture: Image.Image, rng: Rng) -> Image.Image:
    """Large words over the picture, in full ink or left out of it."""
    sheet = Sheet(picture.width, picture.height, (0, 0, 0), 1)
    sheet.image.paste(picture)
    size = max(14, round(min(picture.width * 0.16, rng.between(30, 70))))
    y = round(picture.height * rng.between(0.08, 0.2))
    ink = rng.pick(((0, 0, 0), (255, 255, 255), (230, 20, 30), (250, 230, 20)))
    for _ in range(rng.whole(1, 3)):
        sheet.text((picture.width * 0.05, y + size // 2), noun(rng).upper(), size, ink, bold=size * 0.05)
        y += round(size * 1.1)
    return sheet.image


def _gradient(width: int, height: int, top: Colour, bottom: Colour) -> Floats:
    y = np.linspace(0, 1, height, dtype=np.float32)[:, None, None]
    ramp = np.array(top, np.float32) * (1 - y) + np.array(bottom, np.float32) * y
    return np.repeat(ramp, width, axis=1).astype(np.float32)


def _ball(
    scene: Floats, centre: tuple[float, float], radii: tuple[float, float], colour: Colour, gloss: float
) -> None:
    """A shaded ball, lit from the upper left, with its gloss."""
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
    u = ((np.arange(x0, x1, dtype=np.float32) - np.float32(x)) / np.float32(rx))[None, :]
    v = ((np.arange(y0, y1, dtype=np.float32) - np.float32(y)) / np.float32(ry))[:, None]
    far = u * u + v * v
    depth = np.sqrt(np.clip(1 - far, 0, 1))
    light = np.clip(np.float32(0.62) * depth - np.float32(0.5) * u - np.float32(0.6) * v, 0, 1)
    cover = np.clip((1 - far) * np.float32(min(rx, ry) / 2.5), 0, 1)[:, :, None]
    bounce = np.clip(u * np.float32(0.5) + v * np.float32(0.6), 0, 1) * (1 - depth) * np.float32(0.35)
    tone = np.array(colour, np.float32) * (np.float32(0.22) + np.float32(0.95) * light + bounce)[:, :, None]
    spot = (u + np.float32(0.36)) ** 2 + (v + np.float32(0.42)) ** 2
    tone = (
        tone
        + (_PIXELS - tone) * (np.clip(1 - spot * np.float32(9), 0, 1) ** 2 * np.float32(gloss))[:, :, None]
    )
    part = scene[y0:y1, x0:x1]
    part += (tone - part) * cover


def _shadow(scene: Floats, centre: tuple[float, float], radii: tuple[float, float], dark: float) -> None:
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
    u = ((np.arange(x0, x1, dtype=np.float32) - np.float32(x)) / np.float32(rx))[None, :]
    v = ((np.arange(y0, y1, dtype=np.float32) - np.float32(y)) / np.float32(ry))[:, None]
    scene[y0:y1, x0:x1] *= (1 - np.float32(dark) * np.clip(1 - u * u - v * v, 0, 1))[:, :, None]


def _glow(scene: Floats, centre: tuple[float, float], radius: float, colour: Colour) -> None:
    """A sun: a flat disc in a halo."""
    height, width = scene.shape[:2]
    u = (np.arange(width, dtype=np.float32) - np.float32(centre[0]))[None, :] / np.float32(radius)
    v = (np.arange(height, dtype=np.float32) - np.float32(centre[1]))[:, None] / np.float32(radius)
    far = u * u + v * v
    light = np.maximum(
        np.clip((1 - far) * np.float32(radius / 2), 0, 1), np.float32(0.6) / (1 + far * np.float32(0.35))
    )
    scene += (np.array(colour, np.float32) - scene) * light[:, :, None]


def _fruit(width: int, height: int, rng: Rng) -> Floats:
    """Apples, oranges, plums and grapes on a cloth."""
    turn = rng.random()
    scene = _gradient(width, height, hue(turn, 0.35, 0.75), hue(turn + 0.08, 0.4, 0.95))
    scene *= np.float32(0.8) + np.float32(0.35) * clouds(rng, height, width, (60, 90), 3)[:, :, None]
    kinds = (
        (0.0, 0.85, 0.85),
        (0.07, 0.9, 0.98),
        (0.14, 0.8, 0.98),
        (0.25, 0.7, 0.75),
        (0.85, 0.6, 0.5),
        (0.97, 0.75, 0.75),
        (0.33, 0.6, 0.5),
    )
    places = sorted(
        (rng.between(-0.05, 1.05) * height, rng.between(-0.05, 1.05) * width)
        for _ in range(max(6, width * height // 7000))
    )
    for y, x in places:
        h, s, v = rng.pick(kinds)
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
    """Sky with clouds and sun, ridges that fade with distance, a lake or a field in rows."""
    top, low = rng.pick(
        (
            ((70, 130, 210), (220, 232, 240)),
            ((60, 60, 140), (250, 170, 110)),
            ((40, 110, 190), (170, 214, 240)),
            ((120, 60, 110), (255, 196, 120)),
        )
    )
    horizon = int(height * rng.between(0.35, 0.55))
    scene = np.concatenate(
        [_gradient(width, horizon, top, low), _gradient(width, height - horizon, low, shade(low, 0.8))]
    )
    cover = np.clip((clouds(rng, horizon, width, (50, 110), 4) - np.float32(0.5)) * 3, 0, 1)[:, :, None]
    scene[:horizon] += (np.array((250, 246, 242), np.float32) - scene[:horizon]) * cover * np.float32(0.85)
    _glow(scene, (width * rng.between(0.15, 0.85), horizon * 0.45), rng.between(16, 30), (255, 250, 220))
    near, layers = hue(rng.between(0.2, 0.42), 0.65, 0.48), max(3, (height - horizon) // 60 + 2)
    for layer in range(layers):
        share = (layer + 1) / layers
        base = horizon + (height - horizon) * (share - 1 / layers) - 14
        rise = Noise(rng, 2, width, (1.0, 60.0 + 60 * share)).rows(0, 1)[0] * np.float32(50)
        rise = rise + Noise(rng, 2, width, (1.0, 14.0)).rows(0, 1)[0] * np.float32(9)
        below = (
            np.arange(height, dtype=np.float32)[:, None] - (np.float32(base) - rise + np.float32(25))[None, :]
        )
        tone = np.array(mix(low, near, 0.25 + 0.75 * share), np.float32)
        patch = (
            Noise(rng, height, width, (7.0, 16.0)).rows(0, height) if layer >= layers - 2 else np.float32(0.5)
        )
        light = (
            np.float32(0.8) + np.float32(0.5) * patch - np.clip(below / np.float32(260), 0, np.float32(0.35))
        )
        inside = np.clip(below, 0, 1)[:, :, None]
        scene += (tone * (light[:, :, None]) - scene) * inside
    return scene


def _flowers(width: int, height: int, rng: Rng) -> Floats:
    """Blossoms of shaded petals before a blurred garden."""
    back = Sheet(width, height, hue(rng.between(0.22, 0.42), 0.55, 0.4), 1)
    for _ in range(width * height // 1500):
        at = (rng.between(0, width), rng.between(0, height))
        back.ellipse(at, rng.between(8, 30), hue(rng.between(0.15, 0.45), 0.5, rng.between(0.25, 0.8)))
    scene = np.asarray(back.image.filter(ImageFilter.BoxBlur(9))).astype(np.float32)
    for _ in range(max(3, width * height // 11000)):
        x, y = rng.between(0, width), rng.between(0, height)
        petals, reach, turn = rng.whole(5, 13), rng.between(26, 64), rng.between(0, 1)
        colour = hue(rng.pick((0.95, 0.0, 0.13, 0.8, 0.62, 0.05)), rng.between(0.3, 0.85), 0.97)
        _shadow(scene, (x + 8, y + 12), (reach * 1.1, reach * 1.1), 0.5)
        for ring in (1.0, 0.66):
            for k in range(petals):
                angle = 2 * math.pi * (k / petals + turn + ring)
                at = (x + reach * 0.55 * ring * math.cos(angle), y + reach * 0.55 * ring * math.sin(angle))
                size = reach * (0.25 + 1.1 / petals) * (0.6 + 0.4 * ring)
                _shadow(scene, (at[0] + 2, at[1] + 3), (size * 1.05, size * 1.05), 0.35)
                _ball(scene, at, (size, size), shade(colour, 0.85 + 0.3 * rng.random()), 0.15)
        _ball(scene, (x, y), (reach * 0.24, reach * 0.24), (250, 200, 50), 0.4)
    return scene


def _balloons(width: int, height: int, rng: Rng) -> Floats:
    """Striped balloons in a cloudy sky."""
    scene = _gradient(
        width, height, rng.pick(((50, 110, 200), (90, 150, 220), (240, 150, 110))), (232, 238, 240)
    )
    cover = np.clip((clouds(rng, height, width, (50, 110), 4) - np.float32(0.5)) * 3, 0, 1)[:, :, None]
    scene += (np.array((252, 250, 248), np.float32) - scene) * cover
    for _ in range(max(3, width * height // 14000)):
        x, y, r = rng.between(0, width), rng.between(0, height), rng.between(22, 60)
        first, second = hue(rng.random(), 0.85, 0.9), hue(rng.random(), 0.7, 0.95)
        for k in range(6):  # every ball narrower than the one before: stripes that run together at the poles
            wide = r * math.cos(k / 6 * math.pi / 2)
            _ball(
                scene,
                (x, y),
                (max(2.0, wide), r * 1.12),
                first if k % 2 == 0 else second,
                0.35 if k == 5 else 0.0,
            )
        basket = Sheet(24, 20, (120, 80, 50), 1)
        basket.polygon(curve([(0, 0), (24, 0), (20, 19), (4, 19)], 2, closed=True), (150, 100, 60))
        left, top = int(x - r * 0.16), int(y + r * 1.35)
        size = (max(3, int(r * 0.32)), max(3, int(r * 0.26)))
        patch = np.asarray(basket.image.resize(size)).astype(np.float32)
        y0, x0, y1, x1 = max(0, top), max(0, left), min(height, top + size[1]), min(width, left + size[0])
        if y1 > y0 and x1 > x0:
            scene[y0:y1, x0:x1] = patch[y0 - top : y1 - top, x0 - left : x1 - left]
    return scene
