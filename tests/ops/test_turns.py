"""The eight symmetries of a square."""

from __future__ import annotations

import torch

from srkit.ops.turns import TURNS, turn, turn_back


def test_there_and_back() -> None:
    x = torch.rand(2, 3, 4, 7)
    for kind in range(TURNS):
        turned = turn(x, kind)
        assert turned.shape[2:] == ((7, 4) if kind & 1 else (4, 7))
        assert torch.equal(turn_back(turned, kind), x)


def test_all_eight_differ() -> None:
    x = torch.arange(9.0).view(1, 1, 3, 3)
    assert len({tuple(turn(x, kind).flatten().tolist()) for kind in range(TURNS)}) == TURNS


def test_what_the_bits_mean() -> None:
    x = torch.rand(1, 1, 3, 5)
    assert torch.equal(turn(x, 0), x)
    assert torch.equal(turn(x, 1), x.transpose(2, 3))
    assert torch.equal(turn(x, 2), x.flip(2))
    assert torch.equal(turn(x, 4), x.flip(3))
    assert torch.equal(turn(x, 3), x.transpose(2, 3).flip(2))  # transposed first
