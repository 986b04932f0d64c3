"""Confidence of a difference between two models: the paired bootstrap over images.

Images of a set differ in difficulty far more than two models do on one image, so the per-image differences are
resampled, not the two means independently (B. Efron, R. Tibshirani, An Introduction to the Bootstrap, 1993, section
13.3: the percentile interval).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from srkit.errors import UsageError
from srkit.metrics.degenerate import difference, mean_of, some
from srkit.metrics.results import SetResult

RESAMPLES = 10_000
_INDICES_AT_ONCE = 4_000_000  # 32 MB of indices, for any number of images


@dataclass(frozen=True)
class Interval:
    """Mean of `count` differences and the bounds of its interval."""

    mean: float
    """Mean as in `degenerate.mean_of`; infinite differences do not count in `count`."""
    low: float
    """Lower bound. NaN, as `high`, if there is no interval: fewer than two differences, or a NaN."""
    high: float
    count: int
    level: float = 0.95

    @property
    def excludes_zero(self) -> bool:
        """True if the two models differ significantly at this level; False if there is no interval."""
        return self.low > 0 or self.high < 0


@dataclass(frozen=True)
class Comparison:
    """Difference of a metric between `result` and `other`, over the same images."""

    result: SetResult
    other: SetResult
    metric: str
    interval: Interval
    left_out: tuple[str, ...] = ()
    """Images with infinite difference: exactly one of the two equals its reference."""

    def __str__(self) -> str:
        found = self.interval
        bounds = (
            f"{found.level:.0%} interval {found.low:+.4f} to {found.high:+.4f}"
            if math.isfinite(found.low)
            else "no interval"
        )
        images = "1 image" if found.count == 1 else f"{found.count} images"
        left = f"; infinite and left out: {some(self.left_out)}" if self.left_out else ""
        return (
            f"{self.metric} of {self.result.model} minus {self.other.model} on {self.result.title}: "
            f"{found.mean:+.4f} ({bounds}, paired bootstrap over {images}{left})"
        )


def paired_bootstrap(
    differences: ArrayLike, *, level: float = 0.95, resamples: int = RESAMPLES, seed: int = 0
) -> Interval:
    """Percentile interval of the mean of per-image differences; deterministic for a seed.

    Args:
        differences: (N,) one difference per image; infinite ones are left out.
        level: confidence level, in (0, 1).
        resamples: number of resamples of N differences, drawn with replacement.
        seed: seed of the generator.

    Raises:
        UsageError: no differences, or a level outside (0, 1).
    """
    values = np.asarray(differences, dtype=np.float64)
    if values.ndim != 1 or values.size == 0:
        raise UsageError(f"A bootstrap needs a list of differences; found an array of shape {values.shape}.")
    if not 0 < level < 1:
        raise UsageError(f"The level of an interval was {level}; it must lie between 0 and 1.")
    mean = mean_of(values.tolist())
    values = values[~np.isinf(values)]
    count = values.size
    if count < 2 or np.isnan(values).any():
        return Interval(mean, math.nan, math.nan, count, level)
    generator = np.random.default_rng(seed)
    means = np.empty(resamples)
    step = max(1, _INDICES_AT_ONCE // count)
    for start in range(0, resamples, step):
        part = means[start : start + step]
        part[:] = values[generator.integers(count, size=(part.size, count))].mean(axis=1)
    low, high = np.quantile(means, ((1 - level) / 2, (1 + level) / 2))
    return Interval(mean, float(low), float(high), count, level)


def paired_differences(result: SetResult, other: SetResult, metric: str) -> dict[str, float]:
    """Per-image differences of `result` and `other`, in the order of `result`.

    Images that one of the two could not evaluate are left out. The difference of two infinite values is 0: both images
    equal their references.

    Raises:
        UsageError: the two have different images, or one lacks the metric.
    """
    if _names(result) != _names(other):
        raise UsageError(
            f"{result.model} and {other.model} were measured on different images of {result.title} "
            f"({len(_names(result))} and {len(_names(other))}); a paired comparison needs the same ones."
        )
    theirs = {image.name: image.values for image in other.images}
    differences: dict[str, float] = {}
    for image in result.images:
        if image.name not in theirs:
            continue
        try:
            ours, old = image.values[metric], theirs[image.name][metric]
        except KeyError as error:
            raise UsageError(
                f"'{metric}' was not measured on {result.title} with both {result.model} and {other.model}; ask for it "
                "with `metrics` in both runs."
            ) from error
        differences[image.name] = difference(ours, old)
    return differences


def compare(result: SetResult, other: SetResult, metrics: Sequence[str] | None = None) -> list[Comparison]:
    """Compare two models on one dataset, with one comparison per metric; empty if they share no image.

    Args:
        metrics: metrics to compare; by default all common ones, in the order of `result`.

    Raises:
        UsageError: as in `paired_differences`.
    """
    if metrics is None:
        metrics = [metric for metric in result.metrics if metric in other.metrics]
    found = ((metric, paired_differences(result, other, metric)) for metric in metrics)
    return [
        Comparison(
            result,
            other,
            metric,
            paired_bootstrap(list(differences.values())),
            tuple(name for name, value in differences.items() if math.isinf(value)),
        )
        for metric, differences in found
        if differences
    ]


def _names(result: SetResult) -> set[str]:
    return {image.name for image in result.images} | {image.name for image in result.failed}
