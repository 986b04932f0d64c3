"""The Haar transform and descriptors of Gram matrices."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from srkit.ops.descriptors import gram_descriptors, haar


def _maps(dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.randn(2, 5, 6, 7, generator=torch.Generator().manual_seed(0)).to(dtype)


def _plainly(maps: Tensor) -> tuple[Tensor, Tensor]:
    gram = torch.einsum("nihw,njhw->nij", maps, maps) / (maps.shape[2] * maps.shape[3])
    return gram.mean(2), gram.amax(2)


def test_it_is_the_formula() -> None:
    for found, wanted in zip(gram_descriptors(_maps()), _plainly(_maps()), strict=True):
        torch.testing.assert_close(found, wanted)


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_its_gradient_is_that_of_the_formula(layout: torch.memory_format) -> None:
    slopes = []
    for function in (gram_descriptors, _plainly):
        maps = _maps().contiguous(memory_format=layout).requires_grad_()
        average, most = function(maps)
        (slope,) = torch.autograd.grad(average.square().sum() + 3 * most.square().sum(), maps)
        slopes.append(slope)
    torch.testing.assert_close(*slopes)


def test_fp32_whatever_the_maps_are() -> None:
    exact = gram_descriptors(_maps(torch.bfloat16).float())
    with torch.autocast("cpu", torch.bfloat16):
        found = gram_descriptors(_maps(torch.bfloat16))
    for a, b in zip(found, exact, strict=True):
        assert a.dtype == torch.float32
        torch.testing.assert_close(a, b)


def test_where_things_lie_does_not_matter() -> None:
    maps = _maps()
    order = torch.randperm(42, generator=torch.Generator().manual_seed(1))
    shuffled = maps.flatten(2)[:, :, order].view_as(maps)
    for a, b in zip(gram_descriptors(maps), gram_descriptors(shuffled), strict=True):
        torch.testing.assert_close(a, b)


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
