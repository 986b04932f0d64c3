"""Results of an evaluation: plain values for reports, gates and scripts."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from srkit.metrics.degenerate import mean_of, remarks_on, settled


@dataclass(frozen=True)
class ImageResult:
    """Scores of an image; `values` by metric name, infinite or NaN as in `degenerate.settled`."""

    name: str
    values: Mapping[str, float]

    def __post_init__(self) -> None:
        values = {metric: settled(metric, value) for metric, value in self.values.items()}
        object.__setattr__(self, "values", values)  # normalised once for all readers; the class is frozen


@dataclass(frozen=True)
class FailedImage:
    """Image that could not be evaluated, with the error message."""

    name: str
    error: str


@dataclass(frozen=True)
class SetResult:
    """Result of one model on a dataset (or pair of folders) under one protocol."""

    dataset: str
    scale: int | None
    """Scale; None for finished images without reference."""
    model: str
    """Name of a model, `bicubic`, or the folder of finished images."""
    model_sha256: str | None
    protocol: str
    lr_source: str
    """Source of the LR images: `LR_bicubic/X4`, `made: bicubic uint8`, `none`."""
    images: tuple[ImageResult, ...]
    failed: tuple[FailedImage, ...] = ()
    support: tuple[str, ...] = ()
    """Images used for few-shot adaptation, excluded from `images` and the means."""
    versions: Mapping[str, str] = field(default_factory=dict)
    """Versions of srkit, torch and every metric with a network, for reproducing the values."""
    names: tuple[str, ...] = ()
    """All images of the set in order, for the result of a shard; empty: `images` and `failed` are all."""
    prompts: Mapping[str, str] = field(default_factory=dict)
    """Prompts of the network, by the image's name."""

    @property
    def title(self) -> str:
        """Dataset and scale in messages: `Urban100 x4`."""
        return self.dataset if self.scale is None else f"{self.dataset} x{self.scale}"

    @property
    def metrics(self) -> tuple[str, ...]:
        """Names of the metrics, in the requested order."""
        return tuple(self.images[0].values) if self.images else ()

    @property
    def mean(self) -> dict[str, float]:
        """Mean by metric, as in `degenerate.mean_of`: infinite values are left out, a NaN stays a NaN."""
        return {metric: mean_of(values.values()) for metric, values in self._by_metric.items()}

    @property
    def infinite(self) -> dict[str, tuple[str, ...]]:
        """Images with infinite values, which the mean leaves out, by metric; metrics without any are omitted."""
        found = {
            metric: tuple(name for name, value in values.items() if math.isinf(value))
            for metric, values in self._by_metric.items()
        }
        return {metric: names for metric, names in found.items() if names}

    @property
    def remarks(self) -> tuple[str, ...]:
        """Sentences on infinite and NaN values, for every report."""
        return remarks_on(self._by_metric)

    @property
    def _by_metric(self) -> dict[str, dict[str, float]]:
        return {m: {image.name: image.values[m] for image in self.images} for m in self.metrics}
