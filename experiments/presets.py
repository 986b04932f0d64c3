"""Fixed hidden degradations of whole images: test degradations of models for real images, never trained on.

Each simulates the history of a kind of image and has a component that the second-order degradation lacks: another shape
of blur, signal-dependent beside constant noise, a second JPEG with an offset grid, grain, banded rows, bilinear
enlargement after compression, a line screen.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from srkit.degradation.filters import filtered, resized
from srkit.degradation.jpeg import jpegs
from srkit.degradation.kernels import SIZE, centre, check_scale, covariance_of, gaussian
from srkit.degradation.spatially_variant import blur_same
from srkit.errors import UsageError, nearest


def _camera(hr: Tensor, scale: int, rng: torch.Generator) -> Tensor:
    """A hand-held camera in low light: blur along 30 degrees, shot and read noise, JPEG at 70."""
    covariance = covariance_of((0.55 * scale) ** 2, (0.28 * scale) ** 2, math.pi / 6)
    lr = blur_same(hr, gaussian(covariance, scale)[None], scale)
    deviation = torch.sqrt(lr * 9.0**2 + 2.5**2) / 255
    return _compressed(lr + deviation * _normal(lr, rng), 70)


def _shared(hr: Tensor, scale: int, rng: torch.Generator) -> Tensor:
    """Shared by two web sites: downscaled and compressed, downscaled again, sharpened, compressed on an offset grid."""
    height, width = (side // scale for side in hr.shape[2:])
    between = (max(1, round(1.45 * height)), max(1, round(1.45 * width)))
    first = _compressed(resized(hr, between, "area"), 60)
    lr = resized(first, (height, width), "bilinear")
    taps = torch.tensor([1.0, 2.0, 1.0]) / 4
    lr = lr + 0.6 * (lr - filtered(lr, torch.outer(taps, taps)))
    return _compressed_apart(lr, 45, rng)


def _scan(hr: Tensor, scale: int, rng: torch.Generator) -> Tensor:
    """A scanned print: defocus by a uniform disk, gray grain of more than a pixel, strongest in the mid-tones."""
    lr = blur_same(hr, _disk(0.5 * scale, scale)[None], scale)
    offset = torch.arange(-3.0, 4.0)
    taps = (-0.5 * (offset / 0.7).square()).softmax(0)
    kernel = torch.outer(taps, taps)
    grain = filtered(_normal(lr[:, :1], rng).expand_as(lr), kernel) / kernel.square().sum().sqrt()
    light = lr.mean(1, keepdim=True).clamp(0, 1)
    return _compressed(lr + grain * (12 / 255) * (0.3 + 2.8 * light * (1 - light)), 85)


def _night(hr: Tensor, scale: int, rng: torch.Generator) -> Tensor:
    """A small sensor at high gain: noise of 25 levels in the middle tones, stronger in shadows, its colours in
    blotches, with banded rows, JPEG at 80."""
    lr = resized(hr, (hr.shape[2] // scale, hr.shape[3] // scale), "area")
    offset = torch.arange(-3.0, 4.0)
    taps = (-0.5 * offset.square()).softmax(0)
    kernel = torch.outer(taps, taps)
    colour = filtered(_normal(lr, rng), kernel) / kernel.square().sum().sqrt()
    noise = 0.8 * _normal(lr[:, :1], rng) + 0.6 * colour
    bands = torch.randn(1, 1, lr.shape[2], 1, generator=rng) * 2
    return _compressed(lr + (noise * 25 * (1.2 - 0.4 * lr) + bands) / 255, 80)


def _messenger(hr: Tensor, scale: int, rng: torch.Generator) -> Tensor:
    """A screenshot of an image that a messenger sent: made smaller and compressed strongly, enlarged for display."""
    height, width = (side // scale for side in hr.shape[2:])
    sent = resized(hr, (max(1, round(0.85 * height)), max(1, round(0.85 * width))), "area")
    return resized(_compressed_apart(sent, 40, rng), (height, width), "bilinear")


def _print(hr: Tensor, scale: int, rng: torch.Generator) -> Tensor:
    """A scanned print of parallel lines at 45 degrees, one screen for all inks, with a soft scanner and JPEG at 75."""
    rows, columns = (torch.arange(side, dtype=torch.float32) for side in hr.shape[2:])
    period = 1.6 * scale
    phase = (rows[:, None] + columns[None]) / (period * math.sqrt(2)) + float(torch.rand(1, generator=rng))
    lines = hr + (2 * (phase % 1 - 0.5).abs() - 0.5) * hr * (1 - hr) * 1.6  # tones stay on average
    lr = blur_same(lines, _disk(0.45 * scale, scale)[None], scale)
    return _compressed(lr + _normal(lr[:, :1], rng) * (3 / 255), 75)


PRESETS: Mapping[str, Callable[[Tensor, int, torch.Generator], Tensor]] = {
    "camera": _camera,
    "shared": _shared,
    "scan": _scan,
    "night": _night,
    "messenger": _messenger,
    "print": _print,
}
"""Degradations by name: HR (1, 3, s h, s w) in [0, 1], the scale and a generator to LR (1, 3, h, w)."""
ABLATED = ("camera", "shared", "scan")
"""Those of the ablations of Cria-CL and of self-supervised adaptation."""


def preset(name: str, hr: NDArray[np.uint8], scale: int, seed: int = 0) -> NDArray[np.uint8]:
    """LR of an image by one of `PRESETS`; deterministic in its arguments.

    Args:
        hr: (s h, s w, 3) RGB.
        scale: 2, 3 or 4.
        seed: of the noise.

    Returns:
        (h, w, 3), aligned with HR as the LR of benchmarks is.

    Raises:
        UsageError: an unknown name, another scale, or sides that are no multiples of it.
    """
    check_scale(scale)
    if name not in PRESETS:
        raise UsageError(
            f"The degradation '{name}' is unknown; known are {', '.join(PRESETS)}.{nearest(name, PRESETS)}"
        )
    if hr.ndim != 3 or hr.shape[2] != 3 or hr.shape[0] % scale or hr.shape[1] % scale or not hr.size:
        raise UsageError(
            f"An image of shape {hr.shape} cannot be degraded at scale {scale}; "
            "it must be (H, W, 3) with sides that are multiples of the scale: crop it first."
        )
    pixels = torch.from_numpy(np.ascontiguousarray(hr)).permute(2, 0, 1)[None].float() / 255
    with torch.no_grad():
        lr = PRESETS[name](pixels, scale, torch.Generator().manual_seed(seed))
    return (lr[0].permute(1, 2, 0) * 255).round().to(torch.uint8).contiguous().numpy()


def _compressed(x: Tensor, quality: int) -> Tensor:
    return jpegs([x], [quality])[0]


def _compressed_apart(x: Tensor, quality: int, rng: torch.Generator) -> Tensor:
    """The same with the grid of blocks at a random place other than the corner."""
    top, left = torch.randint(1, 8, (2,), generator=rng).tolist()
    return _compressed(F.pad(x, (left, 0, top, 0), mode="replicate"), quality)[:, :, top:, left:]


def _disk(radius: float, scale: int) -> Tensor:
    """(21, 21): a uniform disk about the aligned centre, its edge one pixel wide; sums to 1."""
    offset = torch.arange(SIZE, dtype=torch.float32) - centre(scale)
    kernel = (radius + 0.5 - torch.hypot(offset[:, None], offset[None, :])).clamp(0, 1)
    return kernel / kernel.sum()


def _normal(like: Tensor, rng: torch.Generator) -> Tensor:
    return torch.randn(like.shape, generator=rng)
