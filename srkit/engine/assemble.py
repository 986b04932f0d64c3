"""Assembly of an image from the results of its windows."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from srkit.engine.memory import allocate
from srkit.engine.tiling import Span, TilePlan, Window


def to_levels(sr: Tensor, top: int, *, gray: bool = False) -> NDArray[Any]:
    """Convert (3, H, W) in [0, 1] to (H, W, 3), rounded to 0..top: uint8 up to 255, else uint16.

    With `gray`, to (H, W, 1): the mean of the clipped channels.
    """
    if gray:
        sr = sr.clamp(0, 1).mean(0, keepdim=True)
    levels = (sr * top).round_().clamp_(0, top).permute(1, 2, 0)
    if top <= 255:
        return levels.to(torch.uint8).cpu().numpy()
    return levels.to(torch.int32).cpu().numpy().astype(np.uint16)


class Cut:
    """Exact tiling: each window writes the region it owns; with `gray`, three equal channels."""

    def __init__(self, plan: TilePlan, scale: int, top: int, *, gray: bool = False) -> None:
        self.plan, self.scale, self.top, self.gray = plan, scale, top, gray
        self.result = allocate(
            (plan.height * scale, plan.width * scale, 3), np.uint8 if top <= 255 else np.uint16
        )

    def add(self, window: Window, sr: Tensor) -> None:
        """Add the result (3, scale h, scale w) of one window."""
        s, rows, columns = self.scale, window.rows, window.columns
        stop_y, stop_x = min(rows.own_stop, self.plan.height), min(columns.own_stop, self.plan.width)
        if stop_y <= rows.own_start or stop_x <= columns.own_start:
            return  # it owns only padding
        own = sr[
            :,
            (rows.own_start - rows.start) * s : (stop_y - rows.start) * s,
            (columns.own_start - columns.start) * s : (stop_x - columns.start) * s,
        ]
        target = self.result[rows.own_start * s : stop_y * s, columns.own_start * s : stop_x * s]
        target[:] = to_levels(own, self.top, gray=self.gray)

    def finish(self) -> NDArray[Any]:
        return self.result


class Blend:
    """Blended tiling, for attention: windows are cross-faded over their whole overlap.

    Windows arrive row by row. A row of windows is blended along the columns into a band, and bands along the rows, so
    that the weights are a seamless product of two ramps, and at most two bands are in memory.
    """

    def __init__(self, plan: TilePlan, scale: int, top: int, *, gray: bool = False) -> None:
        self.plan, self.scale, self.top, self.gray = plan, scale, top, gray
        self.result = allocate(
            (plan.height * scale, plan.width * scale, 3), np.uint8 if top <= 255 else np.uint16
        )
        self.band: Tensor | None = None
        self.above: Tensor | None = None
        self.above_rows: Span | None = None

    def add(self, window: Window, sr: Tensor) -> None:
        """Add the result (3, scale h, scale w) of one window."""
        s, plan = self.scale, self.plan
        sr = sr.float().cpu()
        i = plan.columns.index(window.columns)
        if i == 0:
            self.band = sr.new_zeros(3, sr.shape[1], plan.extended[1] * s)
        if self.band is None:
            raise RuntimeError("windows must come row by row")  # a defect of the caller, not of the input
        _fade_in(self.band, sr, window.columns.start * s, _end(plan.columns, i) * s, dim=2)
        if i + 1 == len(plan.columns):
            self._add_band(window.rows)

    def _add_band(self, rows: Span) -> None:
        s, band = self.scale, self.band
        if band is None:
            return
        if self.above is not None and self.above_rows is not None:
            shared = (self.above_rows.start + self.above_rows.size - rows.start) * s
            ramp = _ramp(shared).view(1, -1, 1)
            band[:, :shared] = (
                self.above[:, self.above.shape[1] - shared :] * (1 - ramp) + band[:, :shared] * ramp
            )
        # Rows that the next band overlaps are written twice: now, and again after blending.
        stop = min((rows.start + rows.size) * s, self.result.shape[0])
        if stop > rows.start * s:
            kept = band[:, : stop - rows.start * s, : self.result.shape[1]]
            self.result[rows.start * s : stop] = to_levels(kept.clone(), self.top, gray=self.gray)
        self.above, self.above_rows = band, rows

    def finish(self) -> NDArray[Any]:
        return self.result


def _end(spans: tuple[Span, ...], i: int) -> int:
    """End of the span before the i-th (0 for the first)."""
    return spans[i - 1].start + spans[i - 1].size if i else 0


def _ramp(length: int) -> Tensor:
    return (torch.arange(length, dtype=torch.float32) + 0.5) / length


def _fade_in(band: Tensor, sr: Tensor, start: int, end_before: int, dim: int) -> None:
    """Write `sr` into `band` from `start` on, cross-faded with its contents up to `end_before`."""
    shared = max(0, end_before - start)
    width = sr.shape[dim]
    if shared:
        ramp = _ramp(shared)
        old = band.narrow(dim, start, shared)
        old.mul_(1 - ramp).add_(sr.narrow(dim, 0, shared) * ramp)
    band.narrow(dim, start + shared, width - shared).copy_(sr.narrow(dim, shared, width - shared))
