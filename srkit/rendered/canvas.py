"""Drawing surface of all domains, in pixels of the image, with shared random generators, curves and noise.

Every pixel is computed by integer arithmetic or by single IEEE operations on rounded tables, so that a seed gives the
same image on every machine, for equal versions of Pillow (drawing) and NumPy (random generator).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from operator import mul
from typing import TypeVar
from zlib import crc32

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from srkit.ops.resize import bicubic_uint8

FINER = 4  # supersampling factor; the reduction antialiases all lines
_BAND = 64  # rows reduced at a time, so that a band fits into the processor's cache
_REACH = 4  # margin of rows for the reducing kernel, twice the need of Keys' kernel

Colour = tuple[int, int, int]
Ink = int | Colour  # gray on a gray sheet
Point = tuple[float, float]
Box = tuple[float, float, float, float]  # left, top, right, bottom
Pixels = NDArray[np.uint8]
Floats = NDArray[np.float32]
T = TypeVar("T")


class Rng(np.random.Generator):
    """NumPy's generator, seeded by a path of numbers and names; generators of different paths are independent."""

    def __init__(self, *path: int | str) -> None:
        self.path = path
        entropy = [part if isinstance(part, int) else crc32(part.encode()) for part in path]
        super().__init__(np.random.PCG64(np.random.SeedSequence(entropy)))

    def child(self, *path: int | str) -> Rng:
        """Generator of a part, independent of previous draws of this one."""
        return Rng(*self.path, *path)

    def between(self, low: float, high: float) -> float:
        return self.uniform(low, high)

    def whole(self, low: int, high: int | None = None) -> int:
        """Integer in [0, low), or in [low, high) if both are given."""
        return int(self.integers(low, high))

    def chance(self, probability: float) -> bool:
        return self.random() < probability

    def pick(self, choices: Sequence[T]) -> T:
        return choices[int(self.integers(len(choices)))]

    def at(self, width: float, height: float, edge: float = 0.0) -> Point:
        """Position at least `edge` inside a rectangle."""
        return (self.between(edge, width - edge), self.between(edge, height - edge))


@dataclass(frozen=True)
class Lettering:
    """Words of a Spec in an image; `box` is (left, top, right, bottom) in pixels, half open."""

    words: str
    box: tuple[int, int, int, int]


@dataclass(frozen=True)
class Rendered:
    pixels: Pixels  # (height, width, 3) RGB
    lettering: tuple[Lettering, ...] = ()


def reduce_bands(width: int, height: int, finer: int, band: Callable[[int, int], Pixels]) -> Pixels:
    """Reduce an image that is supersampled by `finer`, in bands of rows, to (height, width, 3).

    Args:
        band: function that returns the rows [top, bottom) of the supersampled image, (bottom - top, width * finer),
            gray or with RGB last. Bands overlap by some rows, so it must not depend on the number of calls.

    The result is bit-identical to that without bands: the kernel's phases repeat every `finer` rows.
    """
    out = np.empty((height, width, 3), np.uint8)
    for top in range(0, height, _BAND):
        bottom = min(height, top + _BAND)
        first, last = max(0, top - _REACH), min(height, bottom + _REACH)
        fine = torch.from_numpy(np.ascontiguousarray(band(first * finer, last * finer)))
        planes = fine[None, None] if fine.ndim == 2 else fine.permute(2, 0, 1)[None]
        small = bicubic_uint8(planes, (last - first, width), scale=1 / finer)[0]
        out[top:bottom] = small[:, top - first : bottom - first].permute(1, 2, 0).numpy()
    return out


