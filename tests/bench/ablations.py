"""What the ablations share: pictures, scores of them, what a difference is worth, and the table that says so."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from srkit.data.benchmarks import cropped_size, find_dataset, rgb8
from srkit.encoders.perceptual import lpips_is_here
from srkit.errors import ResourceError
from srkit.io.picture import Picture
from srkit.io.read import read_picture
from srkit.metrics.bootstrap import Interval, paired_bootstrap
from srkit.metrics.protocols import PROTOCOLS
from srkit.metrics.table import METRICS, Sample, Scorer, Setup
from srkit.tasks.upscaler import Upscaler, Work

RGB = NDArray[np.uint8]
Values = dict[str, NDArray[np.float64]]
"""Scores of pictures, (pictures,) each, by the metric's name."""


@dataclass(frozen=True)
class Pair:
    """A picture (H, W, 3) and its LR."""

    hr: RGB
    lr: RGB


def pictures(sets: Mapping[str, int], scale: int) -> list[RGB]:
    """Every n-th picture of benchmark sets in $SRKIT_DATA, by the n of each, cropped to a multiple of the scale."""
    found = []
    for name, every in sets.items():
        for item in find_dataset(name, Path(os.environ["SRKIT_DATA"])).pairs(scale)[::every]:
            pixels = rgb8(read_picture(item.hr))
            height, width = cropped_size(pixels.shape[0], pixels.shape[1], scale)
            found.append(np.ascontiguousarray(pixels[:height, :width]))
    return found


def made_scorers(names: Sequence[str]) -> dict[str, Scorer]:
    """Those metrics whose weights are to be had; for LPIPS nothing is fetched."""
    found: dict[str, Scorer] = {}
    for name in names:
        if name == "lpips" and not lpips_is_here():
            print("without lpips: it is not here")
            continue
        try:
            found[name] = METRICS[name].make(Setup(torch.device("cpu")))
        except ResourceError as error:
            print(f"without {name}: {error}")
    return found


def scored(
    upscaler: Upscaler, pairs: Sequence[Pair], scorers: Mapping[str, Scorer], protocol: str = "classical"
) -> Values:
    """Every score of every picture."""
    scale = upscaler.models.own_scale
    values: dict[str, list[float]] = {name: [] for name in scorers}
    works = (Work(pair, Picture(pair.lr), pair.hr.shape[1], pair.hr.shape[0]) for pair in pairs)
    for done in upscaler.run(works):
        if done.picture is None:
            raise SystemExit(str(done.error))
        sr, hr, lr = (_tensor(x) for x in (done.picture.pixels, done.tag.hr, done.tag.lr))
        sample = Sample(sr, hr, lr, PROTOCOLS[protocol], scale)
        for name, scorer in scorers.items():
            values[name].append(scorer.score(sample))
    return {name: np.array(found) for name, found in values.items()}


def verdict(
    differences: NDArray[np.float64], *, decimals: int, lower_is_better: bool = False
) -> tuple[str, str]:
    """The mean difference with its paired bootstrap interval, and whether it is better, worse or undecided."""
    interval = paired_bootstrap(differences)
    numbers = (f"{x:+.{decimals}f}" for x in (interval.mean, interval.low, interval.high))
    mean, low, high = numbers
    return f"{mean} ({low} to {high})", word_of(interval, lower_is_better=lower_is_better)


def word_of(interval: Interval, *, lower_is_better: bool = False) -> str:
    """Whether a difference is better, worse or undecided."""
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
    """Of a row of a table: the mean, and the two of `verdict`, which are empty where there is nothing to compare with.

    Args:
        finer: decimals that differences have more.
    """
    mean = f"{values.mean():.{decimals}f}"
    if differences is None:
        return [mean, "", ""]
    return [mean, *verdict(differences, decimals=decimals + finer, lower_is_better=lower_is_better)]


def metric_cells(
    metric: str, values: NDArray[np.float64], differences: NDArray[np.float64] | None
) -> list[str]:
    """`cells` as the metric is shown, with three decimals or more: differences are small."""
    shown = METRICS[metric].display
    decimals = max(3, shown.decimals)
    return cells(values, differences, decimals=decimals, lower_is_better=shown.lower_is_better)


def markdown_row(texts: Sequence[str]) -> str:
    return f"| {' | '.join(texts)} |"


def markdown_head(texts: Sequence[str]) -> list[str]:
    return [markdown_row(texts), "|" + "---|" * len(texts)]


def score_table(
    values: Mapping[str, Values], controls: Mapping[str, str], difference: str, *, named: bool = False
) -> list[str]:
    """Markdown: every row's scores, and their differences to those of the row that it is compared with.

    Args:
        values: scores of every row, by its name; the same metrics in each.
        controls: by the name of a row that of its control; an empty one has none.
        difference: heading of the differences.
        named: with a column that names the controls.
    """
    metrics = list(next(iter(values.values())))
    head = ["row", *(["against"] if named else [])]
    for metric in metrics:
        head += [METRICS[metric].display.label, f"{difference}, 95 % interval", ""]
    lines = markdown_head(head)
    for name, found in values.items():
        control = controls[name]
        texts = [name, *([control] if named else [])]
        for metric in metrics:
            between = found[metric] - values[control][metric] if control else None
            texts += metric_cells(metric, found[metric], between)
        lines.append(markdown_row(texts))
    return lines


def _tensor(pixels: NDArray[Any]) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(pixels)).permute(2, 0, 1)[None]
