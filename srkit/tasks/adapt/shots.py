"""Supervision by labelled examples: `srkit adapt --shots`."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from srkit.data.benchmarks import MADE
from srkit.data.examples import Example, Split, find_examples
from srkit.errors import UsageError
from srkit.io.names import shown
from srkit.losses.table import check_terms
from srkit.metrics.bootstrap import compare
from srkit.metrics.degenerate import some
from srkit.metrics.reports import Gallery, ImageKey
from srkit.progress import Progress
from srkit.recipes.adapt import AdaptRecipe
from srkit.recipes.upscale import UpscaleRecipe
from srkit.tasks.adapt.base import Supervision
from srkit.tasks.adapt.fit import Fit, Fitted, fit, split_for
from srkit.tasks.adapt.score import Scored, Scores, score
from srkit.zoo.loaded import LoadedModel


def probe_object(gains: Mapping[float, float]) -> dict[str, float | None]:
    """Gains by rate for JSON; null: the loss was not finite."""
    return {f"{rate:g}": gain if math.isfinite(gain) else None for rate, gain in gains.items()}


class Shots(Supervision[Fitted]):
    """The examples of a folder, as supervision.

    Raises:
        UsageError: a loss is unknown, or pairs do not match or are missing.
        SrkitError: there are no usable examples.
    """

    def __init__(
        self, recipe: AdaptRecipe, folder: Path, base: LoadedModel, device: torch.device, progress: Progress
    ) -> None:
        check_terms(recipe.tune.loss, "picture")
        self._recipe, self._base, self._device, self._progress = recipe, base, device, progress
        self._domain = find_examples(folder, base.info.scale, progress)
        if base.info.scale == 1 and self._domain.lr_source == MADE:
            raise UsageError(
                f"'{base.name}' keeps the size of an image, so it can only learn from pairs; put them into HR/ and LR/ "
                f"beneath {shown(folder)}."
            )
        patch, limit = recipe.tune.patch, recipe.max_pixels
        self.split: Split[Example] = split_for(self._domain, base, recipe.shots, recipe.holdout, patch, limit)

    @property
    def notes(self) -> list[str]:
        found, count, holdout = [], len(self.split.support), self._recipe.holdout
        if count < self._recipe.shots:
            are = "is 1 usable example" if count == 1 else f"are {count} usable examples"
            used = "it is" if count == 1 else "all are"
            found.append(f"There {are} where `shots` is {self._recipe.shots}; {used} used.")
        if self.split.strips:
            part = "half of it is" if count == 1 else "a strip of a quarter of each is"
            if holdout is not None:
                part = f"a strip of {holdout:.0%} of each is"
            found.append(f"There is no image left to validate on, so {part} held out of training for that.")
        return found

    def prepare(self) -> None:
        """Score the base, so that images that cannot be scored end the job before the work."""
        self._before = self._score(self._base)

    def fit(self) -> Fitted:
        recipe = self._recipe
        options = Fit(recipe.tune, self._device, recipe.dtype, recipe.seed)
        return fit(self._base, self.split, options, self._progress)

    def about(self, fitted: Fitted) -> dict[str, Any]:
        return {"rates": fitted.rates, "probe": probe_object(fitted.probe)}

    def scores(self, fitted: Fitted, written: LoadedModel) -> Scores:
        before, after = self._before, self._before if written is self._base else self._score(written)

        def gallery() -> Gallery:
            filled = Gallery(len(self.split.validation))
            for example, old, new in zip(self.split.validation, before.images, after.images, strict=True):
                result = after.result
                key = ImageKey(result.dataset, result.scale, result.model, example.name)
                filled.add(key, new, hr=example.hr, before=None if after is before else old)
            return filled

        return Scores(before.result, after.result, gallery)

    def verdict(self, fitted: Fitted, scores: Scores) -> str:
        if not fitted.adapted.kept:
            return f"Adapting did not help on {self.validated}; what was written is the base model."
        (found,) = compare(scores.after, scores.before, ["psnr"])
        left = f"; infinite and left out: {some(found.left_out)}" if found.left_out else ""
        return f"Adapting gained {found.interval.mean:+.2f} dB of PSNR on {self.validated}{left}."

    def remarks(self, fitted: Fitted) -> tuple[str, ...]:
        support = ", ".join(example.name for example in self.split.support)
        remarks = [f"Learned from {support}; {fitted.adapted.steps} steps, rates {fitted.rates}."]
        if fitted.probe:
            tried = ", ".join(f"{rate:g} {gain:+.3f} dB" for rate, gain in fitted.probe.items())
            remarks.append(f"Rates tried first, by their mean gain on the validation images: {tried}.")
        return tuple(remarks)

    def _score(self, model: LoadedModel) -> Scored:
        recipe = self._recipe
        return score(
            model,
            self.split.validation,
            UpscaleRecipe(device=recipe.device, dtype=recipe.dtype, seed=recipe.seed),
            dataset=self._domain.name,
            lr_source=self._domain.lr_source,
            support=tuple(example.name for example in self.split.support),
            progress=self._progress,
        )
