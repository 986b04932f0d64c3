"""What the ablations share: pictures, scores of them, and what a difference is worth."""

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
from srkit.io.picture import Picture
from srkit.io.read import read_picture
from srkit.metrics.bootstrap import paired_bootstrap
from srkit.metrics.protocols import PROTOCOLS
from srkit.metrics.table import Sample, Scorer
from srkit.tasks.upscaler import Upscaler, Work

RGB = NDArray[np.uint8]


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


def scored(
    upscaler: Upscaler, pairs: Sequence[Pair], scorers: Mapping[str, Scorer], protocol: str = "classical"
) -> dict[str, NDArray[np.float64]]:
    """Every score of every picture, (pictures,) each."""
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
    better = (interval.mean < 0) == lower_is_better
    word = "undecided" if not interval.excludes_zero else "better" if better else "worse"
    return f"{mean} ({low} to {high})", word


def _tensor(pixels: NDArray[Any]) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(pixels)).permute(2, 0, 1)[None]
