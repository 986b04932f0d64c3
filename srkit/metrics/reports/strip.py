"""Strips: sparklines that show a value among those of its dataset, as inline SVG.

One tick per image, better to the right; a row's own value is a dot on the ticks. The ticks are drawn once and
referenced, so a row takes about a hundred bytes for any number of images.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

WIDTH, HEIGHT = 120, 20
_MARGIN = 4


@dataclass(frozen=True)
class Axis:
    """Mapping of a metric's values to positions, common to all models of a dataset, so that strips are comparable."""

    low: float
    high: float
    lower_is_better: bool

    @classmethod
    def of(cls, values: Iterable[float], *, lower_is_better: bool) -> Axis:
        """Axis over the finite values."""
        finite = [value for value in values if math.isfinite(value)] or [0.0]
        return cls(min(finite), max(finite), lower_is_better)

    def position(self, value: float) -> float | None:
        """Position in the strip's units; None for NaN, the ends for infinities."""
        if math.isnan(value):
            return None
        extent = self.high - self.low
        share = min(max((value - self.low) / extent, 0.0), 1.0) if extent > 0 else 0.5
        if self.lower_is_better:
            share = 1 - share
        return round(_MARGIN + share * (WIDTH - 2 * _MARGIN), 1)


def ticks(name: str, axis: Axis, values: Sequence[float]) -> str:
    """Hidden drawing of all values' ticks, to be referenced by `name` (a safe identifier)."""
    places = sorted({place for value in values if (place := axis.position(value)) is not None})
    path = "".join(f"M{place:g} 5v10" for place in places)
    axis_line = f'<path d="M0 10h{WIDTH}" class="axis"/>'
    return f'<symbol id="{name}" viewBox="0 0 {WIDTH} {HEIGHT}">{axis_line}<path d="{path}"/></symbol>'


def strip(name: str, axis: Axis, value: float) -> str:
    """Strip of the ticks `name` with a dot at `value`; hidden from screen readers, which read the number beside it."""
    place = axis.position(value)
    dot = "" if place is None else f'<circle cx="{place:g}" cy="10" r="4"/>'
    return (
        f'<svg class="strip" viewBox="0 0 {WIDTH} {HEIGHT}" aria-hidden="true" focusable="false">'
        f'<use href="#{name}"/>{dot}</svg>'
    )
