"""What a report tells: everything that any of the formats may write."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from srkit.metrics.bootstrap import Comparison
from srkit.metrics.gates import Verdict
from srkit.metrics.protocols import PROTOCOLS
from srkit.metrics.reports.gallery import Gallery
from srkit.metrics.results import SetResult
from srkit.metrics.table import METRICS


@dataclass(frozen=True)
class Section:
    """One result, with what was said of it."""

    result: SetResult
    verdicts: tuple[Verdict, ...]
    comparisons: tuple[Comparison, ...]


@dataclass(frozen=True)
class Report:
    """The results of a run in the order of their tables, with verdicts and comparisons about these results.

    Attributes:
        results: one for each data set, scale and model.
        verdicts: of `gates.judge`.
        comparisons: of `bootstrap.compare`.
        gallery: images for the formats that show any.
        title: what the report is of.
        remarks: sentences that stand before the tables.
    """

    results: tuple[SetResult, ...]
    verdicts: tuple[Verdict, ...] = ()
    comparisons: tuple[Comparison, ...] = ()
    gallery: Gallery | None = None
    title: str = "Super-resolution evaluation"
    remarks: tuple[str, ...] = ()

    @property
    def metrics(self) -> tuple[str, ...]:
        """Names of the metrics of all results, in the order in which they first come."""
        return tuple(dict.fromkeys(metric for result in self.results for metric in result.metrics))

    @property
    def versions(self) -> str:
        """`srkit 0.1.0, torch 2.9.1`."""
        versions = {name: version for result in self.results for name, version in result.versions.items()}
        return ", ".join(f"{name} {version}" for name, version in versions.items())

    @property
    def definitions(self) -> tuple[str, ...]:
        """A line for each protocol at its scale, and each metric: what its numbers mean."""
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
        """Each result with its own verdicts and comparisons."""
        for result in self.results:
            yield Section(
                result,
                tuple(verdict for verdict in self.verdicts if verdict.result is result),
                tuple(comparison for comparison in self.comparisons if comparison.result is result),
            )
