"""Out of memory, by fault injection: what halves the tile, what does not, and what is said."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from srkit.engine.memory import SMALLEST_TILE, is_out_of_memory
from srkit.engine.runner import Plane
from srkit.errors import SrkitError
from tests.engine.networks import Convolutions, Toy, random_pixels, run_one, runner

Fault = Callable[[], BaseException]


def _device() -> BaseException:
    return torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")


def _allocator() -> BaseException:
    """What the CPU allocator really raises."""
    try:
        torch.empty(2**60, dtype=torch.uint8)
    except RuntimeError as error:
        return error
    raise AssertionError("this machine has an exbibyte of memory")


OUT_OF_MEMORY = pytest.mark.parametrize("fault", [_device, _allocator], ids=["device", "CPU allocator"])


class Limited(Convolutions):
    """Fails for windows of more than `largest` pixels."""

    def __init__(self, largest: int, fault: Fault, **facts: Any) -> None:
        super().__init__(2, **facts)
        self.largest, self.fault = largest, fault

    def forward(self, x: Tensor) -> Tensor:
        if x.shape[2] * x.shape[3] > self.largest:
            raise self.fault()
        return super().forward(x)


@OUT_OF_MEMORY
def test_the_tile_is_halved_and_the_work_goes_on(fault: Fault) -> None:
    pixels = random_pixels(150, 210)
    network = Limited(75**2, fault)
    overlap = network.info.receptive_field
    tiled = runner(network, tile=256, overlap=overlap, batch=3)
    (done,) = tiled.run([Plane(pixels, "tag")])
    assert done is not None
    assert (done.error, done.tag, tiled.tile) == (None, "tag", 64)
    assert done.warnings == ("memory ran out: the tile was reduced to 64",)
    expected = run_one(Convolutions(2), pixels, tile=64, overlap=overlap)
    assert np.array_equal(done.pixels, expected)


@OUT_OF_MEMORY
def test_whole_images_are_cut_when_they_do_not_fit(fault: Fault) -> None:
    pixels = random_pixels(150, 210)
    whole = runner(Limited(120**2, fault), tile=None, overlap=3)
    (done,) = whole.run([Plane(pixels, None)])
    assert done is not None
    assert (done.error, whole.tile) == (None, 105)


@OUT_OF_MEMORY
def test_images_of_a_batch_survive_too(fault: Fault) -> None:
    planes = [Plane(random_pixels(60, 60, i), i) for i in range(4)]
    network = Limited(50**2, fault)
    results = list(runner(network, tile=64, overlap=3, batch=4).run(planes))
    for plane, result in zip(planes, results, strict=True):
        assert result is not None
        assert (result.error, result.tag) == (None, plane.tag)
        alone = run_one(Convolutions(2), plane.pixels, tile=32, overlap=3).astype(int)
        assert np.abs(result.pixels - alone).max() <= 1


@OUT_OF_MEMORY
@pytest.mark.parametrize(
    ("changes", "facts", "tried"),
    [
        ({"tile": 256, "may_halve": False}, {}, "a tile of 256 pixels"),
        ({"tile": 256}, {}, f"a tile of {SMALLEST_TILE} pixels"),
        ({"tile": None, "may_halve": False}, {}, "the whole image at once"),
        ({"tile": None}, {"tiling": "none"}, "the whole image at once"),
    ],
    ids=["asked tile", "smallest tile", "tiles off", "untileable"],
)
def test_when_there_is_no_way_it_is_said(
    fault: Fault, changes: dict[str, Any], facts: dict[str, Any], tried: str
) -> None:
    small = random_pixels(8, 8)
    network = Limited(10**2, fault, **facts)
    planes = [Plane(random_pixels(150, 210), None), Plane(small, None)]
    broken, sound = runner(network, overlap=0, **changes).run(planes)
    assert broken is not None
    assert isinstance(broken.error, SrkitError)
    assert f"Memory ran out with {tried}; use a smaller `tile`" in str(broken.error)
    assert sound is not None
    assert sound.error is None
    assert np.array_equal(sound.pixels, run_one(Convolutions(2), small))


@pytest.mark.parametrize(
    "fault",
    [
        lambda: RuntimeError("CUDA error: an illegal memory access was encountered"),
        lambda: RuntimeError("The size of tensor a (3) must match the size of tensor b (4)"),
        lambda: ValueError("can't allocate memory"),
    ],
    ids=["illegal access", "shapes", "other type"],
)
def test_other_errors_do_not_halve(fault: Fault) -> None:
    calls = 0

    def count() -> BaseException:
        nonlocal calls
        calls += 1
        return fault()

    tiled = runner(Limited(75**2, count), tile=256, overlap=2)
    broken, sound = tiled.run([Plane(random_pixels(150, 210), None), Plane(random_pixels(9, 9), None)])
    assert broken is not None
    assert sound is not None
    assert str(broken.error) == str(fault())
    assert (calls, tiled.tile, sound.error, sound.warnings) == (1, 256, None, ())


class Watched(Toy):
    """Fails once, and looks on the next call whether what it was given before is gone."""

    def __init__(self) -> None:
        super().__init__()
        self.before: list[weakref.ref[Tensor]] = []
        self.held: list[bool] = []

    def __deepcopy__(self, _memo: Any) -> Watched:
        return self

    def forward(self, x: Tensor) -> Tensor:
        self.held += [ref() is not None for ref in self.before]
        self.before = [weakref.ref(x)]
        if x.shape[2] > 70:
            raise torch.OutOfMemoryError("no")
        return x.float()


def test_memory_of_the_failed_attempt_is_given_back_first() -> None:
    network = Watched()
    gc.disable()  # what only the collector of cycles frees comes too late
    try:
        run_one(network, random_pixels(128, 64), tile=128, overlap=0)
    finally:
        gc.enable()
    assert network.held[0] is False


def test_what_counts_as_out_of_memory() -> None:
    assert is_out_of_memory(_device())
    assert is_out_of_memory(_allocator())
    assert not is_out_of_memory(RuntimeError("CUDA error: device-side assert triggered"))
    assert not is_out_of_memory(MemoryError("can't allocate memory"))
    assert not is_out_of_memory(KeyboardInterrupt())
