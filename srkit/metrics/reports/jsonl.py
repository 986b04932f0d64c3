"""JSON Lines: one record per image."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from srkit.metrics.encoding import values_object
from srkit.metrics.reports.report import Report, write_text
from srkit.metrics.results import SetResult

RESULT = ("dataset", "scale", "model", "model_sha256", "protocol", "lr_source")
"""Fields of a record from its result."""
PLACE = "place"
"""Field for `srkit eval --merge`: `part` (index of the result), `index` and `count` in the set's images, `versions`,
and the image's `prompt`, if it has one."""


def write(report: Report, path: Path) -> None:
    """Write the records: evaluated images in the order of the results, then failed ones, set by set.

    Raises:
        SrkitError: the file cannot be written.
    """
    write_text(path, (json.dumps(record, allow_nan=False) + "\n" for record in records(report)))


def records(report: Report) -> Iterator[dict[str, Any]]:
    """Yield `dataset, scale, model, model_sha256, protocol, lr_source, place, name, status, error`, and the metrics.

    Infinity and NaN are encoded as in `encoding`. The status is `done` or `failed`; failed images have no metrics.
    """
    for part, result in enumerate(report.results):
        own = [*(image.name for image in result.images), *(image.name for image in result.failed)]
        index = {name: i for i, name in enumerate(result.names or own)}
        for image in result.images:
            yield {**_about(result, part, index, image.name, None), **values_object(image.values)}
        for failed in result.failed:
            yield _about(result, part, index, failed.name, failed.error)


def _about(
    result: SetResult, part: int, index: Mapping[str, int], name: str, error: str | None
) -> dict[str, Any]:
    place = {"part": part, "index": index[name], "count": len(index), "versions": dict(result.versions)}
    prompt = {"prompt": result.prompts[name]} if name in result.prompts else {}
    status = "done" if error is None else "failed"
    return {
        **{of: getattr(result, of) for of in RESULT},
        PLACE: place | prompt,
        "name": name,
        "status": status,
        "error": error,
    }
