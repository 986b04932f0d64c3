"""Noise: its mean, deviation and skewness against those of the distributions, and repetition."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from srkit.degradation.noise import gaussian_noise, poisson_noise

SIDE = 160


def _flat(level: float) -> Tensor:
    return torch.full((1, 3, SIDE, SIDE), level)


def _rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("sigma", [1.0, 12.0, 30.0])
@pytest.mark.parametrize("gray", [False, True])
def test_gaussian_noise_has_the_deviation_asked_for(sigma: float, gray: bool) -> None:
    noise = (gaussian_noise(_flat(0.5), sigma, gray, _rng()) - 0.5) * 255
    assert abs(float(noise.mean())) < 0.02 * sigma
    assert abs(float(noise.std()) / sigma - 1) < 0.02


@pytest.mark.parametrize("level", [4 / 255, 0.2, 0.5])
@pytest.mark.parametrize("factor", [0.5, 1.0])
def test_poisson_noise_is_that_of_photons(level: float, factor: float) -> None:
    photons = 256 * level
    found = poisson_noise(_flat(level), factor, False, _rng()).double()
    noise = (found - level) * 256 / factor
    assert abs(float(noise.mean())) < 0.03 * photons**0.5
    assert abs(float(noise.std()) / photons**0.5 - 1) < 0.03
    skewness = float((noise / noise.std()).pow(3).mean())
    assert abs(skewness - photons**-0.5) < 0.04 + 0.1 * photons**-0.5
    drawn = torch.poisson(torch.full_like(found, photons), _rng(1))
    for share in (0.01, 0.1, 0.9, 0.99):
        expected = float(torch.quantile(drawn.flatten()[:70000], share)) - photons
        assert abs(float(torch.quantile(noise.flatten()[:70000], share)) - expected) <= 0.75


def test_the_factor_makes_poisson_noise_stronger() -> None:
    weak, strong = (poisson_noise(_flat(0.4), factor, False, _rng()).std() for factor in (0.2, 0.8))
    assert abs(float(strong / weak) - 4) < 0.01


def test_where_there_is_no_light_there_is_no_photon_noise() -> None:
    assert float(poisson_noise(_flat(0.0), 3.0, False, _rng()).abs().max()) == 0
    assert float(poisson_noise(_flat(0.5), 0.0, False, _rng()).sub(0.5).abs().max()) == 0


@pytest.mark.parametrize("add", [gaussian_noise, poisson_noise])
def test_gray_noise_is_the_same_in_all_channels(add: object) -> None:
    assert callable(add)
    x = torch.tensor([0.3, 0.5, 0.6]).view(1, 3, 1, 1).expand(1, 3, 20, 30).contiguous()
    gray, coloured = (add(x, 2.0, gray, _rng()) - x for gray in (True, False))
    assert float((gray - gray[:, :1]).abs().max()) < 1e-6
    assert float((coloured - coloured[:, :1]).abs().max()) > 1e-3
    assert float(gray.std()) > 1e-3


@pytest.mark.parametrize("add", [gaussian_noise, poisson_noise])
def test_noise_stays_in_range_and_repeats(add: object) -> None:
    assert callable(add)
    x = torch.rand(1, 3, 20, 30, generator=_rng(3)) * 1.2 - 0.1
    one = add(x, 3.0, False, _rng(1))
    assert 0 <= float(one.min()) <= float(one.max()) <= 1
    assert torch.equal(one, add(x, 3.0, False, _rng(1)))
    assert not torch.equal(one, add(x, 3.0, False, _rng(2)))
