"""CSV: one row per image, with all metrics of the run as columns."""

from __future__ import annotations

import csv
import io
from pathlib import Path

from srkit.metrics.reports.report import Report, write_text

_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")
"""First characters of formulas in some spreadsheets; the last four are full-width forms of the first four."""
COLUMNS = ("dataset", "scale", "model", "model_sha256", "protocol", "lr_source", "name", "error")


def write(report: Report, path: Path) -> None:
    """Write a header and a row per image; infinity is `inf`, NaN `nan`, and missing values are empty.

    Values have all their digits. There are no rows of means, which readers would have to remove. A text that a
    spreadsheet would interpret as a formula gets an apostrophe in front.

    Raises:
        SrkitError: the file cannot be written.
    """
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow([*COLUMNS, *report.metrics])
    for result in report.results:
        setting = (
            _cell(result.dataset),
            result.scale,
            _cell(result.model),
            result.model_sha256,
            result.protocol,
            _cell(result.lr_source),
        )
        for image in result.images:
            values = (image.values.get(metric) for metric in report.metrics)
            table.writerow(
                [
                    *setting,
                    _cell(image.name),
                    "",
                    *("" if value is None else float(value) for value in values),
                ]
            )
        for failed in result.failed:
            table.writerow([*setting, _cell(failed.name), _cell(failed.error), *("" for _ in report.metrics)])
    write_text(path, [text.getvalue()])


def _cell(text: str) -> str:
    """Escape formulas (https://owasp.org/www-community/attacks/CSV_Injection)."""
    return f"'{text}" if text.startswith(_FORMULA) else text
