"""Kernels: their sums, moments and phase, and that LR made with them stays aligned with HR."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from srkit.degradation.kernels import (
    RADIUS,
    SCALES,
    SIZE,
    TAPS,
    axes,
    bicubic_kernel,
    centre,
    covariance_of,
    from_map,
    gaussian,
    gaussian_map,
    largest_width,
    moments,
    motion,
    smallest_width,
)
from srkit.degradation.pca import sample_covariance, sample_motion
from srkit.degradation.spatially_variant import blur_same
from srkit.ops.resize import bicubic


def _covariances(scale: int, count: int = 64) -> Tensor:
    return sample_covariance(scale, count, torch.Generator().manual_seed(1))


@pytest.mark.parametrize("scale", SCALES)
def test_kernels_sum_to_1_and_lie_about_the_centre(scale: int) -> None:
    rng = torch.Generator().manual_seed(0)
    assert centre(scale) == RADIUS + (scale - 1) / 2
    for kernels in (
        gaussian(_covariances(scale), scale),
        sample_motion(scale, 32, rng).double(),
        bicubic_kernel(scale)[None].double(),
    ):
        assert kernels.shape[1:] == (SIZE, SIZE)
        torch.testing.assert_close(kernels.sum((1, 2)), torch.ones(len(kernels)).double(), atol=1e-6, rtol=0)
        centroid, _ = moments(kernels)
        assert float((centroid - centre(scale)).abs().max()) < 1e-5


def test_a_gaussian_is_its_formula() -> None:
    covariance = covariance_of(6.0, 2.0, 0.4).double()
    kernel = gaussian(covariance, 4)
    xx, xy, yy = covariance.tolist()
    inverse = np.linalg.inv(np.array([[xx, xy], [xy, yy]]))
    expected = np.zeros((SIZE, SIZE))
    for u in range(3, SIZE):
        for v in range(3, SIZE):
            at = np.array([v - 11.5, u - 11.5])
            expected[u, v] = math.exp(-0.5 * at @ inverse @ at)
    np.testing.assert_allclose(kernel.numpy(), expected / expected.sum(), atol=1e-12)


@pytest.mark.parametrize("scale", SCALES)
def test_a_gaussians_moments_are_its_covariance(scale: int) -> None:
    covariance = _covariances(scale)
    _, measured = moments(gaussian(covariance, scale))
    lam1, _, _ = axes(covariance)
    error = (measured - covariance).abs().amax(1) / lam1
    assert float(error[lam1 < 1.5 * scale].max()) < 0.01
    assert float(error.max()) < 0.05  # the largest are cut off by the window


def test_axes_undo_covariance_of() -> None:
    lam1, lam2, theta = (
        torch.tensor([5.0, 3.0, 2.0]),
        torch.tensor([1.0, 2.5, 2.0]),
        torch.tensor([0.3, 3.0, 0.0]),
    )
    for found, given in zip(axes(covariance_of(lam1, lam2, theta)), (lam1, lam2, theta), strict=True):
        torch.testing.assert_close(found, given, atol=1e-5, rtol=0)
    almost = axes(torch.tensor([2.0, -1e-9, 1.0]))[2]
    assert 0 <= float(almost) < math.pi


def test_the_long_axis_points_along_theta_with_y_down() -> None:
    kernel = gaussian(covariance_of(8.0, 0.8, math.pi / 4), 4)
    assert float(kernel[14, 14]) > 10 * float(kernel[9, 14])
    along_x = motion(9.0, 0.0, 4)
    assert float(along_x[11:13].sum()) > 0.7
    assert float(along_x[:, 11:13].sum()) < 0.4


@pytest.mark.parametrize("scale", SCALES)
def test_covariances_of_manets_range(scale: int) -> None:
    lam1, lam2, _ = axes(_covariances(scale, 2000))
    assert smallest_width(scale) - 1e-9 <= float(lam2.min())
    assert float(lam1.max()) <= largest_width(scale) + 1e-9
    assert float(lam1.mean()) == pytest.approx((0.175 + 2.5) / 2 * scale, rel=0.05)


@pytest.mark.parametrize("scale", SCALES)
def test_elongated_covariances_of_manets_range(scale: int) -> None:
    rng = torch.Generator().manual_seed(1)
    lam1, lam2, _ = axes(sample_covariance(scale, 2000, rng, elongated=4))
    assert smallest_width(scale) - 1e-9 <= float(lam2.min())
    assert float(lam1.max()) <= largest_width(scale) + 1e-9
    round_ones = axes(_covariances(scale, 2000))
    assert float((lam1 / lam2).median()) > 3 * float((round_ones[0] / round_ones[1]).median())


@pytest.mark.parametrize("scale", SCALES)
def test_the_bicubic_kernel_does_what_resizing_does(
    scale: int, rendered: Callable[..., NDArray[np.uint8]]
) -> None:
    side = 24 * scale
    hr = torch.from_numpy(rendered(side, side)).permute(2, 0, 1)[None].float() / 255
    resized = bicubic(hr, (24, 24), scale=1 / scale)
    blurred = blur_same(hr, bicubic_kernel(scale)[None], scale)
    inside = (..., slice(6, -6), slice(6, -6))  # at the border one mirrors and the other repeats the edge
    torch.testing.assert_close(blurred[inside], resized[inside], atol=2e-6, rtol=0)
    _, covariance = moments(bicubic_kernel(scale))
    assert float(covariance.abs().max()) < 0.1 * scale


def _shift(lr: Tensor, reference: Tensor) -> Tensor:
    """How far lr lies right of and below the reference, in LR pixels, by least squares on the gradient."""
    lr, reference = (t.mean(1)[0].double() for t in (lr, reference))
    y, x = (g[4:-4, 4:-4].flatten() for g in torch.gradient(reference))
    difference = (reference - lr)[4:-4, 4:-4].flatten()
    return torch.linalg.lstsq(torch.stack([x, y], 1), difference[:, None]).solution[:, 0]


@pytest.mark.parametrize("scale", SCALES)
def test_lr_stays_aligned_with_hr_as_in_bicubic(
    scale: int, rendered: Callable[..., NDArray[np.uint8]]
) -> None:
    """The x1-pixel trap: a rendered image, and a ramp, where a shift is read off directly."""
    side = 48 * scale
    hr = torch.from_numpy(rendered(side, side)).permute(2, 0, 1)[None].float() / 255
    isotropic = gaussian(covariance_of(0.6 * scale, 0.6 * scale, 0.0), scale)
    # Compared with a bicubic LR that is equally soft, so that the gradients are comparable.
    reference = bicubic(hr, (48, 48), scale=1 / scale)
    assert float(_shift(blur_same(hr, isotropic[None], scale), reference).abs().max()) < 0.03
    ramp = torch.arange(side, dtype=torch.float64).expand(1, 1, side, side)
    expected = bicubic(ramp, (48, 48), scale=1 / scale)[..., 8:-8, 8:-8]
    kernels = [
        isotropic.double(),
        motion(2.0 * scale, 0.7, scale).double(),
        *gaussian(_covariances(scale, 4), scale),
    ]
    for kernel in kernels:
        lr = blur_same(ramp, kernel[None], scale)[..., 8:-8, 8:-8]
        assert float((lr - expected).abs().max()) < 1e-3


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("phase", [0.0, 0.5, -1.0])
def test_another_phase_is_seen_by_the_centroid(scale: int, phase: float) -> None:
    """Phase 0: centred on the middle tap; MANet's own: in the top left."""
    covariance = sample_covariance(scale, 16, torch.Generator().manual_seed(2)).clamp(max=1.2 * scale)
    covariance[:, 1] *= 0.5
    tap = torch.arange(SIZE, dtype=torch.float64) - RADIUS - phase
    y, x = torch.meshgrid(tap, tap, indexing="ij")
    xx, xy, yy = (part[:, None, None] for part in covariance.unbind(1))
    form = (yy * x * x - 2 * xy * x * y + xx * y * y) / (2 * (xx * yy - xy * xy))
    other = torch.exp(-form)
    other = other / other.sum((1, 2), keepdim=True)
    assert float((moments(other)[0] - RADIUS - phase).abs().max()) < 0.05


