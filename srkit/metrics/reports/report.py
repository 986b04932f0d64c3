"""Content of a report for all formats, and its JSON document."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from srkit.io.atomic import atomic_path
from srkit.metrics.bootstrap import Comparison
from srkit.metrics.encoding import result_object, values_object
from srkit.metrics.gates import Verdict
from srkit.metrics.protocols import PROTOCOLS
from srkit.metrics.reports.gallery import Gallery
from srkit.metrics.results import SetResult
from srkit.metrics.table import METRICS


@dataclass(frozen=True)
class Section:
    """Result with its verdicts and comparisons."""

    result: SetResult
    verdicts: tuple[Verdict, ...]
    comparisons: tuple[Comparison, ...]


@dataclass(frozen=True)
class Report:
    """Results of a run in the order of their tables, with verdicts and comparisons about these results.

    Attributes:
        results: one per dataset, scale and model.
        verdicts: verdicts of `gates.judge`.
        comparisons: comparisons of `bootstrap.compare`.
        gallery: images for the formats that show them.
        title: title of the report.
        remarks: sentences before the tables.
    """

    results: tuple[SetResult, ...]
    verdicts: tuple[Verdict, ...] = ()
    comparisons: tuple[Comparison, ...] = ()
    gallery: Gallery | None = None
    title: str = "Super-resolution evaluation"
    remarks: tuple[str, ...] = ()

    @property
    def metrics(self) -> tuple[str, ...]:
        """Names of the metrics of all results, in the order of their first occurrence."""
        return tuple(dict.fromkeys(metric for result in self.results for metric in result.metrics))

    @property
    def versions(self) -> str:
        """Versions as text: `srkit 0.1.0, torch 2.9.1`."""
        versions = {name: version for result in self.results for name, version in result.versions.items()}
        return ", ".join(f"{name} {version}" for name, version in versions.items())

    @property
    def definitions(self) -> tuple[str, ...]:
        """Definitions of each protocol at its scale, and of each metric, one per line."""
        settings = dict.fromkeys((result.protocol, result.scale) for result in self.results)
        protocols = [
            PROTOCOLS[name].describe(scale)
            for name, scale in settings
            if name in PROTOCOLS and scale is not None
        ]
        metrics = []
        for name in self.metrics:
            if name in METRICS:
                label, definition = METRICS[name].display.label, METRICS[name].definition
                metrics.append(definition if definition.startswith(label) else f"{label}: {definition}")
        return (*(f"{line[0].upper()}{line[1:]}" for line in protocols), *metrics)

    def sections(self) -> Iterator[Section]:
        """Yield each result with its own verdicts and comparisons."""
        for result in self.results:
            yield Section(
                result,
                tuple(verdict for verdict in self.verdicts if verdict.result is result),
                tuple(comparison for comparison in self.comparisons if comparison.result is result),
            )


def document(report: Report) -> list[dict[str, Any]]:
    """Encode the report as JSON values: `encoding.result_object`, with lists of `gates` and `comparisons`."""
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
        "pictures": list(verdict.images),
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


def write_text(path: Path, parts: Iterable[str]) -> None:
    """Write the parts one after the other as UTF-8; the file appears whole or not at all.

    File names with bytes that are no UTF-8 are written with `\\udcXX` in their place.

    Raises:
        SrkitError: the file cannot be written.
    """
    with (
        atomic_path(path) as temporary,
        temporary.open("w", encoding="utf-8", errors="backslashreplace", newline="") as file,
    ):
        file.writelines(parts)
