"""The few-shot rows of the ablation of CDASR: size of the support set, and learned rates against uniform ones."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from experiments.ablations import interval_text, verdict
from experiments.few_shot import fitted, psnrs, scored_images, support_set
from experiments.study import table_head, table_row
from srkit.data.examples import Example
from srkit.metrics.bootstrap import paired_bootstrap
from srkit.recipes.adapt import TunePart
from srkit.zoo.load import load_model

DOMAINS = ("screen", "manga", "Urban100", "photographs")
"""None of them is among the domains that rates are learned on."""
UNIFORM = (2e-4, 5e-4, 2e-3)
"""Rates of Adam; the best of them, in hindsight and for each domain, is compared with the learned ones."""
SHOTS, SCORED = 5, 25


def shots_table(weights: Path, steps: int) -> Iterator[str]:
    """Markdown: gains over no adaptation in dB, on images outside the support set.

    Args:
        weights: a model with learned rates.
        steps: max steps of adapting, the same for every row; all stop early by the same rule.
    """
    model = load_model(str(weights))
    yield from table_head(
        [
            "domain",
            "K = 0",
            "K = 1, uniform",
            f"K = {SHOTS}, uniform: {', '.join(f'{rate:g}' for rate in UNIFORM)}",
            f"K = {SHOTS}, learned",
            "learned less the best uniform, 95 % interval",
            "",
        ]
    )
    for domain in DOMAINS:
        scale = model.info.scale
        support, scored = support_set(domain, SHOTS, scale), scored_images(domain, SCORED, scale)
        base = psnrs(model, scored)

        def gain(some: Sequence[Example], tune: TunePart) -> NDArray[np.float64]:
            return psnrs(fitted(model, some, tune).model, scored) - base  # noqa: B023

        one = gain(support[:1], TunePart(steps=steps, optimiser="adam"))
        uniform = [gain(support, TunePart(steps=steps, optimiser="adam", rate=rate)) for rate in UNIFORM]
        learned = gain(support, TunePart(steps=steps))
        between = paired_bootstrap(learned - max(uniform, key=lambda found: float(found.mean())))
        yield table_row(
            [
                domain,
                f"{base.mean():.2f}",
                f"{one.mean():+.3f}",
                ", ".join(f"{found.mean():+.3f}" for found in uniform),
                interval_text(paired_bootstrap(learned)),
                interval_text(between),
                verdict(between),
            ]
        )
    yield ""
    yield f"Max {steps} steps of 8 crops each, max {SCORED} images scored."
