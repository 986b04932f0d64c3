"""Treatment of infinite and NaN metric values in means, gates and comparisons.

- Infinite where that is perfect, as the PSNR of an image that equals its reference: left out of means and reported,
since
  one such image would make a mean infinite, and no gate on it could fail.
- NaN, or infinite where that is bad: a NaN in all results. So is every mean over it, and a NaN passes no gate.
- A difference with one infinite value: left out and reported. The difference of two infinite values is 0.
- A gate ignores infinite values on the passing side, and is broken by those on the failing side: an image that equalled
  its reference in the baseline and no longer does has lost infinitely much.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from statistics import fmean
from typing import Literal

from srkit.io.names import printable
from srkit.metrics.display import display

Direction = Literal["<", ">"]
"""Side of a gate's limit on which values break it."""


def settled(metric: str, value: float) -> float:
    """Value as stored in results: finite, infinite if that is perfect, else NaN."""
    perfect = value == math.inf and not display(metric).lower_is_better
    return value if math.isfinite(value) or perfect else math.nan


def mean_of(values: Iterable[float]) -> float:
    """Mean of at least one value without infinite ones; infinite if all are, NaN if one is."""
    values = list(values)
    counted = [value for value in values if not math.isinf(value)]
    if counted:
        return fmean(counted)
    return values[0] if len(set(values)) == 1 else math.nan


def difference(ours: float, theirs: float) -> float:
    """Difference `ours - theirs`, 0 for equal infinities."""
    return 0.0 if ours == theirs else ours - theirs


def worst_of(metric: str, values: Iterable[float]) -> float:
    """Worst of at least one value of a metric; NaN if one is."""
    values = list(values)
    if any(math.isnan(value) for value in values):
        return math.nan
    return max(values) if display(metric).lower_is_better else min(values)


def passes_infinitely(value: float, direction: Direction) -> bool:
    """Return whether a gate ignores the value, as infinite on the passing side."""
    return value == (math.inf if direction == "<" else -math.inf)


def remarks_on(values: Mapping[str, Mapping[str, float]]) -> tuple[str, ...]:
    """Sentences on the infinite and NaN values of each metric.

    Args:
        values: values of all images by their names, by metric.
    """
    found: list[str] = []
    for metric, by_name in values.items():
        label, total = display(metric).label, len(by_name)
        if infinite := _which(by_name, math.isinf):
            rest = "the mean is over the others"
            if len(infinite) == total:
                rest = "none is left for the mean"
                rest += "; check that SR and references are not the same files" if metric == "psnr" else ""
            found.append(
                f"{label} is infinite for {_of(infinite, total)}, which equal what they are compared with; {rest}."
            )
        if undefined := _which(by_name, math.isnan):
            found.append(
                f"{label} is not a number for {_of(undefined, total)}; nor is its mean, and no gate on it passes."
            )
    return tuple(found)


def some(names: Sequence[str], shown: int = 3) -> str:
    """Format names as `a, b, c and 2 more`."""
    more = f" and {len(names) - shown} more" if len(names) > shown else ""
    return f"{', '.join(printable(name) for name in names[:shown])}{more}"


def _which(by_name: Mapping[str, float], condition: Callable[[float], bool]) -> list[str]:
    return [name for name, value in by_name.items() if condition(value)]


def _of(names: Sequence[str], total: int) -> str:
    """Format a count as `2 of 5 images (a, b)`."""
    return f"{len(names)} of {total} image{'' if total == 1 else 's'} ({some(names)})"
