"""Descriptors of Gram matrices: by the formula, with its gradient, in fp32 whatever is around."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from srkit.ops.gram import gram_descriptors


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
