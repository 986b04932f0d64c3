"""Loss terms by name, their weighted sum and the norms of their gradients."""

from __future__ import annotations

import math
from types import SimpleNamespace

import pytest
import torch
from torch import Tensor

from srkit.losses.images import chroma, l1, l2
from srkit.losses.table import LOSSES, LossContext, build_losses, needs_of

CPU = torch.device("cpu")


class Slopes:
    """Feature provider and encoder in one: the image's mean colour, and its rows' differences as a map."""

    name, version, dim, token_channels = "slopes", "1", 3, 3

    def features(self, images: Tensor) -> list[Tensor]:
        return [images[..., 1:, :] - images[..., :-1, :]]

    def embed(self, images: Tensor) -> SimpleNamespace:
        vector = torch.nn.functional.normalize(images.mean((2, 3)), dim=1)
        return SimpleNamespace(vector=vector, tokens=images)


def context() -> LossContext:
    return LossContext(CPU, semantic=Slopes(), perceptual=Slopes())  # type: ignore[arg-type]


def pair() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    sr, hr = torch.rand(2, 2, 3, 6, 5, generator=generator)
    return sr.requires_grad_(), hr


def test_l1() -> None:
    sr, hr = torch.tensor([[0.0, 0.5], [1.0, 0.25]]), torch.tensor([[0.5, 0.5], [0.0, 0.5]])
    assert float(l1(sr, hr)) == pytest.approx((0.5 + 0 + 1 + 0.25) / 4)


def test_l2() -> None:
    sr, hr = torch.tensor([0.5, 0.0, 1.0, 0.25]), torch.tensor([0.0, 0.0, 0.0, 0.5])
    assert float(l2(sr, hr)) == pytest.approx((0.25 + 0 + 1 + 0.0625) / 4)


def test_chroma_is_of_colours_and_their_steps_alone() -> None:
    hr = torch.full((1, 3, 4, 6), 0.5)
    assert float(chroma(hr + 0.2, hr)) == pytest.approx(0, abs=1e-6)  # luma alone
    tinted = hr + torch.tensor([0.1, 0.1, -0.1]).view(1, 3, 1, 1)
    luma = 0.1 * (0.299 + 0.587 - 0.114)
    assert float(chroma(tinted, hr)) == pytest.approx((2 * (0.1 - luma) + 0.1 + luma) / 3, abs=1e-6)
    striped = torch.cat([tinted[..., :3], hr[..., 3:]], dim=3)  # one step of 5 across each row
    mean = (2 * (0.1 - luma) + 0.1 + luma) / 3
    assert float(chroma(striped, hr)) == pytest.approx(mean * (1 / 2 + 1 / 5), abs=1e-6)


def test_l1_is_taken_in_fp32() -> None:
    # In bf16 a mean over so many small differences would stall or round away.
    sr = torch.full((1, 3, 64, 64), 0.5, dtype=torch.bfloat16, requires_grad=True)
    hr = torch.full((1, 3, 64, 64), 0.501)
    loss = l1(sr, hr)
    assert loss.dtype == torch.float32
    assert float(loss.detach()) == pytest.approx(0.001, rel=1e-3)
    torch.autograd.backward(loss)
    assert sr.grad is not None


def test_sum_is_weight_times_term() -> None:
    sr, hr = pair()
    weights = {"l1": 0.25, "perceptual": 3.0, "semantic": 7.0}
    total, terms = build_losses(weights, context())(sr, hr)
    assert terms.keys() == weights.keys()
    assert float(total.detach()) == pytest.approx(sum(weights[name] * float(terms[name]) for name in terms))
    assert float(terms["l1"]) == pytest.approx(float((sr - hr).abs().mean().detach()))
    assert total.requires_grad
    assert not any(term.requires_grad for term in terms.values())


def test_a_term_of_weight_zero_is_left_out() -> None:
    weights = {"l1": 1.0, "perceptual": 0.0, "semantic": 0}
    assert needs_of(weights) == frozenset()
    losses = build_losses(weights, LossContext(CPU))
    assert losses.needs == frozenset()
    assert losses(*pair())[1].keys() == {"l1"}


def test_what_terms_need() -> None:
    assert needs_of({"l1": 1.0}) == frozenset()
    assert needs_of({"l1": 1.0, "semantic": 0.01}) == {"semantic"}
    assert build_losses(dict.fromkeys(LOSSES, 1.0), context()).needs == {"semantic", "perceptual"}


def test_gradient_norms_are_those_of_the_weighted_terms() -> None:
    sr, hr = pair()
    weights = {"l1": 2.0, "perceptual": 0.5, "semantic": 0.1}
    losses = build_losses(weights, context())
    norms = losses.gradient_norms(sr, hr)
    assert sr.grad is None
    # Of an absolute mean every slope is +-1/count, so the norm is 1/sqrt(count).
    assert norms["l1"] == pytest.approx(2.0 / math.sqrt(sr.numel()), rel=1e-5)
    for name in ("perceptual", "semantic"):
        sr.grad = None
        torch.autograd.backward(build_losses({name: weights[name]}, context())(sr, hr)[0])
        assert sr.grad is not None
        assert norms[name] == pytest.approx(float(sr.grad.norm()), rel=1e-5)
        assert norms[name] > 0


def test_gradient_norms_without_gradients_around() -> None:
    sr, hr = pair()
    losses = build_losses({"l1": 1.0}, LossContext(CPU))
    with torch.no_grad():
        assert losses.gradient_norms(sr, hr) == losses.gradient_norms(sr, hr)


def test_a_term_of_every_third_step_counts_three_times_there() -> None:
    sr, hr = pair()
    weights = {"l1": 1.0, "semantic": 0.1}
    always, third = (build_losses(weights, context(), every) for every in ({}, {"semantic": 3}))
    plain, terms = always(sr, hr)
    for step in range(7):
        total, found = third(sr, hr, step)
        assert set(found) == ({"l1", "semantic"} if step % 3 == 0 else {"l1"})
        expected = float(terms["l1"]) + (0.3 * float(terms["semantic"]) if step % 3 == 0 else 0)
        assert float(total.detach()) == pytest.approx(expected)
    assert float(plain.detach()) == pytest.approx(float(terms["l1"]) + 0.1 * float(terms["semantic"]))
    assert third.gradient_norms(sr, hr) == always.gradient_norms(sr, hr)
