"""Noise: its mean, deviation and skewness against those of the distributions, and repetition."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from srkit.degradation.noise import film_grain, gaussian_noise, poisson_noise, sensor_noise

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


def _neighbours(noise: Tensor) -> float:
    """Correlation of (1, 3, h, w) with itself one pixel to the right."""
    return float((noise[..., 1:] * noise[..., :-1]).mean() / noise.square().mean())


@pytest.mark.parametrize("sigma", [3.0, 10.0])
@pytest.mark.parametrize("spot", [0.0, 1.0])
def test_noise_of_sensors_and_film_has_the_deviation_asked_for_at_middle_gray(
    sigma: float, spot: float
) -> None:
    sensor = (sensor_noise(_flat(0.5), sigma, spot, _rng()) - 0.5) * 255
    grain = (film_grain(_flat(0.5), sigma, spot, False, _rng()) - 0.5) * 255
    assert abs(float(grain.std()) / sigma - 1) < 0.03
    assert (
        abs(float(sensor.square().mean().sqrt()) / sigma - 1) < 0.12
    )  # the display's curve bends strong noise
    for noise in (sensor, grain):
        assert abs(float(noise.mean())) < 0.08 * sigma


def test_demosaicking_correlates_neighbours_and_grain_has_a_size() -> None:
    plain = gaussian_noise(_flat(0.5), 10, False, _rng()) - 0.5
    assert abs(_neighbours(plain)) < 0.02
    assert _neighbours(sensor_noise(_flat(0.5), 10, 0, _rng()) - 0.5) > 0.3
    fine, coarse = (film_grain(_flat(0.5), 10, size, True, _rng()) - 0.5 for size in (0.5, 1.5))
    assert 0.2 < _neighbours(fine) < _neighbours(coarse)


def test_blotches_are_of_colour() -> None:
    noise = sensor_noise(_flat(0.5), 8, 3.0, _rng()) - 0.5
    luma = (noise * torch.tensor((0.2989, 0.587, 0.114)).view(1, 3, 1, 1)).sum(1, keepdim=True)
    assert _neighbours(noise - luma) > 0.8
    assert _neighbours(luma) < 0.6


def test_sensor_noise_is_strongest_in_the_shadows_and_grain_in_the_middle() -> None:
    def deviations(add: Callable[[Tensor], Tensor]) -> list[float]:
        return [float((add(_flat(level)) - level).std()) for level in (0.15, 0.5, 0.95)]

    dark, middle, light = deviations(lambda x: sensor_noise(x, 5, 0, _rng()))
    assert dark > middle > light
    dark, middle, light = deviations(lambda x: film_grain(x, 5, 0.7, True, _rng()))
    assert middle > 1.3 * max(dark, light)
