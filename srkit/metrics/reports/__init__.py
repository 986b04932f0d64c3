"""Reports of an evaluation, with one file per format. A new format adds a file and a line in `FORMATS`."""

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
    """File format that `srkit eval` writes."""

    option: str
    """Option of the command line, without its dashes."""
    suffix: str
    write: Callable[[Report, Path], None]
    """Function that writes the file atomically; raises SrkitError on failure."""


FORMATS = (
    ReportFormat("report", ".html", html_page.write),
    ReportFormat("jsonl", ".jsonl", jsonl.write),
    ReportFormat("csv", ".csv", csv_table.write),
    ReportFormat("junit", ".xml", junit.write),
    ReportFormat("markdown", ".md", markdown.write),
)
