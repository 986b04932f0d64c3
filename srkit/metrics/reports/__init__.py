"""Reports of an evaluation, one file a format. A new format is a file and a line in `FORMATS`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from srkit.metrics.reports import csv_table, html_page, jsonl, junit, markdown
from srkit.metrics.reports.gallery import Gallery, ImageKey
from srkit.metrics.reports.report import Report, document

__all__ = ["FORMATS", "Gallery", "ImageKey", "Report", "ReportFormat", "document"]


@dataclass(frozen=True)
class ReportFormat:
    """A file that `srkit eval` can write."""

    option: str
    """The command line's option, without its dashes."""
    suffix: str
    write: Callable[[Report, Path], None]
    """Writes the whole file or none; SrkitError where it cannot."""


FORMATS = (
    ReportFormat("report", ".html", html_page.write),
    ReportFormat("jsonl", ".jsonl", jsonl.write),
    ReportFormat("csv", ".csv", csv_table.write),
    ReportFormat("junit", ".xml", junit.write),
    ReportFormat("markdown", ".md", markdown.write),
)
