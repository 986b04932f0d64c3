"""Where the windows of an image lie.

A window is a tile and its overlap. Windows lie inside the image: at a border they are shifted inward, so all
of an image's windows have one shape, and a network's own padding acts at the image's true border only.
All numbers are input (LR) pixels.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass

from torch import Tensor

from srkit.ops.geometry import rounded_up


@dataclass(frozen=True)
class Span:
    """One window along one side: reads [start, start + size), owns [own_start, own_stop) of the result."""

    start: int
    size: int
    own_start: int
    own_stop: int

    @property
    def read(self) -> slice:
        return slice(self.start, self.start + self.size)


@dataclass(frozen=True)
class Window:
    """One window: its spans along rows and columns."""

    rows: Span
    columns: Span


@dataclass(frozen=True)
class TilePlan:
    """The windows of an image of `height` x `width`, which is extended to `extended` before they are cut."""

    height: int
    width: int
    extended: tuple[int, int]
    rows: tuple[Span, ...]
    columns: tuple[Span, ...]

    @property
    def shape(self) -> tuple[int, int]:
        """(height, width) of every window."""
        return self.rows[0].size, self.columns[0].size

    @property
    def windows(self) -> list[Window]:
        """Row by row."""
        return [Window(r, c) for r in self.rows for c in self.columns]

    @property
    def work(self) -> float:
        """Pixels computed for each pixel of the image (1: nothing twice)."""
        return len(self.rows) * len(self.columns) * math.prod(self.shape) / (self.height * self.width)


def plan_tiles(
    height: int,
    width: int,
    *,
    tile: int | None,
    overlap: int,
    multiple: int = 1,
    min_size: int = 1,
    fit: bool,
) -> TilePlan:
    """Lay windows of `tile` + 2 `overlap` over an image.

    Args:
        height, width: the image's size.
        tile: side of a tile; None: the whole image is one window.
        overlap: pixels that a window reads beyond its tile, on each side where the image goes on.
        multiple: window sides and positions are multiples of this; the image is extended to one.
        min_size: the image is extended to at least this, and windows are no smaller.
        fit: shrink the windows so that they cover the image with as little work done twice as can be; else every
            image larger than a window has windows of exactly one shape, which batches across images.
    """
    sides = [rounded_up(max(side, min_size), multiple) for side in (height, width)]
    min_side = rounded_up(max(1, min_size), multiple)
    rows, columns = (_spans(side, tile, overlap, multiple, min_side, fit) for side in sides)
    return TilePlan(height, width, (sides[0], sides[1]), rows, columns)


def cut(x: Tensor, window: Window) -> Tensor:
    """The part of (N, C, H, W) that a window reads."""
    return x[:, :, window.rows.read, window.columns.read]


def _spans(
    length: int, tile: int | None, overlap: int, multiple: int, min_side: int, fit: bool
) -> tuple[Span, ...]:
    margin = rounded_up(overlap, multiple)
    size = length if tile is None else max(max(1, tile // multiple) * multiple + 2 * margin, min_side)
    if length <= size:
        return (Span(0, length, 0, length),)
    # The outermost windows own their outer overlap as well: there is nothing beyond it to be blended with.
    inner = length - 2 * margin
    count = math.ceil(inner / (size - 2 * margin))
    if fit:
        size = max(math.ceil(inner / count / multiple) * multiple + 2 * margin, min_side)
    room = length - size
    starts = [i * room // (count - 1) // multiple * multiple for i in range(count)]
    starts[-1] = room
    edges = [0, *((a + size + b) // 2 for a, b in itertools.pairwise(starts)), length]
    return tuple(Span(s, size, edges[i], edges[i + 1]) for i, s in enumerate(starts))
