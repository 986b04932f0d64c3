"""Distances of kernels and of depth maps."""

from __future__ import annotations

import math

import pytest
import torch

from srkit.losses.maps import (
    FACTOR,
    aligned,
    aligned_distance,
    depth_l1,
    depth_loss,
    kernel_distance,
    kernel_entropy,
    kernel_l1,
)
from srkit.losses.table import LossContext, build_losses, check_terms


def _kernels(*shape: int) -> torch.Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(sum(shape))).softmax(1)


def _depth(*shape: int) -> torch.Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(sum(shape)))


def test_distance_of_kernels_is_the_sum_over_taps() -> None:
    delta = torch.zeros(2, 441, 3, 4)
    delta[:, 220] = 1
    other = torch.zeros(2, 441, 3, 4)
    other[:, 221] = 1
    assert float(kernel_distance(delta, delta)) == 0
    assert float(kernel_distance(delta, other)) == 2  # nothing in common
    half = (delta + other) / 2
    half[1] = delta[1]
    assert float(kernel_distance(half, delta)) == pytest.approx(0.5)  # 1 for one image, 0 for the other
    assert float(kernel_l1(half, delta)) == pytest.approx(0.5 * FACTOR)


def test_distance_of_kernels_is_taken_in_fp32() -> None:
    a, b = _kernels(1, 441, 4, 4), _kernels(1, 441, 5, 5)[:, :, :4, :4]
    found = kernel_distance(a.bfloat16(), b)
    assert found.dtype == torch.float32
    assert float(found) == pytest.approx(float((a.bfloat16().float() - b).abs().sum(1).mean()))


def test_depth_is_known_up_to_a_positive_scale_and_a_shift() -> None:
    true = _depth(3, 1, 12, 9)
    scale, shift = torch.tensor([0.3, 1.0, 40.0]), torch.tensor([5.0, -0.2, 0.0])
    moved = true * scale.view(3, 1, 1, 1) + shift.view(3, 1, 1, 1)
    assert float(aligned_distance(moved, true)) < 1e-4
    assert float(depth_loss(moved, true)) < 1e-4
    assert float(aligned_distance(-true, true)) > 0.5  # far is not near
    found = aligned(moved)
    assert float(found.flatten(1).abs().mean(1).sub(1).abs().max()) < 1e-3
    assert float(found.flatten(1).median(1).values.abs().max()) < 1e-4


def test_flat_maps_give_finite_losses_and_gradients() -> None:
    flat = torch.full((1, 1, 8, 8), 0.4, requires_grad=True)
    loss = depth_loss(flat, torch.ones(1, 1, 8, 8))
    assert float(loss.detach()) == 0
    loss = depth_loss(flat, _depth(1, 1, 8, 8))
    torch.autograd.backward(loss)
    assert flat.grad is not None
    assert bool(flat.grad.isfinite().all())


def test_the_gradient_term_sees_what_the_distance_does_not() -> None:
    true = torch.linspace(0, 1, 16).expand(1, 1, 16, 16).contiguous()
    checker = ((torch.arange(16) + torch.arange(16)[:, None]) % 2) * 0.1
    ramp = torch.linspace(0, 0.1, 16).expand(16, 16).T
    rough, smooth = true + checker, true + ramp
    assert float(depth_loss(rough, true) - aligned_distance(rough, true)) > 1.5 * float(
        depth_loss(smooth, true) - aligned_distance(smooth, true)
    )


def test_depth_of_a_single_pixel() -> None:
    assert float(depth_loss(torch.ones(1, 1, 1, 1), torch.zeros(1, 1, 1, 1))) == 0


@pytest.mark.parametrize(("name", "channels"), [("kernel", 441), ("depth", 1)])
def test_recipes_name_them(name: str, channels: int) -> None:
    losses = build_losses({name: 2.0}, LossContext(torch.device("cpu")))
    found, true = _kernels(1, channels, 6, 6).requires_grad_(), _kernels(1, channels, 7, 7)[:, :, :6, :6]
    if channels == 1:
        found, true = _depth(1, 1, 6, 6).requires_grad_(), _depth(1, 1, 7, 7)[:, :, :6, :6]
    total, terms = losses(found, true)
    assert float(total.detach()) == pytest.approx(2 * float(terms[name]))
    torch.autograd.backward(total)
    assert found.grad is not None
    assert bool((found.grad != 0).any())


def test_terms_suit_what_is_learnt() -> None:
    check_terms({"kernel": 1.0}, "kernels")
    check_terms({"l1": 1.0, "semantic": 0.1}, "picture")


def test_entropy_is_least_at_the_truth_and_moves_even_kernels() -> None:
    logits = torch.zeros(1, 441, 2, 2, requires_grad=True)
    true = _kernels(1, 441, 2, 2)
    loss = kernel_entropy(logits.softmax(1), true)
    assert float(loss.detach()) == pytest.approx(math.log(441), rel=1e-4)
    torch.autograd.backward(loss)
    assert logits.grad is not None
    torch.testing.assert_close(logits.grad * 4, logits.detach().softmax(1) - true, atol=1e-6, rtol=0)
    assert float(kernel_entropy(true, true)) < float(kernel_entropy(true.roll(1, 1), true))
    sharp = torch.zeros(1, 441, 2, 2)
    sharp[:, 0], sharp[:, 1] = 1.1, -0.1  # as bicubic's, with a negative tap
    assert bool(kernel_entropy(sharp.clamp_min(0), sharp).isfinite())


def test_the_difference_of_exact_depth_knows_scale_and_shift() -> None:
    true = _depth(2, 1, 8, 8)
    assert float(depth_l1(true, true)) == 0
    assert float(depth_l1(true + 0.25, true)) == pytest.approx(0.25, abs=1e-6)
