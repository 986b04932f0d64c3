"""Positions, mirrored extension and dihedral transforms."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from srkit.ops.geometry import TURNS, extend, mirrored, position_grid, positions, sample, turn, turn_back


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
    image = torch.rand(1, 3, 7, 9)
    torch.testing.assert_close(sample(image, position_grid(7, 9)), image)


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


@pytest.mark.parametrize("length", [1, 2, 5])
def test_mirrored_equals_numpy(length: int) -> None:
    reach = 3 * length + 2
    expected = np.pad(np.arange(length), reach, mode="symmetric")
    positions = torch.arange(-reach, length + reach)
    np.testing.assert_array_equal(mirrored(positions, length).numpy(), expected)


@pytest.mark.parametrize("size", [(4, 6), (5, 6), (4, 9), (17, 20)])
def test_extend(size: tuple[int, int]) -> None:
    x = torch.arange(24.0).view(1, 1, 4, 6)
    expected = np.pad(x.numpy(), ((0, 0), (0, 0), (0, size[0] - 4), (0, size[1] - 6)), mode="symmetric")
    np.testing.assert_array_equal(extend(x, *size).numpy(), expected)


def test_extend_leaves_what_fits() -> None:
    x = torch.rand(1, 3, 8, 8)
    assert extend(x, 8, 8) is x
    assert extend(x, 4, 4) is x


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
