"""Fixed features of detail."""

from __future__ import annotations

import math

import pytest
import torch

from srkit.archs.detail import detail_energies, energies_count, energies_radius, normalised_detail
from srkit.degradation.kernels import covariance_of, gaussian
from srkit.degradation.spatially_variant import blur_same


def _image(height: int, width: int) -> torch.Tensor:
    return torch.rand(1, 3, height, width, generator=torch.Generator().manual_seed(height))


def test_detail_does_not_depend_on_brightness_and_contrast() -> None:
    x = _image(20, 24)
    found = normalised_detail(x)
    torch.testing.assert_close(normalised_detail(0.4 * x + 0.3), found, atol=0.05, rtol=0)
    assert 0.5 < float(found.std()) < 1.5
    flat = normalised_detail(torch.full((1, 3, 9, 9), 0.7) + 0.2 / 255 * torch.randn(1, 3, 9, 9))
    assert float(flat.std()) < 0.1  # what rounding leaves is not blown up


def test_energies_of_white_noise_are_its_variance_in_every_direction_and_order() -> None:
    sigma = 20.0
    noise = 0.5 + sigma / 255 * torch.randn(1, 3, 200, 200, generator=torch.Generator().manual_seed(0))
    found = detail_energies(noise, [6])[:, :, 20:-20, 20:-20].mean((0, 2, 3))
    assert found.shape == (energies_count([6]),)
    torch.testing.assert_close(found[:-1], torch.zeros(12), atol=0.05, rtol=0)
    assert float(found[-1]) == pytest.approx(math.log(sigma**2 + 1) / 2 - 2, abs=0.02)


def test_energies_fall_with_the_order_along_blur() -> None:
    hr = torch.rand(1, 3, 96, 96, generator=torch.Generator().manual_seed(1))
    for along, angle in enumerate((0.0, math.pi / 2, math.pi / 4, 3 * math.pi / 4)):
        kernel = gaussian(covariance_of(10.0, 0.7, angle), 4).float()[None]
        mean = detail_energies(blur_same(hr, kernel, 4), [5])[:, :-1].mean((0, 2, 3)).view(4, 3)
        slope = mean[:, 2] - mean[:, 0]  # of right, down, and both diagonals
        assert int(slope.argmin()) == along


def test_a_constant_image_has_no_energy_and_none_is_infinite() -> None:
    found = detail_energies(torch.full((1, 3, 5, 4), 0.3), [1, 9])
    assert found.shape == (1, energies_count([1, 9]), 5, 4)
    assert bool(found.isfinite().all()) and float(found[:, :12].abs().max()) == 0


@pytest.mark.parametrize("radii", [[1], [2, 5]])
def test_energies_see_as_far_as_told(radii: list[int]) -> None:
    x, middle = _image(31, 31).double().requires_grad_(), 15
    (gradient,) = torch.autograd.grad(detail_energies(x, radii)[:, :, middle, middle].square().sum(), x)
    seen = gradient.abs().sum((0, 1)).nonzero()
    assert int((seen - middle).abs().max()) == energies_radius(radii)
