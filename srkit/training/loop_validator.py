"""Validation of self-supervised adaptation: what images without references say of a network that adapts to them."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from srkit.data.pairs import Batch
from srkit.metrics.iqa import NIQE_BLOCK
from srkit.training.adapt import lower_bound
from srkit.training.closed_loop import ClosedLoop
from srkit.training.controller import Factor


@dataclass(frozen=True)
class Measures:
    """Of a network's images of the validation parts; of errors lower is better."""

    reconstruction: tuple[float, ...]
    """L_rec of each, as adapting makes it smaller."""
    neutral: tuple[float, ...]
    """L_rec of each without the controller, and all places weighted alike."""
    far: tuple[float, ...]
    """FAR of each."""
    change: float
    """PSNR in dB between the base's images and these; infinite for the base."""
    niqe: tuple[float, ...] = ()
    """NIQE of each, where it is at hand."""


class LoopValidator:
    """A `srkit.training.adapt.Score`: how much better than the base's the images are, by what the loop can see.

    A part's score is minus the mean of L_rec without the controller and of FAR, each over the base's mean: the base
    has -1. Neither is what adapting makes smaller: the controller is left out, by which an image that is too sharp and
    one that is too blurred can reconstruct alike. Mild blur lowers L_rec without the controller, but raises FAR, so a
    state whose FAR is above the base's is not taken.

    Args:
        loop: as it adapts.
        neutral: what embeddings are multiplied by where there is no controller.
        base: the network that is adapted.
        batches: the parts, each a batch of one.
        most_change: PSNR in dB below which a state went too far from the base to be taken: its scores are NaN, as are
            those of a state whose mean FAR is above the base's.
        autocast: precision of the network's arithmetic; None: fp32.
        niqe: of an image (1, 3, H, W) in [0, 1], lower is better. A state by which it rises beyond doubt is not taken
            either; that it falls says nothing, for noise lowers it.
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
        """Of every network that was scored, in their order."""

    def __call__(self, network: nn.Module) -> list[float]:
        found = self.measure(network)
        self.seen.append(found)
        return self.scores(found)

    def scores(self, found: Measures) -> list[float]:
        """Of each part, higher is better."""
        more = [new - old for new, old in zip(found.niqe, self.base.niqe, strict=True)]
        degraded = _mean(found.far) > _mean(self.base.far)
        if not found.change >= self._most_change or degraded or (more and lower_bound(more) > 0):
            return [math.nan] * len(found.far)
        usual = [_mean(self.base.neutral), _mean(self.base.far)]
        pairs = zip(found.neutral, found.far, strict=True)
        return [-(error / usual[0] + regular / usual[1]) / 2 for error, regular in pairs]

    @torch.no_grad()
    def measure(self, network: nn.Module) -> Measures:
        """Of a network on the device of the parts, in evaluation mode."""
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
        square = _mean(squares)
        change = -10 * math.log10(square) if square else math.inf
        # Where one part is too small for it, it is left out altogether: means must be over the same parts.
        whole = len(natural) == len(rows)
        return Measures(errors, neutrals, fars, change, tuple(natural) if whole else ())

    @torch.no_grad()
    def _image(self, network: nn.Module, batch: Batch) -> Tensor:
        with torch.autocast(batch.lr.device.type, self._autocast, enabled=self._autocast is not None):
            sr: Tensor = network(batch.lr, **batch.conditions)
        return sr.float().clamp(0, 1)


def _large(image: Tensor) -> bool:
    """Whether NIQE can be taken."""
    return (image.shape[2] // NIQE_BLOCK) * (image.shape[3] // NIQE_BLOCK) >= 2


def _mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values)


def spread_of(embeddings: Tensor) -> float:
    """How far apart the degradations of images are: |e_i - mean| over |e_i|, root mean squares, 0 to 1.

    Args:
        embeddings: (N, D), N at least 1; of one image it is 0.
    """
    e = embeddings.double()
    size = e.square().sum(1).mean()
    return float(((e - e.mean(0)).square().sum(1).mean() / size).sqrt()) if size > 0 else 0.0
