"""Values of metrics that are no ordinary number: what they count for, wherever values are averaged, gated or compared.

- Infinite where that is perfect, as the PSNR of an image that equals its reference: left out of means and named, since
  one such image would make a mean infinite, and no gate on it could fail.
- NaN, or infinite where that is bad: a NaN in all results. So is every mean over it, and a NaN passes no gate.
- A difference of two models where one of them is infinite: left out and named. Two infinite values differ by 0.
- A gate leaves out what is infinite on the side that passes, and is broken by what is infinite on the side that fails:
  an image that equalled its reference in the baseline and no longer does has lost infinitely much.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Literal

from srkit.io.names import printable
from srkit.metrics.display import display

Direction = Literal["<", ">"]
"""The side of a gate's limit on which values break it."""


def settled(metric: str, value: float) -> float:
    """A value as results hold it: finite, infinite where that is perfect, else NaN."""
    perfect = value == math.inf and not display(metric).lower_is_better
    return value if math.isfinite(value) or perfect else math.nan


def mean_of(values: Iterable[float]) -> float:
    """The mean of at least one value, infinite ones left out; infinite where all are, NaN where one is."""
    values = list(values)
    counted = [value for value in values if not math.isinf(value)]
    if counted:
        return math.fsum(counted) / len(counted)
    return values[0] if len(set(values)) == 1 else math.nan


def difference(ours: float, theirs: float) -> float:
    """Ours less theirs."""
    return 0.0 if ours == theirs else ours - theirs


def worst_of(metric: str, values: Iterable[float]) -> float:
    """The worst of at least one value of a metric; NaN where one is."""
    values = list(values)
    if any(math.isnan(value) for value in values):
        return math.nan
    return max(values) if display(metric).lower_is_better else min(values)


def passes_infinitely(value: float, direction: Direction) -> bool:
    """Whether a gate leaves the value out: it is infinite on the side that passes."""
    return value == (math.inf if direction == "<" else -math.inf)


def remarks_on(values: Mapping[str, Mapping[str, float]]) -> tuple[str, ...]:
    """A sentence for each metric with values that are no ordinary numbers.

    Args:
        values: by metric, those of all images by their names.
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
    """`a, b, c and 2 more`."""
    more = f" and {len(names) - shown} more" if len(names) > shown else ""
    return f"{', '.join(printable(name) for name in names[:shown])}{more}"


def _which(by_name: Mapping[str, float], condition: Callable[[float], bool]) -> list[str]:
    return [name for name, value in by_name.items() if condition(value)]


def _of(names: Sequence[str], total: int) -> str:
    """`2 of 5 images (a, b)`."""
    return f"{len(names)} of {total} image{'' if total == 1 else 's'} ({some(names)})"
