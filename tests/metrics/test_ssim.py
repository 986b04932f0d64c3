"""SSIM against independent implementations, and what it promises about batches, order and size."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy.signal import convolve2d
from skimage.metrics import structural_similarity

from srkit.errors import UsageError
from srkit.metrics.ssim import ssim
from tests.helpers import refused


def pair(shape: tuple[int, ...], seed: int = 0, noise: float = 0.1) -> tuple[torch.Tensor, torch.Tensor]:
    g = torch.Generator().manual_seed(seed)
    x = torch.rand(shape, generator=g, dtype=torch.float64)
    return x, (x + noise * torch.randn(shape, generator=g, dtype=torch.float64)).clamp(0, 1)


def by_definition(x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.float64]:
    """Eq. 13 of Wang et al. 2004, on the scale of 0 to 255, with the full two-dimensional window."""
    x, y = 255 * x, 255 * y
    row, column = np.mgrid[-5:6, -5:6]
    window = np.exp(-(row**2 + column**2) / (2 * 1.5**2))
    window /= window.sum()
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2

    def mean(a: NDArray[np.float64]) -> NDArray[np.float64]:
        return convolve2d(a, window, mode="valid")

    mx, my = mean(x), mean(y)
    vx, vy, cov = mean(x * x) - mx**2, mean(y * y) - my**2, mean(x * y) - mx * my
    return (2 * mx * my + c1) * (2 * cov + c2) / ((mx**2 + my**2 + c1) * (vx + vy + c2))


@pytest.mark.parametrize("size", [(11, 11), (11, 60), (42, 43), (75, 31), (26, 34), (59, 22)])
def test_it_is_the_definition(size: tuple[int, int]) -> None:
    x, y = pair((1, 1, *size))
    expected = by_definition(x[0, 0].numpy(), y[0, 0].numpy())
    assert float(ssim(x, y)) == pytest.approx(expected.mean(), abs=1e-12)


@pytest.mark.parametrize("flat", [0.0, 0.2, 1.0])
def test_flat_images_are_no_trouble(flat: float) -> None:
    """Variances of nothing: what is left of them is rounding, which the constants must outweigh."""
    x = torch.full((1, 1, 40, 40), flat)
    y = torch.full((1, 1, 40, 40), 0.6)
    expected = by_definition(x[0, 0].double().numpy(), y[0, 0].double().numpy()).mean()
    assert float(ssim(x, y)) == pytest.approx(expected, abs=1e-10)


def test_agrees_with_scikit_image() -> None:
    x, y = pair((1, 3, 70, 97), seed=3)
    expected = structural_similarity(
        x[0].numpy(),
        y[0].numpy(),
        channel_axis=0,
        data_range=1,
        gaussian_weights=True,
        sigma=1.5,
        use_sample_covariance=False,
    )
    assert float(ssim(x, y)) == pytest.approx(expected, abs=1e-12)


def test_symmetric_and_one_for_identical_images() -> None:
    x, y = pair((2, 3, 50, 40))
    assert torch.equal(ssim(x, y), ssim(y, x))
    assert torch.equal(ssim(x, x), torch.ones(2, dtype=torch.float64))


def test_an_image_does_not_depend_on_its_batch() -> None:
    x, y = pair((3, 3, 64, 50), seed=5)
    alone = torch.cat([ssim(x[i : i + 1], y[i : i + 1]) for i in range(3)])
    assert torch.equal(ssim(x, y), alone)


@pytest.mark.cuda
def test_cuda_gives_the_same_number() -> None:
    x, y = pair((2, 3, 200, 130), seed=7)
    torch.testing.assert_close(ssim(x.cuda(), y.cuda()).cpu(), ssim(x, y), rtol=0, atol=1e-12)


def test_refuses_what_it_cannot_compare() -> None:
    x, y = pair((1, 3, 20, 20))
    with refused(UsageError, (1, 3, 20, 20), (1, 1, 20, 20)):
        ssim(x, y[:, :1])
    with refused(UsageError, "10 x 20", 11):
        ssim(x[..., :10], y[..., :10])
