"""Conditions of windows are parts of those of the whole image."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from srkit.conditioning.values import Condition, Conditions, Coordinates, whole
from srkit.engine.memory import auto_tile, bytes_per_pixel
from srkit.engine.overlap import measure_overlap
from srkit.engine.runner import Plane
from srkit.ops.geometry import position_grid
from tests.engine.networks import CPU, Conditioned, Located, Pixels, random_pixels, run_one, runner

WHERE = {"place": Coordinates()}


def places(height: int, width: int) -> Pixels:
    """What `Located` paints, in 16 bit."""
    grid = (position_grid(height, width)[0].double() + 1) / 2 * 65535
    return grid.permute(1, 2, 0).round().numpy().astype(np.int64)


@pytest.mark.parametrize("size", [(1, 1), (5, 90), (37, 53), (64, 64)], ids=str)
@pytest.mark.parametrize(
    "facts", [{}, {"multiple_of": 8, "min_size": 24}], ids=["any size", "multiples of 8 from 24 on"]
)
@pytest.mark.parametrize("tta", [False, True])
def test_every_window_knows_where_it_lies(size: tuple[int, int], facts: dict[str, Any], tta: bool) -> None:
    network, pixels = Located(**facts), random_pixels(*size, dtype=np.uint16)
    for tile in (None, 16, 24):
        result = run_one(network, pixels, WHERE, tile=tile, overlap=3, tta=tta).astype(np.int64)
        assert np.abs(result[:, :, :2] - places(*size)).max() <= 1, tile
        assert np.array_equal(result[:, :, 2], pixels[:, :, 2])


@pytest.mark.parametrize("batch", [1, 4])
def test_images_of_several_sizes_in_a_batch(batch: int) -> None:
    sizes = [(40, 50), (40, 60), (33, 50), (16, 16)]
    planes = [Plane(random_pixels(*size, dtype=np.uint16), size, WHERE) for size in sizes]
    done = list(runner(Located(), tile=16, overlap=2, batch=batch).run(planes))
    for result in done:
        assert result is not None
        assert np.abs(result.pixels[:, :, :2].astype(np.int64) - places(*result.tag)).max() <= 1


def test_a_result_is_another_image_without_conditions() -> None:
    (done,) = runner(Located()).run([Plane(random_pixels(4, 4), None, WHERE)])
    assert done is not None
    assert done.conditions == {}


def test_a_condition_that_was_not_given_fails_its_image_alone() -> None:
    planes = [Plane(random_pixels(8, 8), 0), Plane(random_pixels(8, 8), 1, WHERE)]
    first, second = runner(Located()).run(planes)
    assert first is not None
    assert second is not None
    assert isinstance(first.error, KeyError)
    assert second.error is None


MIXED = {
    "colour": Condition(torch.rand(1, 3)),
    "fine": Condition(torch.rand(1, 2, 6, 8), spatial=True),
    "place": Coordinates(),
}


def test_conditions_of_a_whole_image_are_as_they_are() -> None:
    known = whole(MIXED, (3, 4), CPU)
    assert torch.equal(known["colour"], MIXED["colour"].value)
    assert torch.equal(known["fine"], MIXED["fine"].value)
    assert torch.equal(known["place"], position_grid(3, 4))


def test_parts_are_cut_at_their_own_resolution_and_mirrored_beyond_the_image() -> None:
    rows, columns = slice(1, 5), slice(2, 4)
    known = {name: one.part((3, 4), rows, columns, CPU) for name, one in MIXED.items()}
    assert [one.spatial for one in known.values()] == [False, True, True]
    assert torch.equal(known["colour"].value, MIXED["colour"].value)
    assert torch.equal(known["fine"].value, MIXED["fine"].value[:, :, [2, 3, 4, 5, 5, 4, 3, 2], 4:8])
    assert torch.equal(known["place"].value, position_grid(3, 4)[:, :, [1, 2, 2, 1], 2:4])


def test_measurements_condition_the_network() -> None:
    located = Located(receptive_field=3)
    asked: list[tuple[int, ...]] = []

    def conditioner(image: Pixels) -> Conditions:
        asked.append(image.shape)
        return WHERE

    assert bytes_per_pixel(located, located.info, conditioner) > 0
    assert auto_tile(located, located.info, 3, CPU, conditioner) > 0
    assert measure_overlap(located, located.info, [random_pixels(150, 90)], CPU, conditioner) == 0
    assert asked == [(48, 48, 3), (48, 48, 3), (150, 90, 3)]
    x = torch.rand(1, 3, 5, 7)
    assert torch.equal(runner(located).forward(x, WHERE)[:, 2], x[:, 2])


def test_forward_takes_only_what_the_network_names() -> None:
    spare = {"colour": Condition(torch.zeros(1, 3)), "map": Condition(torch.zeros(1, 3, 4, 4), spatial=True)}
    x = torch.rand(1, 3, 4, 4)
    torch.testing.assert_close(runner(Conditioned()).forward(x, spare | WHERE), x / 2)
