"""Adapt a model to a domain, validated on images that it does not learn from."""

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
    """A recipe, the folder of images, and where the weights go."""

    recipe: AdaptRecipe | SelfAdaptRecipe
    """The recipe for HR examples, or for low-resolution images alone."""
    domain: Path
    output: Path | None = None
    """None: `FOLDER-MODEL.safetensors` in the working folder."""
    with_gallery: bool = False
    """Collect images for the HTML report."""
    overwrite: bool = False
    """Replace an existing output."""


@dataclass(frozen=True)
class AdaptResult:
    """What came of adapting. `before` and `after` are about the same images, which it did not learn from."""

    output: Path
    before: SetResult
    """Scores of the base."""
    after: SetResult
    """Scores of the written weights; the base's where `kept` is false."""
    kept: bool
    """Whether what was learned was written; else the base's weights were."""
    support: tuple[str, ...]
    judge: tuple[str, ...]
    strips: bool
    """Whether strips of the support images were held out to validate on."""
    steps: int
    best_step: int
    """The step whose weights were best; 0: the base's."""
    stopped: str
    """`steps`, `minutes`, `judges`, `diverged`; `clean`, before it began."""
    seconds: float
    rates: str
    """`learned (sgd)`, or the uniform rate."""
    probe: dict[str, float | None]
    """Mean gain in dB of each rate that was tried first (None: the loss was no number); empty: none was."""
    failed: tuple[tuple[str, str], ...]
    """Images that could not be read, and why."""
    verdict: str
    """What came of it, in a sentence."""
    remarks: tuple[str, ...]
    """What a report says beside it."""
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
    """Adapt, and write the weights: the base's, where adapting did not help.

    Raises:
        UsageError: paths or settings that make no sense, or pairs that do not match.
        ResourceError: a model, reconstructor or feature provider that is missing, damaged, or not the right one.
        SrkitError: no usable images, or weights that cannot be written.
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
    by = Paired if recipe.method == "pairs" else Unpaired
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
