"""Parts of an evaluation (one set and one model each), and the measurement that they share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch

import srkit
from srkit.engine.device import pick_device
from srkit.errors import SrkitError
from srkit.io.names import shown
from srkit.metrics.protocols import find_protocol
from srkit.metrics.reports import Gallery
from srkit.metrics.results import SetResult
from srkit.metrics.table import METRICS, Setup, find_metrics
from srkit.progress import Progress
from srkit.tasks.evaluate.job import EvalJob
from srkit.tasks.evaluate.plan import SetPlan
from srkit.tasks.evaluate.runners import Runner
from srkit.tasks.evaluate.sets import SetRun


@dataclass(frozen=True)
class Part:
    """A set and a model that give one result."""

    plan: SetPlan
    runner: Runner
    blank: SetResult
    """The result before any image is evaluated; all images count as failed."""
    save_to: Path | None


class Measure:
    """Device, protocol and scorers of an evaluation.

    Args:
        job: the evaluation's job.
        metrics: names, in the order of the results.
        progress: receives downloads.

    Raises:
        UsageError: the device or protocol does not exist.
        ResourceError: a metric's weights are unavailable.
    """

    def __init__(self, job: EvalJob, metrics: Sequence[str], progress: Progress) -> None:
        self._max_pixels = job.recipe.max_pixels
        self._protocol = find_protocol(job.recipe.protocol)
        self._device = pick_device(job.recipe.device)
        setup = Setup(self._device, job.weights_dir, progress)
        self._scorers = {metric.name: metric.make(setup) for metric in find_metrics(metrics)}

    def versioned(self, part: Part) -> Part:
        """The part with the versions that are needed to reproduce its numbers."""
        versions = {"srkit": srkit.__version__, "torch": torch.__version__, "device": str(self._device)}
        if part.runner.dtype is not None:
            versions["dtype"] = part.runner.dtype
        versions |= {name: s.version for name, s in self._scorers.items() if s.version is not None}
        return replace(part, blank=replace(part.blank, versions=versions))

    def run(self, part: Part, progress: Progress, gallery: Gallery | None = None) -> SetResult:
        """Evaluate a part.

        Raises:
            SrkitError: the folder for images is not writable.
        """
        if part.save_to is not None:
            try:
                part.save_to.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise SrkitError(
                    f"The folder {shown(part.save_to)} cannot be made ({error.strerror}); choose another `save_images`."
                ) from error
        scorers = {
            name: scorer
            for name, scorer in self._scorers.items()
            if METRICS[name].reference != "lr" or part.plan.has_lr
        }
        if part.runner.prepare is not None:
            part.runner.prepare(progress)
        run = SetRun(
            part.plan,
            part.runner.model,
            part.runner.label,
            self._protocol,
            scorers,
            self._device,
            self._max_pixels,
            part.save_to,
            gallery,
        )
        images, failed = run.run(progress)
        return replace(part.blank, images=tuple(images), failed=tuple(failed))
