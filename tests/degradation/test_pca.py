"""Codes of kernels: the basis, the error of the way there and back, and brightness."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from srkit.degradation.kernels import SCALES, SIZE, TAPS, bicubic_kernel, gaussian
from srkit.degradation.pca import decode, encode, kernel_basis, sample_covariance, sample_motion


def _error(kernels: Tensor, scale: int, components: int = 15) -> float:
    """Mean over kernels of the summed absolute error of the way there and back."""
    laid = kernels.float().flatten(1).T[None, :, :, None]
    basis = kernel_basis(scale, components)
    back = decode(encode(laid, basis), basis)
    torch.testing.assert_close(back.sum(1), torch.ones_like(back[:, 0]), atol=1e-5, rtol=0)
    return float((back - laid).abs().sum(1).mean())


@pytest.mark.parametrize("scale", SCALES)
def test_the_basis_is_orthonormal_and_always_the_same(scale: int) -> None:
    basis = kernel_basis(scale)
    assert basis.shape == (15, SIZE, SIZE)
    flat = basis.flatten(1)
    torch.testing.assert_close(flat @ flat.T, torch.eye(15), atol=1e-5, rtol=0)
    assert torch.equal(basis[:7], kernel_basis(scale, 7))
    basis.zero_()  # a caller's copy, not the one that is kept
    assert float(kernel_basis(scale).abs().max()) > 0


@pytest.mark.parametrize(
    ("scale", "of_gaussian", "of_motion", "of_bicubic"),
    [(2, 0.029, 0.071, 0.006), (3, 0.042, 0.123, 0.046), (4, 0.036, 0.146, 0.025)],
)
def test_the_error_there_and_back_is_what_is_stated(
    scale: int, of_gaussian: float, of_motion: float, of_bicubic: float
) -> None:
    rng = torch.Generator().manual_seed(123)  # other kernels than those of the basis
    assert _error(gaussian(sample_covariance(scale, 500, rng), scale), scale) == pytest.approx(
        of_gaussian, rel=0.1
    )
    assert _error(sample_motion(scale, 500, rng), scale) == pytest.approx(of_motion, rel=0.1)
    assert _error(bicubic_kernel(scale)[None], scale) == pytest.approx(of_bicubic, abs=0.005)


def test_all_components_lose_nothing() -> None:
    kernels = torch.rand(4, SIZE, SIZE, generator=torch.Generator().manual_seed(0))
    kernels = kernels / kernels.sum((1, 2), keepdim=True)
    assert _error(kernels, 4, TAPS) < 1e-3
    assert _error(kernels, 4, 15) > 0.1
