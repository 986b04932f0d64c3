"""Adapt a model to a camera or an archive from its low-resolution pictures alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from srkit.data.unlabelled import LowDomain, LowSplit, find_low
from srkit.engine.device import pick_device, pick_dtype
from srkit.errors import ResourceError
from srkit.inference.degrader import Degrader, load_degrader
from srkit.metrics.bootstrap import compare
from srkit.metrics.reports import Gallery, Report
from srkit.metrics.results import SetResult
from srkit.metrics.traces import Traces
from srkit.progress import Progress, Silent
from srkit.recipes.load import to_mapping
from srkit.recipes.self_supervised import SelfAdaptRecipe
from srkit.recipes.upscale import UpscaleRecipe
from srkit.tasks.adapt.base import base_and_output, origin, write_adapted
from srkit.tasks.adapt.loop import LoopFit, LoopFitted, fit, split_for
from srkit.tasks.adapt.unpaired_score import DEFINITIONS, Setting, fill_gallery, result_of
from srkit.training.loop_judge import Measures
from srkit.zoo.load import load_model
from srkit.zoo.loaded import LoadedModel


@dataclass(frozen=True)
class SelfAdaptJob:
    """A recipe, the pictures, and where the weights go."""

    recipe: SelfAdaptRecipe
    domain: Path
    output: Path | None = None
    """None: `FOLDER-MODEL.safetensors` in the working folder."""
    with_gallery: bool = False
    """Collect pictures for the HTML report."""
    overwrite: bool = False
    """Replace an existing output."""


@dataclass(frozen=True)
class State:
    """Of the weights as they were at the end, or of their average: means over the parts that judge."""

    reconstruction: float
    neutral: float
    far: float
    change: float
    """PSNR in dB between the base's pictures and these."""

    @classmethod
    def of(cls, found: Measures) -> State:
        means = [sum(of) / len(of) for of in (found.reconstruction, found.neutral, found.far)]
        return cls(means[0], means[1], means[2], found.change)


@dataclass(frozen=True)
class SelfAdaptResult:
    """What came of adapting. `before` and `after` are about the same pictures, which it did not learn from."""

    output: Path
    before: SetResult
    """Of the base."""
    after: SetResult
    """Of the weights that were written: where `kept` is false, the base's once more."""
    kept: bool
    """Whether adapting helped; else the base's weights were written."""
    clean: bool
    """Whether the pictures looked clean already, so that there was nothing to learn."""
    support: tuple[str, ...]
    judge: tuple[str, ...]
    strips: bool
    """Whether strips of the pictures that taught judged, which were kept out of training."""
    steps: int
    best_step: int
    """The step whose weights judged best; 0: the base's."""
    best: str
    """What was kept: `base`, `average`, `raw`, or a share of the way, as `0.35 raw`."""
    stopped: str
    """`steps`, `minutes`, `judges`, `diverged`; `clean`, before it began."""
    seconds: float
    rates: str
    far_weight: float
    """lambda of the regulariser."""
    raw: State | None
    """The weights at the end; None where nothing was learned."""
    average: State | None
    """Their moving average then."""
    spread: float
    """How far apart the degradations of the pictures are; see `srkit.training.loop_judge.spread_of`."""
    traces: Traces
    reconstructor: Mapping[str, str]
    """Its name and version, and those of the distance that the controller goes by."""
    failed: tuple[tuple[str, str], ...]
    """Pictures that could not be read, and why."""
    gallery: Gallery | None = None

    @property
    def verdict(self) -> str:
        """What came of it, in a sentence."""
        if self.clean:
            return "The pictures look clean already; what was written is the base model."
        count, what = len(self.judge), "strip" if self.strips else "picture"
        on = f"{what} that it did not learn from"
        if count > 1:
            on = f"{count} {what}s that it did not learn from"
        if not self.kept:
            return f"Adapting did not help for sure on the {on}; what was written is the base model."
        changes = []
        for metric, words in (("neutral", "reconstruction error"), ("far", "FAR")):
            old, new = (result.mean[metric] for result in (self.before, self.after))
            changes.append(f"{words} {new / old - 1:+.1%}" if old else f"{words} {new:.4f}")
        return f"Adapting helped on the {on}: {', '.join(changes)}."

    @property
    def report(self) -> Report:
        """Before and after as a report of an evaluation."""
        remarks = [self.verdict]
        if not self.clean:
            remarks.append(
                f"Learned without references from {len(self.support)} low-resolution pictures with "
                f"{self.reconstructor['reconstructor']}; {self.steps} steps, rates {self.rates}, lambda "
                f"{self.far_weight:.3g}; kept: {self.best}."
            )
        for name, state in (("Weights at the end", self.raw), ("Their moving average", self.average)):
            if state is not None:
                remarks.append(
                    f"{name}: L_rec {state.reconstruction:.4f}, alike {state.neutral:.4f}, FAR {state.far:.3f}, "
                    f"{state.change:.1f} dB from the base's pictures."
                )
        remarks.append(
            f"The embeddings of the pictures' degradations are spread by {self.spread:.2f} of their length; "
            f"{self.traces.compressed:.0%} of the pictures look compressed. {DEFINITIONS}"
        )
        if not self.kept:
            return Report((self.before,), gallery=self.gallery, title="Adaptation", remarks=tuple(remarks))
        comparisons = tuple(compare(self.after, self.before))
        return Report((self.after, self.before), (), comparisons, self.gallery, "Adaptation", tuple(remarks))


