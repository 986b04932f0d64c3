"""Adapt a model to a domain from a few examples, judged by pictures that it does not learn from."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from srkit.data.benchmarks import MADE
from srkit.data.examples import Domain, Split, find_examples
from srkit.engine.device import pick_device, pick_dtype
from srkit.errors import UsageError
from srkit.io.names import shown
from srkit.losses.table import check_terms
from srkit.metrics.bootstrap import compare
from srkit.metrics.degenerate import some
from srkit.metrics.reports import Gallery, PictureKey, Report
from srkit.metrics.results import SetResult
from srkit.progress import Progress, Silent
from srkit.recipes.adapt import AdaptRecipe
from srkit.recipes.load import to_mapping
from srkit.recipes.upscale import UpscaleRecipe
from srkit.tasks.adapt.base import base_and_output, origin, write_adapted
from srkit.tasks.adapt.fit import Fit, Fitted, fit, split_for
from srkit.tasks.adapt.score import Scored, score
from srkit.training.adapt import Adapted, Stop
from srkit.zoo.load import load_model
from srkit.zoo.loaded import LoadedModel


@dataclass(frozen=True)
class AdaptJob:
    """A recipe, the examples, and where the weights go."""

    recipe: AdaptRecipe
    domain: Path
    output: Path | None = None
    """None: `FOLDER-MODEL.safetensors` in the working folder."""
    with_gallery: bool = False
    """Collect pictures for the HTML report."""
    overwrite: bool = False
    """Replace an existing output."""


@dataclass(frozen=True)
class AdaptResult:
    """What came of adapting. `before` and `after` are about the same pictures, which it did not learn from."""

    output: Path
    before: SetResult
    """Of the base."""
    after: SetResult
    """Of the weights that were written: where `kept` is false, the base's once more."""
    kept: bool
    """Whether adapting helped; else the base's weights were written."""
    support: tuple[str, ...]
    judge: tuple[str, ...]
    strips: bool
    """Whether strips of the support pictures judged, which were kept out of training."""
    steps: int
    best_step: int
    """The step whose weights judged best; 0: the base's."""
    best_gain: float
    """Mean gain of these in dB, as it was judged on the way (middles of pictures); 0 where nothing was better."""
    stopped: Stop
    seconds: float
    rates: str
    """`learned (sgd)`, or the uniform rate."""
    failed: tuple[tuple[str, str], ...]
    """Examples that could not be read, and why."""
    gallery: Gallery | None = None

    @property
    def verdict(self) -> str:
        """What came of it, in a sentence."""
        count, what = len(self.judge), "strip" if self.strips else "picture"
        on = (
            f"{what} that it did not learn from"
            if count == 1
            else f"{count} {what}s that it did not learn from"
        )
        if not self.kept:
            return f"Adapting did not help on the {on}; what was written is the base model."
        (found,) = compare(self.after, self.before, ["psnr"])
        left = f"; infinite and left out: {some(found.left_out)}" if found.left_out else ""
        return f"Adapting gained {found.interval.mean:+.2f} dB of PSNR on the {on}{left}."

    @property
    def report(self) -> Report:
        """Before and after as a report of an evaluation."""
        remarks = (
            self.verdict,
            f"Learned from {', '.join(self.support)}; {self.steps} steps, rates {self.rates}.",
        )
        if not self.kept:
            return Report((self.before,), gallery=self.gallery, title="Adaptation", remarks=remarks)
        comparisons = tuple(compare(self.after, self.before))
        return Report((self.after, self.before), (), comparisons, self.gallery, "Adaptation", remarks)


