"""L_rec, and the weights that let it look where an image has detail."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from srkit.encoders.distance import perceptual_distance
from srkit.losses.reconstruction import (
    MARGIN,
    ReconstructionLoss,
    detail_weights,
    flaw_margin,
    pinball,
)

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def loss() -> ReconstructionLoss:
    return ReconstructionLoss(perceptual_distance("random", CPU), perceptual=0.25)


def _pair() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    lr = torch.rand(2, 3, 32, 32, generator=generator)
    return (lr + 0.1 * torch.randn(lr.shape, generator=generator)).clamp(0, 1), lr


def test_weights_lie_where_the_detail_is() -> None:
    lr = torch.full((2, 3, 16, 24), 0.5)
    lr[0, :, 4:8, 10:14] += 0.4 * torch.tensor([1.0, -1.0]).repeat(2)
    lr[1, :, :8] *= torch.linspace(0.9, 1.0, 24)
    weights = detail_weights(lr)
    assert weights.shape == (2, 1, 16, 24)
    assert (float(weights.min()), float(weights.max())) == (0, 1)
    inside = torch.zeros(16, 24, dtype=torch.bool)
    inside[4:8, 10:14] = True
    assert bool((weights[0, 0][inside] == 1).all())
    assert bool((weights[0, 0][~inside] == 0).all())
    assert bool((weights[1, 0, 8:] == 0).all())  # each image by its own range
    assert bool((weights[1, 0, :8] > 0.9).all())


def test_weights_of_odd_sides_of_flat_images_and_without_a_gradient() -> None:
    assert bool((detail_weights(torch.full((1, 3, 9, 7), 0.3)) == 1).all())
    lr = torch.rand(1, 3, 9, 7, requires_grad=True)
    weights = detail_weights(lr)
    assert weights.shape == (1, 1, 9, 7)
    assert not weights.requires_grad


def test_the_two_terms(loss: ReconstructionLoss) -> None:
    made, lr = _pair()
    pixel, seen = loss(made, lr)
    torch.testing.assert_close(pixel, (made - lr).abs().mean())
    torch.testing.assert_close(seen, loss.distance.distance(made, lr).mean())
    torch.testing.assert_close(loss.total(made, lr), pixel + 0.25 * seen)
    assert float(loss.total(lr, lr)) == 0


def test_weighted_terms(loss: ReconstructionLoss) -> None:
    made, lr = _pair()
    ones = torch.ones(2, 1, 32, 32)
    for a, b in zip(loss(made, lr, ones), loss(made, lr), strict=True):
        torch.testing.assert_close(a, b, rtol=0.02, atol=0)
    left = ones.clone()
    left[..., 16:] = 0
    pixel, seen = loss(made, lr, left)
    torch.testing.assert_close(pixel, (made - lr)[..., :16].abs().mean() / 2)
    torch.testing.assert_close(seen, (loss.distance.map(made, lr) * left).mean())
    changed = made.clone()
    changed[..., 24:] = lr[..., 24:]
    assert float(loss(changed, lr, left)[0]) == float(pixel)


def test_gradient_reaches_what_was_made_alone(loss: ReconstructionLoss) -> None:
    made, lr = (x.requires_grad_() for x in _pair())
    torch.autograd.backward(loss.total(made, lr, detail_weights(lr)))
    assert lr.grad is None
    assert made.grad is not None
    assert bool((made.grad != 0).any())


def test_it_can_be_followed(loss: ReconstructionLoss) -> None:
    made, lr = _pair()
    made.requires_grad_()
    optimiser = torch.optim.Adam([made], 1e-2)
    first = float(loss.total(made, lr).detach())
    for _ in range(20):
        optimiser.zero_grad()
        torch.autograd.backward(loss.total(made, lr))
        optimiser.step()
    assert float(loss.total(made, lr).detach()) < 0.5 * first


def test_flaw_margin() -> None:
    lr = torch.rand(3, 3, 4, 4, generator=torch.Generator().manual_seed(0))
    clean = lr + 0.1
    assert float(flaw_margin(clean, lr)) == 0
    made = torch.cat([clean, lr[:1] + 0.2, lr[1:2] - 0.1])
    assert float(flaw_margin(made, lr)) == pytest.approx(0.1 * MARGIN / 2, rel=1e-3)
    better = torch.cat([clean, lr])
    assert float(flaw_margin(better, lr)) == pytest.approx(0.1 * (1 + MARGIN), rel=1e-3)


@pytest.mark.parametrize("quantile", [0.2, 0.5, 0.8])
def test_pinball_is_least_at_the_quantile(quantile: float) -> None:
    found = torch.rand(101, generator=torch.Generator().manual_seed(0))
    predicted = torch.linspace(0, 1, 1001)
    losses = torch.stack([pinball(one.expand(101), found, quantile) for one in predicted])
    best = float(predicted[losses.argmin()])
    assert best == pytest.approx(float(found.quantile(quantile)), abs=0.02)
    assert float(losses.min()) > 0


def test_pinball_by_hand() -> None:
    predicted, found = (
        torch.tensor([0.5, 0.5], requires_grad=True),
        torch.tensor([0.6, 0.1], requires_grad=True),
    )
    loss = pinball(predicted, found, 0.8)
    assert float(loss.detach()) == pytest.approx((0.8 * 0.1 + 0.2 * 0.4) / 2)
    assert not torch.autograd.grad(loss, (predicted, found), allow_unused=True)[1]
