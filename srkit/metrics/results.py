"""What an evaluation found: plain values that reports, gates and scripts read."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class ImageResult:
    """One picture's scores; `values` by metric name, infinity for the PSNR of identical pictures."""

    name: str
    values: Mapping[str, float]


@dataclass(frozen=True)
class FailedImage:
    """A picture that could not be evaluated, and the sentence that says why."""

    name: str
    error: str


@dataclass(frozen=True)
class SetResult:
    """One data set (or pair of folders) through one model under one protocol."""

    dataset: str
    scale: int | None
    """None for finished pictures without reference."""
    model: str
    """A model's name, `bicubic`, or the folder of finished pictures."""
    model_sha256: str | None
    protocol: str
    lr_source: str
    """How the LR pictures came about: `LR_bicubic/X4`, `made: bicubic uint8`, `none`."""
    images: tuple[ImageResult, ...]
    failed: tuple[FailedImage, ...] = ()
    support: tuple[str, ...] = ()
    """Pictures used for few-shot adaptation: named here, left out of `images` and of the means."""
    versions: Mapping[str, str] = field(default_factory=dict)
    """Of srkit, torch and every metric with a network: what a reader needs to repeat the numbers."""

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
        """Mean over the pictures, by metric; a NaN stays a NaN."""
        return {m: math.fsum(i.values[m] for i in self.images) / len(self.images) for m in self.metrics}
