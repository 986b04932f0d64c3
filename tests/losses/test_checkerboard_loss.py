"""Patterns of the grid: found where they are, not where there is detail alone, and made smaller by the gradient."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from srkit.losses.images import checkerboard


@pytest.fixture(scope="module")
def images(rendered: Callable[..., NDArray[np.uint8]]) -> Tensor:
    cuts = [torch.from_numpy(rendered(192, 192, seed)).permute(2, 0, 1) for seed in range(4)]
    return torch.stack(cuts).float() / 255


def _dotted(images: Tensor, scale: int, amount: float) -> Tensor:
    """One pixel of every period is further from those around it."""
    made = images.clone()
    made[:, :, 1::scale, 2::scale] += amount
    return made


@pytest.mark.parametrize("scale", [2, 4])
def test_a_pattern_is_found(images: Tensor, scale: int) -> None:
    usual = float(checkerboard(images, scale))
    found = [float(checkerboard(_dotted(images, scale, amount), scale)) for amount in (0.01, 0.03)]
    assert usual < 0.005
    assert 1.5 * usual < found[0] < found[1] / 2


def test_of_a_flat_image_and_of_noise() -> None:
    assert float(checkerboard(torch.full((1, 3, 64, 64), 0.4), 4)) < 1e-6
    noise = torch.rand(4, 3, 128, 128, generator=torch.Generator().manual_seed(0))
    assert float(checkerboard(noise, 4)) < 1e-3


def test_dots_that_are_not_of_the_grid_count_for_nothing(images: Tensor) -> None:
    other = _dotted(images, 5, 0.03)
    assert float(checkerboard(other, 4)) < 0.1 * float(checkerboard(_dotted(images, 4, 0.03), 4))


def test_by_hand() -> None:
    """One place of four that leans by a and the others by b, whatever the sign of either."""
    scale, x = 2, torch.zeros(1, 1, 8, 8)
    x[:, :, ::2, ::2] = 0.1  # the Laplacian of it is 0.4; beside it -0.2 twice, and 0 across
    strength = torch.tensor([0.4, 0.2, 0.2, 0.0])
    lean = torch.tensor([0.4, -0.2, -0.2, 0.0])
    wanted = (strength.var(correction=0) + lean.var(correction=0)) / 0.2**2
    assert float(checkerboard(x, scale)) == pytest.approx(float(wanted), rel=1e-5)


def test_the_gradient_takes_it_away(images: Tensor) -> None:
    x = _dotted(images, 4, 0.03).requires_grad_()
    optimizer = torch.optim.Adam([x], lr=1e-3)
    before = float(checkerboard(x, 4).detach())
    for _ in range(20):
        optimizer.zero_grad()
        torch.autograd.backward(checkerboard(x, 4))
        optimizer.step()
    assert float(checkerboard(x, 4).detach()) < 0.3 * before
