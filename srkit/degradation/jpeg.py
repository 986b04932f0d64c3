"""JPEG compression of images: OpenCV's codec on the CPU; elsewhere the same computation in PyTorch, differentiable.
WebP compression, by OpenCV only.

The computation follows libjpeg step by step: its tables, chroma at half resolution, rounding after every step, and the
triangle filter for chroma upsampling. Rounding passes gradients through unchanged.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import lru_cache, partial

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from srkit.degradation.filters import Library, as_array, from_array, uses_opencv
from srkit.io.codecs import through_jpeg, through_webp
from srkit.ops.colour import TO_YCC

_LUMA = """16 11 10 16 24 40 51 61 12 12 14 19 26 58 60 55 14 13 16 24 40 57 69 56 14 17 22 29 51 87 80 62
           18 22 37 56 68 109 103 77 24 35 55 64 81 104 113 92 49 64 78 87 103 121 120 101
           72 92 95 98 112 100 103 99"""
_CHROMA = """17 18 24 47 99 99 99 99 18 21 26 66 99 99 99 99 24 26 56 99 99 99 99 99 47 66 99 99 99 99 99 99
             99 99 99 99 99 99 99 99 99 99 99 99 99 99 99 99 99 99 99 99 99 99 99 99
             99 99 99 99 99 99 99 99"""  # ITU-T T.81, tables K.1 and K.2
_TO_RGB = ((1.0, 0.0, 1.402), (1.0, -0.344136, -0.714136), (1.0, 1.772, 0.0))  # JFIF 1.02
_UNIT = 16  # side in pixels of JPEG's coding unit at half colour resolution


def jpegs(
    samples: Sequence[Tensor],
    quality: Sequence[int],
    library: Library = "auto",
    full_colour: Sequence[bool] | None = None,
) -> list[Tensor]:
    """Encode and decode images, each at its own quality.

    Args:
        samples: (1, 3, h, w) float32 each, of any sizes; clipped to [0, 1] and rounded to 8 bit first.
        quality: JPEG quality of each, 1 to 100.
        full_colour: for each, whether chroma has full resolution; None: none.

    Returns:
        (1, 3, h, w) each, integer levels of 8 bit in [0, 1].
    """
    if not samples:
        return []
    full = [False] * len(samples) if full_colour is None else list(full_colour)
    if uses_opencv(samples[0], library):
        return [
            _by_opencv(sample, partial(through_jpeg, quality=q, full_colour=f))
            for sample, q, f in zip(samples, quality, full, strict=True)
        ]
    # One canvas for all: blocks are independent, and many small kernel launches would dominate the time.
    height, width = (-(-max(s.shape[dim] for s in samples) // _UNIT) * _UNIT for dim in (2, 3))
    canvas = torch.cat([_on_canvas(sample, height, width) for sample in samples])
    q, f = (torch.tensor(of, device=canvas.device) for of in (quality, full))
    done = differentiable_jpeg(canvas, q, f)
    return [done[n : n + 1, :, : s.shape[2], : s.shape[3]] for n, s in enumerate(samples)]


def webp(x: Tensor, quality: int) -> Tensor:
    """Encode an image (1, 3, h, w) as lossy WebP and decode it, as `jpegs`; gradients pass through unchanged."""
    coded = _by_opencv(x.detach().cpu(), partial(through_webp, quality=quality)).to(x.device)
    return x + (coded - x).detach()


def differentiable_jpeg(x: Tensor, quality: Tensor, full_colour: Tensor | None = None) -> Tensor:
    """JPEG of a batch in PyTorch, as computed by libjpeg; gradients pass through all roundings.

    Args:
        x: (B, 3, h, w) float32, clipped to [0, 1].
        quality: (B,), 1 to 100.
        full_colour: (B,) bool: whether chroma has full resolution; None: nowhere.

    Returns:
        (B, 3, h, w), integer levels of 8 bit in [0, 1]; near the right and lower border of sides that are no multiples
        of 16, chroma may differ from libjpeg's by a few levels.
    """
    height, width = x.shape[2:]
    x = _on_canvas(x, -(-height // _UNIT) * _UNIT, -(-width // _UNIT) * _UNIT)
    levels = rounded(x.clamp(0, 1) * 255)
    middle = torch.tensor([0.0, 128.0, 128.0], device=x.device).view(1, 3, 1, 1)
    ycc = rounded(_mixed(levels, TO_YCC) + middle).clamp(0, 255) - 128
    luma = _coded(ycc[:, :1], _table(_LUMA, quality))
    chroma = rounded(F.avg_pool2d(ycc[:, 1:], 2))
    chroma = _coded(chroma, _table(_CHROMA, quality)) - 128
    chroma = rounded(F.interpolate(chroma, scale_factor=2, mode="bilinear", align_corners=False))
    if full_colour is not None and bool(full_colour.any()):
        fine = _coded(ycc[:, 1:], _table(_CHROMA, quality)) - 128
        chroma = torch.where(full_colour[:, None, None, None], fine, chroma)
    levels = rounded(_mixed(torch.cat([luma, chroma], dim=1), _TO_RGB)).clamp(0, 255)
    return levels[:, :, :height, :width] / 255


def _by_opencv(sample: Tensor, codec: Callable[[NDArray[np.uint8]], NDArray[np.uint8]]) -> Tensor:
    levels = np.rint(as_array(sample).clip(0, 1) * 255).astype(np.uint8)
    return from_array(codec(levels).astype(np.float32) / np.float32(255))


def _on_canvas(x: Tensor, height: int, width: int) -> Tensor:
    """Pad at the right and below by repeating the edge, as encoders do."""
    return F.pad(x, (0, width - x.shape[3], 0, height - x.shape[2]), mode="replicate")


def _coded(planes: Tensor, table: Tensor) -> Tensor:
    """Quantise 8 x 8 blocks of planes (B, C, h, w), levels around 0, to levels from 0 to 255.

    `table` is (B, 8, 8).
    """
    count, channels, height, width = planes.shape
    basis = _cosines(planes.device)
    blocks = planes.reshape(count, channels, height // 8, 8, width // 8, 8).transpose(3, 4)
    step = table[:, None, None, None]
    coefficients = rounded(basis @ blocks @ basis.T / step) * step
    blocks = basis.T @ coefficients @ basis
    return rounded(blocks.transpose(3, 4).reshape(planes.shape) + 128).clamp(0, 255)


def _table(base: str, quality: Tensor) -> Tensor:
    """Quantisation steps (B, 8, 8) at a quality, as scaled by libjpeg."""
    table = torch.tensor([int(step) for step in base.split()], device=quality.device).view(1, 8, 8)
    percent = torch.where(quality < 50, 5000 // quality, 200 - 2 * quality).long()
    return ((table * percent[:, None, None] + 50) // 100).clamp(1, 255).float()


@lru_cache(maxsize=8)
@torch.inference_mode(False)
def _cosines(device: torch.device) -> Tensor:
    """Matrix (8, 8) of the orthonormal DCT-II."""
    frequency, place = torch.arange(8.0)[:, None], torch.arange(8.0)[None]
    basis = torch.cos(math.pi / 8 * (place + 0.5) * frequency) / 2
    basis[0] /= math.sqrt(2)
    return basis.to(device)


def _mixed(x: Tensor, matrix: Sequence[Sequence[float]]) -> Tensor:
    return torch.einsum("oc,bchw->bohw", torch.tensor(matrix, device=x.device), x)


def rounded(x: Tensor) -> Tensor:
    """Round to integers; the gradient is that of x."""
    return x + (x.round() - x).detach()