def test_motion_grows_along_its_direction() -> None:
    _, still = moments(motion(0.0, 0.3, 4))
    torch.testing.assert_close(still, torch.tensor([0.7, 0.0, 0.7]), atol=1e-2, rtol=0)
    lam1, lam2, theta = axes(moments(motion(9.0, torch.tensor([0.3, 1.2, 2.5]), 4))[1])
    torch.testing.assert_close(lam1, torch.full((3,), 81 / 12 + 0.7), atol=0.1, rtol=0)
    torch.testing.assert_close(lam2, torch.full((3,), 0.7), atol=0.02, rtol=0)
    torch.testing.assert_close(theta, torch.tensor([0.3, 1.2, 2.5]), atol=0.02, rtol=0)


def test_maps_hold_the_kernels() -> None:
    covariance = _covariances(4, 12).view(2, 3, 2, 3)
    kernels = gaussian(covariance, 4)
    laid = gaussian_map(covariance.permute(0, 3, 1, 2), 4)
    assert laid.shape == (2, TAPS, 3, 2)
    torch.testing.assert_close(from_map(laid), kernels)
    assert float(laid[1, 5 * SIZE + 7, 2, 1]) == float(from_map(laid)[1, 2, 1, 5, 7])


def test_gaussians_are_differentiable() -> None:
    covariance = _covariances(4, 2).requires_grad_()
    assert torch.autograd.gradcheck(lambda c: gaussian(c, 4)[:, 6:16:3, 9:15:2], (covariance,))
