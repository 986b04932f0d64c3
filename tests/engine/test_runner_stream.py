"""Streams of images: order, batches across images, failures of one among many, depth."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from srkit.engine.runner import Plane
from srkit.errors import ImageError
from tests.engine.networks import Convolutions, Pointwise, random_pixels, run_one, runner


class Counting(Convolutions):
    """Notes the shape of every batch."""

    def __init__(self) -> None:
        super().__init__(1)
        self.shapes: list[tuple[int, ...]] = []

    def __deepcopy__(self, _memo: Any) -> Counting:
        return self

    def forward(self, x: Tensor) -> Tensor:
        self.shapes.append(tuple(x.shape))
        return super().forward(x)


@pytest.mark.parametrize("tile", [None, 16])
@pytest.mark.parametrize("batch", [2, 7, 64])
def test_batches_across_images_change_nothing(batch: int, tile: int | None) -> None:
    sizes = [(20, 30), (20, 30), (20, 30), (31, 9), (31, 9), (1, 1), (20, 30), (64, 64), (20, 30)]
    planes = [Plane(random_pixels(*size, seed=i), i) for i, size in enumerate(sizes)]
    results = list(runner(Convolutions(2), tile=tile, overlap=3, batch=batch).run(planes))
    assert [r.tag for r in results if r is not None] == list(range(len(sizes)))
    for plane, result in zip(planes, results, strict=True):
        assert result is not None
        assert result.error is None
        alone = run_one(Convolutions(2), plane.pixels, tile=tile, overlap=3).astype(int)
        assert np.abs(result.pixels - alone).max() <= 1


def test_windows_of_neighbours_share_a_batch() -> None:
    network = Counting()
    planes = [Plane(random_pixels(16, 16, i), i) for i in range(6)]
    list(runner(network, batch=4).run(planes))
    assert [shape[0] for shape in network.shapes] == [4, 2]


def test_a_none_flushes_what_is_gathered() -> None:
    network = Counting()
    one, two, three = (Plane(random_pixels(16, 16, i), i) for i in range(3))
    results = runner(network, batch=8).run([one, two, None, three, None, None])
    tags = [None if r is None else r.tag for r in results]
    assert tags == [0, 1, None, 2, None, None]
    assert [shape[0] for shape in network.shapes] == [2, 1]


def test_an_image_that_was_not_read_keeps_its_place() -> None:
    trouble = ImageError("broken")
    planes = [
        Plane(random_pixels(8, 8), 0),
        Plane(random_pixels(8, 8), 1, error=trouble, warnings=("w",)),
        Plane(random_pixels(8, 8), 2),
    ]
    results = [r for r in runner(Convolutions(1), batch=4).run(planes) if r is not None]
    assert [(r.tag, r.error) for r in results] == [(0, None), (1, trouble), (2, None)]
    assert results[1].warnings == ("w",)


class Picky(Convolutions):
    def forward(self, x: Tensor) -> Tensor:
        if bool((x == 1).any()):
            raise RuntimeError("white")
        return super().forward(x)


def test_one_failure_does_not_end_the_others() -> None:
    planes = [Plane(random_pixels(10, 10, i), i) for i in range(5)]
    planes[2].pixels[0, 0] = 255
    results = [r for r in runner(Picky(1), batch=5).run(planes) if r is not None]
    assert [str(r.error) if r.error else None for r in results] == [None, None, "white", None, None]
    assert np.array_equal(results[4].pixels, run_one(Convolutions(1), planes[4].pixels))


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_depth_is_kept(dtype: Any) -> None:
    top = np.iinfo(dtype).max
    levels = np.linspace(0, top, 300).astype(dtype).reshape(10, 10, 3)
    result = run_one(Pointwise(), levels)
    assert result.dtype == dtype
    exact = (levels / top) ** 2 * top
    assert np.abs(result - exact).max() <= 0.51


def test_both_depths_in_one_stream() -> None:
    planes = [Plane(random_pixels(8, 8, i, dtype), i) for i, dtype in enumerate((np.uint8, np.uint16) * 2)]
    results = [r for r in runner(Pointwise(), batch=4).run(planes) if r is not None]
    for plane, result in zip(planes, results, strict=True):
        assert np.array_equal(result.pixels, run_one(Pointwise(), plane.pixels))


class Overshooting(Pointwise):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) * 3 - 1


@pytest.mark.parametrize("tiling", ["exact", "blend"])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_overshoot_is_clipped(dtype: Any, tiling: str) -> None:
    top = np.iinfo(dtype).max
    pixels = np.zeros((4, 4, 3), dtype)
    pixels[2:] = top
    result = run_one(Overshooting(tiling=tiling), pixels)
    assert (result[:2] == 0).all()
    assert (result[2:] == top).all()


def test_the_input_may_be_read_only_and_strided() -> None:
    pixels = random_pixels(20, 30)[::2, ::-3]
    pixels.setflags(write=False)
    assert np.array_equal(run_one(Convolutions(1), pixels), run_one(Convolutions(1), pixels.copy()))


def test_forward_is_the_network_as_it_is_run() -> None:
    network = Convolutions(1)
    x = torch.rand(2, 3, 12, 12)
    with torch.inference_mode():
        torch.testing.assert_close(runner(network).forward(x), network(x))
        reduced = runner(network, dtype=torch.bfloat16).forward(x)
    assert reduced.dtype == torch.float32
    assert not torch.equal(reduced, network(x))


@pytest.mark.cuda
def test_cuda_equals_the_cpu() -> None:
    pixels = [random_pixels(h, w) for h, w in ((100, 130), (100, 130), (3, 300), (1, 1))]
    changes: dict[str, Any] = {"device": torch.device("cuda"), "tile": 32, "overlap": 4, "batch": 8}
    planes = [Plane(p, None) for p in pixels]
    for plane, result in zip(planes, runner(Convolutions(2), **changes).run(planes), strict=True):
        assert result is not None
        assert result.error is None
        assert np.abs(result.pixels.astype(int) - run_one(Convolutions(2), plane.pixels)).max() <= 1
