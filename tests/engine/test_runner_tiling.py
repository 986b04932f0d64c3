"""Tiled equals untiled, for every way of tiling and of being too small for it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from srkit.archs.edsr import EDSR
from srkit.conditioning.values import Condition
from srkit.engine.runner import Plane
from tests.engine.networks import (
    Conditioned,
    Convolutions,
    Pointwise,
    WindowMean,
    random_pixels,
    run_one,
    runner,
)

SIZES = [(1, 1), (1, 90), (3, 5000), (50, 61), (64, 64), (65, 129), (131, 257), (300, 100)]


def _difference(a: NDArray[Any], b: NDArray[Any]) -> int:
    return int(np.abs(a.astype(np.int64) - b.astype(np.int64)).max())


@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize(
    "network",
    [
        Convolutions(3),
        Convolutions(1, stride=4),
        Convolutions(1, stride=4, min_size=40),
    ],
    ids=["any size", "multiples of 4", "multiples of 4 from 40 on"],
)
def test_tiled_equals_untiled(network: Convolutions, size: tuple[int, int]) -> None:
    pixels = random_pixels(*size)
    whole = run_one(network, pixels)
    assert whole.shape == (2 * size[0], 2 * size[1], 3)
    for tile in (16, 64, 128, 256):
        tiled = run_one(network, pixels, tile=tile, overlap=network.info.receptive_field)
        assert _difference(tiled, whole) <= 1, tile


@pytest.mark.parametrize("batch", [1, 5])
def test_tiled_equals_untiled_for_edsr(batch: int) -> None:
    torch.manual_seed(0)
    network = EDSR(4, 8, 2, "single")
    for parameter in network.reconstruction.parameters():
        parameter.data.mul_(10)  # a random network's residual would hide behind the bicubic skip
    pixels = random_pixels(75, 133, dtype=np.uint16)
    whole = run_one(network, pixels)
    tiled = run_one(network, pixels, tile=32, overlap=network.info.receptive_field, batch=batch)
    assert _difference(tiled, whole) <= 2  # of 65535: the order of summation
    assert _difference(run_one(network, pixels, tile=32, overlap=1), whole) > 65535 // 255


def test_too_little_overlap_shows() -> None:
    """Else the tests above would prove nothing."""
    pixels = random_pixels(65, 129)
    network = Convolutions(3)
    assert _difference(run_one(network, pixels, tile=16, overlap=0), run_one(network, pixels)) > 10


def test_small_images_are_extended_by_mirrors() -> None:
    network = Convolutions(1, stride=8, min_size=40)
    pixels = random_pixels(3, 43)
    mirrored = np.pad(pixels, ((0, 37), (0, 5), (0, 0)), mode="symmetric")
    assert np.array_equal(run_one(network, pixels), run_one(network, mirrored)[:6, :86])


def test_networks_that_cannot_be_tiled_see_the_whole() -> None:
    network = WindowMean(tiling="none")
    pixels = random_pixels(50, 70)
    result = run_one(network, pixels, tile=16, overlap=4)
    assert np.array_equal(result, run_one(network, pixels))
    assert len(np.unique(result)) == 1


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("overlap", [0, 3, 8, 20])
def test_blended_tiles_of_a_pointwise_network_are_the_whole(overlap: int, dtype: Any) -> None:
    network = Pointwise(scale=2, tiling="blend")
    for size in ((1, 1), (10, 90), (61, 47), (100, 33)):
        pixels = random_pixels(*size, dtype=dtype)
        tiled = run_one(network, pixels, tile=16, overlap=overlap)
        assert _difference(tiled, run_one(network, pixels)) <= 1, size


def test_blended_tiles_have_no_seam() -> None:
    pixels = np.broadcast_to(np.linspace(0, 60000, 120).astype(np.uint16)[:, None, None], (120, 96, 3)).copy()
    pixels += np.linspace(0, 5000, 96).astype(np.uint16)[None, :, None]
    steps = {}
    for tiling in ("blend", "exact"):
        result = run_one(WindowMean(tiling=tiling), pixels, tile=16, overlap=8).astype(np.int64)
        assert len(np.unique(result)) > 20
        steps[tiling] = max(np.abs(np.diff(result, axis=axis)).max() for axis in (0, 1))
    # Neighbouring windows differ by some 7500; cross-faded over 16 rows or more, that is below 500 a row, and
    # twice that where three windows meet.
    assert steps["exact"] > 5000
    assert steps["blend"] < 1000


def test_blending_rises_evenly() -> None:
    """On a slope along one side the blend of window means must never turn back."""
    slope = np.linspace(0, 65535, 200).astype(np.uint16)
    pixels = np.broadcast_to(slope[None, :, None], (20, 200, 3)).copy()
    row = run_one(WindowMean(tiling="blend"), pixels, tile=24, overlap=12)[10, :, 0].astype(np.int64)
    assert bool((np.diff(row) >= 0).all())
    assert row[-1] - row[0] > 40000


# -- conditions -------------------------------------------------------------------------------------------


def _conditions(height: int, width: int, finer: int, seed: int) -> dict[str, Condition]:
    rng = torch.Generator().manual_seed(seed)
    return {
        "map": Condition(torch.rand(1, 3, height * finer, width * finer, generator=rng), spatial=True),
        "colour": Condition(torch.rand(1, 3, generator=rng) * 0.2),
    }


def _expected(pixels: NDArray[Any], conditions: dict[str, Condition], finer: int) -> NDArray[np.uint8]:
    x = torch.from_numpy(pixels).permute(2, 0, 1)[None].float() / 255
    sr = 0.5 * F.interpolate(x, scale_factor=finer, mode="nearest") + 0.3 * conditions["map"].value
    sr = (sr + conditions["colour"].value[:, :, None, None]).clamp(0, 1)
    result: NDArray[np.uint8] = (sr[0].permute(1, 2, 0) * 255).round().to(torch.uint8).numpy()
    return result


@pytest.mark.parametrize("finer", [1, 2])
@pytest.mark.parametrize(
    "facts", [{}, {"multiple_of": 8, "min_size": 24}], ids=["any size", "multiples of 8"]
)
@pytest.mark.parametrize("tiling", ["exact", "blend"])
def test_conditions_follow_their_tiles(finer: int, facts: dict[str, Any], tiling: str) -> None:
    network = Conditioned(finer, tiling=tiling, **facts)
    for size in ((5, 5), (37, 53)):
        pixels = random_pixels(*size)
        conditions = _conditions(*size, finer, seed=1)
        expected = _expected(pixels, conditions, finer)
        for tile in (None, 16):
            tiled = run_one(network, pixels, conditions, tile=tile, overlap=3)
            assert _difference(tiled, expected) <= 1, (size, tile)


def test_every_image_of_a_batch_has_its_own_conditions() -> None:
    planes = [Plane(random_pixels(20, 30, i), i, _conditions(20, 30, 1, seed=i)) for i in range(5)]
    results = list(runner(Conditioned(), tile=16, overlap=2, batch=3).run(planes))
    for plane, result in zip(planes, results, strict=True):
        assert result is not None
        assert result.tag == plane.tag
        assert _difference(result.pixels, _expected(plane.pixels, dict(plane.conditions), 1)) <= 1
