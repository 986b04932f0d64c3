"""Evaluation in many processes by Ray: names of images in, records as of `srkit eval --jsonl` out."""

from __future__ import annotations

import itertools
import os
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch

from srkit.errors import SrkitError
from srkit.io.remote import place_of
from srkit.metrics.reports import Report
from srkit.metrics.reports.jsonl import PLACE, records
from srkit.metrics.results import FailedImage, SetResult
from srkit.progress import Progress, Silent
from srkit.tasks.cluster import Cluster
from srkit.tasks.evaluate.job import EvalJob
from srkit.tasks.evaluate.merge import Merger
from srkit.tasks.evaluate.parts import Measure, Part
from srkit.tasks.evaluate.plan import Entry
from srkit.tasks.evaluate.runners import Runner, network_runner, upscaler_for
from srkit.tasks.evaluate.sets import FromFiles, Network


def run_parts(
    cluster: Cluster, job: EvalJob, metrics: Sequence[str], parts: Sequence[Part], progress: Progress
) -> tuple[SetResult, ...]:
    """Evaluate all parts; equal to the results of one process, to the last digit.

    Args:
        job: the original job; the workers' device and threads are the cluster's.
        metrics: names, in the order of the results.

    Raises:
        SrkitError: no worker can be set up, or the folder for images is not writable.
    """
    job = replace(job, recipe=replace(job.recipe, **cluster.settings))
    rows = [
        {"part": number, "index": index, "entry": _values(entry)}
        for number, part in enumerate(parts)
        for index, entry in enumerate(part.plan.entries)
    ]
    merger = Merger()
    progress.start("evaluating", len(rows))
    try:
        for value in cluster.run(EvalWorker, (job, tuple(metrics), [_bare(part) for part in parts]), rows):
            if value["fatal"]:
                raise SrkitError(value["fatal"])
            for warning in value["warnings"]:
                progress.warn(warning)
            count = len(parts[value["part"]].plan.entries)
            place = {"part": value["part"], "index": value["index"], "count": count}
            merger.take({**value["record"], PLACE: value["record"][PLACE] | place})
            progress.advance()
    finally:
        progress.finish()
    merged = merger.results(progress)
    return tuple(
        replace(merged[number], names=part.blank.names, prompts=part.blank.prompts)
        if number in merged
        else part.blank
        for number, part in enumerate(parts)
    )


class EvalWorker:
    """Worker that loads the networks and metrics once and measures the rows that it is given, as `srkit eval` does.

    Args:
        job: the evaluation's job.
        metrics: names.
        parts: parts without images, each with the name of its model if that is a network.

    Raises:
        As `Measure` and `network_runner`.
    """

    def __init__(
        self, job: EvalJob, metrics: Sequence[str], parts: Sequence[tuple[Part, str | None]]
    ) -> None:
        if job.recipe.threads is not None:
            torch.set_num_threads(job.recipe.threads)
        self._measure = Measure(job, metrics, Silent())
        loaded: dict[tuple[str, int | None], Runner] = {}
        self._parts = []
        for part, model in parts:
            if model is not None:
                if (key := (model, part.plan.scale)) not in loaded:
                    upscaler = upscaler_for(job.recipe, model, Silent(), prompted=job.prompts is not None)
                    loaded[key] = network_runner(upscaler, part.plan.scale or upscaler.models.own_scale)
                part = replace(part, runner=replace(loaded[key], label=part.runner.label))
            self._parts.append(self._measure.versioned(part))

    def run(self, rows: Sequence[Any]) -> list[dict[str, Any]]:
        """Record of each row; the first also has the warnings of its block."""
        made: list[dict[str, Any]] = []
        for number, group in itertools.groupby(rows, key=lambda row: row["part"]):
            made += self._run(self._parts[number], list(group))
        return made

    def _run(self, part: Part, rows: list[Any]) -> list[dict[str, Any]]:
        entries = tuple(map(_entry, (row["entry"] for row in rows)))
        collected, fatal, by_name = _WarningCollector(), "", dict[str, Any]()
        try:
            result = self._measure.run(replace(part, plan=replace(part.plan, entries=entries)), collected)
            by_name = {record["name"]: record for record in records(Report((result,)))}
        except SrkitError as error:  # of the folder for images, which affects the next image too
            fatal = str(error)
        return [
            _value(row, by_name.get(row["entry"]["name"]), [] if number else collected.warnings, fatal)
            for number, row in enumerate(rows)
        ]

    @staticmethod
    def failed(row: Any, reason: str, arguments: tuple[Any, ...]) -> dict[str, Any]:
        """Record of a row on which workers die."""
        part: Part = arguments[2][row["part"]][0]
        result = replace(part.blank, failed=(FailedImage(row["entry"]["name"], reason),))
        return _value(row, next(records(Report((result,)))), [], "")


class _WarningCollector(Silent):
    """Progress that collects warnings."""

    def __init__(self) -> None:
        self.warnings: list[str] = []

    def warn(self, message: str) -> None:
        self.warnings.append(message)


def _value(row: Any, record: Any, warnings: list[str], fatal: str) -> dict[str, Any]:
    return {
        "part": row["part"],
        "index": row["index"],
        "record": record,
        "warnings": warnings,
        "fatal": fatal,
    }


def _bare(part: Part) -> tuple[Part, str | None]:
    """A part without images and network, for transfer, and the network's name."""
    runner, name = part.runner, None
    if isinstance(runner.model, Network):
        name = runner.model.upscaler.recipe.model
        runner = replace(runner, model=FromFiles())
    plan = replace(part.plan, entries=(), names=())
    blank = replace(part.blank, failed=(), names=(), prompts={})
    return replace(part, plan=plan, blank=blank, runner=runner), name


def _values(entry: Entry) -> dict[str, Any]:
    return {
        name: os.fspath(value) if isinstance(value, os.PathLike) else value
        for name, value in vars(entry).items()
    }


def _entry(values: dict[str, Any]) -> Entry:
    paths = {name: None if values[name] is None else place_of(values[name]) for name in ("hr", "lr", "sr")}
    return Entry(**{**values, **paths, "size": tuple(values["size"])})
