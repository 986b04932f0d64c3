"""Supervision by low-resolution images alone, through pairs of clean images and degradations that match the folder's.

Self-supervised adaptation without the closed loop: the degradation of the images is estimated by drawing settings of
the second-order degradation and keeping those that make clean images similar to the folder's
(`srkit.tasks.adapt.matching`), or by the reconstructor (`srkit.tasks.adapt.reconstructed`); the network is fine-tuned
on pairs made so. The gain on held-out pairs decides what is kept: it agrees with references where L_rec and FAR of the
folder's images, which are reported, do not (experiments/RESULTS.md).
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from srkit.conditioning.makers import Conditioning, ModelProviders
from srkit.data.examples import Example
from srkit.data.pairs import CropPlan, PairSource, crop_to_multiple, shrunk
from srkit.data.photographs import PhotographReader, find_photographs
from srkit.data.real_pairs import RealPairs, RealPlan, make_real_lr
from srkit.data.support import validation_batches
from srkit.encoders.features import perceptual_features
from srkit.errors import UsageError
from srkit.io.names import shown
from srkit.losses.table import LossContext, build_losses, check_terms, needs_of
from srkit.metrics.traces import traces_of
from srkit.ops.layout import RGB
from srkit.recipes.degradation import second_order_settings
from srkit.tasks.adapt.fit import overwrites_itself, settings_of
from srkit.tasks.adapt.loop import (
    Findings,
    LoopFitted,
    PairFindings,
    best_words,
    closed_loop,
    estimates,
    loop_validator,
    placed,
)
from srkit.tasks.adapt.matching import Matched, match
from srkit.tasks.adapt.reconstructed import ReconstructedPairs
from srkit.tasks.adapt.score import Scores
from srkit.tasks.adapt.unpaired import Unpaired
from srkit.training.adapt import Adapted, Score, adapt, pairs_loss, unchanged
from srkit.training.inner import ADAM, uniform_rates
from srkit.training.loop_validator import spread_of
from srkit.training.validation import psnr_of

RATE = 1e-4
"""Adam's default learning rate."""
MIN_PATCH = 16
"""Minimal side of a crop in LR pixels, for small clean images."""
_HOLDOUT_EVERY = 5  # every n-th clean image is for validation
_VALIDATED, _VALIDATED_SIDE = 12, 64
"""Number of validation images, and the longest side of their centre crops in LR pixels."""
_MAX_CLEAN, _CLEAN_SIDE = 200, 1024
"""Maximal number of clean images, and the longest side of their centre crops in pixels."""
_SHRINK = (1.0, 2 / 3, 1 / 2, 1 / 3, 1 / 4)  # factors for the folder's own images, until they look clean


