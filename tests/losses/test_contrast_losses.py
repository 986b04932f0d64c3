"""Alignment and uniformity as printed, with the gradients that the printed forms have."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from srkit.losses.contrast import (
    alignment,
    alignment_map,
    mask_facts,
    projected,
    uniformity,
    uniformity_map,
)


def _maps(count: int, *shape: int) -> list[Tensor]:
    size = (count, *(shape or (2, 1, 3, 4)))
    return list(torch.rand(size, generator=torch.Generator().manual_seed(count)))


def _constant(*values: float) -> list[Tensor]:
    return [torch.full((1, 1, 2, 2), value) for value in values]


def test_alignment_is_the_mean_over_the_mask_of_squared_differences() -> None:
    anchor, first, second, mask = _maps(4)
    wanted = (mask * ((anchor - first) ** 2 + (anchor - second) ** 2)).mean()
    torch.testing.assert_close(alignment(mask, anchor, [first, second]), wanted)
    odd = (mask * (anchor - first).abs() ** 3).mean()
    torch.testing.assert_close(alignment(mask, anchor, [first], eta=3), odd)


@pytest.mark.parametrize("t", [0.5, 2.0])
def test_uniformity_of_one_criterion_has_a_closed_form(t: float) -> None:
    anchor, other, mask = _maps(3)
    closed = t * (anchor + other) ** 2 / 2
    torch.testing.assert_close(uniformity_map(anchor, [other], t), closed)
    torch.testing.assert_close(uniformity(torch.zeros_like(mask), anchor, [other], t), closed.mean())
    torch.testing.assert_close(uniformity(mask, anchor, [other], t), ((1 - mask) * closed).mean())


def test_uniformity_of_several_is_the_printed_form() -> None:
    anchor, *others = _maps(4)
    printed = -0.5 * torch.stack([torch.exp(-2 * (anchor + k) ** 2) for k in others]).sum(0).log()
    torch.testing.assert_close(uniformity_map(anchor, others), printed)


def test_uniformity_is_finite_where_the_printed_form_is_not() -> None:
    """exp(-2 (C + C)^2) underflows from C = 4 on; raw feature maps reach 100."""
    anchor, *others = (m.requires_grad_() for m in _constant(100.0, 100.0, 100.0))
    loss = uniformity(torch.full((1, 1, 2, 2), 0.5), anchor, others)
    # -log(2 exp(-80000)) / 2, at half weight
    assert float(loss.detach()) == pytest.approx(0.5 * (80_000 - math.log(2)) / 2)
    torch.autograd.backward(loss)
    for criterion in (anchor, *others):
        assert criterion.grad is not None
        assert bool(criterion.grad.isfinite().all())


def test_slopes_of_uniformity_are_those_that_were_measured() -> None:
    """It lowers anchor and criteria together (losses .93, .49, .44)."""
    anchor, *others = (m.requires_grad_() for m in _constant(0.05, 0.3, 0.7))
    slopes = torch.autograd.grad(uniformity_map(anchor, others).sum(), (anchor, *others))
    assert [round(float(slope[0, 0, 0, 0]), 2) for slope in slopes] == [0.93, 0.49, 0.44]


def test_slope_of_alignment_raises_the_smaller_one_unless_it_is_stopped() -> None:
    """Spec 4.7.2: -0.36."""
    pixel, ssim = (m.requires_grad_() for m in _constant(0.02, 0.2))
    (slope,) = torch.autograd.grad(alignment_map(pixel, [ssim]).sum(), pixel)
    assert float(slope[0, 0, 0, 0]) == pytest.approx(-0.36)
    stopped = alignment_map(pixel, [ssim], stop_anchor=True)
    assert torch.equal(stopped, alignment_map(pixel, [ssim]))
    torch.autograd.backward(stopped.sum())
    assert pixel.grad is None
    assert ssim.grad is not None
    assert float(ssim.grad[0, 0, 0, 0]) == pytest.approx(0.36)


def test_gradients() -> None:
    inputs = [m.double().requires_grad_() for m in _maps(4, 1, 1, 2, 2)]
    for eta in (2.0, 3.0):
        torch.autograd.gradcheck(
            lambda mask, anchor, *others, eta=eta: alignment(mask, anchor, others, eta),
            inputs,
            eps=1e-2,  # the losses are fp32 by contract
            atol=1e-3,
        )
    torch.autograd.gradcheck(
        lambda mask, anchor, *others: uniformity(mask, anchor, others), inputs, eps=1e-2, atol=1e-3
    )


def test_the_mask_turns_to_where_its_head_is_good() -> None:
    mask = torch.full((1, 1, 1, 2), 0.5, requires_grad=True)
    criterion = torch.tensor([[[[0.1, 0.9]]]])
    torch.autograd.backward(projected(criterion, mask))
    assert mask.grad is not None
    assert mask.grad.flatten().tolist() == pytest.approx([0.05, 0.45])


def test_half_precision_is_taken_in_fp32() -> None:
    anchor, other, mask = (m.bfloat16() for m in _maps(3))
    for loss in (alignment, uniformity):
        found = loss(mask, anchor, [other])
        assert found.dtype == torch.float32
        torch.testing.assert_close(found, loss(mask.float(), anchor.float(), [other.float()]))


def test_mask_facts() -> None:
    half = mask_facts(torch.full((2, 1, 3, 3), 0.5))
    assert [float(fact) for fact in half] == pytest.approx([0.5, 0, math.log(2)])
    mask = torch.tensor([[[[0.0, 1.0]]]], requires_grad=True)
    decided = mask_facts(mask)
    assert [float(fact.detach()) for fact in decided] == pytest.approx([0.5, 0.5, 0], abs=1e-6)
    torch.autograd.backward(decided.entropy)
    assert mask.grad is not None
    assert bool(mask.grad.isfinite().all())
