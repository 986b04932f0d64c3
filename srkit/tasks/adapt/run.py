"""Adaptation of a model to a domain, with validation on images that are not trained on."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch

from srkit.engine.device import pick_device, pick_dtype
from srkit.metrics.bootstrap import compare
from srkit.metrics.reports import Gallery, Report
from srkit.metrics.results import SetResult
from srkit.progress import Progress, Silent
from srkit.recipes.adapt import AdaptRecipe
from srkit.recipes.load import to_mapping
from srkit.recipes.self_supervised import SelfAdaptRecipe
from srkit.tasks.adapt.base import F, Supervision, base_and_output, origin, write_adapted
from srkit.tasks.adapt.loop import Findings
from srkit.tasks.adapt.pairs import Paired
from srkit.tasks.adapt.shots import Shots, probe_object
from srkit.tasks.adapt.unpaired import Unpaired
from srkit.zoo.load import load_model
from srkit.zoo.loaded import LoadedModel


@dataclass(frozen=True)
class AdaptJob:
    """Recipe, folder of images, and output of an adaptation."""

    recipe: AdaptRecipe | SelfAdaptRecipe
    """Recipe for HR examples, or for low-resolution images alone."""
    domain: Path
    output: Path | None = None
    """Output file; None: `FOLDER-MODEL.safetensors` in the working folder."""
    with_gallery: bool = False
    """Collect images for the HTML report."""
    overwrite: bool = False
    """Replace an existing output."""


@dataclass(frozen=True)
class AdaptResult:
    """Result of an adaptation. `before` and `after` are of the same images, which are not trained on."""

    output: Path
    before: SetResult
    """Scores of the base."""
    after: SetResult
    """Scores of the written weights; the base's if `kept` is false."""
    kept: bool
    """True if adapted weights were written; False: the base's weights were written."""
    support: tuple[str, ...]
    judge: tuple[str, ...]
    strips: bool
    """True if validation used strips of the support images."""
    steps: int
    best_step: int
    """Step of the best weights; 0: the base's."""
    stopped: str
    """Reason of the end: `steps`, `minutes`, `judges`, `diverged`; `clean` without training."""
    seconds: float
    rates: str
    """Description of the rates: `learned (sgd)`, or the uniform rate."""
    probe: dict[str, float | None]
    """Mean gain in dB of each rate that was tried first (None: the loss was not finite); empty without trials."""
    failed: tuple[tuple[str, str], ...]
    """Images that could not be read, with reasons."""
    verdict: str
    """Outcome in one sentence."""
    remarks: tuple[str, ...]
    """Remarks for the report."""
    loop: Findings | None = None
    """Findings of self-supervised adaptation."""
    gallery: Gallery | None = None

    @property
    def report(self) -> Report:
        """Before and after as a report of an evaluation."""
        remarks = (self.verdict, *self.remarks)
        if not self.kept:
            return Report((self.before,), gallery=self.gallery, title="Adaptation", remarks=remarks)
        comparisons = tuple(compare(self.after, self.before))
        return Report((self.after, self.before), (), comparisons, self.gallery, "Adaptation", remarks)


def run(job: AdaptJob, progress: Progress | None = None) -> AdaptResult:
    """Adapt, and write the weights: the base's, if adaptation did not help.

    Raises:
        UsageError: paths or settings are invalid, or pairs do not match.
        ResourceError: a model, reconstructor or feature provider is missing, damaged, or unsuitable.
        SrkitError: there are no usable images, or the weights cannot be written.
    """
    progress, recipe = progress or Silent(), job.recipe
    if recipe.threads is not None:
        torch.set_num_threads(recipe.threads)
    device = pick_device(recipe.device)
    base, output = base_and_output(
        recipe.model, recipe.scale, job.domain, job.output, progress, overwrite=job.overwrite
    )
    pick_dtype(recipe.dtype, device, base.info)
    if isinstance(recipe, AdaptRecipe):
        return _adapted(job, base, output, Shots(recipe, job.domain, base, device, progress), progress)
    by = Paired if recipe.by_pairs else Unpaired
    return _adapted(job, base, output, by(recipe, job.domain, base, device, progress), progress)


def _adapted(
    job: AdaptJob, base: LoadedModel, output: Path, supervision: Supervision[F], progress: Progress
) -> AdaptResult:
    recipe, split = job.recipe, supervision.split
    for name, error in split.failed:
        progress.warn(f"'{name}' is left out: {error}")
    for sentence in (*split.left_out, *supervision.notes):
        progress.warn(sentence)
    supervision.prepare()
    torch.manual_seed(recipe.seed)
    fitted = supervision.fit()
    adapted, findings = fitted.adapted, supervision.findings(fitted)
    if adapted.stopped == "diverged":
        progress.warn("The loss was no longer a number, so adapting ended; the last good state counts.")
    support, judge = (tuple(one.name for one in images) for images in (split.support, split.validation))
    about = {
        **origin(base, job.domain, adapted, to_mapping(recipe), recipe.sha256),
        "support": list(support),
        "judge": list(judge),
        "strips": split.strips,
        **supervision.about(fitted),
    }
    write_adapted(output, base, fitted.model.network, adapted, about)
    scores = supervision.scores(fitted, load_model(output) if adapted.kept else base)
    return AdaptResult(
        output=output,
        before=scores.before,
        after=scores.after,
        kept=adapted.kept,
        support=support,
        judge=judge,
        strips=split.strips,
        steps=adapted.steps,
        best_step=adapted.best_step,
        stopped="clean" if findings is not None and findings.clean else adapted.stopped,
        seconds=adapted.seconds,
        rates=fitted.rates,
        probe=probe_object(fitted.probe),
        failed=split.failed,
        verdict=supervision.verdict(fitted, scores),
        remarks=supervision.remarks(fitted),
        loop=findings,
        gallery=scores.gallery() if job.with_gallery else None,
    )
