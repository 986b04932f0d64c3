"""Metrics of `srkit eval`. A new metric adds an entry here, and its display in `display.py`."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from srkit.errors import ImageError, UsageError, check_known
from srkit.metrics.display import DISPLAY, Display
from srkit.metrics.protocols import Protocol, compared
from srkit.metrics.psnr import psnr
from srkit.metrics.ssim import ssim
from srkit.ops.resize import downscale_uint8
from srkit.progress import Progress

DEFAULT_METRICS = ("psnr", "ssim")
LR_CONSISTENCY = "lr_psnr"
"""Metric that is always reported if there are LR images."""


@dataclass(frozen=True)
class Sample:
    """Finished image, and its references, all uint8 on one device."""

    sr: Tensor
    """(1, 3, H, W)."""
    hr: Tensor | None
    """(1, 3, H, W), cropped to a multiple of the scale."""
    lr: Tensor | None
    """(1, 3, H / scale, W / scale)."""
    protocol: Protocol
    scale: int | None

    @cached_property
    def pair(self) -> tuple[Tensor, Tensor]:
        """Inputs of PSNR and SSIM: see `protocols.compared`."""
        if self.hr is None or self.scale is None:
            raise UsageError("A metric with reference was asked of an image without; give `hr` and `scale`.")
        return compared(self.sr, self.hr, self.protocol, self.scale)


class Setup(NamedTuple):
    """Requirements for building metrics with a network."""

    device: torch.device
    weights: Path | None = None
    """Folder that is searched first for metric weights."""
    progress: Progress | None = None


class Scorer(NamedTuple):
    """Metric ready for use."""

    score: Callable[[Sample], float]
    version: str | None = None
    """Package, network and weights, for metrics whose value depends on them."""


@dataclass(frozen=True)
class Metric:
    """Definition of a metric."""

    name: str
    reference: Literal["hr", "lr"] | None
    """Image that is compared with; None for no-reference metrics."""
    definition: str
    """Description of the comparison, for reports."""
    make: Callable[[Setup], Scorer]
    """Function that imports and loads the metric. Raises ResourceError if its weights are unavailable."""

    @property
    def display(self) -> Display:
        """Label, decimals and direction."""
        return DISPLAY[self.name]


def lr_psnr(sr: Tensor, lr: Tensor) -> float:
    """LR consistency: PSNR in RGB between the antialiased-bicubic uint8 downscale of SR and the LR image.

    Args:
        sr: (1, 3, scale h, scale w) uint8.
        lr: (1, 3, h, w) uint8.
    """
    down = downscale_uint8(sr, sr.shape[2] // lr.shape[2])
    return float(psnr(down.to(torch.float64).div_(255), lr.to(torch.float64).div_(255)))


def _psnr(setup: Setup) -> Scorer:
    return Scorer(lambda sample: float(psnr(*sample.pair)))


def _ssim(setup: Setup) -> Scorer:
    return Scorer(lambda sample: float(ssim(*sample.pair)))


def _lr_psnr(setup: Setup) -> Scorer:
    def score(sample: Sample) -> float:
        if sample.lr is None:
            raise UsageError("LR consistency was asked of an image without LR.")
        return lr_psnr(sample.sr, sample.lr)

    return Scorer(score)


def _lpips(setup: Setup) -> Scorer:
    from srkit.encoders.perceptual import LPIPS_SMALLEST, Lpips

    network = Lpips(setup.device, setup.weights, setup.progress)
    return _distance("LPIPS", LPIPS_SMALLEST, network.distance, network.version)


def _judge(setup: Setup) -> Scorer:
    from srkit.encoders.judge import JUDGE_SMALLEST, Judge

    network = Judge(setup.device)
    return _distance("judge", JUDGE_SMALLEST, network.distance, network.version)


def _niqe(setup: Setup) -> Scorer:
    from srkit.metrics.iqa import NIQE_BLOCK, Niqe

    metric = Niqe(setup.device, setup.weights, setup.progress)

    def score(sample: Sample) -> float:
        height, width = sample.sr.shape[2:]
        if (height // NIQE_BLOCK) * (width // NIQE_BLOCK) < 2:
            raise ImageError(
                f"The image has {width} x {height} pixels; NIQE needs at least {2 * NIQE_BLOCK} x {NIQE_BLOCK}: "
                "leave the image or the metric out."
            )
        if bool((sample.sr == sample.sr[..., :1, :1]).all()):
            return math.nan  # no contrast, hence no statistics
        return metric.score(sample.sr.float() / 255)

    return Scorer(score, metric.version)


def _musiq(setup: Setup) -> Scorer:
    from srkit.metrics.iqa import Musiq

    metric = Musiq(setup.device, setup.weights, setup.progress)
    return Scorer(lambda sample: metric.score(sample.sr.float() / 255), metric.version)


def _distance(
    metric: str, smallest: int, distance: Callable[[Tensor, Tensor], Tensor], version: str
) -> Scorer:
    """Scorer of a perceptual distance between SR and reference, for sides of at least `smallest` pixels."""

    def score(sample: Sample) -> float:
        if sample.hr is None:
            raise UsageError(f"The metric {metric} was asked of an image without reference; give `hr`.")
        height, width = sample.sr.shape[2:]
        if min(height, width) < smallest:
            raise ImageError(
                f"The image has {width} x {height} pixels; {metric} needs at least {smallest} along both sides: leave "
                "the image or the metric out."
            )
        return float(distance(sample.sr.float() / 255, sample.hr.float() / 255))

    return Scorer(score, version)


METRICS: Mapping[str, Metric] = {
    metric.name: metric
    for metric in (
        Metric("psnr", "hr", "PSNR in dB, in the protocol's colour and without its border, float64", _psnr),
        Metric("ssim", "hr", "SSIM, 11 x 11 Gaussian window, valid region, as PSNR", _ssim),
        Metric("lpips", "hr", "LPIPS (alex, v0.1) of the whole image in RGB", _lpips),
        Metric("judge", "hr", "distance of the whole image in RGB, in the features of srkit's judge", _judge),
        Metric("niqe", None, "NIQE of the whole image, by pyiqa; none of an image of one colour", _niqe),
        Metric("musiq", None, "MUSIQ (KonIQ-10k) of the whole image, by pyiqa", _musiq),
        Metric(
            LR_CONSISTENCY,
            "lr",
            "PSNR in dB between the bicubic downscale of SR and the LR input, RGB",
            _lr_psnr,
        ),
    )
}


def find_metrics(names: Sequence[str]) -> tuple[Metric, ...]:
    """Find metrics by name, each once, in the given order.

    Raises:
        UsageError: no name, or an unknown name; the message gives the nearest.
    """
    for name in names:
        check_known("metric", name, METRICS)
    if not names:
        raise UsageError(f"No metric was asked for; choose from {', '.join(METRICS)}.")
    return tuple(METRICS[name] for name in dict.fromkeys(names))
