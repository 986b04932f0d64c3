"""Scores of images, and what differences between them are worth: the tables of ablations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from experiments.images import levels
from experiments.study import table_head, table_row
from srkit.encoders.perceptual import lpips_is_here
from srkit.errors import ResourceError
from srkit.inference.upscaler import Upscaler
from srkit.inference.work import Work
from srkit.io.image import DecodedImage
from srkit.metrics.bootstrap import RESAMPLES, Interval, paired_bootstrap
from srkit.metrics.protocols import PROTOCOLS
from srkit.metrics.table import METRICS, Sample, Scorer, Setup
from srkit.ops.layout import RGB

Values = dict[str, NDArray[np.float64]]
"""Scores of images, (images,) each, by the name of the metric."""


@dataclass(frozen=True)
class Pair:
    """An image (s h, s w, 3) and its LR (h, w, 3)."""

    hr: RGB
    lr: RGB


def made_scorers(names: Sequence[str]) -> dict[str, Scorer]:
    """Those of the metrics whose weights are available; for LPIPS nothing is downloaded."""
    found: dict[str, Scorer] = {}
    for name in names:
        if name == "lpips" and not lpips_is_here():
            print("without lpips: its weights are not on this machine")
            continue
        try:
            found[name] = METRICS[name].make(Setup(torch.device("cpu")))
        except ResourceError as error:
            print(f"without {name}: {error}")
    return found


def scored(
    upscaler: Upscaler, pairs: Sequence[Pair], scorers: Mapping[str, Scorer], protocol: str = "classical"
) -> Values:
    """Every score of every image."""
    scale = upscaler.models.own_scale
    values: dict[str, list[float]] = {name: [] for name in scorers}
    works = (Work(pair, DecodedImage(pair.lr), pair.hr.shape[1], pair.hr.shape[0]) for pair in pairs)
    for done in upscaler.run(works):
        if done.image is None:
            raise SystemExit(str(done.error))
        sr, hr, lr = (levels(x) for x in (done.image.pixels, done.tag.hr, done.tag.lr))
        sample = Sample(sr, hr, lr, PROTOCOLS[protocol], scale)
        for name, scorer in scorers.items():
            values[name].append(scorer.score(sample))
    return {name: np.array(found) for name, found in values.items()}


def auc(low: Tensor, high: Tensor) -> float:
    """Area under the ROC curve: the probability that a value of `high` is above one of `low`."""
    difference = high[:, None] - low[None, :]
    return float((difference > 0).double().mean() + 0.5 * (difference == 0).double().mean())


def crossed_bootstrap(
    gains: NDArray[np.float64], *, level: float = 0.95, resamples: int = RESAMPLES, seed: int = 0
) -> Interval:
    """Percentile interval of the mean of gains (sets, images), of which sets and images are resampled independently.

    The pigeonhole bootstrap (Owen 2007, The pigeonhole bootstrap, Annals of Applied Statistics 1). With one set, that
    of `paired_bootstrap`.
    """
    if len(gains) == 1:
        return paired_bootstrap(gains[0], level=level, resamples=resamples, seed=seed)
    rng = np.random.default_rng(seed)
    sets, images = (rng.multinomial(n, np.full(n, 1 / n), resamples) / n for n in gains.shape)
    low, high = np.quantile(((sets @ gains) * images).sum(1), ((1 - level) / 2, (1 + level) / 2))
    return Interval(float(gains.mean()), float(low), float(high), gains.size, level)


def interval_text(interval: Interval, decimals: int = 3, unit: str = "") -> str:
    """`+0.123 dB (+0.100 to +0.146)`."""
    mean, low, high = (f"{x:+.{decimals}f}" for x in (interval.mean, interval.low, interval.high))
    return f"{mean}{unit} ({low} to {high})"


def verdict(interval: Interval, *, lower_is_better: bool = False) -> str:
    """Whether a difference is better, worse or undecided: its 95 % interval includes zero."""
    if not interval.excludes_zero:
        return "undecided"
    return "better" if (interval.mean < 0) == lower_is_better else "worse"


def cells(
    values: NDArray[np.float64],
    differences: NDArray[np.float64] | None,
    *,
    decimals: int,
    finer: int = 0,
    lower_is_better: bool = False,
) -> list[str]:
    """Cells of a row: the mean, the difference with its interval and the verdict; the last two may be empty.

    Args:
        differences: to the row that it is compared with; None: there is none.
        finer: decimals that the difference has more than the mean.
    """
    mean = f"{values.mean():.{decimals}f}"
    if differences is None:
        return [mean, "", ""]
    interval = paired_bootstrap(differences)
    return [
        mean,
        interval_text(interval, decimals + finer),
        verdict(interval, lower_is_better=lower_is_better),
    ]


def metric_cells(
    metric: str, values: NDArray[np.float64], differences: NDArray[np.float64] | None
) -> list[str]:
    """`cells` as the metric is shown, with three decimals or more: differences are small."""
    shown = METRICS[metric].display
    decimals = max(3, shown.decimals)
    return cells(values, differences, decimals=decimals, lower_is_better=shown.lower_is_better)


def score_table(
    values: Mapping[str, Values], controls: Mapping[str, str], difference: str, *, named: bool = False
) -> list[str]:
    """Markdown: the scores of every row, and their differences to those of its control.

    Args:
        values: scores of every row, by its name; the same metrics in each.
        controls: name of each row's control, by the name of the row; empty where it has none.
        difference: heading of the differences.
        named: with a column that names the controls.
    """
    metrics = list(next(iter(values.values())))
    head = ["row", *(["against"] if named else [])]
    for metric in metrics:
        head += [METRICS[metric].display.label, f"{difference}, 95 % interval", ""]
    lines = table_head(head)
    for name, found in values.items():
        control = controls[name]
        texts = [name, *([control] if named else [])]
        for metric in metrics:
            between = found[metric] - values[control][metric] if control else None
            texts += metric_cells(metric, found[metric], between)
        lines.append(table_row(texts))
    return lines