def run(job: SelfAdaptJob, progress: Progress | None = None) -> SelfAdaptResult:
    """Adapt, and write the weights: the base's, where adapting did not help for sure.

    Raises:
        UsageError: paths or settings that make no sense.
        ResourceError: a model, reconstructor or feature provider that is missing, damaged, or not the right one.
        SrkitError: no usable pictures, or weights that cannot be written.
    """
    progress = progress or Silent()
    recipe = job.recipe
    if recipe.threads is not None:
        torch.set_num_threads(recipe.threads)
    device = pick_device(recipe.device)
    base, output = base_and_output(
        recipe.model, recipe.scale, job.domain, job.output, progress, overwrite=job.overwrite
    )
    _check_task(base)
    pick_dtype(recipe.dtype, device, base.info)
    domain = find_low(job.domain, base.info.scale, progress)
    options = LoopFit(recipe.loop, device, recipe.dtype, recipe.seed)
    degrader = load_degrader(recipe.reconstructor, base.info.scale, device, options.autocast(), progress)
    split = split_for(domain, base, degrader, recipe.holdout, recipe.max_pixels)
    _tell(split, progress)
    torch.manual_seed(recipe.seed)
    fitted = fit(base, degrader, split, options, progress)
    _tell_of(fitted, progress)
    about = _about(job, base, degrader, fitted, split)
    write_adapted(output, base, fitted.model.network, fitted.adapted, about)
    return _result(job, output, domain, base, degrader, fitted, split)


def _check_task(base: LoadedModel) -> None:
    if base.info.scale == 1:
        raise ResourceError(
            f"'{base.name}' keeps the size of a picture, and self-supervised adaptation is for networks that enlarge; "
            "choose another model."
        )


def _tell(split: LowSplit, progress: Progress) -> None:
    for name, error in split.failed:
        progress.warn(f"'{name}' is left out: {error}")
    if split.failed:
        count = len(split.failed)
        progress.warn(f"{count} {'picture' if count == 1 else 'pictures'} could not be read.")
    for sentence in split.left_out:
        progress.warn(sentence)
    if split.strips:
        progress.warn(
            "There are few pictures, so a strip of each is kept out of training and judges."
            if len(split.teach) > 1
            else "There is one picture only, so a part of it is kept out of training and judges."
        )


def _tell_of(fitted: LoopFitted, progress: Progress) -> None:
    if fitted.adapted.stopped == "diverged":
        progress.warn("The loss was no longer a number, so adapting ended; the last good state counts.")
    words = f"The embeddings of the pictures' degradations are spread by {fitted.spread:.2f} of their length"
    if fitted.traces.mixed:
        share = fitted.traces.compressed
        progress.warn(
            f"{words}, and {share:.0%} of the pictures show the blocks of compression, the others none, so they are of "
            "several kinds; folders of one kind each give more."
        )
    else:
        progress.info(f"{words}.")


def _about(
    job: SelfAdaptJob, base: LoadedModel, degrader: Degrader, fitted: LoopFitted, split: LowSplit
) -> dict[str, Any]:
    """What the file says of where its weights come from."""
    return {
        **origin(base, job.domain, fitted.adapted, to_mapping(job.recipe), job.recipe.sha256),
        "self_supervised": True,
        "support": [low.name for low in split.teach],
        "judge": [low.name for low in split.judge],
        "strips": split.strips,
        "best": fitted.best_words,
        "far_weight": fitted.far_weight,
        "providers": degrader.header,
    }


def _result(
    job: SelfAdaptJob,
    output: Path,
    domain: LowDomain,
    base: LoadedModel,
    degrader: Degrader,
    fitted: LoopFitted,
    split: LowSplit,
) -> SelfAdaptResult:
    adapted, recipe = fitted.adapted, job.recipe
    how = UpscaleRecipe(device=recipe.device, dtype=recipe.dtype, seed=recipe.seed)
    setting = Setting(
        domain.name, domain.source, tuple(low.name for low in split.teach), degrader.header, how
    )
    before = result_of(base, fitted.parts, fitted.base, setting)
    after, written = before, base
    if adapted.kept:
        written = load_model(output)
        after = result_of(written, fitted.parts, fitted.best, setting)
    gallery = None
    if job.with_gallery:
        gallery = Gallery(len(fitted.parts))
        fill_gallery(gallery, after, fitted.parts, base, written, how)
    learned = adapted.judged and not fitted.clean
    return SelfAdaptResult(
        output=output,
        before=before,
        after=after,
        kept=adapted.kept,
        clean=fitted.clean,
        support=tuple(low.name for low in split.teach),
        judge=tuple(low.name for low in split.judge),
        strips=split.strips,
        steps=adapted.steps,
        best_step=adapted.best_step,
        best=fitted.best_words,
        stopped="clean" if fitted.clean else adapted.stopped,
        seconds=adapted.seconds,
        rates=fitted.rates,
        far_weight=fitted.far_weight,
        raw=State.of(fitted.raw) if learned else None,
        average=State.of(fitted.average) if learned else None,
        spread=fitted.spread,
        traces=fitted.traces,
        reconstructor=degrader.header,
        failed=split.failed,
        gallery=gallery,
    )
