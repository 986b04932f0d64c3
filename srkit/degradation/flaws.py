"""Single flaws of HR images, for training a regulariser that separates flawed from flawless images."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from srkit.degradation.filters import filtered, gaussian_kernel
from srkit.degradation.jpeg import jpegs
from srkit.degradation.noise import gaussian_noise
from srkit.ops.resize import upscale

FLAWS = ("blur", "noise", "jpeg", "enlarged")
_SHARES = (0.25, 0.25, 0.5)  # shares of the flaws but `enlarged`; compression is the hardest to learn
_BLUR = (0.8, 3.0)  # sigma in pixels
_NOISE = (5.0, 40.0)  # deviation in levels of 8 bit
_JPEG = (60.0, 8.0)  # quality
_ENLARGED = (0.15, 1.0)  # weight of the upscaled LR image


def flawed(hr: Tensor, lr: Tensor, rng: torch.Generator, enlarged: float = 0.2) -> Tensor:
    """Apply one of `FLAWS` to each image, at random strength; deterministic for a state of `rng`.

    Blur and noise are Gaussian, half of the noise gray; `enlarged` blends the image with bicubic upscaling of LR, the
    starting point of super-resolution. Strengths are uniform on a logarithmic scale, from barely visible to obvious.

    Args:
        hr: (B, 3, s h, s w) float32 in [0, 1].
        lr: (B, 3, h, w), of the same images, with any degradation.
        rng: generator on the CPU.
        enlarged: share of the images with this flaw, in [0, 1].

    Returns:
        (B, 3, s h, s w) in [0, 1], channels_last, on hr's device, without a gradient.
    """
    with torch.no_grad():
        large = upscale(lr, hr.shape[2] // lr.shape[2]).clamp(0, 1)
        shares = torch.tensor([*((1 - enlarged) * share for share in _SHARES), enlarged])
        kinds = torch.multinomial(shares, len(hr), replacement=True, generator=rng).tolist()
        strengths = torch.rand(len(hr), generator=rng, dtype=torch.float64).tolist()
        seeds = torch.randint(2**62, (len(hr),), generator=rng).tolist()
        made = [
            _one(FLAWS[kind], hr[n : n + 1], large[n : n + 1], strength, seed)
            for n, (kind, strength, seed) in enumerate(zip(kinds, strengths, seeds, strict=True))
        ]
        return torch.cat(made).clamp(0, 1).contiguous(memory_format=torch.channels_last)


def _one(kind: str, hr: Tensor, large: Tensor, strength: float, seed: int) -> Tensor:
    if kind == "blur":
        return filtered(hr, gaussian_kernel(_between(_BLUR, strength)))
    if kind == "noise":
        rng = torch.Generator(hr.device).manual_seed(seed)
        return gaussian_noise(hr, _between(_NOISE, strength), seed % 2 == 0, rng)
    if kind == "jpeg":
        return jpegs([hr], [round(_between(_JPEG, strength))])[0]
    return torch.lerp(hr, large, _between(_ENLARGED, strength))


def _between(ends: tuple[float, float], strength: float) -> float:
    """Interpolate geometrically from the weakest to the strongest."""
    return ends[0] * math.exp(strength * math.log(ends[1] / ends[0]))
