"""Sensor noise: Gaussian, and Poisson, whose strength grows with the light."""

from __future__ import annotations

import torch
from torch import Tensor

PHOTONS = 256
"""At white, of Poisson noise whose factor is 1."""
_LUMA = (0.2989, 0.587, 0.114)


def gaussian_noise(x: Tensor, sigma: float, gray: bool, rng: torch.Generator) -> Tensor:
    """Add Gaussian noise and clip.

    Args:
        x: (1, 3, h, w) float32.
        sigma: standard deviation in levels of 8 bit.
        gray: the same in all channels.
        rng: on x's device.

    Returns:
        (1, 3, h, w) in [0, 1].
    """
    return torch.add(x, _normal(x, gray, rng), alpha=sigma / 255).clamp_(0, 1)


def poisson_noise(x: Tensor, factor: float, gray: bool, rng: torch.Generator) -> Tensor:
    """Add `factor` times the noise of counting 256 x photons, and clip.

    Counts are 256 x + sqrt(256 x) z + (z^2 - 1) / 6 with a normal z, never below 0: the Cornish-Fisher expansion of
    a Poisson variable, whose mean, deviation and skewness it has; ten times as fast as drawing whole photons.
    BasicSR takes the photons at white from how many levels a crop has, so that flat crops get absurd noise; here they
    are always those of a full range of levels.

    Args:
        x: (1, 3, h, w) float32; what is outside [0, 1] is clipped first.
        factor: at least 0.
        gray: the same in all channels, from the luma.
        rng: on x's device.

    Returns:
        (1, 3, h, w) in [0, 1].
    """
    x = x.clamp(0, 1)
    light = x
    if gray:
        light = (x * torch.tensor(_LUMA, device=x.device).view(1, 3, 1, 1)).sum(1, keepdim=True)
    expected = light * PHOTONS
    z = _normal(x, gray, rng)
    skewed = (z.square() - 1).mul_(1 / 6).mul_(expected.clamp(max=1))  # none where there is no light
    noise = torch.maximum(torch.addcmul(skewed, expected.sqrt(), z), -expected)
    return torch.add(x, noise, alpha=factor / PHOTONS).clamp_(0, 1)


def _normal(x: Tensor, gray: bool, rng: torch.Generator) -> Tensor:
    """(1, 3, h, w), or (1, 1, h, w), standard normal, laid out as channels_last."""
    shape = (*x.shape[2:], 1 if gray else x.shape[1])
    return torch.randn(shape, generator=rng, device=x.device).permute(2, 0, 1)[None]
