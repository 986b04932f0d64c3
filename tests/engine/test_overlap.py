"""The overlap that tiles need, measured on networks whose need is known."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from srkit.engine.overlap import TILE, measure_overlap
from srkit.errors import SrkitError
from tests.engine.networks import CPU, Pointwise, Toy, random_pixels, run_one
from tests.helpers import refused


class Shift(Toy):
    """Every pixel comes from `reach` pixels above and left of it."""

    def __init__(self, reach: int, receptive_field: int) -> None:
        super().__init__(receptive_field=receptive_field)
        self.reach = reach

    def forward(self, x: Tensor) -> Tensor:
        r = self.reach
        moved = F.pad(x * self.one, (r, 0, r, 0))
        return moved[:, :, : x.shape[2], : x.shape[3]].float()


class Fading(Toy):
    """A blur that falls to a quarter with each pixel: far pixels count in theory only."""

    def __init__(self) -> None:
        super().__init__(receptive_field=12)

    def forward(self, x: Tensor) -> Tensor:
        taps = 0.25 ** torch.arange(-12, 13).abs().float()
        taps = (taps / taps.sum() * self.one).expand(3, 1, 1, 25)
        x = F.conv2d(x, taps, groups=3, padding=(0, 12))
        return F.conv2d(x, taps.transpose(2, 3), groups=3, padding=(12, 0)).float()


IMAGES = [random_pixels(160, 160, 0), random_pixels(90, 200, 1)]


@pytest.mark.parametrize("reach", [0, 1, 7, 20])
def test_the_least_that_is_enough(reach: int) -> None:
    network = Shift(reach, receptive_field=30)
    assert measure_overlap(network, network.info, IMAGES, CPU) == reach


def test_pointwise_networks_need_none() -> None:
    network = Pointwise(receptive_field=9)
    assert measure_overlap(network, network.info, IMAGES, CPU) == 0


def test_less_than_the_receptive_field_where_its_rim_is_empty() -> None:
    network = Fading()
    overlap = measure_overlap(network, network.info, IMAGES, CPU)
    assert 2 <= overlap <= 5
    unseen = random_pixels(150, 180, seed=9)
    whole, tiled = (run_one(network, unseen, tile=tile, overlap=overlap).astype(int) for tile in (None, 32))
    assert np.abs(whole - tiled).max() <= 1


@pytest.mark.parametrize(
    "images",
    [[], [random_pixels(TILE, TILE)], [random_pixels(20, 40)], [random_pixels(TILE + 10, 30)]],
    ids=["none", "as large as a tile", "smaller", "one window at the overlap it needs"],
)
def test_images_that_no_tile_cuts_prove_nothing(images: list[np.ndarray]) -> None:
    network = Shift(7, receptive_field=11)
    assert measure_overlap(network, network.info, images, CPU) == 11


def test_a_small_image_among_large_ones_does_no_harm() -> None:
    network = Shift(7, receptive_field=11)
    assert measure_overlap(network, network.info, [random_pixels(8, 8), *IMAGES], CPU) == 7


class Broken(Toy):
    def forward(self, x: Tensor) -> Tensor:
        raise RuntimeError("broken pipe in layer 3")


def test_a_network_that_fails() -> None:
    with refused(SrkitError, "broken pipe in layer 3"):
        measure_overlap(Broken(receptive_field=5), Broken(receptive_field=5).info, IMAGES, CPU)
