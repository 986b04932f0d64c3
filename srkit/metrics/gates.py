"""Gates: conditions that fail a build, such as `psnr<-0.05`.

    METRIC[.mean|.min|.max] then < or > then a number

The condition is the one that must not hold. An unsigned number is absolute; a signed one (`+` or `-`) is relative to a
baseline, in which case `.mean`, `.min` and `.max` are taken over the per-image differences from the baseline:
`psnr.min<-0.3` fails if any image lost more than 0.3 dB, even if a harder image has the minimum. NaN never passes a
gate; for infinite values see `degenerate`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from srkit.errors import UsageError, nearest
from srkit.metrics.baseline import Baseline
from srkit.metrics.bootstrap import paired_differences
from srkit.metrics.degenerate import Direction, passes_infinitely, some
from srkit.metrics.results import SetResult
from srkit.metrics.table import METRICS

STATISTICS: Mapping[str, Callable[[NDArray[np.float64]], float]] = {
    "mean": lambda values: float(values.mean()),
    "min": lambda values: float(values.min()),
    "max": lambda values: float(values.max()),
}
_FORM = "METRIC[.mean|.min|.max], < or >, and a number, for example 'psnr<-0.05'"
_LONGEST = 200
"""Maximum length of a gate in characters; longer texts are neither searched nor printed."""
_GATE = re.compile(r"(?P<metric>\w[\w-]*)(?:\.(?P<statistic>\w*))?\s*(?P<direction>[<>=!]+)\s*(?P<limit>\S*)")
_NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)(e[+-]?\d+)?", re.IGNORECASE | re.ASCII)


@dataclass(frozen=True)
class Gate:
    """Condition that must not hold."""

    text: str
    """Original text, which names the gate in reports."""
    metric: str
    statistic: str
    direction: Direction
    limit: float
    relative: bool
    """True if the gate applies to differences from a baseline."""

    def breaks(self, value: float) -> bool:
        """Return whether the condition holds for `value`; NaN always breaks."""
        if math.isnan(value):
            return True
        return value < self.limit if self.direction == "<" else value > self.limit


@dataclass(frozen=True)
class Verdict:
    """Verdict of a gate on a dataset; `str` gives the line to print."""

    gate: Gate
    result: SetResult
    found: float
    """Value compared with the limit, or difference from the baseline; NaN without images."""
    baseline: SetResult | None
    """Baseline of a relative gate."""
    images: tuple[str, ...]
    """Images that break `.min` or `.max` themselves, or make the gate NaN or infinite; worst first."""
    left_out: tuple[str, ...] = ()
    """Images whose value or difference is infinite on the passing side."""

    @property
    def passed(self) -> bool:
        return not self.gate.breaks(self.found)

    def __str__(self) -> str:
        gate, result = self.gate, self.result
        head = f"{gate.text} {'passed' if self.passed else 'broken'} on {result.title} ({result.model})"
        if not result.images:
            return f"{head}: no image could be evaluated."
        what = f"{'mean' if gate.statistic == 'mean' else f'{gate.statistic}imum'} {gate.metric}"
        sign = "" if self.baseline is None else "+"
        found = format(self.found, f"{sign}.6g")
        if gate.breaks(float(found)) == self.passed:  # rounding would suggest the opposite
            found = format(self.found, f"{sign}.17g")
        against = "" if self.baseline is None else f" from baseline {self.baseline.model}"
        change = "" if self.baseline is None else " change"
        limit = format(gate.limit, f"{sign}g")
        culprits = f" ({some(self.images)})" if self.images else ""
        left = f"; infinite and left out: {some(self.left_out)}" if self.left_out else ""
        return f"{head}: {what}{change} {found}{against}, limit {limit}{culprits}{left}."


def parse_gate(text: str, metrics: Collection[str]) -> Gate:
    """Parse a gate.

    Args:
        metrics: names of the measured metrics.

    Raises:
        UsageError: invalid syntax, a limit that is not finite, or a metric that is not measured.
    """
    text = text.strip()
    if len(text) > _LONGEST:
        raise UsageError(
            f"The gate '{text[:20]}...' has {len(text):,} characters; expected {_FORM}, at most {_LONGEST} characters."
        )
    match = _GATE.fullmatch(text)
    if match is None:
        raise UsageError(f"The gate '{text}' was not understood; expected {_FORM}.")
    metric, limit, direction = match["metric"].lower(), match["limit"], match["direction"]
    if metric not in metrics:
        raise UsageError(
            f"The gate '{text}' is about '{metric}', which this run does not measure: add it to `metrics`."
            if metric in METRICS
            else f"The gate '{text}' is about '{metric}', which is no metric; this run measures {', '.join(metrics)}."
            f"{nearest(metric, (*metrics, *METRICS))}"
        )
    statistic = "mean" if match["statistic"] is None else match["statistic"].lower()
    if statistic not in STATISTICS:
        raise UsageError(
            f"The gate '{text}' takes '.{statistic}' of {metric}; expected one of "
            f"{', '.join('.' + name for name in STATISTICS)}.{nearest(statistic, STATISTICS)}"
        )
    if direction not in ("<", ">"):
        raise UsageError(f"The gate '{text}' compares with '{direction}'; expected < or >.")
    if not _NUMBER.fullmatch(limit) or not math.isfinite(float(limit)):
        raise UsageError(f"The gate '{text}' has the limit '{limit}'; expected a finite number: {_FORM}.")
    return Gate(
        text,
        metric,
        statistic,
        "<" if direction == "<" else ">",
        float(limit),
        relative=limit[0] in "+-",
    )


def needs_baseline(gates: Sequence[Gate], baseline: Baseline | None) -> None:
    """Check that relative gates have a baseline, before any work is done.

    Raises:
        UsageError: a relative gate without a baseline.
    """
    if baseline is None and (relative := [gate.text for gate in gates if gate.relative]):
        raise UsageError(
            f"The gate '{relative[0]}' has a signed number, so it is relative to a baseline, and none was given; add "
            "`baseline` FILE, or leave out the sign for an absolute limit."
        )


def judge(gates: Sequence[Gate], results: Sequence[SetResult], baseline: Baseline | None) -> list[Verdict]:
    """Verdicts of every gate on every dataset, passed or broken.

    Images that could not be evaluated are ignored; if none could, every gate is broken.

    Raises:
        UsageError: a relative gate without a baseline, a baseline that does not fit a result (`Baseline.match`), or
            a metric that the result or the baseline lacks.
    """
    needs_baseline(gates, baseline)
    verdicts: list[Verdict] = []
    for result in results:
        old = baseline.match(result) if baseline is not None else None
        verdicts += [_judge(gate, result, old if gate.relative else None) for gate in gates]
    return verdicts


def check_baseline(gates: Iterable[Gate], old: SetResult) -> None:
    """Check that a baseline's entry has the metrics of the relative gates.

    Raises:
        UsageError: it lacks one.
    """
    for gate in gates:
        if gate.relative and gate.metric not in old.metrics:
            raise UsageError(
                f"The gate '{gate.text}' needs '{gate.metric}' in the baseline, which has {', '.join(old.metrics)} of "
                f"{old.title}; make it anew with `update_baseline` and that metric."
            )


def _judge(gate: Gate, result: SetResult, old: SetResult | None) -> Verdict:
    if not result.images:
        return Verdict(gate, result, math.nan, old, ())
    if any(gate.metric not in image.values for image in result.images):
        raise UsageError(
            f"The gate '{gate.text}' is about '{gate.metric}', which was not measured on {result.title}; add it to "
            "`metrics`."
        )
    if old is None:
        values = np.array([image.values[gate.metric] for image in result.images], dtype=np.float64)
    else:
        check_baseline((gate,), old)
        values = np.array(list(paired_differences(result, old, gate.metric).values()), dtype=np.float64)
    out = np.array([passes_infinitely(value, gate.direction) for value in values.tolist()])
    found = STATISTICS[gate.statistic](values if out.all() else values[~out])
    left_out = tuple(image.name for image, is_out in zip(result.images, out.tolist(), strict=True) if is_out)
    broken = gate.breaks(found)
    return Verdict(gate, result, found, old, _culprits(gate, result, values) if broken else (), left_out)


def _culprits(gate: Gate, result: SetResult, values: NDArray[np.float64]) -> tuple[str, ...]:
    """Images that break the gate themselves; for a gate on the mean, only those with NaN and infinite values."""
    named = [
        (-math.inf if math.isnan(value) else value if gate.direction == "<" else -value, image.name)
        for value, image in zip(values.tolist(), result.images, strict=True)
        if gate.breaks(value) and (gate.statistic != "mean" or not math.isfinite(value))
    ]
    return tuple(name for _, name in sorted(named))
