"""Printed and scanned images: halftone dots, and the texture of paper."""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from srkit.degradation.filters import Library, filtered, gaussian_kernel

_ANGLES = (15.0, 75.0, 0.0)
"""Screen angles of cyan, magenta and yellow in degrees, at the usual distance in print."""
_GRAY_ANGLE = 45.0
_EDGE = 0.15
"""Width of a dot's edge relative to the screen's range; narrower edges alias."""
_INK_SPREAD = (0.2, 0.4)
"""Range of the blur of ink and scanner: sigma relative to the distance of the dots."""
_TEXTURE_SIZES = (1, 3, 9)
"""Cell size of the paper's texture in pixels, by octave."""
_DUST = (2, 8)
"""Maximum number of specks per 100 x 100 pixels, and their maximum diameter in pixels."""


def halftone(x: Tensor, period: float, rng: torch.Generator, library: Library = "auto") -> Tensor:
    """Print in halftone and scan: a rotated screen for each channel's ink, or one of black for gray images.

    The screen's thresholds are uniformly distributed, so that tones are preserved on average.

    Args:
        x: (1, 3, h, w) float32 in [0, 1].
        period: distance of the dots in pixels, at least 2.
        rng: generator on x's device, of the screens' positions and the ink's spread.

    Returns:
        (1, 3, h, w) in [0, 1].
    """
    turn, across, down, spread = torch.rand(4, generator=rng, device=x.device).tolist()
    gray = bool((x - x.mean(1, keepdim=True)).abs().max() < 2 / 255)
    angles = (_GRAY_ANGLE,) * 3 if gray else _ANGLES
    screens = torch.stack(
        [
            _screen(x.shape[2:], period, math.radians(angle + 10 * turn), (across, down), x.device)
            for angle in angles
        ]
    )
    ink = ((_screened(1 - x) - screens[None]) / _EDGE).clamp(0, 1)
    kernel = gaussian_kernel(period * (_INK_SPREAD[0] + spread * (_INK_SPREAD[1] - _INK_SPREAD[0])))
    return 1 - filtered(ink, kernel, library)


def paper(x: Tensor, strength: float, rng: torch.Generator) -> Tensor:
    """Add paper texture, which scans show where ink is thin, and specks of light or dark dust.

    Args:
        x: (1, 3, h, w) float32 in [0, 1].
        strength: deviation of the texture on white, in levels of 8 bit.
        rng: generator on x's device.

    Returns:
        (1, 3, h, w) in [0, 1].
    """
    height, width = x.shape[2:]
    texture = torch.zeros(1, 1, height, width, device=x.device)
    for cell in _TEXTURE_SIZES:
        shape = (1, 1, -(-height // cell) + 1, -(-width // cell) + 1)
        coarse = torch.randn(shape, generator=rng, device=x.device)
        texture += F.interpolate(coarse, size=(height, width), mode="bilinear", align_corners=False)
    texture = texture / texture.std(correction=0).clamp(min=1e-6)
    x = x + (0.3 + 0.7 * x) * texture * (strength / 255)
    return _dusty(x.clamp(0, 1), rng)


def _dusty(x: Tensor, rng: torch.Generator) -> Tensor:
    height, width = x.shape[2:]
    count = int(
        torch.randint(_DUST[0] * max(1, height * width // 10_000) + 1, (1,), generator=rng, device=x.device)
    )
    place = torch.rand(count, 4, generator=rng, device=x.device).tolist()
    rows, columns = (torch.arange(side, device=x.device, dtype=torch.float32) for side in (height, width))
    for across, down, size, light in place:
        radius = 0.5 + size**2 * _DUST[1] / 2
        distance = torch.hypot((rows - down * height)[:, None], (columns - across * width)[None])
        cover = (radius + 0.5 - distance).clamp(0, 1) * 0.7
        x = torch.lerp(x, torch.full_like(x, float(light > 0.5)), cover)
    return x


def _screen(
    size: torch.Size, period: float, angle: float, offset: tuple[float, float], device: torch.device
) -> Tensor:
    """Thresholds (h, w) of a clustered-dot screen, uniformly distributed over [0, 1]."""
    rows, columns = (
        (torch.arange(side, device=device, dtype=torch.float32) / period + start)
        for side, start in zip(size, offset, strict=True)
    )
    u = columns[None] * math.cos(angle) + rows[:, None] * math.sin(angle)
    v = rows[:, None] * math.cos(angle) - columns[None] * math.sin(angle)
    wave = (torch.cos(2 * math.pi * u) + torch.cos(2 * math.pi * v)) / 2
    table = _even(device)
    place = (wave + 1) / 2 * (len(table) - 1)
    low = place.floor().long().clamp(0, len(table) - 2)
    return torch.lerp(table[low], table[low + 1], place - low)


def _screened(ink: Tensor) -> Tensor:
    """Threshold at which soft dots have the mean `ink`; white has no dots, and black is solid."""
    light = (2 * _EDGE * ink.clamp(min=1e-8)).sqrt()
    dark = 1 + _EDGE - (2 * _EDGE * (1 - ink).clamp(min=1e-8)).sqrt()
    return torch.where(ink < _EDGE / 2, light, torch.where(ink > 1 - _EDGE / 2, dark, ink + _EDGE / 2))


@lru_cache(maxsize=8)
@torch.inference_mode(False)
def _even(device: torch.device) -> Tensor:
    """Fraction of the plane where the mean of two cosines is below values from -1 to 1, (257,)."""
    phase = (np.arange(512) + 0.5) / 512 * 2 * np.pi
    wave = np.sort(((np.cos(phase)[:, None] + np.cos(phase)[None]) / 2).ravel())
    share = np.searchsorted(wave, np.linspace(-1, 1, 257)) / wave.size
    return torch.from_numpy(share.astype(np.float32)).to(device)
