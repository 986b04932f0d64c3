"""Positions of pixels, and maps sampled there."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from srkit.ops.position import position_grid, positions, sample
from srkit.ops.turns import TURNS, turn


def test_pixel_centres_between_the_edges() -> None:
    grid = position_grid(2, 4)
    assert grid.shape == (1, 2, 2, 4)
    assert grid.dtype == torch.float32
    torch.testing.assert_close(grid[0, 0], torch.tensor([[-0.75, -0.25, 0.25, 0.75]] * 2))
    torch.testing.assert_close(grid[0, 1], torch.tensor([[-0.5] * 4, [0.5] * 4]))


def test_a_window_keeps_its_positions_to_the_bit() -> None:
    whole = position_grid(37, 53)
    window = positions(torch.arange(5, 21), torch.arange(30, 53), 37, 53)
    assert torch.equal(window, whole[:, :, 5:21, 30:53])


def test_as_grid_sample_understands_them() -> None:
    picture = torch.rand(1, 3, 7, 9)
    torch.testing.assert_close(sample(picture, position_grid(7, 9)), picture)


def test_halfway_between_two_cells_is_their_mean() -> None:
    maps = torch.tensor([[[[1.0, 5.0]]]])
    there = torch.tensor([-1.0, -0.5, 0.0, 0.25, 1.0]).view(1, 1, 1, 5)
    position = torch.cat([there, torch.zeros_like(there)], dim=1)
    expected = torch.tensor([1.0, 1.0, 3.0, 4.0, 5.0]).view(1, 1, 1, 5)
    for gradient in (False, True):
        torch.testing.assert_close(sample(maps.requires_grad_(gradient), position).detach(), expected)


@pytest.mark.parametrize("cells", [(1, 1), (2, 3), (7, 7), (1, 4)])
@pytest.mark.parametrize("kind", [0, 5])
def test_training_samples_what_inference_samples(cells: tuple[int, int], kind: int) -> None:
    maps = torch.randn(2, 5, *cells, requires_grad=True)
    position = turn(position_grid(11, 6).expand(2, -1, -1, -1), kind)
    trained = sample(maps, position)
    with torch.inference_mode():
        torch.testing.assert_close(sample(maps, position), trained.detach())
    scattered = torch.rand(2, 2, 4, 3) * 2.4 - 1.2
    torch.testing.assert_close(sample(maps, scattered), sample(maps.detach(), scattered))


def test_gradients_are_those_of_grid_sample_and_have_gradients() -> None:
    maps = torch.randn(1, 2, 3, 4, dtype=torch.float64, requires_grad=True)
    position = position_grid(5, 6).double()
    weight = torch.randn(1, 2, 5, 6, dtype=torch.float64)
    (ours,) = torch.autograd.grad((sample(maps, position) * weight).sum(), maps)
    reference = F.grid_sample(maps, position.permute(0, 2, 3, 1), padding_mode="border", align_corners=False)
    (theirs,) = torch.autograd.grad((reference * weight).sum(), maps)
    torch.testing.assert_close(ours, theirs)
    assert torch.autograd.gradgradcheck(lambda m: sample(m, position).square(), maps)


def test_autocast_does_not_coarsen_positions() -> None:
    maps = torch.randn(1, 2, 7, 7, requires_grad=True)
    position = position_grid(64, 64)
    with torch.autocast("cpu", torch.bfloat16):
        coarse = sample(maps, position)
    assert coarse.dtype == torch.float32
    assert torch.equal(coarse, sample(maps, position))


@pytest.mark.parametrize("kind", range(TURNS))
def test_turned_positions_sample_the_turned_map(kind: int) -> None:
    maps, position = torch.randn(1, 4, 3, 5), position_grid(8, 10)
    torch.testing.assert_close(sample(maps, turn(position, kind)), turn(sample(maps, position), kind))
