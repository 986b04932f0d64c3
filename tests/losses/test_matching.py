"""CLIP-SR's adversarial terms against numbers worked out by hand, and its discriminator on toy images."""

from __future__ import annotations

import pytest
import torch

from srkit.archs.matching import TextDiscriminator
from srkit.errors import UsageError
from srkit.losses.matching import (
    discriminator_loss,
    generator_loss,
    gradient_penalty,
    mismatched,
    text_similarity,
)
from tests.helpers import refused


def test_hinge_by_hand() -> None:
    real, fake, other = (torch.tensor(v) for v in ([2.0, 0.5], [-3.0, 1.0], [-0.5, -2.0]))
    # real: (0 + 0.5) / 2; fake: (0 + 2) / 2; other: (0.5 + 0) / 2.
    assert float(discriminator_loss(real, fake, other)) == pytest.approx(0.25 + (1.0 + 0.25) / 2)
    zero = torch.zeros(3)
    assert float(discriminator_loss(zero, zero, zero)) == 2.0


def test_generator_by_hand() -> None:
    vectors, texts = torch.tensor([[1.0, 0.0], [0.6, 0.8]]), torch.tensor([[0.0, 5.0], [3.0, 4.0]])
    assert float(text_similarity(vectors, texts)) == pytest.approx(0.5)
    assert float(text_similarity(vectors, torch.zeros(2, 2))) == 0.0
    assert float(generator_loss(torch.tensor([1.0, 2.0]), 0.5)) == pytest.approx(-1.5 - 2.0)


def test_gradient_penalty_by_hand() -> None:
    h = torch.tensor([[1.0, 2.0], [3.0, 4.0]], requires_grad=True)
    t = torch.tensor([[0.5], [1.0]], requires_grad=True)
    weight = torch.tensor([0.3, 0.4], requires_grad=True)
    # D = w h + t^2 / 2: gradients (0.3, 0.4, t), norms^2 0.25 + t^2 = 0.5 and 1.25, cubed.
    found = gradient_penalty((h * weight).sum(1) + t[:, 0] ** 2 / 2, [h], t)
    assert float(found.detach()) == pytest.approx(2 * (0.5**3 + 1.25**3) / 2, rel=1e-5)
    torch.autograd.backward(found)
    # d/dw of the mean: 6 w (norm^2)^2, summed over both and halved, twice.
    assert weight.grad is not None
    wanted = [6 * w * (0.5**2 + 1.25**2) for w in (0.3, 0.4)]
    assert weight.grad.tolist() == pytest.approx(wanted, rel=1e-5)


def test_mismatched_texts() -> None:
    assert mismatched(torch.tensor([[1.0], [2.0], [3.0]])).flatten().tolist() == [3.0, 1.0, 2.0]
    with refused(UsageError, "1", "data.batch"):
        mismatched(torch.zeros(1, 4))


def test_penalty_flows_into_the_discriminator() -> None:
    torch.manual_seed(0)
    judge = TextDiscriminator((4, 6), 3, width=8, narrow=6, hidden=5)
    levels = [torch.randn(2, c, s, s, requires_grad=True) for c, s in ((4, 12), (6, 9))]
    text = torch.randn(2, 3, requires_grad=True)
    torch.autograd.backward(gradient_penalty(judge(levels, text), levels, text))
    assert judge.head[0].weight.grad is not None
    assert float(judge.head[0].weight.grad.abs().max()) > 0


def test_blocks_begin_as_the_first_level_alone() -> None:
    torch.manual_seed(0)
    judge = TextDiscriminator((4, 4), 3, width=4, narrow=6, hidden=5)
    first, text = torch.randn(2, 4, 7, 7), torch.randn(2, 3)
    assert torch.equal(judge([first, torch.randn(2, 4, 7, 7)], text), judge([first, first], text))
    assert judge([first, first], text).shape == (2,)
    blind = TextDiscriminator((4, 4), 3, width=4, narrow=6, hidden=5, with_text=False)
    assert torch.equal(blind([first, first], text), blind([first, first], -text))


def test_it_learns_which_text_belongs_to_an_image() -> None:
    """Four kinds of maps and their texts: after some steps matched pairs score above mismatched ones, held out too."""
    torch.manual_seed(0)
    kinds, texts = torch.randn(4, 5, 1, 1), torch.randn(4, 6)
    judge = TextDiscriminator((5,), 6, width=8, narrow=8, hidden=16)
    optimizer = torch.optim.Adam(judge.parameters(), 2e-3, betas=(0.0, 0.9))

    def batch() -> tuple[torch.Tensor, torch.Tensor]:
        which = torch.randperm(4)
        return kinds[which] + 0.2 * torch.randn(4, 5, 7, 7), texts[which]

    for _ in range(80):
        maps, t = batch()
        maps, t = maps.requires_grad_(), t.clone().requires_grad_()
        real, other = judge([maps], t), judge([maps], mismatched(t))
        fake = judge([0.2 * torch.randn(4, 5, 7, 7)], t)
        loss = discriminator_loss(real, fake, other) + gradient_penalty(real, [maps], t)
        optimizer.zero_grad()
        torch.autograd.backward(loss)
        optimizer.step()
    with torch.no_grad():
        found = [(judge([m], t), judge([m], mismatched(t))) for m, t in (batch() for _ in range(5))]
    assert all(bool((real > other).all()) for real, other in found)


def test_refusals() -> None:
    with refused(UsageError, "width 0"):
        TextDiscriminator((4,), 3, width=0)
