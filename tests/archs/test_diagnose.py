"""The network that tells damaged images from clean ones: its measures, and the patches that it sees."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor

from srkit.archs.diagnose import (
    MEASURES,
    PATCH,
    PATCHES,
    SMALLEST_SEEN,
    DiagnoseNetwork,
    blockiness,
    logits_of,
    luma_of,
    measures,
    patches,
    sliding_dct,
)
from srkit.archs.table import CLASSIFIERS, build
from srkit.io.codecs import through_jpeg
from srkit.ops.layout import RGB


def _tensor(image: RGB) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(image)).permute(2, 0, 1)[None].float() / 255


def test_it_is_known_by_its_name() -> None:
    assert isinstance(build("diagnose", {"widths": [4, 6], "hidden": 5}), DiagnoseNetwork)
    assert set(CLASSIFIERS) == {"diagnose"}


@pytest.mark.parametrize("size", [(64, 64), (65, 80), (128, 101)])
def test_logits_of_any_size_do_not_depend_on_the_batch(size: tuple[int, int]) -> None:
    torch.manual_seed(1)
    network = DiagnoseNetwork((4, 6), 5).eval()
    x = torch.rand(3, 3, *size)
    with torch.inference_mode():
        together, alone = network(x), torch.cat([network(one) for one in torch.split(x, 1)])
    assert together.shape == (3, 2) and together.dtype == torch.float32
    torch.testing.assert_close(together, alone, atol=1e-4, rtol=1e-4)


def test_gradient_reaches_every_parameter() -> None:
    torch.manual_seed(2)
    network = DiagnoseNetwork((4, 6), 8)
    network(torch.rand(4, 3, 40, 40)).square().sum().backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None and bool(parameter.grad.isfinite().all()), name
        assert bool((parameter.grad != 0).any()), name


def test_sliding_dct_keeps_the_energy_of_a_block() -> None:
    luma = torch.rand(1, 1, 8, 8) * 255
    found = sliding_dct(luma)
    assert found.shape == (1, 64, 1, 1)
    torch.testing.assert_close(found.square().sum(), luma.square().sum())
    torch.testing.assert_close(found[0, 0, 0, 0], luma.mean() * 8)


@pytest.mark.parametrize("offset", [(0, 0), (3, 5), (7, 1)])
def test_the_grid_of_jpeg_stands_out_wherever_it_begins(
    rendered: Callable[..., RGB], offset: tuple[int, int]
) -> None:
    clean = rendered(200, 200, 1)
    top, left = offset
    both = [
        luma_of(_tensor(image[top : top + 160, left : left + 160]))
        for image in (clean, through_jpeg(clean, 60))
    ]
    before, after = (measures(luma) for luma in both)
    assert before.shape == (1, MEASURES)
    stands_out = [MEASURES - 9, MEASURES - 5]  # of lower and of higher frequencies
    assert bool((after[0, stands_out] > before[0, stands_out] + 0.05).all())
    assert float(blockiness(both[1]).mean()) > float(blockiness(both[0]).mean()) + 0.05


@pytest.mark.parametrize("size", [(1, 1), (128, 128), (129, 500), (1000, 90), (700, 3000)])
def test_patches_are_few_and_begin_on_the_grid(size: tuple[int, int]) -> None:
    image = np.stack(np.meshgrid(*map(np.arange, size), indexing="ij"), axis=2)
    found = patches(image)
    assert 1 <= len(found) <= PATCHES
    assert found.shape[1:3] == tuple(min(side, PATCH) for side in size)
    assert not (found[:, 0, 0] % 8).any()
    assert len(np.unique(found[:, 0, 0], axis=0)) == len(found)


def test_nothing_is_said_of_what_shows_nothing() -> None:
    network = DiagnoseNetwork((4, 6), 5)
    assert logits_of(network, torch.full((2, 3, 64, 64), 0.3)) is None
    assert logits_of(network, torch.rand(1, 3, SMALLEST_SEEN - 1, 90)) is None
    one = torch.rand(1, 3, 64, 64)
    both, alone = logits_of(network, torch.cat([one, torch.zeros_like(one)])), logits_of(network, one)
    assert both is not None and alone is not None
    torch.testing.assert_close(both, alone)