class Paired(Unpaired):
    """The LR images of a folder, and clean images that are degraded to match them.

    Raises:
        UsageError, ResourceError, SrkitError: as in `Unpaired`; no clean images that are large enough; unsuitable
            losses.
    """

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        part = self._recipe.pairs
        check_terms(part.loss, "picture")
        if unknown := needs_of(part.loss) - {"perceptual"}:
            raise UsageError(f"'pairs.loss' has a term that needs a {min(unknown)} provider; leave it out.")
        settings = second_order_settings(part.degradation)
        self._settings = replace(settings, sharpen=False, clean=0.0)
        self._patch, self._train, self._held = self._clean_images()

    def fit(self) -> LoopFitted:
        recipe, base, options = self._recipe, self._base, self._options
        network = placed(base.network, options.device)
        conditioning = ModelProviders(options.device, self._progress).conditioning(base)
        loop = closed_loop(self._degrader, recipe.loop)
        parts, score = loop_validator(base, network, self._degrader, loop, self.split, conditioning, options)
        images = (*self.split.support, *self.split.validation)
        traces = traces_of([image.lr for image in images])
        clean = traces.clean and not recipe.loop.even_clean
        pairs: PairFindings | None = None
        if clean:
            found = unchanged(network, lambda network: [0.0])
        else:
            matched = self._matched() if recipe.pairs.degrader == "matched" else None
            found = self._learned(network, conditioning, matched)
            pairs = self._found(float(np.mean(found.best) - np.mean(found.before)), matched)
        fresh = copy.deepcopy(base.network)
        fresh.load_state_dict(found.state_dict)
        return LoopFitted(
            model=replace(base, network=fresh),
            adapted=found,
            rates=f"{recipe.pairs.rate or RATE:g} ({ADAM.kind})",
            base=score.base,
            best=score.measure(placed(fresh, options.device)) if found.kept else score.base,
            parts=parts,
            findings=Findings(
                best=best_words(found.best_interpolation),
                raw=None,
                average=None,
                far_weight=0.0,
                spread=spread_of(estimates(images, self._degrader, options.device).embedding.cpu()),
                traces=traces,
                clean=clean,
                pairs=pairs,
            ),
        )

    def about(self, fitted: LoopFitted) -> dict[str, Any]:
        pairs = fitted.findings.pairs
        return {**super().about(fitted), "method": "pairs", "pairs": None if pairs is None else vars(pairs)}

    def verdict(self, fitted: LoopFitted, scores: Scores) -> str:
        pairs = fitted.findings.pairs
        if pairs is None or not fitted.adapted.kept:
            return super().verdict(fitted, scores)
        return (
            f"Adapting gained {pairs.gain:+.2f} dB of PSNR on clean images degraded as those of '{self._domain.name}' "
            "seem to be, which it did not learn from; how much of it holds for these cannot be known without "
            "references: compare both by eye."
        )

    def remarks(self, fitted: LoopFitted) -> tuple[str, ...]:
        remarks, pairs = super().remarks(fitted), fitted.findings.pairs
        if pairs is None:
            return remarks
        if pairs.distance is None or pairs.usual is None:
            return (f"The reconstructor applied the degradations of {pairs.kept} images.", *remarks)
        return (
            f"Of {pairs.drawn} degradations drawn from '{self._recipe.pairs.degradation}' the {pairs.kept} nearest to "
            f"the images were used: {pairs.distance:.2f} from them, all together {pairs.usual:.2f}, in deviations of "
            "the drawn.",
            *remarks,
        )

    def _matched(self) -> Matched:
        part = self._recipe.pairs
        found = match(
            self._train,
            [image.lr for image in self.split.support],
            self._degrader,
            self._settings,
            (part.draws, min(part.kept, part.draws)),
            torch.Generator().manual_seed(self._recipe.seed),
            self._progress,
        )
        self._progress.info(
            f"the {part.kept} nearest of {part.draws} degradations are {found.distance:.2f} from the images, all "
            f"together {found.usual:.2f}"
        )
        return found

    def _found(self, gain: float, matched: Matched | None) -> PairFindings:
        if matched is None:
            return PairFindings(gain, 0, len(self.split.support), None, None)
        counts = (self._recipe.pairs.draws, len(matched.settings.seed))
        return PairFindings(gain, *counts, matched.distance, matched.usual)

    def _pairs(
        self, conditioning: Conditioning, matched: Matched | None
    ) -> tuple[PairSource, Callable[[RGB, int], RGB]]:
        """Training pairs, and a function from a clean image and a number to its LR."""
        part, options, scale = self._recipe.pairs, self._options, self._base.info.scale
        size = (scale, self._patch, part.batch, options.seed)
        given = (options.device, conditioning, self._progress)
        if matched is None:
            made = ReconstructedPairs(
                self._train, CropPlan(*size), self.split.support, self._degrader, *given[1:]
            )
            return made, made.lr_of
        plan = RealPlan(*size, degradation=self._settings, sizes=(1.0,))

        def lr_of(hr: RGB, number: int) -> RGB:
            rng = torch.Generator().manual_seed(self._recipe.seed + number)
            return make_real_lr(hr, scale, self._settings, rng, torch.device("cpu"), matched.settings)

        return RealPairs(self._train, plan, *given, matched.settings), lr_of

    def _learned(self, network: nn.Module, conditioning: Conditioning, matched: Matched | None) -> Adapted:
        """Fine-tune on pairs."""
        part, options, info = self._recipe.pairs, self._options, self._base.info
        autocast = options.autocast(info)
        pairs, lr_of = self._pairs(conditioning, matched)
        features = None
        if "perceptual" in needs_of(part.loss):
            features = perceptual_features("compact", options.device, progress=self._progress)
        losses = build_losses(part.loss, LossContext(options.device, None, features, autocast))
        settings = settings_of(
            part,
            autocast,
            rates=uniform_rates(network, part.rate or RATE),
            loss=pairs_loss(lambda sr, hr: losses(sr, hr)[0]),
            training_mode=overwrites_itself(network, info),
        )
        score = self._score(lr_of, conditioning, autocast)
        return adapt(network, pairs, part.most_steps, score, settings, self._progress)

    def _score(
        self,
        lr_of: Callable[[RGB, int], RGB],
        conditioning: Conditioning,
        autocast: torch.dtype | None,
    ) -> Score:
        """PSNR on the validation clean images, each degraded once."""
        info, device = self._base.info, self._options.device
        batches = []
        for number, hr in enumerate(self._held):
            example = Example(str(number), hr, lr_of(hr, number), False)
            batches += validation_batches(example, 1, _VALIDATED_SIDE, info.multiple_of, device, conditioning)
        return lambda network: [psnr_of(network, batch, info.scale, autocast) for batch in batches]

    def _clean_images(self) -> tuple[int, list[RGB], list[RGB]]:
        """Side of crops in LR pixels, and the training and validation images; sides are multiples of the scale."""
        recipe, info = self._recipe, self._base.info
        scale = info.scale
        shortest = (MIN_PATCH + 2 * RealPlan.margin) * scale
        shortest = max(shortest, info.min_size * scale)
        images = self._given(shortest) if recipe.clean else self._shrunk(shortest)
        images = [crop_to_multiple(one, scale) for one in images]
        room = min(min(one.shape[:2]) for one in images) // scale - 2 * RealPlan.margin
        patch = min(recipe.pairs.patch, room) // info.multiple_of * info.multiple_of
        held = images[::_HOLDOUT_EVERY][:_VALIDATED]
        train = [one for i, one in enumerate(images) if i % _HOLDOUT_EVERY]
        return patch, train, held

    def _given(self, shortest: int) -> list[RGB]:
        folder = Path(self._recipe.clean)
        if not folder.is_dir():
            raise UsageError(f"The folder `clean` {shown(folder)} is not there; check the path.")
        files = find_photographs([folder], self._progress)
        reader = PhotographReader(shortest, gray=False)
        files = files[:: max(1, len(files) // _MAX_CLEAN)]
        found = [_middle(one) for one in map(reader.read, files) if one is not None]
        reader.report(self._progress)
        if len(found) < 2:
            raise UsageError(
                f"The folder `clean` {shown(folder)} has {len(found)} images that can be used; at least 2 in colour "
                f"with sides of {shortest} pixels are needed."
            )
        return found

    def _shrunk(self, shortest: int) -> list[RGB]:
        """The folder's own images, shrunk to the largest size at which they look clean."""
        lr_images = [image.lr for image in self.split.support]
        for factor in _SHRINK:
            images = [shrunk(one, factor) for one in lr_images]
            large = [one for one in images if min(one.shape[:2]) >= shortest]
            if len(large) >= 2 and traces_of(large).clean:
                return large
        raise UsageError(
            f"The images of '{self._domain.name}' are too small to be shrunk until they look clean (sides of "
            f"{shortest} pixels would have to be left); name a folder of clean images with `clean`."
        )


def _middle(image: RGB) -> RGB:
    top, left = (max(0, length - _CLEAN_SIDE) // 2 for length in image.shape[:2])
    return image[top : top + _CLEAN_SIDE, left : left + _CLEAN_SIDE].copy()
