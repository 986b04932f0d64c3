"""Conversion of results to JSON values and back, for `--json`, JSON Lines and baselines.

JSON has no infinity and no NaN. An infinite value is null with a flag beside it (`"psnr": null,
"psnr_is_infinite": true`, or `_is_negative_infinite`); a null without a flag is not a number.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from srkit.metrics.results import FailedImage, ImageResult, SetResult

_FLAG = "_is_infinite"
_NEGATIVE_FLAG = "_is_negative_infinite"
"""Flag of negative infinity, which occurs only in differences and in values of gates."""


def values_object(values: Mapping[str, float]) -> dict[str, Any]:
    """Encode metric values by name, with flags for infinite ones."""
    item: dict[str, Any] = {}
    for metric, value in values.items():
        item[metric] = value if math.isfinite(value) else None
        if math.isinf(value):
            item[metric + (_FLAG if value > 0 else _NEGATIVE_FLAG)] = True
    return item


def result_object(result: SetResult) -> dict[str, Any]:
    """Encode the result of a dataset for `srkit eval --json`, with `failed` and `support` beside `images`."""
    return {
        "dataset": result.dataset,
        "scale": result.scale,
        "model": result.model,
        "model_sha256": result.model_sha256,
        "protocol": result.protocol,
        "lr_source": result.lr_source,
        "count": len(result.images),
        "mean": values_object(result.mean),
        "infinite": {metric: list(names) for metric, names in result.infinite.items()},
        "remarks": list(result.remarks),
        "images": [{"name": image.name, **values_object(image.values)} for image in result.images],
        "failed": [{"name": image.name, "error": image.error} for image in result.failed],
        "support": list(result.support),
        "versions": dict(result.versions),
    }


def result_from(item: Any) -> SetResult:
    """Decode a result encoded by `result_object`.

    Raises:
        ValueError: invalid object; the message names the field.
    """
    if not isinstance(item, dict):
        raise ValueError(f"a result is an object, found {type(item).__name__}")
    images = tuple(image_from(entry) for entry in read_field(item, "images", list))
    if any(image.values.keys() != images[0].values.keys() for image in images):
        raise ValueError("its images have not all the same metrics")
    if len({image.name for image in images}) < len(images):
        raise ValueError("it names an image twice")
    failed = read_field(item, "failed", list)
    return SetResult(
        dataset=read_field(item, "dataset", str),
        scale=read_field(item, "scale", int, type(None)),
        model=read_field(item, "model", str),
        model_sha256=read_field(item, "model_sha256", str, type(None)),
        protocol=read_field(item, "protocol", str),
        lr_source=read_field(item, "lr_source", str),
        images=images,
        failed=tuple(
            FailedImage(read_field(entry, "name", str), read_field(entry, "error", str)) for entry in failed
        ),
        support=tuple(str(name) for name in read_field(item, "support", list)),
        versions={str(name): str(version) for name, version in read_field(item, "versions", dict).items()},
    )


def image_from(entry: Any) -> ImageResult:
    """Decode the scores of an object with `name` and the fields of `values_object`.

    Raises:
        ValueError: invalid object; the message names the field.
    """
    name = read_field(entry, "name", str)
    metrics = [key for key in entry if key != "name" and not key.endswith(_FLAG)]
    return ImageResult(name, {metric: _value(entry, metric) for metric in metrics})


def _value(entry: dict[str, Any], metric: str) -> float:
    value = read_field(entry, metric, float, int, type(None))
    if value is None:
        return math.inf if entry.get(metric + _FLAG) is True else math.nan
    return float(value)


def read_field(item: Any, name: str, *kinds: type) -> Any:
    """Read a field of one of these types; a bool is no int.

    Raises:
        ValueError: it is missing or of another type; the message names it.
    """
    if not isinstance(item, dict) or name not in item:
        raise ValueError(f"the field '{name}' is missing")
    if not isinstance(item[name], kinds) or isinstance(item[name], bool):
        raise ValueError(f"the field '{name}' is {item[name]!r}")
    return item[name]
