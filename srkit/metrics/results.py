"""What an evaluation found: plain values that reports, gates and scripts read."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from srkit.metrics.degenerate import mean_of, remarks_on, settled


@dataclass(frozen=True)
class ImageResult:
    """One image's scores; `values` by metric name, infinite or NaN as `degenerate.settled` says."""

    name: str
    values: Mapping[str, float]

    def __post_init__(self) -> None:
        values = {metric: settled(metric, value) for metric, value in self.values.items()}
        object.__setattr__(self, "values", values)  # once and for all readers; the class is frozen


@dataclass(frozen=True)
class FailedImage:
    """An image that could not be evaluated, and the sentence that says why."""

    name: str
    error: str


@dataclass(frozen=True)
class SetResult:
    """One data set (or pair of folders) through one model under one protocol."""

    dataset: str
    scale: int | None
    """None for finished images without reference."""
    model: str
    """A model's name, `bicubic`, or the folder of finished images."""
    model_sha256: str | None
    protocol: str
    lr_source: str
    """How the LR images came about: `LR_bicubic/X4`, `made: bicubic uint8`, `none`."""
    images: tuple[ImageResult, ...]
    failed: tuple[FailedImage, ...] = ()
    support: tuple[str, ...] = ()
    """Images used for few-shot adaptation: named here, left out of `images` and of the means."""
    versions: Mapping[str, str] = field(default_factory=dict)
    """Versions of srkit, torch and every metric with a network: what a reader needs to repeat the numbers."""
    names: tuple[str, ...] = ()
    """All images of the set in its order, where this result is a shard's; empty: `images` and `failed` are all."""
    prompts: Mapping[str, str] = field(default_factory=dict)
    """What the network was conditioned on, by the image's name."""

    @property
    def title(self) -> str:
        """The data set and scale as sentences name them: `Urban100 x4`."""
        return self.dataset if self.scale is None else f"{self.dataset} x{self.scale}"

    @property
    def metrics(self) -> tuple[str, ...]:
        """Names of the metrics, in the order they were asked for."""
        return tuple(self.images[0].values) if self.images else ()

    @property
    def mean(self) -> dict[str, float]:
        """By metric, as `degenerate.mean_of` says: infinite values are left out, a NaN stays a NaN."""
        return {metric: mean_of(values.values()) for metric, values in self._by_metric.items()}

    @property
    def infinite(self) -> dict[str, tuple[str, ...]]:
        """Images whose value is infinite, and which the mean leaves out; by metric, those without left out."""
        found = {
            metric: tuple(name for name, value in values.items() if math.isinf(value))
            for metric, values in self._by_metric.items()
        }
        return {metric: names for metric, names in found.items() if names}

    @property
    def remarks(self) -> tuple[str, ...]:
        """Sentences on the values that are no ordinary numbers, which every report says."""
        return remarks_on(self._by_metric)

    @property
    def _by_metric(self) -> dict[str, dict[str, float]]:
        return {m: {image.name: image.values[m] for image in self.images} for m in self.metrics}