class Sheet:
    """Supersampled surface, measured in pixels of the final image; gray if its paper is a number."""

    def __init__(self, width: int, height: int, paper: Ink, finer: int = FINER) -> None:
        self.width, self.height, self.finer = width, height, finer
        mode = "L" if isinstance(paper, int) else "RGB"
        self.image = Image.new(mode, (width * finer, height * finer), paper)
        self.draw = ImageDraw.Draw(self.image)
        self.lettering: list[Lettering] = []

    def line(self, points: Sequence[Point], ink: Ink, width: float) -> None:
        """Draw a line of constant width with round joints."""
        self.draw.line(self._fine(points), fill=ink, width=self._width(width), joint="curve")

    def polygon(
        self, points: Sequence[Point], fill: Ink | None, outline: Ink | None = None, width: float = 1.0
    ) -> None:
        fine = self._fine(points)
        if fill is not None:
            self.draw.polygon(fine, fill=fill)
        if outline is not None:
            self.draw.line([*fine, fine[0], fine[1]], fill=outline, width=self._width(width), joint="curve")

    def ellipse(
        self,
        centre: Point,
        radii: Point | float,
        fill: Ink | None,
        outline: Ink | None = None,
        width: float = 1.0,
    ) -> None:
        rx, ry = radii if isinstance(radii, tuple) else (radii, radii)
        (x, y), f = centre, self.finer
        box = ((x - rx) * f, (y - ry) * f, (x + rx) * f, (y + ry) * f)
        self.draw.ellipse(
            box, fill=fill, outline=outline, width=self._width(width) if outline is not None else 0
        )

    def arc(self, centre: Point, radii: Point, degrees: Point, ink: Ink, width: float) -> None:
        (x, y), (rx, ry), f = centre, radii, self.finer
        box = ((x - rx) * f, (y - ry) * f, (x + rx) * f, (y + ry) * f)
        self.draw.arc(box, degrees[0], degrees[1], fill=ink, width=self._width(width))

    def box(
        self,
        corners: Box,
        fill: Ink | None,
        outline: Ink | None = None,
        width: float = 1.0,
        radius: float = 0.0,
    ) -> None:
        """Draw the half-open box from (x0, y0) to (x1, y1); nothing if it is empty."""
        x0, y0, x1, y1 = (round(v * self.finer) for v in corners)
        if x1 <= x0 or y1 <= y0:
            return
        stroke = self._width(width) if outline is not None else 0
        inner = (x0, y0, x1 - 1, y1 - 1)
        if radius > 0:
            self.draw.rounded_rectangle(inner, radius * self.finer, fill=fill, outline=outline, width=stroke)
        else:
            self.draw.rectangle(inner, fill=fill, outline=outline, width=stroke)

    def stroke(
        self, points: Sequence[Point], ink: Ink, width: float, taper: tuple[float, float] = (0.15, 0.15)
    ) -> None:
        """Draw a stroke of a pen or brush: `width` in the middle, `taper` times it at the two ends."""
        last = len(points) - 1
        left: list[Point] = []
        right: list[Point] = []
        for k, (x, y) in enumerate(points):
            (xa, ya), (xb, yb) = points[max(0, k - 1)], points[min(last, k + 1)]
            dx, dy = xb - xa, yb - ya
            length = math.sqrt(dx * dx + dy * dy) or 1.0
            t = k / last if last else 0.5
            end = taper[0] if t < 0.5 else taper[1]
            half = 0.5 * width * (end + (1 - end) * (1 - (2 * t - 1) ** 2))
            left.append((x - dy / length * half, y + dx / length * half))
            right.append((x + dy / length * half, y - dx / length * half))
        self.draw.polygon(self._fine([*left, *reversed(right)]), fill=ink)

    def text(
        self,
        at: Point,
        words: str,
        size: float,
        ink: Ink,
        *,
        anchor: str = "lm",
        bold: float = 0.0,
        halo: Ink | None = None,
        angle: float = 0.0,
        named: bool = False,
    ) -> None:
        """Write words in the embedded font, `size` pixels to the em.

        Args:
            anchor: as in Pillow; rotated text is centred.
            bold: additional thickness of the strokes in pixels.
            halo: colour of a rim around the letters, if any; `bold` is then the rim's width.
            angle: counterclockwise rotation in degrees.
            named: the words are the Spec's, and their box is added to `lettering`.
        """
        f, rim, edge = self.finer, round(bold * self.finer), ink if halo is None else halo
        letters, place = font(size * f), (at[0] * f, at[1] * f)
        if not angle:
            self.draw.text(
                place, words, font=letters, fill=ink, anchor=anchor, stroke_width=rim, stroke_fill=edge
            )
            if named:
                self.note(
                    words, self.draw.textbbox(place, words, letters, anchor, stroke_width=0 if halo else rim)
                )
            return
        width = math.ceil(letters.getlength(words)) + 2 * rim + 8
        height = math.ceil(size * f * 1.5) + 2 * rim
        for thick, colour in ((rim, edge), (0, ink)):
            mask = Image.new("L", (width, height), 0)
            ImageDraw.Draw(mask).text(
                (width / 2, height / 2), words, font=letters, fill=255, anchor="mm", stroke_width=thick
            )
            mask = mask.rotate(angle, Image.Resampling.BICUBIC, expand=True)
            corner = (round(place[0] - mask.width / 2), round(place[1] - mask.height / 2))
            self.image.paste(colour, corner, mask)
        found = mask.getbbox()
        if named and found:
            x0, y0, x1, y1 = found
            self.note(words, (corner[0] + x0, corner[1] + y0, corner[0] + x1, corner[1] + y1))

    def note(self, words: str, box: Box, at: Point = (0.0, 0.0)) -> None:
        """Add the box of the Spec's words to `lettering`; `box` in samples, `at` its offset on a sheet in pixels."""
        left, top, right, bottom = box
        f, (x, y) = self.finer, at
        inner = (
            math.floor(left / f + x),
            math.floor(top / f + y),
            math.ceil(right / f + x),
            math.ceil(bottom / f + y),
        )
        self.lettering.append(Lettering(words, inner))

    def length(self, words: str, size: float) -> float:
        """Width of `words` in pixels."""
        return font(size * self.finer).getlength(words) / self.finer

    def lay(self, other: Sheet, at: Point, shape: Sequence[Point] | None = None) -> None:
        """Paste another sheet's drawing; only within `shape` (in this sheet's pixels) if given."""
        corner = (round(at[0] * self.finer), round(at[1] * self.finer))
        for found in other.lettering:
            x0, y0, x1, y1 = (v * self.finer for v in found.box)
            self.note(found.words, (x0, y0, x1, y1), (corner[0] / self.finer, corner[1] / self.finer))
        if shape is None:
            self.image.paste(other.image, corner)
            return
        mask = Image.new("L", other.image.size, 0)
        inner = [(x * self.finer - corner[0], y * self.finer - corner[1]) for x, y in shape]
        ImageDraw.Draw(mask).polygon(inner, fill=255)
        self.image.paste(other.image, corner, mask)

    def reduced(self) -> Pixels:
        """The final image, (height, width, 3) uint8."""
        if self.finer == 1:
            return np.array(self.image.convert("RGB"))
        width = self.image.width

        def band(top: int, bottom: int) -> Pixels:
            return np.array(self.image.crop((0, top, width, bottom)))

        return reduce_bands(self.width, self.height, self.finer, band)

    def rendered(self) -> Rendered:
        return Rendered(self.reduced(), tuple(self.lettering))

    def _fine(self, points: Sequence[Point]) -> list[Point]:
        return [(x * self.finer, y * self.finer) for x, y in points]

    def _width(self, width: float) -> int:
        return max(1, round(width * self.finer))


