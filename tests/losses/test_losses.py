"""Loss terms by name and their weighted sum."""

from __future__ import annotations

import pytest
import torch

from srkit.errors import UsageError
from srkit.losses.pixel import l1
from srkit.losses.table import check_terms, weighted_sum


def test_l1() -> None:
    sr, hr = torch.tensor([[0.0, 0.5], [1.0, 0.25]]), torch.tensor([[0.5, 0.5], [0.0, 0.5]])
    assert float(l1(sr, hr)) == pytest.approx((0.5 + 0 + 1 + 0.25) / 4)


def test_l1_is_taken_in_fp32() -> None:
    # In bf16 a mean over so many small differences would stall or round away.
    sr = torch.full((1, 3, 64, 64), 0.5, dtype=torch.bfloat16, requires_grad=True)
    hr = torch.full((1, 3, 64, 64), 0.501)
    loss = l1(sr, hr)
    assert loss.dtype == torch.float32
    assert float(loss.detach()) == pytest.approx(0.001, rel=1e-3)
    torch.autograd.backward(loss)
    assert sr.grad is not None


def test_weighted_sum() -> None:
    sr = torch.rand(1, 3, 4, 4, requires_grad=True)
    hr = torch.rand(1, 3, 4, 4)
    total, terms = weighted_sum(sr, hr, {"l1": 0.25})
    assert float(total.detach()) == pytest.approx(0.25 * float(terms["l1"]))
    assert total.requires_grad
    assert not terms["l1"].requires_grad


@pytest.mark.parametrize(
    ("weights", "words"),
    [({}, "names no loss"), ({"l1": 1.0, "l11": 1.0}, "no loss 'l11'; known are l1.*Did you mean 'l1'")],
)
def test_terms_that_are_none(weights: dict[str, float], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        check_terms(weights)
    with pytest.raises(UsageError, match=words):
        weighted_sum(torch.zeros(1, 3, 2, 2), torch.zeros(1, 3, 2, 2), weights)
