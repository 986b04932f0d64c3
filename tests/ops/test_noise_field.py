"""Noise by place: normal, independent, the same for windows, another for another seed."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from srkit.ops.noise_field import noise_field

KNOWN = [0.144219, -2.023018, 1.280245, 0.874723]


def _field(seed: int, side: int = 256) -> Tensor:
    return noise_field(seed, torch.arange(side), torch.arange(side), 3)


def test_normal() -> None:
    x = _field(3)
    count = x.numel()
    assert x.shape == (1, 3, 256, 256)
    assert x.dtype == torch.float32
    for power, expected, spread in ((1, 0, 1), (2, 1, 2), (3, 0, 15), (4, 3, 96)):
        assert float(x.pow(power).mean()) == pytest.approx(expected, abs=4 * (spread / count) ** 0.5)


@pytest.mark.parametrize(
    ("channels", "rows", "columns"), [(0, 0, 1), (0, 1, 0), (1, 0, 0), (0, 1, 1), (0, 7, 3)]
)
def test_neighbours_are_independent(channels: int, rows: int, columns: int) -> None:
    x = _field(4)[0]
    moved = x[channels:, rows:, columns:]
    still = x[: moved.shape[0], : moved.shape[1], : moved.shape[2]]
    assert abs(float((still * moved).mean())) < 4 / moved.numel() ** 0.5


def test_no_frequency_stands_out() -> None:
    power = torch.fft.fft2(_field(5)[0]).abs().square() / 256**2
    assert float(power.max()) < 20  # of exponential variables of mean 1, 200 thousand: 12 are expected


@pytest.mark.parametrize("other", [8, 7 + (1 << 32), (1 << 63) - 1])
def test_seeds_are_independent(other: int) -> None:
    assert abs(float((_field(7) * _field(other)).mean())) < 4 / (3 * 256**2) ** 0.5


def test_a_window_has_the_numbers_of_the_whole() -> None:
    whole = _field(9)
    window = noise_field(9, torch.arange(40, 90), torch.arange(200, 256), 3)
    assert torch.equal(window, whole[:, :, 40:90, 200:256])


def test_the_numbers_do_not_change() -> None:
    """Results with a seed are to be had again with later versions."""
    found = noise_field(7, torch.tensor([0, 1]), torch.tensor([0, 1]), 1).flatten()
    torch.testing.assert_close(found, torch.tensor(KNOWN), atol=1e-5, rtol=0)
