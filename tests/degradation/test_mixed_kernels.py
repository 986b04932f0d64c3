"""Kernels of the second-order degradation: their shapes against formulas, their shares and ranges when drawn."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from srkit.degradation.mixed_kernels import sample_kernels, sample_sincs, sinc_kernels, smooth_kernels
from srkit.recipes.degradation import KERNELS, FirstOrderPart

COUNT = 1500
MIDDLE = 10


def _rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def _only(kind: str, **changes: object) -> FirstOrderPart:
    return FirstOrderPart(kernels={kind: 1.0}, sides=(21, 21), sinc=0.0, **changes)  # type: ignore[arg-type]


def _sample(part: FirstOrderPart, count: int = COUNT) -> Tensor:
    return sample_kernels(part, count, _rng()).double()


def _widths(kernels: Tensor) -> tuple[Tensor, Tensor]:
    """Deviation along x and along y."""
    offset = torch.arange(21.0, dtype=torch.float64) - MIDDLE
    return (kernels.sum(1) @ offset.square()).sqrt(), (kernels.sum(2) @ offset.square()).sqrt()


def _uniform(values: Tensor, low: float, high: float) -> None:
    """Values fill a range evenly: ends reached, never left, quarters in place."""
    assert low - 1e-4 <= float(values.min())
    assert float(values.max()) <= high + 1e-4
    shares = torch.tensor([0.01, 0.25, 0.5, 0.75, 0.99], dtype=torch.float64)
    found = torch.quantile(values.double(), shares)
    assert float((found - low - (high - low) * shares).abs().max()) < 0.06 * (high - low)


def test_all_kinds_sum_to_one_and_are_symmetric() -> None:
    kernels = _sample(FirstOrderPart(sinc=0.3))
    assert kernels.shape == (COUNT, 21, 21)
    torch.testing.assert_close(kernels.sum((1, 2)), torch.ones(COUNT).double(), atol=1e-5, rtol=0)
    assert float((kernels - kernels.flip(1, 2)).abs().max()) < 1e-7


def test_a_gaussian_turns_from_right_to_down() -> None:
    sigma = torch.tensor([[2.0], [0.8]], dtype=torch.float64)
    theta = torch.tensor([math.pi / 6], dtype=torch.float64)
    one, no, side = torch.ones(1).double(), torch.zeros(1, dtype=torch.bool), torch.tensor([21])
    kernel = smooth_kernels(sigma, theta, one, no, side, 21)[0]
    place = np.arange(21) - MIDDLE
    x, y = np.meshgrid(place, place)
    along = x * math.cos(math.pi / 6) + y * math.sin(math.pi / 6)
    across = y * math.cos(math.pi / 6) - x * math.sin(math.pi / 6)
    expected = np.exp(-0.5 * ((along / 2.0) ** 2 + (across / 0.8) ** 2))
    np.testing.assert_allclose(kernel.numpy(), expected / expected.sum(), atol=1e-12)


@pytest.mark.parametrize("cutoff", [math.pi / 5, math.pi / 2, math.pi])
def test_sinc_kernels_pass_what_lies_below_their_cutoff(cutoff: float) -> None:
    kernel = sinc_kernels(torch.tensor([cutoff]), torch.tensor([51]), 51)[0]
    spectrum = torch.fft.fft2(torch.fft.ifftshift(kernel), s=(51, 51)).real
    frequency = 2 * math.pi * torch.fft.fftfreq(51, dtype=torch.float64)
    radius = torch.hypot(frequency[:, None], frequency[None, :])
    assert float((spectrum[radius < 0.7 * cutoff] - 1).abs().max()) < 0.2
    above = spectrum[radius > 1.3 * cutoff]
    assert above.numel() == 0 or float(above.abs().max()) < 0.2
    assert bool((kernel < 0).any())


def test_sides_are_odd_and_equally_frequent() -> None:
    used = _sample(FirstOrderPart(kernels={"plateau-iso": 1.0}, sinc=0.0, sigma=(3.0, 3.0))) > 0
    sides = used[:, MIDDLE].sum(1)
    assert torch.equal(used.any(1).sum(1), used.any(2).sum(1))
    values, counts = sides.unique(return_counts=True)
    assert values.tolist() == list(range(7, 22, 2))
    assert float((counts / COUNT - 1 / 8).abs().max()) < 0.03


def test_kinds_come_in_their_shares() -> None:
    """Told apart by their taps with widths that are fixed: sinc, round or not, and the shape at a known distance."""
    part = FirstOrderPart(
        sides=(21, 21), generalized=(3.0, 3.0), plateau=(1.5, 1.5), sigma=(1.0, 2.5), sinc=0.2
    )
    kernels = sample_kernels(part, 4000, _rng()).double()
    sinc = (kernels < 0).flatten(1).any(1)
    smooth = kernels[~sinc]
    assert abs(float(sinc.double().mean()) - 0.2) < 0.02
    round_ = (smooth - smooth.transpose(1, 2)).abs().flatten(1).amax(1) < 1e-6
    round_ &= (smooth - smooth.flip(1)).abs().flatten(1).amax(1) < 1e-6
    # Along x, log k(0) / k(2) over log k(0) / k(1) is 4^beta for those of Gaussians.
    drop = (smooth[:, MIDDLE, MIDDLE, None] / smooth[:, MIDDLE, MIDDLE + 1 : MIDDLE + 3]).log()
    bent = torch.log(drop[:, 1] / drop[:, 0]) / math.log(4)
    gaussian, generalized = (bent - 1).abs() < 1e-2, (bent - 3).abs() < 0.1
    plateau = ~gaussian & ~generalized
    found = [
        float((family & of).double().mean())
        for family in (gaussian, generalized, plateau)
        for of in (round_, ~round_)
    ]
    assert np.abs(np.array(found) - [part.kernels[kind] for kind in KERNELS]).max() < 0.025


def test_widths_fill_their_range() -> None:
    part = _only("iso", sigma=(1.0, 2.2))
    along_x, along_y = _widths(_sample(part))
    torch.testing.assert_close(along_x, along_y, atol=1e-5, rtol=0)
    _uniform(along_x, 1.0, 2.2)


def test_long_kernels_have_two_widths_and_all_directions() -> None:
    kernels = _sample(_only("aniso", sigma=(1.0, 2.2)))
    offset = torch.arange(21.0, dtype=torch.float64) - MIDDLE
    xx, yy = (width.square() for width in _widths(kernels))
    xy = (kernels @ offset) @ offset
    mean, radius = (xx + yy) / 2, torch.hypot((xx - yy) / 2, xy)
    widths = torch.cat([(mean + radius).sqrt(), (mean - radius).clamp(min=0).sqrt()])
    _uniform(widths, 1.0, 2.2)
    clear = radius > 0.3
    _uniform((torch.atan2(xy, (xx - yy) / 2) / 2)[clear], -math.pi / 2, math.pi / 2)


def test_shapes_lie_half_below_one_and_half_above() -> None:
    # At twice the width q is 4: k(0) / k = exp(4^beta / 2), or 1 + 4^beta.
    kernels = _sample(_only("generalized-iso", sigma=(2.0, 2.0), generalized=(0.5, 1.8)))
    ratio = kernels[:, MIDDLE, MIDDLE] / kernels[:, MIDDLE, MIDDLE + 4]
    beta = torch.log(2 * ratio.log()) / math.log(4)
    assert abs(float((beta < 1).double().mean()) - 0.5) < 0.04
    _uniform(beta[beta < 1], 0.5, 1.0)
    _uniform(beta[beta > 1], 1.0, 1.8)
    kernels = _sample(_only("plateau-iso", sigma=(2.0, 2.0)))
    ratio = kernels[:, MIDDLE, MIDDLE] / kernels[:, MIDDLE, MIDDLE + 4]
    beta = torch.log(ratio - 1) / math.log(4)
    least = (beta - 1).abs() < 1e-4
    assert abs(float(least.double().mean()) - 0.5) < 0.04
    _uniform(beta[~least], 1.0, 2.0)


def _cutoffs(kernels: Tensor) -> Tensor:
    """In pi radians a pixel, from the ratio of the middle tap to its neighbour, 2 J1(w) / w."""
    ratio = (kernels[:, MIDDLE, MIDDLE + 1] / kernels[:, MIDDLE, MIDDLE]).numpy()
    grid = np.linspace(0.01, math.pi, 4000)
    table = (2 * torch.special.bessel_j1(torch.from_numpy(grid)) / torch.from_numpy(grid)).numpy()
    return torch.from_numpy(np.interp(-ratio, -table, grid) / math.pi)


def test_cutoffs_fill_their_range_and_narrow_kernels_start_higher() -> None:
    for sides, low in (((7, 11), 1 / 3), ((13, 21), 1 / 5)):
        kernels = sample_kernels(FirstOrderPart(sinc=1.0, sides=sides), COUNT, _rng()).double()
        kernels = torch.nn.functional.pad(kernels, ((21 - sides[1]) // 2,) * 4)
        _uniform(_cutoffs(kernels), low, 1.0)
    _uniform(_cutoffs(sample_sincs((7, 21), (1 / 3, 1.0), COUNT, _rng()).double()), 1 / 3, 1.0)
    narrow = FirstOrderPart(sinc=1.0, sides=(7, 7), cutoff=(0.1, 0.2))
    torch.testing.assert_close(
        _cutoffs(torch.nn.functional.pad(sample_kernels(narrow, 3, _rng()).double(), (7,) * 4)),
        torch.full((3,), 1 / 3).double(),
        atol=1e-3,
        rtol=0,
    )


def test_draws_repeat() -> None:
    first = sample_kernels(FirstOrderPart(), 20, _rng(4))
    assert torch.equal(first, sample_kernels(FirstOrderPart(), 20, _rng(4)))
    assert not torch.equal(first, sample_kernels(FirstOrderPart(), 20, _rng(5)))
