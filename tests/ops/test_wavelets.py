"""The Haar transform: numbers by hand, its energy, what each part answers to, odd sides; what a low pass leaves."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from srkit.ops.wavelets import haar, low_pass

# Of the squares of 0 to 15, as (4, 4): sums and differences of each two by two, halved; LL, LH, HL, HH.
_KNOWN = (
    [[21.0, 49.0], [229.0, 321.0]],
    [[-20.0, -36.0], [-84.0, -100.0]],
    [[-5.0, -9.0], [-21.0, -25.0]],
    [[4.0, 4.0], [4.0, 4.0]],
)


def test_known_numbers() -> None:
    x = torch.from_numpy(np.arange(16.0).reshape(1, 1, 4, 4) ** 2)
    for part, known in zip(haar(x), _KNOWN, strict=True):
        assert part[0, 0].tolist() == known


def test_energy_is_kept() -> None:
    x = torch.randn(2, 3, 12, 8, dtype=torch.float64)
    assert float(sum(part.square().sum() for part in haar(x))) == pytest.approx(float(x.square().sum()))


def test_each_part_answers_to_its_own() -> None:
    rows = torch.tensor([1.0, -1.0]).repeat(4)[None, None, :, None].expand(1, 1, 8, 8)
    for x, which in ((torch.ones(1, 1, 8, 8), 0), (rows, 1), (rows.mT, 2), (rows * rows.mT, 3)):
        assert [bool(part.any()) for part in haar(x)] == [i == which for i in range(4)]


def test_odd_sides_are_repeated() -> None:
    x = torch.rand(1, 1, 5, 7)
    whole = torch.nn.functional.pad(x, (0, 1, 0, 1), mode="replicate")
    for odd, even in zip(haar(x), haar(whole), strict=True):
        assert odd.shape == (1, 1, 3, 4)
        assert torch.equal(odd, even)


def test_low_pass_leaves_what_is_coarse() -> None:
    flat = torch.full((1, 1, 40, 40), 0.3)
    torch.testing.assert_close(low_pass(flat, 4), flat)
    rows = torch.tensor([1.0, -1.0]).repeat(20)[None, None, :, None].expand(1, 1, 40, 40)
    assert float(low_pass(rows, 1)[:, :, 1:-1].abs().max()) == 0
    ramp = torch.arange(40.0).expand(1, 1, 40, 40)
    torch.testing.assert_close(low_pass(ramp, 2)[..., 4:-4], ramp[..., 4:-4])


def test_low_pass_reaches_as_far_as_its_taps() -> None:
    point = torch.zeros(1, 1, 65, 65)
    point[0, 0, 32, 32] = 1
    found = low_pass(point, 3)[0, 0]
    assert float(found.sum()) == pytest.approx(1)
    rows = found.sum(1).nonzero().flatten()
    assert (int(rows.min()), int(rows.max())) == (32 - 7, 32 + 7)
