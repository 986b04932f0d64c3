"""Validation of self-supervised adaptation, from images without references."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from statistics import fmean

import torch
from torch import Tensor, nn

from srkit.data.pairs import Batch
from srkit.metrics.iqa import NIQE_BLOCK
from srkit.ops.layout import in_precision
from srkit.training.adapt import lower_bound
from srkit.training.closed_loop import ClosedLoop
from srkit.training.controller import Factor


@dataclass(frozen=True)
class Measures:
    """Measures of a network's SR on the validation parts; for errors, lower is better."""

    reconstruction: tuple[float, ...]
    """L_rec of each part, as minimised by adaptation."""
    neutral: tuple[float, ...]
    """L_rec of each part without the controller and without weights."""
    far: tuple[float, ...]
    """FAR of each part."""
    change: float
    """PSNR in dB between SR of the base and of this network; infinite for the base."""
    niqe: tuple[float, ...] = ()
    """NIQE of each part, if available."""


class LoopValidator:
    """A `srkit.training.adapt.Score`: improvement of SR over the base's, measured in the closed loop.

    A part's score is the negative mean of L_rec without the controller and of FAR, each divided by the base's mean; the
    base scores -1. Adaptation minimises neither: with the controller, an image that is too sharp and one that is too
    blurred can have equal L_rec, so it is left out. Mild blur lowers L_rec without the controller but raises FAR, so
    states whose FAR is above the base's are rejected.

    Args:
        loop: the closed loop of the adaptation.
        neutral: factor of the embeddings without a controller.
        base: the network before adaptation.
        batches: the parts, each a batch of one.
        most_change: minimal PSNR in dB between SR of the base and of a state; states below, and states whose mean FAR
            is above the base's, are rejected with scores of NaN.
        autocast: precision of the network's arithmetic; None: fp32.
        niqe: function of an image (1, 3, H, W) in [0, 1]; lower is better. States with a significant rise are
            rejected; a fall is ignored, since noise also lowers NIQE.
    """

    def __init__(
        self,
        loop: ClosedLoop,
        neutral: Factor,
        base: nn.Module,
        batches: Sequence[Batch],
        most_change: float,
        autocast: torch.dtype | None,
        niqe: Callable[[Tensor], float] | None = None,
    ) -> None:
        self._loop, self._niqe = loop, niqe
        self._neutral = replace(loop, factor=neutral, draws=1)
        self._batches, self._most_change, self._autocast = batches, most_change, autocast
        self._own = [self._image(base, batch) for batch in batches]
        self.base = self.measure(base)
        self.seen: list[Measures] = []
        """Measures of every scored network, in order."""

    def __call__(self, network: nn.Module) -> list[float]:
        found = self.measure(network)
        self.seen.append(found)
        return self.scores(found)

    def scores(self, found: Measures) -> list[float]:
        """Score of each part; higher is better."""
        more = [new - old for new, old in zip(found.niqe, self.base.niqe, strict=True)]
        degraded = fmean(found.far) > fmean(self.base.far)
        if not found.change >= self._most_change or degraded or (more and lower_bound(more) > 0):
            return [math.nan] * len(found.far)
        usual = [fmean(self.base.neutral), fmean(self.base.far)]
        pairs = zip(found.neutral, found.far, strict=True)
        return [-(error / usual[0] + regular / usual[1]) / 2 for error, regular in pairs]

    @torch.no_grad()
    def measure(self, network: nn.Module) -> Measures:
        """Measures of a network that is on the device of the parts, in evaluation mode."""
        rows, squares, natural = [], [], []
        for batch, own in zip(self._batches, self._own, strict=True):
            sr = self._image(network, batch)
            error, regular = self._loop.terms(sr, batch.lr)
            neutral, _ = self._neutral.terms(sr, batch.lr, weighted=False)
            rows.append((float(error), float(neutral), float(regular)))
            squares.append(float((sr - own).square().mean()))
            if self._niqe is not None and _large(sr):
                natural.append(self._niqe(sr))
        errors, neutrals, fars = zip(*rows, strict=True)
        square = fmean(squares)
        change = -10 * math.log10(square) if square else math.inf
        # If one part is too small for NIQE, it is omitted for all: means must be over the same parts.
        whole = len(natural) == len(rows)
        return Measures(errors, neutrals, fars, change, tuple(natural) if whole else ())

    @torch.no_grad()
    def _image(self, network: nn.Module, batch: Batch) -> Tensor:
        with in_precision(batch.lr, self._autocast):
            sr: Tensor = network(batch.lr, **batch.conditions)
        return sr.float().clamp(0, 1)


def _large(image: Tensor) -> bool:
    """True if the image is large enough for NIQE."""
    return (image.shape[2] // NIQE_BLOCK) * (image.shape[3] // NIQE_BLOCK) >= 2


def spread_of(embeddings: Tensor) -> float:
    """Dispersion of the images' degradations: |e_i - mean| over |e_i|, root mean squares, 0 to 1.

    Args:
        embeddings: (N, D), N at least 1; 0 for a single image.
    """
    e = embeddings.double()
    size = e.square().sum(1).mean()
    return float(((e - e.mean(0)).square().sum(1).mean() / size).sqrt()) if size > 0 else 0.0
