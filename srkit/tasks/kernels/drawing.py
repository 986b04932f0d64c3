"""Drawing functions of the preview of a kernel map: colours, text, ellipses, bars."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

Colour = tuple[int, int, int]
Colours = NDArray[np.uint8]

PAPER: Colour = (250, 250, 248)
INK: Colour = (28, 33, 43)
MUTED: Colour = (110, 117, 130)
LINE: Colour = (222, 223, 220)
UNKNOWN: Colour = (140, 144, 152)
"""Colour of unknown values."""

# All bright, for dark images: from sharp (cool) to blurred (warm).
WIDTHS = ("#3fb8f0", "#63d6c4", "#b9e36b", "#ffe05c", "#ffab42", "#ff6b4a", "#e8336d")
DEPTHS = ("#0b0924", "#35125f", "#721f81", "#b5367a", "#e95562", "#fd9567", "#fcfdbf")
TAPS = ("#0b0d14", "#2a1b4f", "#6b1f66", "#b53359", "#ee6b3e", "#fcb045", "#fff6c9")

_STEPS = 256
_CORNERS = 64  # vertices of the polygon that approximates an ellipse


@cache
def table(stops: tuple[str, ...]) -> Colours:
    """Colour table (256, 3), interpolated evenly between the stops."""
    known = np.array([[int(stop[i : i + 2], 16) for i in (1, 3, 5)] for stop in stops], float)
    place = np.linspace(0, len(stops) - 1, _STEPS)
    mixed = [np.interp(place, np.arange(len(stops)), known[:, channel]) for channel in range(3)]
    return np.stack(mixed, axis=1).round().astype(np.uint8)


def coloured(values: NDArray[np.floating], stops: tuple[str, ...]) -> Colours:
    """Colours (..., 3) of values in [0, 1]; values beyond are clipped."""
    index = (np.clip(values, 0, 1) * (_STEPS - 1)).round().astype(np.int64)
    colours: Colours = table(stops)[index]
    return colours


@cache
def font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    """Pillow's own font, which covers little beyond ASCII."""
    return ImageFont.load_default(size=size)


def plain(text: str, longest: int = 60) -> str:
    """Text with unsupported characters replaced, and shortened in the middle if it is long."""
    text = "".join(c if " " <= c <= "~" or c in "·°±…" else "?" for c in text)
    if len(text) <= longest:
        return text
    half = (longest - 1) // 2
    return f"{text[:half]}…{text[len(text) - half :]}"


class Sheet:
    """A page of fixed size for text and images."""

    def __init__(self, width: int, height: int) -> None:
        self.image = Image.new("RGB", (width, height), PAPER)
        self._draw = ImageDraw.Draw(self.image, "RGBA")

    def text(
        self,
        place: tuple[float, float],
        text: str,
        size: int,
        colour: Colour = INK,
        anchor: str = "la",
    ) -> float:
        """Write a line; return its width. `anchor` as in Pillow: l m r, then a (top) m (middle) s (baseline)."""
        self._draw.text(place, text, fill=colour, font=font(size), anchor=anchor)
        return text_width(text, size)

    def paste(self, image: Image.Image, place: tuple[int, int]) -> None:
        self.image.paste(image, place)

    def frame(self, place: tuple[int, int], size: tuple[int, int]) -> None:
        """Draw a thin line around an image."""
        x, y = place
        self._draw.rectangle((x - 1, y - 1, x + size[0], y + size[1]), outline=LINE)

    def rule(self, x: int, y: int, width: int) -> None:
        self._draw.line((x, y, x + width, y), fill=LINE)

    def bar(self, place: tuple[int, int], size: tuple[int, int], stops: tuple[str, ...]) -> None:
        """Draw all colours of a table, from left to right."""
        row = coloured(np.linspace(0, 1, size[0]), stops)
        self.paste(Image.fromarray(np.repeat(row[None], size[1], axis=0)), place)
        self.frame(place, size)

    def swatch(self, place: tuple[int, int], side: int, colour: Colour) -> None:
        x, y = place
        self._draw.rectangle((x, y, x + side, y + side), fill=colour)


def text_width(text: str, size: int) -> float:
    return float(font(size).getlength(text))


def resized(pixels: Colours, size: tuple[int, int]) -> Image.Image:
    """Resize (H, W, 3) uint8 to (width, height), with antialiasing."""
    image = Image.fromarray(np.ascontiguousarray(pixels))
    return image.resize(size, Image.Resampling.LANCZOS, reducing_gap=3.0)


def resized_values(values: NDArray[np.float32], size: tuple[int, int]) -> NDArray[np.float32]:
    """Resize (h, w) to (height, width), given as (width, height), averaged or interpolated without overshoot."""
    image = Image.fromarray(np.ascontiguousarray(values, np.float32))
    smaller = image.width > size[0] or image.height > size[1]
    kind = Image.Resampling.BOX if smaller else Image.Resampling.BILINEAR
    return np.asarray(image.resize(size, kind), np.float32)


def ellipse(
    centre: tuple[float, float], covariance: Sequence[float], factor: float, min_axis: float = 0.0
) -> list[tuple[float, float]]:
    """Polygon of the ellipse of a covariance (xx, xy, yy): `factor` standard deviations, axes at least `min_axis`."""
    xx, xy, yy = covariance
    middle, radius = (xx + yy) / 2, math.hypot((xx - yy) / 2, xy)
    major, minor = (
        max(min_axis, factor * math.sqrt(max(0.0, middle + sign * radius))) for sign in (1.0, -1.0)
    )
    angle = math.atan2(xy, (xx - yy) / 2) / 2
    cos, sin = math.cos(angle), math.sin(angle)
    turn = np.linspace(0, 2 * math.pi, _CORNERS + 1)
    u, v = major * np.cos(turn), minor * np.sin(turn)
    return [
        (float(x), float(y))
        for x, y in zip(centre[0] + u * cos - v * sin, centre[1] + u * sin + v * cos, strict=True)
    ]


def nice(value: float) -> float:
    """Largest of 1, 1.5, 2, 3, 4, 5, 6, 8 times a power of ten that is at most `value` (above 0)."""
    power = 10.0 ** math.floor(math.log10(value))
    return max(step for step in (1, 1.5, 2, 3, 4, 5, 6, 8) if step * power <= value * (1 + 1e-9)) * power
