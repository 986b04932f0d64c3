"""Supervision by low-resolution images alone: `srkit adapt --self-supervised`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from srkit.data.examples import Split
from srkit.data.unlabelled import Part, UnpairedImage, find_unpaired
from srkit.engine.resample import resample
from srkit.errors import ResourceError, UsageError
from srkit.inference.chain import Models
from srkit.inference.degrader import load_degrader
from srkit.inference.upscaler import Upscaler
from srkit.metrics.reports import Gallery, ImageKey
from srkit.metrics.results import ImageResult, SetResult
from srkit.ops.layout import RGB
from srkit.progress import Progress
from srkit.recipes.self_supervised import SelfAdaptRecipe
from srkit.recipes.upscale import UpscaleRecipe
from srkit.tasks.adapt.base import Supervision
from srkit.tasks.adapt.loop import Findings, LoopFit, LoopFitted, fit, min_side, split_for
from srkit.tasks.adapt.score import Naming, Scores, upscaled
from srkit.training.loop_validator import Measures
from srkit.zoo.loaded import LoadedModel

PROTOCOL = "none"
DEFINITIONS = (
    "L_rec: how unlike the low-resolution image is what the reconstructor makes of the SR image and of the "
    "image's degradation, with the controller, weighted by detail; L_rec alike: without the controller, every place "
    "alike. FAR: how far the SR image is from what images without flaws are made of. Lower is better."
)


class Unpaired(Supervision[LoopFitted]):
    """The LR images of a folder, with the reconstructor of the closed loop.

    Raises:
        UsageError: the folder has no LR images, or crops are too small for the networks.
        ResourceError: the network keeps the size, or a reconstructor or provider is unavailable or
            unsuitable.
        SrkitError: there are no usable images.
    """

    def __init__(
        self,
        recipe: SelfAdaptRecipe,
        folder: Path,
        base: LoadedModel,
        device: torch.device,
        progress: Progress,
    ) -> None:
        if base.info.scale == 1:
            raise ResourceError(
                f"'{base.name}' keeps the size of an image (x1), and self-supervised adaptation is for networks that "
                "enlarge; choose another model."
            )
        self._recipe, self._base, self._progress = recipe, base, progress
        self._domain = find_unpaired(folder, base.info.scale, progress)
        self._options = LoopFit(recipe.loop, device, recipe.dtype, recipe.seed)
        self._degrader = load_degrader(
            recipe.reconstructor, base.info.scale, device, self._options.autocast(), progress
        )
        shortest = min_side(base, self._degrader)
        if recipe.loop.patch < shortest:
            raise UsageError(
                f"'loop.patch' is {recipe.loop.patch}; it must be at least {shortest}, which '{base.name}' and the "
                f"reconstructor's distance '{self._degrader.distance.name}' need."
            )
        self.split: Split[UnpairedImage] = split_for(
            self._domain, base, self._degrader, recipe.holdout, recipe.max_pixels
        )

    @property
    def notes(self) -> list[str]:
        found, count = [], len(self.split.failed)
        if count:
            found.append(f"{count} {'image' if count == 1 else 'images'} could not be read.")
        if self.split.strips:
            found.append(
                "There are few images, so a strip of each is held out to validate on."
                if len(self.split.support) > 1
                else "There is one image only, so a part of it is held out to validate on."
            )
        return found

    def fit(self) -> LoopFitted:
        fitted = fit(self._base, self._degrader, self.split, self._options, self._progress)
        found = fitted.findings
        words = f"The embeddings of the images' degradations are spread by {found.spread:.2f} of their length"
        if found.traces.mixed:
            self._progress.warn(
                f"{words}, and {found.traces.compressed:.0%} of the images show the blocks of compression, the others "
                "none, so they are of several kinds; folders of one kind each give more."
            )
        else:
            self._progress.info(f"{words}.")
        return fitted

    def about(self, fitted: LoopFitted) -> dict[str, Any]:
        found = fitted.findings
        return {
            "self_supervised": True,
            "best": found.best,
            "far_weight": found.far_weight,
            "providers": self._degrader.header,
        }

    def findings(self, fitted: LoopFitted) -> Findings:
        return fitted.findings

    def scores(self, fitted: LoopFitted, written: LoadedModel) -> Scores:
        recipe = self._recipe
        how = UpscaleRecipe(device=recipe.device, dtype=recipe.dtype, seed=recipe.seed)
        support = tuple(image.name for image in self.split.support)
        naming = Naming(self._domain.name, self._domain.source, support, PROTOCOL, how)

        def result(model: LoadedModel, found: Measures) -> SetResult:
            return naming.result(model, _images(fitted.parts, found), self._degrader.header)

        before = result(self._base, fitted.base)
        after = before if written is self._base else result(written, fitted.best)

        def gallery() -> Gallery:
            """Every part enlarged by bicubic, by the base and by the written weights, as by `srkit upscale`."""
            filled = Gallery(len(fitted.parts))
            old = _upscaled(self._base, fitted.parts, how)
            new = old if after is before else _upscaled(written, fitted.parts, how)
            for image, part, own, sr in zip(after.images, fitted.parts, old, new, strict=True):
                key = ImageKey(after.dataset, after.scale, after.model, image.name)
                large = resample(part.pixels, sr.shape[0], sr.shape[1])
                filled.add(key, sr, lr_bicubic=large, before=None if after is before else own)
            return filled

        return Scores(before, after, gallery)

    def verdict(self, fitted: LoopFitted, scores: Scores) -> str:
        """Outcome, without a claim of improvement: mild blur lowers the reconstruction error too (RESULTS.md)."""
        if fitted.findings.clean:
            return "The images look clean already; what was written is the base model."
        if not fitted.adapted.kept:
            return f"No change passed the checks on {self.validated}; what was written is the base model."
        changes = []
        for metric, words in (("neutral", "reconstruction error"), ("far", "FAR")):
            old, new = (result.mean[metric] for result in (scores.before, scores.after))
            changes.append(f"{words} {new / old - 1:+.1%}" if old else f"{words} {new:.4f}")
        return (
            f"Whether adapting helped cannot be known without references: on {self.validated} the images lie "
            f"{fitted.best.change:.1f} dB from those of the base ({', '.join(changes)}; mild blur lowers the former, "
            "too); compare both by eye."
        )

    def remarks(self, fitted: LoopFitted) -> tuple[str, ...]:
        found, remarks = fitted.findings, []
        if not found.clean:
            remarks.append(
                f"Learned without references from {len(self.split.support)} low-resolution images with "
                f"{self._degrader.header['reconstructor']}; {fitted.adapted.steps} steps, rates {fitted.rates}, lambda "
                f"{found.far_weight:.3g}; kept: {found.best}."
            )
        for name, state in (("Weights at the end", found.raw), ("Their moving average", found.average)):
            if state is not None:
                remarks.append(
                    f"{name}: L_rec {state.reconstruction:.4f}, alike {state.neutral:.4f}, FAR {state.far:.3f}, "
                    f"{state.change:.1f} dB from the base's images."
                )
        remarks.append(
            f"The embeddings of the images' degradations are spread by {found.spread:.2f} of their length; "
            f"{found.traces.compressed:.0%} of the images look compressed. {DEFINITIONS}"
        )
        return tuple(remarks)


def _images(parts: Sequence[Part], found: Measures) -> list[ImageResult]:
    """Result of each part; several parts of one image are numbered."""
    columns = {"neutral": found.neutral, "far": found.far, "reconstruction": found.reconstruction}
    if found.niqe:
        columns["niqe"] = found.niqe
    names = [part.image.name for part in parts]
    numbered = [
        name if names.count(name) == 1 else f"{name} ({names[:i].count(name) + 1})"
        for i, name in enumerate(names)
    ]
    return [
        ImageResult(name, {metric: values[i] for metric, values in columns.items()})
        for i, name in enumerate(numbered)
    ]


def _upscaled(model: LoadedModel, parts: Sequence[Part], how: UpscaleRecipe) -> list[RGB]:
    images = ((part.image.name, part.pixels) for part in parts)
    return list(upscaled(Upscaler(how, Models.of(model)), images, model.info.scale))
