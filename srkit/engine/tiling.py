"""Positions of the windows of an image.

A window is a tile and its overlap. Windows lie inside the image: at a border they are shifted inward, so that all
windows of an image have one shape, and a network's own padding acts only at the image's true border.
All numbers are in input (LR) pixels.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass

from torch import Tensor

from srkit.ops.geometry import rounded_up


@dataclass(frozen=True)
class Span:
    """Extent of a window along one side: reads [start, start + size), owns [own_start, own_stop) of the result."""

    start: int
    size: int
    own_start: int
    own_stop: int

    @property
    def read(self) -> slice:
        return slice(self.start, self.start + self.size)


@dataclass(frozen=True)
class Window:
    """Window with its spans along rows and columns."""

    rows: Span
    columns: Span


@dataclass(frozen=True)
class TilePlan:
    """Windows of an image of `height` x `width`, which is padded to `extended` before they are cut."""

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
        """All windows, row by row."""
        return [Window(r, c) for r in self.rows for c in self.columns]

    @property
    def work(self) -> float:
        """Computed pixels per pixel of the image (1: no overlap)."""
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
    """Cover an image with windows of `tile` + 2 `overlap`.

    Args:
        height, width: size of the image.
        tile: side of a tile; None for the whole image as one window.
        overlap: pixels that a window reads beyond its tile, on each side that is not the image's border.
        multiple: window sides and positions are multiples of this; the image is padded to one.
        min_size: minimum size of the padded image and of windows.
        fit: shrink the windows so that they cover the image with the least overlap; otherwise all images larger than
            a window have windows of the same shape, which allows batches across images.
    """
    sides = [rounded_up(max(side, min_size), multiple) for side in (height, width)]
    min_side = rounded_up(max(1, min_size), multiple)
    rows, columns = (_spans(side, tile, overlap, multiple, min_side, fit) for side in sides)
    return TilePlan(height, width, (sides[0], sides[1]), rows, columns)


def cut(x: Tensor, window: Window) -> Tensor:
    """Part of (N, C, H, W) that a window reads."""
    return x[:, :, window.rows.read, window.columns.read]


def _spans(
    length: int, tile: int | None, overlap: int, multiple: int, min_side: int, fit: bool
) -> tuple[Span, ...]:
    margin = rounded_up(overlap, multiple)
    size = length if tile is None else max(max(1, tile // multiple) * multiple + 2 * margin, min_side)
    if length <= size:
        return (Span(0, length, 0, length),)
    # The outermost windows also own their outer overlap: no window beyond it shares it.
    inner = length - 2 * margin
    count = math.ceil(inner / (size - 2 * margin))
    if fit:
        size = max(math.ceil(inner / count / multiple) * multiple + 2 * margin, min_side)
    room = length - size
    starts = [i * room // (count - 1) // multiple * multiple for i in range(count)]
    starts[-1] = room
    edges = [0, *((a + size + b) // 2 for a, b in itertools.pairwise(starts)), length]
    return tuple(Span(s, size, edges[i], edges[i + 1]) for i, s in enumerate(starts))
