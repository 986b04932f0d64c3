"""JSON Lines: one record an image."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from srkit.metrics.encoding import values_object
from srkit.metrics.reports.report import Report, write_text


def write(report: Report, path: Path) -> None:
    """Write the records: those evaluated in the order of the results, then those that failed, set by set.

    Raises:
        SrkitError: the file cannot be written.
    """
    write_text(path, (json.dumps(record, allow_nan=False) + "\n" for record in records(report)))


def records(report: Report) -> Iterator[dict[str, Any]]:
    """`dataset, scale, model, model_sha256, protocol, lr_source, name, status, error`, and the metrics.

    Infinity and NaN are as `encoding` says. The status is `done` or `failed`; who failed has no metrics.
    """
    for result in report.results:
        common = {
            "dataset": result.dataset,
            "scale": result.scale,
            "model": result.model,
            "model_sha256": result.model_sha256,
            "protocol": result.protocol,
            "lr_source": result.lr_source,
        }
        for image in result.images:
            yield {
                **common,
                "name": image.name,
                "status": "done",
                "error": None,
                **values_object(image.values),
            }
        for failed in result.failed:
            yield {**common, "name": failed.name, "status": "failed", "error": failed.error}