@lru_cache(maxsize=256)
def font(size: float) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    """Pillow's embedded font: printable ASCII and a few signs (degree, plus-minus, copyright, quotes)."""
    return ImageFont.load_default(size=size)


def curve(points: Sequence[Point], steps: int = 8, *, closed: bool = False) -> list[Point]:
    """Points on the Catmull-Rom spline through `points`, `steps` per piece."""
    count = len(points)
    out: list[Point] = []
    for k in range(count if closed else count - 1):
        ring = [k - 1, k, k + 1, k + 2]
        around = [points[i % count] if closed else points[min(max(i, 0), count - 1)] for i in ring]
        for s in range(steps):
            t = s / steps
            weights = (
                ((-t + 2) * t - 1) * t / 2,
                ((3 * t - 5) * t * t + 2) / 2,
                ((-3 * t + 4) * t + 1) * t / 2,
                (t - 1) * t * t / 2,
            )
            x, y = (sum(map(mul, weights, places)) for places in zip(*around, strict=True))
            out.append((x, y))
    return out if closed else [*out, points[-1]]


def f32(value: float) -> np.float32:
    """Scalar float32, with which arrays of float32 keep their dtype under every version of NumPy."""
    return np.float32(value)


def polar(centre: Point, radius: float, angle: float) -> Point:
    """Point at distance `radius` from `centre` in the direction `angle`."""
    return (centre[0] + radius * math.cos(angle), centre[1] + radius * math.sin(angle))


