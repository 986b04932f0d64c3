"""The few-shot rows of the ablation of CDASR: how many examples, and learned rates against uniform ones."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from ablations import word_of
from few_shot import RGB, examples, pictures, scores, split_of, words
from numpy.typing import NDArray

from srkit.metrics.bootstrap import paired_bootstrap
from srkit.progress import Silent
from srkit.recipes.adapt import TunePart
from srkit.tasks.adapt_fit import Fit, fit
from srkit.zoo.load import load_model
from srkit.zoo.loaded import LoadedModel

DOMAINS = ("screen", "manga", "Urban100", "photographs")
"""None of them is among the domains that rates are learned from."""
UNIFORM = (2e-4, 5e-4, 2e-3)
"""Rates of plain Adam; the best of them, in hindsight and domain by domain, stands against the learned ones."""
SHOTS, SCORED = 5, 25


def shots_table(weights: Path, data: Path, steps: int) -> str:
    """Markdown: gains over no examples in dB, on pictures that were left out.

    Args:
        weights: a model with learned rates.
        steps: most steps of learning, the same for every row; all stop early by the same rule.
    """
    model = load_model(str(weights))
    lines = [
        f"| domain | K = 0 | K = 1, uniform | K = {SHOTS}, uniform: {', '.join(f'{r:g}' for r in UNIFORM)} "
        f"| K = {SHOTS}, learned | learned less the best uniform, 95 % interval | |",
        "|---|---|---|---|---|---|---|",
    ]
    for domain in DOMAINS:
        teach, tests = pictures(domain, data, SHOTS, SCORED)
        scored = examples(tests, model.info.scale)
        base = scores(model, scored, "cpu", "auto")

        def gain(some: Sequence[RGB], tune: TunePart) -> NDArray[np.float64]:
            return scores(adapted(model, some, tune), scored, "cpu", "auto") - base  # noqa: B023

        one = gain(teach[:1], TunePart(steps=steps, optimiser="adam"))
        uniform = [gain(teach, TunePart(steps=steps, optimiser="adam", rate=rate)) for rate in UNIFORM]
        learned = gain(teach, TunePart(steps=steps))
        best = max(uniform, key=lambda found: float(found.mean()))
        between = paired_bootstrap(learned - best)
        lines.append(
            f"| {domain} | {base.mean():.2f} | {one.mean():+.3f} "
            f"| {', '.join(f'{found.mean():+.3f}' for found in uniform)} "
            f"| {words(paired_bootstrap(learned))} | {words(between)} | {word_of(between)} |"
        )
        print(lines[-1], flush=True)
    return "\n".join(
        [*lines, "", f"At most {steps} steps of 8 crops each, {SCORED} pictures scored at most."]
    )


def adapted(model: LoadedModel, teach: Sequence[RGB], tune: TunePart) -> LoadedModel:
    """The model after `srkit adapt` on whole pictures, strips of which judge."""
    with tempfile.TemporaryDirectory() as folder:
        split = split_of(examples(teach, model.info.scale), model, Path(folder), tune)
    return fit(model, split, Fit(tune, torch.device("cpu"), "auto", 0), Silent()).model
