"""Blur by codes and its adjoint."""

from __future__ import annotations

import pytest
import torch

from srkit.degradation.kernels import SCALES
from srkit.degradation.pca import decode, kernel_basis
from srkit.degradation.spatially_variant import blur
from srkit.ops.code_blur import CodeBlur, folded

SIZES = [(6, 5), (1, 3)]


def _codes(scale: int, height: int, width: int) -> tuple[torch.Tensor, torch.Tensor]:
    basis = kernel_basis(scale, 4).double()
    rng = torch.Generator().manual_seed(scale)
    codes = basis.sum((1, 2))[None, :, None, None] + 0.2 * torch.rand(
        1, 4, height, width, generator=rng, dtype=torch.float64
    )
    return codes, basis


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize(("height", "width"), SIZES)
def test_both_directions_are_those_of_the_kernels(scale: int, height: int, width: int) -> None:
    codes, basis = _codes(scale, height, width)
    kernels, operator = decode(codes, basis), CodeBlur(codes, basis, scale)
    hr = torch.rand(2, 3, height * scale, width * scale, dtype=torch.float64, requires_grad=True)
    lr = torch.rand(2, 3, height, width, dtype=torch.float64)
    blurred = blur(hr, kernels, scale)
    torch.testing.assert_close(operator(hr), blurred)
    (adjoint,) = torch.autograd.grad(blurred, hr, lr)
    torch.testing.assert_close(operator.adjoint(lr), adjoint)


@pytest.mark.parametrize("scale", SCALES)
def test_gradients_reach_images_and_codes(scale: int) -> None:
    codes, basis = _codes(scale, 2, 3)
    lr = torch.rand(1, 1, 2, 3, dtype=torch.float64, requires_grad=True)

    def there_and_back(y: torch.Tensor, c: torch.Tensor) -> torch.Tensor:
        operator = CodeBlur(c, basis, scale)
        return operator(operator.adjoint(y))

    assert torch.autograd.gradcheck(there_and_back, (lr, codes.requires_grad_()))


def test_what_lies_outside_is_added_to_the_edge() -> None:
    around = torch.tensor([[1.0, 2.0, 10.0, 20.0, 30.0, 4.0]])
    assert folded(around, 1, 2, 3).tolist() == [[13.0, 20.0, 34.0]]
    assert folded(around, 1, 0, 6).tolist() == around.tolist()
    assert folded(around[:, :3], 1, 2, 1).tolist() == [[13.0]]
