"""Markdown: the summary as a table for papers and pull requests, with collapsed tables of images."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from srkit.io.names import printable
from srkit.metrics.display import display, format_value
from srkit.metrics.reports.report import Report, Section, write_text

# An underscore within a word has no effect, so img_001.png stays readable.
_SPECIAL = re.compile(r"[\\`*\[\]#|~]|(?<!\w)_|_(?!\w)")


def write(report: Report, path: Path) -> None:
    """Write the page.

    Raises:
        SrkitError: the file cannot be written.
    """
    write_text(path, (line + "\n" for line in lines(report)))


def lines(report: Report) -> Iterator[str]:
    """Yield the page line by line, in GitHub's dialect (tables, collapsed details)."""
    yield from _table(
        ["Data set", "Scale", "Model", "Protocol", "Images", *(display(m).label for m in report.metrics)],
        (_summary_row(section, report.metrics) for section in report.sections()),
        left=4,
    )
    yield ""
    for section in report.sections():
        yield from _notes(section)
    yield from (_escaped_item(definition) for definition in report.definitions)
    if versions := report.versions:
        yield _escaped_item(f"Measured with {versions}")
    for section in report.sections():
        yield from _images(section)


def _summary_row(section: Section, metrics: Sequence[str]) -> list[str]:
    result, mean = section.result, section.result.mean
    total = len(result.images) + len(result.failed)
    return [
        _escape(result.dataset),
        "" if result.scale is None else str(result.scale),
        _escape(result.model),
        _escape(result.protocol),
        str(total) if not result.failed else f"{len(result.images)} of {total}",
        *(format_value(metric, mean[metric]) if metric in mean else "" for metric in metrics),
    ]


def _notes(section: Section) -> Iterator[str]:
    result = section.result
    sha = f", sha256 {result.model_sha256}" if result.model_sha256 else ""
    yield _escaped_item(f"{result.title}, {result.model}{sha}: LR images {result.lr_source}")
    for remark in result.remarks:
        yield _escaped_item(f"{result.title}, {result.model}: {remark}")
    for comparison in section.comparisons:
        yield _escaped_item(str(comparison))
    for verdict in section.verdicts:
        yield _escaped_item(f"Gate {verdict}")
    if result.support:
        yield _escaped_item(f"Support images, left out of the score: {', '.join(result.support)}")
    for failed in result.failed:
        yield _escaped_item(f"Not evaluated: {failed.name}: {failed.error}")


def _images(section: Section) -> Iterator[str]:
    result = section.result
    if not result.images:
        return
    yield ""
    # Markdown is not parsed within an HTML block, so only HTML's own characters are escaped.
    summary = html.escape(printable(f"{result.title}, {result.model}: each image"))
    yield f"<details><summary>{summary}</summary>"
    yield ""
    yield from _table(
        ["Image", *(display(metric).label for metric in result.metrics)],
        (
            [_escape(image.name), *(format_value(metric, image.values[metric]) for metric in result.metrics)]
            for image in result.images
        ),
        left=1,
    )
    yield ""
    yield "</details>"


def _table(head: Sequence[str], rows: Iterator[list[str]], *, left: int) -> Iterator[str]:
    """Yield a table whose first `left` columns are text and the others numbers."""
    yield f"| {' | '.join(head)} |"
    yield f"|{'|'.join('---' if column < left else '---:' for column in range(len(head)))}|"
    for row in rows:
        yield f"| {' | '.join(row)} |"


def _escaped_item(text: str) -> str:
    return f"- {_escape(text)}"


def _escape(text: str) -> str:
    """Escape all Markdown and HTML in `text`."""
    return _SPECIAL.sub(r"\\\g<0>", html.escape(printable(text), quote=False))
