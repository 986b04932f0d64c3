"""Evaluation of models on data sets, or of finished images."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

import torch

from srkit.data.benchmarks import Benchmark, find_dataset, folder_dataset, listed
from srkit.data.download import HUB_SETS, download_dataset
from srkit.errors import ResourceError, UsageError
from srkit.inference.chain import DEFAULT_SCALE
from srkit.inference.upscaler import Upscaler
from srkit.io.names import shown
from srkit.io.remote import Remote
from srkit.metrics.baseline import Baseline, read_baseline, write_baseline
from srkit.metrics.bootstrap import compare
from srkit.metrics.gates import check_baseline, judge, needs_baseline, parse_gate
from srkit.metrics.protocols import find_protocol
from srkit.metrics.reports import Gallery, Report
from srkit.metrics.results import FailedImage, SetResult
from srkit.metrics.table import LR_CONSISTENCY, find_metrics
from srkit.progress import Progress, Silent
from srkit.tasks.cluster import Cluster
from srkit.tasks.evaluate.job import BICUBIC, EvalJob, check_form, check_references
from srkit.tasks.evaluate.merge import merge
from srkit.tasks.evaluate.parts import Measure, Part
from srkit.tasks.evaluate.plan import SetPlan, plan_alone, plan_dataset, plan_finished
from srkit.tasks.evaluate.rows import run_parts
from srkit.tasks.evaluate.runners import Runner, bicubic_runner, few_shot_runner, network_runner, upscaler_for
from srkit.tasks.evaluate.sets import FromFiles
from srkit.tasks.evaluate.shots import Shots, take_shots
from srkit.tasks.prompts import controlled, label_of, prompts_of, warn_of_prompts

__all__ = ["BICUBIC", "EvalJob", "Evaluation", "evaluate"]


class Evaluation:
    """An evaluation whose inputs are checked at construction; `run` does the work.

    Args:
        job: the evaluation's job.
        progress: receives downloads and finished images.

    Raises:
        UsageError: invalid combinations, names, sizes, gates or baseline.
        ResourceError: a model, a set or a metric's weights are unavailable.
        SrkitError: folders have no images.
    """

    def __init__(self, job: EvalJob, progress: Progress | None = None) -> None:
        self._asked = self.job = job
        self._progress = progress or Silent()
        check_form(job)
        recipe = job.recipe
        self._cluster = None
        if job.engine.name == "ray":
            self._cluster = Cluster(job.engine, recipe.device, recipe.threads)
            recipe = replace(recipe, device="cpu", dtype="auto")  # the driver needs no GPU
            self.job = job = replace(job, recipe=recipe)
        if recipe.threads is not None:
            torch.set_num_threads(recipe.threads)
        self.protocol = find_protocol(recipe.protocol)
        self._merged = merge(job.merge, self._progress) if job.merge else ()
        if job.merge:
            self._parts, self.gallery = [], None
            metrics = (metric for result in self._merged for metric in result.metrics)
            self._gates = tuple(parse_gate(text, dict.fromkeys(metrics)) for text in job.gates)
            self._baseline = self._read_baseline()
            return
        asked = find_metrics(recipe.metrics)
        check_references(asked, job)
        self._parts = self._plan()
        has_lr = any(part.plan.has_lr for part in self._parts)
        self._names = names = [*(m.name for m in asked), *([LR_CONSISTENCY] if has_lr else [])]
        self._gates = tuple(parse_gate(text, dict.fromkeys(names)) for text in job.gates)
        self._baseline = self._read_baseline()
        self._measure = Measure(job, names, self._progress)
        self._parts = [self._measure.versioned(part) for part in self._parts]
        images = sum(len(part.plan.entries) for part in self._parts)
        self.gallery = Gallery(images) if job.with_gallery and self._cluster is None else None

    def run(self) -> tuple[SetResult, ...]:
        """Evaluate every set with every model; failed images are in the results, and the others are still processed.

        Raises:
            SrkitError: the folder for images is not writable, or Ray fails.
        """
        if self._cluster is not None:
            return run_parts(self._cluster, self._asked, self._names, self._parts, self._progress)
        return self._merged or tuple(
            self._measure.run(part, self._progress, self.gallery) for part in self._parts
        )

    def judge(self, results: tuple[SetResult, ...]) -> Report:
        """Compare the results with gates and baseline, and models with one another.

        Raises:
            UsageError: the baseline is of other images or lacks a gate's metric.
            SrkitError: the baseline cannot be made from these results, or not be written.
        """
        baseline = self._baseline
        if self.job.update_baseline and self.job.baseline is not None:
            baseline = write_baseline(self.job.baseline, results)
        verdicts = judge(self._gates, results, baseline)
        comparisons = [
            c for first, *others in _by_set(results) for other in others for c in compare(first, other)
        ]
        if baseline is not None and not self.job.update_baseline:
            comparisons += [c for result in results for c in compare(result, baseline.match(result))]
        return Report(results, tuple(verdicts), tuple(comparisons), self.gallery)

    # -- before the work ----------------------------------------------------------------------------------

    def _plan(self) -> list[Part]:
        job, recipe = self.job, self.job.recipe
        if job.sr is not None:
            plan = self._finished(job.sr)
            return [self._part(plan, Runner(job.sr.resolve().name, None, FromFiles()))]
        parts = []
        reported: set[str] = set()
        taken: dict[SetPlan, Shots] = {}
        for name in recipe.models:
            upscaler = None
            if name != BICUBIC:
                upscaler = upscaler_for(recipe, name, self._progress, prompted=job.prompts is not None)
            scale = recipe.scale or (upscaler.models.own_scale if upscaler else DEFAULT_SCALE)
            runner = bicubic_runner() if upscaler is None else network_runner(upscaler, scale)
            if runner.note:
                self._progress.warn(runner.note)
            for dataset in job.datasets:
                benchmark = self._dataset(dataset)
                listening = Silent() if dataset in reported else self._progress  # same for each model
                reported.add(dataset)
                plan = plan_dataset(benchmark, scale, self.protocol, recipe.max_pixels, listening)
                if upscaler is not None and job.prompts is not None:
                    parts += self._prompted(plan, runner, upscaler, job.prompts, listening)
                    continue
                if upscaler is None or not recipe.shots:
                    parts.append(self._part(plan, runner))
                    continue
                if plan not in taken:
                    taken[plan] = take_shots(plan, recipe.shots, recipe.max_pixels, self._progress)
                shots = taken[plan]
                # First, so that it is compared with the model that it was adapted from.
                parts.append(
                    self._part(shots.plan, few_shot_runner(runner, upscaler, shots, recipe), shots.names)
                )
                parts.append(self._part(shots.plan, runner, shots.names))
        _check_images(parts)
        return parts

    def _prompted(
        self, plan: SetPlan, runner: Runner, upscaler: Upscaler, source: Path, progress: Progress
    ) -> list[Part]:
        """The set and a model that is conditioned on text, once per prompt control."""
        names = {entry.hr: entry.name for entry in plan.entries if isinstance(entry.hr, Path)}
        own = prompts_of(list(names), "", source, progress)
        parts = []
        for control in self.job.recipe.prompt_controls:
            prompts = {names[hr]: text for hr, text in controlled(own, list(names), control).items()}
            warn_of_prompts(upscaler, prompts.values(), progress)
            label = f"{runner.label} {label_of(control)}"
            entries = tuple(replace(one, prompt=prompts.get(one.name, "")) for one in plan.entries)
            part = self._part(replace(plan, entries=entries), replace(runner, label=label))
            parts.append(replace(part, blank=replace(part.blank, prompts=prompts)))
        return parts

    def _dataset(self, name: str) -> Benchmark:
        try:
            return find_dataset(name, self.job.data_root)
        except ResourceError:
            if name not in HUB_SETS:
                raise
            if self.job.data_root is not None:
                self._progress.say(f"{name} is not in {shown(self.job.data_root)}; taking it from the cache")
            return download_dataset(name, self._progress)

    def _finished(self, sr: Path | Remote) -> SetPlan:
        job, recipe = self.job, self.job.recipe
        if job.hr is None or recipe.scale is None:
            return plan_alone(sr, recipe.max_pixels, self._progress)
        return plan_finished(
            sr,
            folder_dataset(job.hr),
            recipe.scale,
            self.protocol,
            recipe.max_pixels,
            pattern=job.pattern,
            allow_crop=job.allow_crop,
            progress=self._progress,
        )

    def _part(self, plan: SetPlan, runner: Runner, support: tuple[str, ...] = ()) -> Part:
        if self.job.shard is not None:
            plan = plan.shard(self.job.shard)
        blank = SetResult(
            dataset=plan.dataset,
            scale=plan.scale,
            model=runner.label,
            model_sha256=runner.sha256,
            protocol=self.protocol.name,
            lr_source=plan.lr_source,
            images=(),
            failed=tuple(FailedImage(entry.name, entry.error or "") for entry in plan.entries),
            support=support,
            names=plan.names,
        )
        folder = self.job.save_images
        if folder is not None:
            recipe = self.job.recipe
            several = len(recipe.models) > 1 or recipe.shots > 0 or self.job.prompts is not None
            folder = folder / runner.label / plan.dataset if several else folder / plan.dataset
        return Part(plan, runner, blank, folder)

    def _read_baseline(self) -> Baseline | None:
        """The baseline, checked to be comparable with this run."""
        job = self.job
        if job.update_baseline:
            if job.baseline is None:
                raise UsageError("`update_baseline` needs a file to write; add `baseline` FILE.")
            return None
        baseline = None if job.baseline is None else read_baseline(job.baseline)
        needs_baseline(self._gates, baseline)
        if baseline is not None:
            for result in self._merged or [part.blank for part in self._parts]:
                baseline.match(result)
                check_baseline(self._gates, baseline.entry(result))
        return baseline


def evaluate(job: EvalJob, progress: Progress | None = None) -> Report:
    """Check, evaluate and compare: see `Evaluation`, with which a caller can keep the results if `judge` raises."""
    evaluation = Evaluation(job, progress)
    return evaluation.judge(evaluation.run())


def _check_images(parts: Sequence[Part]) -> None:
    names = [(part.runner.label, part.plan.dataset) for part in parts]
    if len(set(names)) < len(names):
        raise UsageError("Two of the models are the same, or have files of one name; name each once.")
    for part in parts:
        if part.save_to is None:
            continue
        targets = [part.save_to / f"{entry.name}.png" for entry in part.plan.entries]
        if existing := [path.name for path in targets if path.exists()]:
            raise UsageError(
                f"{listed(existing)} exist already in {shown(part.save_to)}; give another `save_images` or remove them."
            )


def _by_set(results: Iterable[SetResult]) -> list[list[SetResult]]:
    """Results on the same images, in the order of the models."""
    groups: dict[tuple[str, int | None], list[SetResult]] = {}
    for result in results:
        groups.setdefault((result.dataset, result.scale), []).append(result)
    return list(groups.values())
