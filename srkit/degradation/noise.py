"""Noise: Gaussian, Poisson, of colour sensors, and film grain."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from srkit.degradation.filters import Library, filtered, gaussian_kernel

PHOTONS = 256
"""Photons at white for Poisson noise of factor 1."""
_LUMA = (0.2989, 0.587, 0.114)
_READ_NOISE = 0.002
"""Variance of the read noise relative to the shot noise's at white."""
_RED_BLUE = torch.tensor([[0.25, 0.5, 0.25], [0.5, 1.0, 0.5], [0.25, 0.5, 0.25]])
_GREEN = torch.tensor([[0.0, 0.25, 0.0], [0.25, 1.0, 0.25], [0.0, 0.25, 0.0]])
_DEMOSAICKED = (0.5625, 0.625, 0.5625)
"""Mean variance, by channel, of white noise on the mosaic after the kernels above."""


def gaussian_noise(x: Tensor, sigma: float, gray: bool, rng: torch.Generator) -> Tensor:
    """Add Gaussian noise and clip.

    Args:
        x: (1, 3, h, w) float32.
        sigma: standard deviation in levels of 8 bit.
        gray: use the same noise in all channels.
        rng: generator on x's device.

    Returns:
        (1, 3, h, w) in [0, 1].
    """
    return torch.add(x, _normal(x, gray, rng), alpha=sigma / 255).clamp_(0, 1)


def poisson_noise(x: Tensor, factor: float, gray: bool, rng: torch.Generator) -> Tensor:
    """Add `factor` times the shot noise of 256 x photons, and clip.

    Counts are 256 x + sqrt(256 x) z + (z^2 - 1) / 6 with a normal z, never below 0: the Cornish-Fisher expansion of
    a Poisson variable, with its mean, deviation and skewness; ten times as fast as sampling integer photons. BasicSR
    derives the photons at white from the number of levels in a crop, which gives flat crops excessive noise; here
    they always correspond to a full range of levels.

    Args:
        x: (1, 3, h, w) float32; clipped to [0, 1] first.
        factor: at least 0.
        gray: use the same noise in all channels, from the luma.
        rng: generator on x's device.

    Returns:
        (1, 3, h, w) in [0, 1].
    """
    x = x.clamp(0, 1)
    light = x
    if gray:
        light = (x * torch.tensor(_LUMA, device=x.device).view(1, 3, 1, 1)).sum(1, keepdim=True)
    expected = light * PHOTONS
    z = _normal(x, gray, rng)
    skewed = (z.square() - 1).mul_(1 / 6).mul_(expected.clamp(max=1))  # 0 where there is no light
    noise = torch.maximum(torch.addcmul(skewed, expected.sqrt(), z), -expected)
    return torch.add(x, noise, alpha=factor / PHOTONS).clamp_(0, 1)


def sensor_noise(
    x: Tensor, sigma: float, blotches: float, rng: torch.Generator, library: Library = "auto"
) -> Tensor:
    """Add the noise of a colour sensor and clip.

    Shot and read noise are added on a Bayer mosaic (RGGB) in linear light, spread by bilinear demosaicking, and
    amplified in the shadows by sRGB's curve. The image itself is not demosaicked.

    Args:
        x: (1, 3, h, w) float32 in [0, 1].
        sigma: standard deviation at middle gray, in levels of 8 bit, averaged over the channels.
        blotches: sigma in pixels of a blur of the noise's chroma, which cameras smooth more than its luma; the
            deviation is preserved. 0: no blur.
        rng: generator on x's device.

    Returns:
        (1, 3, h, w) in [0, 1].
    """
    linear = _to_linear(x.clamp(0, 1))
    noise = _normal(x, False, rng) * (linear + _READ_NOISE).sqrt() * _mosaic(x)
    others, green = filtered(noise, _RED_BLUE, library), filtered(noise, _GREEN, library)
    noise = torch.cat([others[:, :1], green[:, 1:2], others[:, 2:]], dim=1)
    middle = ((0.5 + 0.055) / 1.055) ** 2.4
    slope = (0.5 + 0.055) / (2.4 * middle)  # of sRGB's curve at middle gray
    deviation = math.sqrt(sum(_DEMOSAICKED) / 3 * (middle + _READ_NOISE)) * slope
    if blotches > 0:
        luma = (noise * torch.tensor(_LUMA, device=x.device).view(1, 3, 1, 1)).sum(1, keepdim=True)
        colour = noise - luma
        soft = filtered(colour, gaussian_kernel(blotches), library)
        noise = torch.addcmul(luma, soft, colour.std() / soft.std().clamp(min=1e-6))
    noisy = torch.add(linear, noise, alpha=sigma / 255 / deviation).clamp_(0, 1)
    return _from_linear(noisy)


def film_grain(
    x: Tensor, sigma: float, size: float, gray: bool, rng: torch.Generator, library: Library = "auto"
) -> Tensor:
    """Add film grain and clip: blurred Gaussian noise, strongest in the mid-tones.

    Args:
        x: (1, 3, h, w) float32 in [0, 1].
        sigma: standard deviation at middle gray, in levels of 8 bit; a quarter of it at black and white.
        size: sigma of the blur, in pixels; the deviation is preserved. 0: no blur.
        gray: use the same noise in all channels.
        rng: generator on x's device.

    Returns:
        (1, 3, h, w) in [0, 1].
    """
    grain = _normal(x, gray, rng)
    if size > 0:
        kernel = gaussian_kernel(size)
        grain = filtered(grain.expand_as(x), kernel, library) / kernel.square().sum().sqrt()
    strength = 0.25 + 3 * x * (1 - x)
    return torch.addcmul(x, strength, grain, value=sigma / 255).clamp_(0, 1)


def _to_linear(x: Tensor) -> Tensor:
    """Convert sRGB values to linear light (IEC 61966-2-1)."""
    return torch.where(x <= 0.04045, x / 12.92, ((x + 0.055) / 1.055) ** 2.4)


def _from_linear(light: Tensor) -> Tensor:
    return torch.where(
        light <= 0.0031308, light * 12.92, 1.055 * light.clamp(min=0.0031308) ** (1 / 2.4) - 0.055
    )


def _mosaic(x: Tensor) -> Tensor:
    """Mask of an RGGB mosaic, (1, 3, h, w): 1 where a pixel records the channel."""
    seen = torch.zeros_like(x)
    seen[:, 0, ::2, ::2] = seen[:, 1, ::2, 1::2] = seen[:, 1, 1::2, ::2] = seen[:, 2, 1::2, 1::2] = 1
    return seen


def _normal(x: Tensor, gray: bool, rng: torch.Generator) -> Tensor:
    """Standard normal noise (1, 3, h, w), or (1, 1, h, w), in channels_last."""
    shape = (*x.shape[2:], 1 if gray else x.shape[1])
    return torch.randn(shape, generator=rng, device=x.device).permute(2, 0, 1)[None]
