"""The JSON document that `srkit eval --json` prints: a list with one object a data set."""

from __future__ import annotations

from typing import Any

from srkit.metrics.bootstrap import Comparison
from srkit.metrics.encoding import result_object, values_object
from srkit.metrics.gates import Verdict
from srkit.metrics.reports.report import Report


def document(report: Report) -> list[dict[str, Any]]:
    """The report in JSON values: `encoding.result_object`, with lists of `gates` and `comparisons`."""
    return [
        {
            **result_object(section.result),
            "gates": [_gate(verdict) for verdict in section.verdicts],
            "comparisons": [_comparison(comparison) for comparison in section.comparisons],
        }
        for section in report.sections()
    ]


def _gate(verdict: Verdict) -> dict[str, Any]:
    return {
        "gate": verdict.gate.text,
        "passed": verdict.passed,
        **values_object({"found": verdict.found}),
        "baseline_model": verdict.baseline.model if verdict.baseline is not None else None,
        "pictures": list(verdict.pictures),
        "left_out": list(verdict.left_out),
        "message": str(verdict),
    }


def _comparison(comparison: Comparison) -> dict[str, Any]:
    interval = comparison.interval
    return {
        "metric": comparison.metric,
        "other_model": comparison.other.model,
        **values_object({"difference": interval.mean, "low": interval.low, "high": interval.high}),
        "level": interval.level,
        "count": interval.count,
        "left_out": list(comparison.left_out),
    }
