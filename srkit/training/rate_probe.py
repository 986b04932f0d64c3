"""Which of several uniform rates to adapt with: a few steps at each, validated as adapting is."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

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
    """What a short adaptation at each rate gains, each from the network as it is; the network is not changed.

    Args:
        network, pairs, score: as `srkit.training.adapt.adapt` takes them.
        steps: of each adaptation, its whole schedule included.
        settings: their rates are replaced; `minutes` is that of all adaptations together.

    Returns:
        The mean gain on the validation images by rate, in the scores' unit; minus infinity where the loss was no
        number.
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
            gains[rate] = math.fsum(after) / len(after) - math.fsum(found.before) / len(found.before)
        progress.advance()
    progress.finish()
    return gains


def best_rate(gains: Mapping[float, float]) -> float:
    """The rate that gained most; of equals the smallest."""
    return max(sorted(gains), key=lambda rate: gains[rate])
