"""Relativistic average GAN, against binary cross entropy as PyTorch has it."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from srkit.losses.gan import discriminator_loss, generator_loss, generator_map


def _logits(seed: int, *shape: int) -> Tensor:
    return 2 * torch.randn(*(shape or (2, 1, 3, 4)), generator=torch.Generator().manual_seed(seed))


def _bce(difference: Tensor, target: float) -> Tensor:
    return F.binary_cross_entropy_with_logits(difference, torch.full_like(difference, target))


def test_both_sides_are_the_definition() -> None:
    fake, real = _logits(0), _logits(1)
    generator = (_bce(fake - real.mean(), 1) + _bce(real - fake.mean(), 0)) / 2
    discriminator = (_bce(real - fake.mean(), 1) + _bce(fake - real.mean(), 0)) / 2
    torch.testing.assert_close(generator_loss(fake, real), generator)
    torch.testing.assert_close(discriminator_loss(fake, real), discriminator)
    places = generator_map(fake, real)
    assert places.shape == fake.shape
    assert float(places.min()) >= 0
    torch.testing.assert_close(places.mean(), generator)


def test_where_there_is_no_difference_both_are_log_2() -> None:
    even = torch.full((1, 1, 2, 2), 3.0)
    for loss in (generator_loss, discriminator_loss):
        assert float(loss(even, even)) == pytest.approx(math.log(2))


def test_a_place_that_looks_made_costs_most() -> None:
    fake, real = torch.zeros(1, 1, 3, 3), torch.zeros(1, 1, 3, 3)
    fake[..., 1, 1] = -4
    places = generator_map(fake, real)
    assert int(places.argmax()) == 4


def test_the_sides_pull_against_each_other() -> None:
    fake, real = _logits(0).requires_grad_(), _logits(1).requires_grad_()
    (made,) = torch.autograd.grad(generator_loss(fake, real), fake)
    assert bool((made < 0).all())  # more real is better
    of_fake, of_real = torch.autograd.grad(discriminator_loss(fake, real), (fake, real))
    assert bool((of_fake > 0).all())
    assert bool((of_real < 0).all())


def test_the_generator_does_not_move_the_real_logits() -> None:
    fake, real = _logits(0).requires_grad_(), _logits(1).requires_grad_()
    torch.autograd.backward(generator_loss(fake, real))
    assert real.grad is None
    assert fake.grad is not None


def test_gradients() -> None:
    fake, real = (_logits(seed, 1, 1, 2, 2).double().requires_grad_() for seed in (0, 1))
    for loss, inputs in ((generator_loss, (fake, real.detach())), (discriminator_loss, (fake, real))):
        torch.autograd.gradcheck(loss, inputs, eps=1e-3, atol=1e-3)  # the losses are fp32 by contract


def test_in_fp32_and_finite_whatever_the_logits() -> None:
    fake, real = (_logits(seed).bfloat16() * 1e4 for seed in (0, 1))
    for loss in (generator_loss, discriminator_loss):
        found = loss(fake, real)
        assert found.dtype == torch.float32
        assert bool(found.isfinite())