def run(job: AdaptJob, progress: Progress | None = None) -> AdaptResult:
    """Adapt, and write the weights: the base's, where adapting did not help.

    Raises:
        UsageError: paths or settings that make no sense, or pairs that do not match.
        ResourceError: a model or a feature provider that is missing, damaged, or not the model's own.
        SrkitError: no usable examples, or weights that cannot be written.
    """
    progress = progress or Silent()
    recipe = job.recipe
    check_terms(recipe.tune.loss, "picture")
    if recipe.threads is not None:
        torch.set_num_threads(recipe.threads)
    device = pick_device(recipe.device)
    base, output = base_and_output(
        recipe.model, recipe.scale, job.domain, job.output, progress, overwrite=job.overwrite
    )
    pick_dtype(recipe.dtype, device, base.info)
    domain = _domain(job.domain, base, progress)
    split = split_for(domain, base, recipe.shots, recipe.holdout, recipe.tune.patch, recipe.max_pixels)
    _tell(split, recipe, progress)
    scorer = _Scorer(recipe, domain, split, progress)
    before = scorer(base)
    torch.manual_seed(recipe.seed)
    fitted = fit(base, split, Fit(recipe.tune, device, recipe.dtype, recipe.seed), progress)
    if fitted.adapted.stopped == "diverged":
        progress.warn("The loss was no longer a number, so adapting ended; the last good state counts.")
    about = _about(job, base, fitted.adapted, split)
    write_adapted(output, base, fitted.model.network, fitted.adapted, about)
    after = scorer(load_model(output)) if fitted.adapted.kept else before
    return _result(job, output, fitted, split, before, after)


def _domain(folder: Path, base: LoadedModel, progress: Progress) -> Domain:
    domain = find_examples(folder, base.info.scale, progress)
    if base.info.scale == 1 and domain.lr_source == MADE:
        raise UsageError(
            f"'{base.name}' keeps the size of a picture, so it can only learn from pairs; put them into HR/ and LR/ "
            f"beneath {shown(folder)}."
        )
    return domain


def _tell(split: Split, recipe: AdaptRecipe, progress: Progress) -> None:
    for name, error in split.failed:
        progress.warn(f"'{name}' is left out: {error}")
    for sentence in split.left_out:
        progress.warn(sentence)
    if len(split.support) < recipe.shots:
        count = len(split.support)
        are = "is 1 usable example" if count == 1 else f"are {count} usable examples"
        progress.warn(
            f"There {are} where --shots is {recipe.shots}; {'it is' if count == 1 else 'all are'} used."
        )
    if split.strips:
        part = "half of it is" if len(split.support) == 1 else "a strip of a quarter of each is"
        if recipe.holdout is not None:
            part = f"a strip of {recipe.holdout:.0%} of each is"
        progress.warn(f"There is no picture left to judge by, so {part} kept out of training and judges.")


@dataclass(frozen=True)
class _Scorer:
    recipe: AdaptRecipe
    domain: Domain
    split: Split
    progress: Progress

    def __call__(self, model: LoadedModel) -> Scored:
        recipe = self.recipe
        return score(
            model,
            self.split.judge,
            UpscaleRecipe(device=recipe.device, dtype=recipe.dtype, seed=recipe.seed),
            dataset=self.domain.name,
            lr_source=self.domain.lr_source,
            support=tuple(example.name for example in self.split.support),
            progress=self.progress,
        )


def _about(job: AdaptJob, base: LoadedModel, adapted: Adapted, split: Split) -> dict[str, Any]:
    """What the file says of where its weights come from."""
    return {
        **origin(base, job.domain, adapted, to_mapping(job.recipe), job.recipe.sha256),
        "support": [example.name for example in split.support],
        "judge": [example.name for example in split.judge],
        "strips": split.strips,
    }


def _result(
    job: AdaptJob, output: Path, fitted: Fitted, split: Split, before: Scored, after: Scored
) -> AdaptResult:
    adapted = fitted.adapted
    means = [sum(scores) / len(scores) for scores in (adapted.best, adapted.before)]
    return AdaptResult(
        output=output,
        before=before.result,
        after=after.result,
        kept=adapted.kept,
        support=tuple(example.name for example in split.support),
        judge=tuple(example.name for example in split.judge),
        strips=split.strips,
        steps=adapted.steps,
        best_step=adapted.best_step,
        best_gain=means[0] - means[1],
        stopped=adapted.stopped,
        seconds=adapted.seconds,
        rates=fitted.rates,
        failed=split.failed,
        gallery=_gallery(split, before, after) if job.with_gallery else None,
    )


def _gallery(split: Split, before: Scored, after: Scored) -> Gallery:
    gallery = Gallery(len(split.judge))
    for example, old, new in zip(split.judge, before.pictures, after.pictures, strict=True):
        result = after.result
        key = PictureKey(result.dataset, result.scale, result.model, example.name)
        gallery.add(key, new, hr=example.hr, before=None if after is before else old)
    return gallery
