"""Selection of a uniform rate for adaptation by short trial runs with validation."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from statistics import fmean

from torch import nn

from srkit.data.pairs import PairSource
from srkit.progress import Progress
from srkit.training.adapt import AVERAGED, AdaptSettings, Score, adapt
from srkit.training.inner import uniform_rates


def probe_rates(
    network: nn.Module,
    pairs: PairSource,
    rates: Sequence[float],
    steps: int,
    score: Score,
    settings: AdaptSettings,
    progress: Progress,
) -> dict[float, float]:
    """Gain of a short adaptation at each rate, each from the unmodified network.

    Args:
        network, pairs, score: as in `srkit.training.adapt.adapt`; the network is not changed.
        steps: steps of each trial, with a whole schedule.
        settings: settings of the trials; their rates are replaced, and `minutes` limits all trials together.

    Returns:
        Mean gain on the validation images by rate, in the scores' unit; minus infinity if the loss was not finite.
    """
    minutes = settings.minutes
    short = replace(
        settings,
        minutes=None if minutes is None else minutes / len(rates),
        warmup_steps=min(settings.warmup_steps, steps // 10),
        interpolations=AVERAGED[:1],
        judge_every=steps,
    )
    gains = {}
    progress.start("probing rates", len(rates))
    for rate in rates:
        found = adapt(network, pairs, steps, score, replace(short, rates=uniform_rates(network, rate)))
        gains[rate] = -math.inf
        if found.stopped != "diverged":
            after = found.validated[-1].scores
            gains[rate] = fmean(after) - fmean(found.before)
        progress.advance()
    progress.finish()
    return gains


def best_rate(gains: Mapping[float, float]) -> float:
    """Rate of the largest gain; the smallest of equals."""
    return max(sorted(gains), key=lambda rate: gains[rate])
