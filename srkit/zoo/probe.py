"""Measurement of how a network may be tiled, by running it on a small image.

For foreign networks; this project's networks state these facts in their `ArchInfo` and header.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import ceil
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from srkit.archs.info import ArchInfo
from srkit.archs.table import info_of
from srkit.ops.geometry import rounded_up

TOLERANCE = 0.25 / 255
"""Maximal difference between tiled and untiled results on the rendered image: a quarter of the promised bound on
natural images."""

PRECISION_TOLERANCE = 1 / 255
"""Maximal root-mean-square difference of a lower precision from fp32 on the rendered image."""

_CENTRE = 17
_OVERLAPS = (4, 8, 12, 16, 24)
_MARGIN = 25  # 67 x 67 pixels in all: a second of work for the largest convolutional networks in use
# Odd margin, even overlaps: every crop starts at an odd position, so that strides and windows, which agree only
# when aligned, show as differences.

_MIXING = ("softmax", "scaled_dot_product_attention", "adaptive_avg_pool2d", "adaptive_max_pool2d")
_INTERPOLATION_REACH = {"bilinear": 1, "bicubic": 2}


@dataclass(frozen=True)
class Structure:
    """Findings of one small forward pass."""

    radius: int
    """Upper bound of the receptive field's radius in input pixels: the sum over all convolutions, pools and
    interpolations, as if they were sequential."""
    mixing: bool
    """True if pixels are mixed by attention in windows (softmax), or by averages over the image."""


class _Recorder(TorchFunctionMode):
    """Sum of the radii of all operations, in pixels of an input of side `side`."""

    def __init__(self, side: int) -> None:
        super().__init__()
        self.side = side
        self.radius = 0.0
        self.mixing = False

    def __torch_function__(
        self,
        func: Any,
        types: Iterable[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        name = getattr(func, "__name__", "")
        options = dict(kwargs or {})
        if name in ("conv2d", "conv_transpose2d", "max_pool2d", "avg_pool2d", "interpolate"):
            self.radius += _reach(name, args, options) * self.side / args[0].shape[-1]
        self.mixing |= name in _MIXING or (name == "mean" and _over_image(args, options))
        return func(*args, **options)


def _reach(name: str, args: tuple[Any, ...], options: dict[str, Any]) -> float:
    """Radius of an operation, in pixels of its own input."""
    if name == "interpolate":
        return _INTERPOLATION_REACH.get(options.get("mode", "nearest"), 0)
    if name.startswith("conv"):
        kernel = args[1].shape[-1]
        dilation = options.get("dilation", args[5] if name == "conv2d" and len(args) > 5 else 1)
    else:
        kernel, dilation = options.get("kernel_size", args[1] if len(args) > 1 else 1), 1
    return (_single(kernel) - 1) / 2 * _single(dilation)


def _over_image(args: tuple[Any, ...], options: dict[str, Any]) -> bool:
    """True if a mean of (N, C, h, w) is over rows or columns."""
    dims = options.get("dim", args[1] if len(args) > 1 else None)
    chosen = dims if isinstance(dims, (tuple, list)) else (dims,)
    return args[0].dim() == 4 and any(dim in (None, 2, 3, -1, -2) for dim in chosen)


def _single(value: Any) -> int:
    return int(value[-1] if isinstance(value, (tuple, list)) else value)


@torch.no_grad()
def probe_structure(network: nn.Module) -> Structure:
    """Run `network` once on the smallest image that it accepts, at least 16 pixels wide."""
    info = info_of(network)
    side = _round_up(max(16, info.min_size), info)
    with _Recorder(side) as recorder:
        network(_image(side))
    return Structure(radius=max(1, ceil(recorder.radius)), mixing=recorder.mixing)


@torch.no_grad()
def smallest_overlap(network: nn.Module, limit: int) -> int | None:
    """Smallest overlap at which tiles at any position agree with the untiled image.

    Args:
        network: fp32, in evaluation mode; its `info` gives scale and size requirements.
        limit: radius of the receptive field in LR pixels, an upper bound of the overlap.

    Returns:
            LR pixels per side; None if tiles disagree at every tested overlap (attention, strides, averages over the
                whole image).
    """
    info = info_of(network)
    image = _image(_round_up(_CENTRE + 2 * _MARGIN, info))
    whole = _centre(network(image), _MARGIN, info.scale)
    for overlap in _OVERLAPS:
        start, side = _MARGIN - overlap, _round_up(_CENTRE + 2 * overlap, info)
        crop = image[..., start : start + side, start : start + side]
        if crop.shape[-1] < side:
            return None
        difference = _centre(network(crop), overlap, info.scale) - whole
        if float(difference.abs().max()) <= TOLERANCE:
            return min(overlap, limit)
    return None


@torch.no_grad()
def agrees_in(network: nn.Module, dtype: torch.dtype) -> bool:
    """True if a copy of `network` in `dtype` runs and agrees with fp32.

    The network's own claims are not sufficient: attention masks made in fp32 make some networks fail in bf16 at every
    size other than the training size, and some networks lose too much accuracy.
    """
    info = info_of(network)
    image = _image(_round_up(max(24, info.min_size), info))
    try:
        lower = copy.deepcopy(network).to(dtype)(image)
    except RuntimeError:
        return False
    difference = lower.clamp(0, 1) - network(image).clamp(0, 1)
    return bool(difference.square().mean().sqrt() <= PRECISION_TOLERANCE)


def _centre(sr: Tensor, margin: int, scale: int) -> Tensor:
    begin, end = margin * scale, (margin + _CENTRE) * scale
    return sr[..., begin:end, begin:end].clamp(0, 1)


def _round_up(side: int, info: ArchInfo) -> int:
    return rounded_up(max(side, info.min_size), info.multiple_of)


def _image(side: int) -> Tensor:
    """Image with the spectrum of natural images (amplitude 1/f) and an edge; (1, 3, side, side)."""
    generator = torch.Generator().manual_seed(0)
    noise = torch.fft.rfft2(torch.randn(1, 3, side, side, generator=generator))
    fy, fx = torch.fft.fftfreq(side)[:, None], torch.fft.rfftfreq(side)[None, :]
    texture = torch.fft.irfft2(noise / (fy.square() + fx.square()).sqrt().clamp_min(1 / side), s=(side, side))
    texture = 0.5 + 0.18 * texture / texture.std()
    texture[..., side // 2 + 3 :] -= 0.25
    return torch.clamp(texture, 0, 1)
