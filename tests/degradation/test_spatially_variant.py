"""Spatially variant blur against its definition, tap by tap; adjoint, gradients, strips, codes."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from srkit.degradation import spatially_variant
from srkit.degradation.kernels import RADIUS, SCALES, SIZE, TAPS, gaussian, gaussian_map
from srkit.degradation.pca import decode, encode, kernel_basis, sample_covariance
from srkit.degradation.spatially_variant import blur, blur_codes, blur_same, blur_window


def _pair(scale: int, height: int = 4, width: int = 5, count: int = 2) -> tuple[Tensor, Tensor]:
    """An image of noise and kernels of noise, which hide no symmetry."""
    rng = torch.Generator().manual_seed(scale)
    hr = torch.rand(count, 3, height * scale, width * scale, generator=rng, dtype=torch.float64)
    kernels = torch.rand(count, TAPS, height, width, generator=rng, dtype=torch.float64)
    return hr, kernels / kernels.sum(1, keepdim=True)


def _by_definition(hr: Tensor, kernels: Tensor, scale: int) -> Tensor:
    height, width = kernels.shape[2:]
    out = hr.new_zeros(*hr.shape[:2], height, width)
    for i in range(height):
        for j in range(width):
            for u in range(SIZE):
                for v in range(SIZE):
                    y = min(max(scale * i + u - RADIUS, 0), hr.shape[2] - 1)
                    x = min(max(scale * j + v - RADIUS, 0), hr.shape[3] - 1)
                    out[:, :, i, j] += kernels[:, None, u * SIZE + v, i, j] * hr[:, :, y, x]
    return out


@pytest.mark.parametrize("scale", SCALES)
def test_blur_is_its_definition(scale: int) -> None:
    hr, kernels = _pair(scale, 3, 2)
    torch.testing.assert_close(blur(hr, kernels, scale), _by_definition(hr, kernels, scale))


@pytest.mark.parametrize("scale", SCALES)
def test_a_delta_samples_the_image(scale: int) -> None:
    hr, _ = _pair(scale)
    delta = torch.zeros(1, TAPS, 4, 5, dtype=hr.dtype)
    delta[:, RADIUS * SIZE + RADIUS] = 1
    assert torch.equal(blur(hr, delta, scale), hr[:, :, ::scale, ::scale])
    delta = delta.roll(SIZE + 1, dims=1)  # one right and one down
    assert torch.equal(blur(hr, delta, scale), hr[:, :, 1::scale, 1::scale])


@pytest.mark.parametrize("scale", SCALES)
def test_one_kernel_for_all_is_a_convolution(scale: int) -> None:
    hr, _ = _pair(scale)
    kernels = gaussian(sample_covariance(scale, 2, torch.Generator().manual_seed(0)), scale)
    around = F.pad(hr, (RADIUS,) * 4, mode="replicate")
    expected = torch.stack(
        [F.conv2d(around[n, :, None], kernels[n][None, None], stride=scale)[:, 0] for n in range(2)]
    )
    laid = kernels.flatten(1)[:, :, None, None].expand(-1, -1, 4, 5)
    torch.testing.assert_close(blur(hr, laid, scale), expected)
    torch.testing.assert_close(blur_same(hr, kernels, scale), expected)


@pytest.mark.parametrize("scale", [2, 4])
def test_gradients_in_the_image_and_the_kernels(scale: int) -> None:
    rng = torch.Generator().manual_seed(0)
    hr = torch.rand(1, 2, 2 * scale, scale, generator=rng, dtype=torch.float64, requires_grad=True)
    kernels = torch.rand(1, TAPS, 2, 1, generator=rng, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x, k: blur(x, k, scale), (hr, kernels), fast_mode=True)


def test_one_map_for_several_images_gathers_their_gradients() -> None:
    hr, kernels = _pair(2)
    kernels = kernels[:1].requires_grad_()
    (shared,) = torch.autograd.grad(blur(hr, kernels, 2).square().sum(), kernels)
    each = [torch.autograd.grad(blur(x[None], kernels, 2).square().sum(), kernels)[0] for x in hr]
    torch.testing.assert_close(shared, sum(each))


def test_gradients_reach_codes_basis_and_image() -> None:
    rng = torch.Generator().manual_seed(0)
    hr = torch.rand(1, 2, 8, 4, generator=rng, dtype=torch.float64, requires_grad=True)
    codes = 1 + torch.rand(1, 2, 2, 1, generator=rng, dtype=torch.float64)
    codes.requires_grad_()
    basis = torch.rand(2, SIZE, SIZE, generator=rng, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x, c, b: blur_codes(x, c, b, 4), (hr, codes, basis))


@pytest.mark.parametrize("scale", [2, 4])
def test_strips_change_nothing(scale: int, monkeypatch: pytest.MonkeyPatch) -> None:
    hr, kernels = _pair(scale, 7, 5)
    lr = torch.rand(2, 3, 7, 5, dtype=torch.float64)
    basis = kernel_basis(scale).double()
    codes = encode(kernels, basis)

    def all_of_it() -> list[Tensor]:
        x, k = hr.clone().requires_grad_(), kernels.clone().requires_grad_()
        y = blur(x, k, scale)
        grads = torch.autograd.grad((y * lr).sum(), (x, k))
        return [y.detach(), *grads, blur_codes(hr, codes, basis, scale)]

    whole = all_of_it()
    monkeypatch.setattr(spatially_variant, "_STRIP", 2 * 5 * 2)  # two rows of both images
    for one, other in zip(whole, all_of_it(), strict=True):
        torch.testing.assert_close(one, other)


@pytest.mark.parametrize("scale", SCALES)
def test_codes_blur_as_the_kernels_they_stand_for(scale: int) -> None:
    hr, _ = _pair(scale)
    covariance = sample_covariance(scale, 40, torch.Generator().manual_seed(3)).view(2, 4, 5, 3)
    basis = kernel_basis(scale).double()
    codes = encode(gaussian_map(covariance.permute(0, 3, 1, 2), scale), basis)
    torch.testing.assert_close(blur_codes(hr, codes, basis, scale), blur(hr, decode(codes, basis), scale))
    flat = torch.full_like(hr, 0.7)
    torch.testing.assert_close(blur_codes(flat, codes, basis, scale), torch.full((2, 3, 4, 5), 0.7).double())


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("margin", [10, 12])
def test_a_window_is_blurred_as_in_its_image(scale: int, margin: int) -> None:
    hr, kernels = _pair(scale, 20, 22)
    first, last = 7, 12  # LR rows and columns, all of whose windows lie inside
    cut = hr[
        ..., scale * first - margin : scale * last + margin, scale * first - margin : scale * last + margin
    ]
    inside = (..., slice(first, last), slice(first, last))
    torch.testing.assert_close(
        blur_window(cut, kernels[inside], scale, margin), blur(hr, kernels, scale)[inside]
    )
    same = kernels[:, :, 0, 0].reshape(2, SIZE, SIZE)
    torch.testing.assert_close(blur_window(cut, same, scale, margin), blur_same(hr, same, scale)[inside])


def test_dtypes_are_widened() -> None:
    hr, kernels = _pair(4)
    assert blur(hr.float(), kernels.float(), 4).dtype == torch.float32
    assert blur(hr.bfloat16(), kernels.float(), 4).dtype == torch.float32