def circle(centre: Point, radius: float, count: int, turn: float = 0.0) -> list[Point]:
    """`count` points around `centre`, the first at the angle `turn`."""
    return [polar(centre, radius, turn + 2 * math.pi * k / count) for k in range(count)]


class Noise:
    """Value noise in [0, 1): random values every `cell` (down, across) pixels, smoothly interpolated."""

    def __init__(self, rng: Rng, height: int, width: int, cell: tuple[float, float]) -> None:
        self.cell, self.width = cell, width
        rows, columns = math.ceil(height / cell[0]) + 2, math.ceil(width / cell[1]) + 2
        self._grid = rng.random((rows, columns), dtype=np.float32)

    def rows(self, top: int, bottom: int, finer: int = 1) -> Floats:
        """Rows [top, bottom) at `finer` samples per pixel: (bottom - top, width * finer)."""
        i, t = _between(top, bottom, self.cell[0] * finer)
        tall = self._grid[i] + (self._grid[i + 1] - self._grid[i]) * t[:, None]
        j, u = _between(0, self.width * finer, self.cell[1] * finer)
        left = tall[:, j]
        out: Floats = left + (tall[:, j + 1] - left) * u[None, :]
        return out


def _between(first: int, last: int, cell: float) -> tuple[NDArray[np.int64], Floats]:
    """Index of the preceding grid value for every sample, and eased distance to it in [0, 1)."""
    position = np.arange(first, last, dtype=np.float64) / cell
    index = np.floor(position).astype(np.int64)
    t = position - index
    return index, (t * t * (3 - 2 * t)).astype(np.float32)


def clouds(rng: Rng, height: int, width: int, cell: tuple[float, float], octaves: int) -> Floats:
    """Noise of several octaves in [0, 1], each with half the cell size and half the amplitude of the previous one."""
    total: Floats = np.zeros((height, width), np.float32)
    for octave in range(octaves):
        finer = f32(0.5**octave)
        layer = Noise(rng, height, width, (cell[0] * 0.5**octave, cell[1] * 0.5**octave))
        total += layer.rows(0, height) * finer
    total -= total.min()
    total /= max(f32(1e-6), total.max())
    return total


_TURN = 8192
# Rounded, since the last bit of cosines differs between machines.
_COSINE = np.array(
    [round(math.cos(2 * math.pi * k / _TURN) * 2**20) / 2**20 for k in range(_TURN)], np.float32
)


def cosine(turns: NDArray[np.floating]) -> Floats:
    """cos(2 pi turns), from a table of 8192 values."""
    out: Floats = _COSINE[np.floor(turns * _TURN).astype(np.int32) & (_TURN - 1)]
    return out
