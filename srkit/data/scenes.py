"""Layered scenes: cut-outs of images at known depths in front of a plane, with the exact depth of every pixel.

Not photorealistic, but correct for defocus: depth is constant or planar on an object, jumps at its edge, nearer objects
occlude farther ones, and objects on the ground have the ground's depth at their base.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from srkit.errors import UsageError

Pixels = NDArray[np.uint8]
Depths = NDArray[np.float32]
Mask = NDArray[np.bool_]

SMALLEST = 32
"""Shortest side of a scene in pixels."""

_LAYERS = (5, 14)
_STANDING = 0.6  # share of layers that stand on the ground, if there is one
_TILTED = 0.4  # share of layers with a depth gradient
_LETTERS = "ABCDEFGHJKLMNPRSTUVWXYZabdeghkmnpqrsty23456789&?"


@dataclass(frozen=True)
class Scene:
    """Image with the inverse depth of every pixel."""

    image: Pixels
    """(H, W, 3) RGB, sharp everywhere."""
    depth: Depths
    """(H, W), inverse depth, min-max normalised: 0 farthest, 1 nearest."""


def layered_scene(images: Sequence[Pixels], height: int, width: int, seed: int) -> Scene:
    """Generate a scene of cut-outs in front of a background plane, deterministically.

    5 to 13 layers (ellipses, polygons, blobs, rings, bars, fences, letters) are filled with parts of the images, at
    their size or reduced, more for farther layers, never enlarged, so that the scene is as sharp as its sources. Layers
    have hard edges, so that every pixel has one depth.

    Args:
        images: (H, W, 3) uint8, sides of 16 pixels or more; smaller ones are extended by mirroring.
        height, width: size of the scene, at least 32 pixels each.
        seed: 0 or more.

    Raises:
        UsageError: no images, an image that is too small or not RGB, a scene that is too small, or a negative seed.
    """
    if not images or any(p.ndim != 3 or p.shape[2] != 3 or min(p.shape[:2]) < 16 for p in images):
        raise UsageError(
            f"A layered scene was asked for from {len(images)} images; "
            "it takes at least one, all of them RGB with sides of 16 pixels or more."
        )
    if min(height, width) < SMALLEST or seed < 0:
        raise UsageError(
            f"A layered scene of {width} x {height} was asked for with seed {seed}; "
            f"sides start at {SMALLEST} pixels, seeds at 0."
        )
    rng = np.random.default_rng(seed)
    ground, depth = _background(height, width, rng)
    image = _texture(images, height, width, float(rng.uniform(0.5, 1.0)), rng)
    for level in np.sort(rng.uniform(0.1, 1.0, int(rng.integers(*_LAYERS)))).tolist():
        _add_layer(image, depth, ground, images, level, rng)
    low, high = float(depth.min()), float(depth.max())
    return Scene(image, np.asarray((depth - low) / (high - low), dtype=np.float32))


def _background(height: int, width: int, rng: np.random.Generator) -> tuple[Depths | None, Depths]:
    """Inverse depth of the ground by row, (H,), or None; and of the whole background, (H, W)."""
    y = np.linspace(0, 1, height, dtype=np.float32)[:, None]
    x = np.linspace(0, 1, width, dtype=np.float32)[None, :]
    if rng.random() < 0.6:
        # Inverse depth is linear in the row on level ground below the horizon, and nearly 0 above it.
        horizon = rng.uniform(-0.2, 0.7)
        rows = rng.uniform(0.4, 0.95) * np.clip((y - horizon) / (1 - horizon), 0, 1)
        rows = rows.astype(np.float32)
        return rows[:, 0], np.repeat(rows, width, axis=1)
    # A slanted or distant wall.
    steep = rng.uniform(0.02, 0.6)
    angle = rng.uniform(0, 2 * math.pi)
    plane = math.cos(angle) * (x - 0.5) + math.sin(angle) * (y - 0.5)
    return None, np.asarray(steep * (plane - plane.min()) / np.ptp(plane), dtype=np.float32)


def _add_layer(
    image: Pixels,
    depth: Depths,
    ground: Depths | None,
    images: Sequence[Pixels],
    level: float,
    rng: np.random.Generator,
) -> None:
    """Draw a layer of inverse depth `level` over farther pixels."""
    height, width = depth.shape
    reach = min(height, width) * (0.1 + 0.5 * level) * float(rng.uniform(0.6, 1.4))
    aspect = math.exp(rng.uniform(-0.5, 0.5))
    rows, columns = (max(8, round(side)) for side in (reach * aspect, reach / aspect))
    shape = list(SHAPES)[int(rng.integers(len(SHAPES)))]
    mask = SHAPES[shape](rows, columns, rng)
    left = int(rng.integers(-columns // 3, width - columns * 2 // 3 + 1))
    top = int(rng.integers(-rows // 3, height - rows * 2 // 3 + 1))
    if ground is not None and ground[-1] > level and rng.random() < _STANDING:
        top = int(np.searchsorted(ground, level)) - rows
    inside = (
        slice(max(0, top), min(height, top + rows)),
        slice(max(0, left), min(width, left + columns)),
    )
    if inside[0].start >= inside[0].stop or inside[1].start >= inside[1].stop:
        return
    part = (
        slice(inside[0].start - top, inside[0].stop - top),
        slice(inside[1].start - left, inside[1].stop - left),
    )
    near = np.full((rows, columns), level, dtype=np.float32)
    if rng.random() < _TILTED:
        near += _tilt(rows, columns, level, rng)
    seen = mask[part] & (near[part] > depth[inside])
    filled = _texture(images, rows, columns, 0.5 + 0.5 * level, rng)[part]
    light = float(rng.uniform(0.6, 1.25))
    lit = np.clip(filled.astype(np.float32) * light + float(rng.uniform(-25, 25)), 0, 255)
    image[inside][seen] = lit[seen].astype(np.uint8)
    depth[inside][seen] = near[part][seen]


def _tilt(rows: int, columns: int, level: float, rng: np.random.Generator) -> Depths:
    """Plane through 0 at the centre, which changes inverse depth by a quarter at most."""
    y, x = np.linspace(-1, 1, rows)[:, None], np.linspace(-1, 1, columns)[None, :]
    slopes = rng.uniform(-0.125, 0.125, 2) * level
    return np.asarray(slopes[0] * y + slopes[1] * x, dtype=np.float32)


def _texture(
    images: Sequence[Pixels], height: int, width: int, max_zoom: float, rng: np.random.Generator
) -> Pixels:
    """Random part (height, width, 3) of one of the images, at a scale between half of `max_zoom` and `max_zoom`."""
    source = images[int(rng.integers(len(images)))]
    factor = max_zoom * float(rng.uniform(0.5, 1.0)) if rng.random() < 0.5 else 1.0
    tall, wide = (math.ceil(side / factor) for side in (height, width))
    missing = [max(0, need - side) for need, side in zip((tall, wide), source.shape[:2], strict=True)]
    if any(missing):
        source = np.pad(source, ((0, missing[0]), (0, missing[1]), (0, 0)), mode="symmetric")
    top = int(rng.integers(source.shape[0] - tall + 1))
    left = int(rng.integers(source.shape[1] - wide + 1))
    part = source[top : top + tall, left : left + wide]
    if rng.random() < 0.5:
        part = part[:, ::-1]
    if factor == 1.0:
        return part.copy()
    small = Image.fromarray(np.ascontiguousarray(part)).resize((width, height), Image.Resampling.BICUBIC)
    return np.array(small)


def _drawn(rows: int, columns: int, paint: Callable[[ImageDraw.ImageDraw], None]) -> Mask:
    image = Image.new("1", (columns, rows))
    paint(ImageDraw.Draw(image))
    return np.asarray(image)


def _around(rows: int, columns: int, radii: NDArray[np.float64], turn: float) -> list[tuple[float, float]]:
    """Closed polygon around the centre; a radius of 1 reaches the border."""
    angle = turn + np.arange(len(radii)) * (2 * math.pi / len(radii))
    x = (columns - 1) / 2 * (1 + radii * np.cos(angle))
    y = (rows - 1) / 2 * (1 + radii * np.sin(angle))
    return list(zip(x.tolist(), y.tolist(), strict=True))


def _ellipse(rows: int, columns: int, rng: np.random.Generator) -> Mask:
    return _drawn(rows, columns, lambda on: on.ellipse((0, 0, columns - 1, rows - 1), fill=1))


def _ring(rows: int, columns: int, rng: np.random.Generator) -> Mask:
    width = max(2, round(min(rows, columns) * float(rng.uniform(0.08, 0.3))))
    return _drawn(rows, columns, lambda on: on.ellipse((0, 0, columns - 1, rows - 1), outline=1, width=width))


def _polygon(rows: int, columns: int, rng: np.random.Generator) -> Mask:
    line = _around(
        rows, columns, rng.uniform(0.35, 1.0, int(rng.integers(3, 10))), rng.uniform(0, 2 * math.pi)
    )
    return _drawn(rows, columns, lambda on: on.polygon(line, fill=1))


def _blob(rows: int, columns: int, rng: np.random.Generator) -> Mask:
    angle = np.arange(96) * (2 * math.pi / 96)
    waves = [rng.uniform(-0.3, 0.3) / k * np.sin(k * angle + rng.uniform(0, 2 * math.pi)) for k in (2, 3, 5)]
    line = _around(rows, columns, np.clip(0.75 + np.sum(waves, axis=0), 0.2, 1.0), 0.0)
    return _drawn(rows, columns, lambda on: on.polygon(line, fill=1))


def _bar(rows: int, columns: int, rng: np.random.Generator) -> Mask:
    ends = [
        (float(rng.uniform(0, columns)), 0.0),
        (float(rng.uniform(0, columns)), rows - 1.0),
    ]
    if rng.random() < 0.5:
        ends = [(0.0, float(rng.uniform(0, rows))), (columns - 1.0, float(rng.uniform(0, rows)))]
    width = max(3, round(min(rows, columns) * float(rng.uniform(0.04, 0.3))))
    return _drawn(rows, columns, lambda on: on.line(ends, fill=1, width=width))


def _fence(rows: int, columns: int, rng: np.random.Generator) -> Mask:
    """Fence of bars, with gaps that show the background."""
    step = max(8, round(columns / float(rng.uniform(3, 9))))
    width = max(3, round(step * float(rng.uniform(0.2, 0.6))))

    def paint(on: ImageDraw.ImageDraw) -> None:
        for left in range(0, columns, step):
            on.rectangle((left, 0, left + width - 1, rows - 1), fill=1)
        for top in (rows // 5, rows * 7 // 10):
            on.rectangle((0, top, columns - 1, top + width - 1), fill=1)

    return _drawn(rows, columns, paint)


def _box(rows: int, columns: int, rng: np.random.Generator) -> Mask:
    return np.ones((rows, columns), dtype=np.bool_)


def _letters(rows: int, columns: int, rng: np.random.Generator) -> Mask:
    text = "".join(_LETTERS[i] for i in rng.integers(len(_LETTERS), size=int(rng.integers(1, 7))))
    size = max(12.0, min(rows, 1.6 * columns / len(text)))
    font = ImageFont.load_default(size=size)
    middle = (columns / 2, rows / 2)
    return _drawn(rows, columns, lambda on: on.text(middle, text, fill=1, font=font, anchor="mm"))


SHAPES: Mapping[str, Callable[[int, int, np.random.Generator], Mask]] = {
    "ellipse": _ellipse,
    "ring": _ring,
    "polygon": _polygon,
    "blob": _blob,
    "bar": _bar,
    "fence": _fence,
    "box": _box,
    "letters": _letters,
}
"""Shapes of layers by name: masks (rows, columns) from a random generator."""
