"""Training pairs, held in memory and streamed."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from srkit.data.pairs import (
    Batch,
    CropPlan,
    MemoryPairs,
    PairSource,
    crop_to_multiple,
    make_lr,
    shrunk,
)
from srkit.data.streamed import StreamedPairs
from srkit.errors import SrkitError
from srkit.ops.geometry import TURNS, turn_back
from srkit.ops.layout import RGB
from srkit.ops.resize import bicubic_uint8
from tests.helpers import Listening, refused

CPU = torch.device("cpu")


def _write(folder: Path, images: list[RGB]) -> list[Path]:
    files = [folder / f"{i:02d}.png" for i in range(len(images))]
    for file, image in zip(files, images, strict=True):
        assert cv2.imwrite(str(file), image[:, :, ::-1])
    return files


@pytest.fixture
def images(rendered: Callable[..., RGB]) -> list[RGB]:
    return [rendered(61, 50), rendered(45, 77, seed=1)]


Make = Callable[[CropPlan], PairSource]


@pytest.fixture(params=["memory", "stream"])
def make(request: pytest.FixtureRequest, images: list[RGB], tmp_path: Path) -> Make:
    """Makes either source of pairs from the same images."""
    if request.param == "memory":
        return lambda plan: MemoryPairs(images, plan, CPU)
    files = _write(tmp_path, images)
    return lambda plan: StreamedPairs(files, plan, CPU, workers=0)


def _batches(source: PairSource, count: int, first: int = 0) -> list[Batch]:
    return list(itertools.islice(source.batches(first), count))


def _take(source: PairSource, count: int, first: int = 0) -> list[tuple[Tensor, Tensor]]:
    return [(batch.lr, batch.hr) for batch in _batches(source, count, first)]


def _bytes(x: Tensor) -> NDArray[np.uint8]:
    return (x * 255).round().to(torch.uint8).numpy()


def _places(small: NDArray[np.uint8], large: NDArray[np.uint8]) -> list[tuple[int, int]]:
    """Where (3, p, p) lies in (h, w, 3)."""
    if min(large.shape[:2]) < small.shape[1]:
        return []
    windows = np.lib.stride_tricks.sliding_window_view(large, (*small.shape[1:], 3))[:, :, 0]
    matches = (windows == small.transpose(1, 2, 0)).all(axis=(2, 3, 4))
    return [(int(y), int(x)) for y, x in np.argwhere(matches)]


@pytest.mark.parametrize("scale", [2, 3])
def test_the_lr_of_a_crop_is_the_crop_of_the_lr(scale: int, make: Make, images: list[RGB]) -> None:
    plan = CropPlan(scale, patch=10, batch=12, seed=0, best_of=scale - 1)
    whole = [crop_to_multiple(p, scale) for p in images]
    lows = [make_lr(p, scale) for p in whole]
    for lr, hr in _take(make(plan), 3):
        assert (lr.shape, hr.shape) == ((12, 3, 10, 10), (12, 3, 10 * scale, 10 * scale))
        assert lr.dtype == hr.dtype == torch.float32
        for small, large in zip(lr, hr, strict=True):
            found = False
            for kind in range(TURNS):
                small_back, large_back = (_bytes(turn_back(t[None], kind)[0]) for t in (small, large))
                for low, high in zip(lows, whole, strict=True):
                    for y, x in _places(small_back, low):
                        there = high[y * scale : (y + 10) * scale, x * scale : (x + 10) * scale]
                        found = found or np.array_equal(there, large_back.transpose(1, 2, 0))
            assert found


def _shown(lr: Tensor, lows: list[RGB]) -> set[int]:
    """Numbers of the images that a crop (3, p, p) may be cut from."""
    turned = [_bytes(turn_back(lr[None], kind)[0]) for kind in range(TURNS)]
    return {i for i, low in enumerate(lows) for small in turned if _places(small, low)}


def test_images_at_several_sizes(make: Make, images: list[RGB]) -> None:
    plan = CropPlan(2, patch=8, batch=16, seed=0, sizes=(1.0, 0.5))
    copies = [shrunk(image, factor) for factor in (1.0, 0.5) for image in images]
    assert [copy.shape[:2] for copy in copies] == [(61, 50), (45, 77), (31, 25), (23, 39)]
    lows = [make_lr(crop_to_multiple(copy, 2), 2) for copy in copies]
    found = [_shown(lr, lows) for lr, _ in _take(make(plan), 3) for lr in lr]
    assert all(len(numbers) == 1 for numbers in found)
    small = sum(numbers <= {2, 3} for numbers in found)
    # In proportion to the area, a fifth of 48; copies that do not occur, or as often as the rest, are noticed.
    assert 3 <= small <= 18


def test_copies_smaller_than_a_crop_are_left_out(make: Make, images: list[RGB]) -> None:
    plan = CropPlan(2, patch=12, batch=16, seed=0, sizes=(1.0, 0.5))  # half of 45 x 77 is 23 x 39
    copies = [shrunk(image, factor) for factor in (1.0, 0.5) for image in images]
    lows = [make_lr(crop_to_multiple(copy, 2), 2) for copy in copies]
    found = [_shown(lr, lows) for lr, _ in _take(make(plan), 4) for lr in lr]
    assert set.union(*found) == {0, 1, 2}


def test_shrunk_is_the_benchmarks_bicubic(images: list[RGB]) -> None:
    assert shrunk(images[0], 1.0) is images[0]
    x = torch.from_numpy(images[0]).permute(2, 0, 1)[None]
    expected = bicubic_uint8(x, (43, 35), scale=0.7)[0].permute(1, 2, 0).numpy()
    assert np.array_equal(shrunk(images[0], 0.7), expected)


def test_pairs_depend_on_seed_and_step_alone(make: Make) -> None:
    plan = CropPlan(2, patch=8, batch=4, seed=5)
    whole = _take(make(plan), 4)
    resumed = _take(make(plan), 2, first=2)
    for (lr, hr), (lr_again, hr_again) in zip(whole[2:], resumed, strict=True):
        assert torch.equal(lr, lr_again)
        assert torch.equal(hr, hr_again)
    assert not torch.equal(whole[0][0], whole[1][0])
    other = _take(make(CropPlan(2, patch=8, batch=4, seed=6)), 1)
    assert not torch.equal(whole[0][0], other[0][0])


@pytest.mark.parametrize("best_of", [1, 3])
def test_processes_share_what_one_would_draw(best_of: int, make: Make) -> None:
    ((alone, _),) = _take(make(CropPlan(2, patch=8, batch=6, seed=0, best_of=best_of)), 1)
    parts = []
    for rank in range(3):
        ((lr, _),) = _take(
            make(CropPlan(2, patch=8, batch=2, seed=0, rank=rank, world=3, best_of=best_of)), 1
        )
        assert lr.shape[0] == 2
        parts.append(lr)
    assert torch.equal(torch.stack(parts, 1).flatten(0, 1), alone)


def test_workers_give_what_no_workers_give(images: list[RGB], tmp_path: Path) -> None:
    files = _write(tmp_path, images)
    plan = CropPlan(2, patch=8, batch=3, seed=0)
    alone, shared = (_take(StreamedPairs(files, plan, CPU, workers=n), 3) for n in (0, 2))
    for (lr, hr), (lr_again, hr_again) in zip(alone, shared, strict=True):
        assert torch.equal(lr, lr_again)
        assert torch.equal(hr, hr_again)


def test_streaming_passes_over_what_cannot_be_used(images: list[RGB], tmp_path: Path) -> None:
    files = _write(tmp_path, [*images[:1], images[0][:15, :40]])
    broken = tmp_path / "broken.png"
    broken.write_bytes(files[0].read_bytes()[:200])
    empty = tmp_path / "empty.png"
    empty.write_bytes(b"")
    plan = CropPlan(2, patch=8, batch=4, seed=0)
    given, progress = [*files, broken, empty, tmp_path / "gone.png"], Listening()
    steps = _take(StreamedPairs(given, plan, CPU, workers=0, progress=progress), 8)
    assert sorted(words.split()[0] for words in progress.warned) == sorted(file.name for file in given[1:])
    lows = make_lr(crop_to_multiple(images[0], 2), 2)
    for lr, _ in steps:
        for small in lr:
            assert any(_places(_bytes(turn_back(small[None], k)[0]), lows) for k in range(TURNS))


@pytest.mark.parametrize("workers", [0, 1])
def test_streaming_says_when_nothing_can_be_used(workers: int, images: list[RGB], tmp_path: Path) -> None:
    files = _write(tmp_path, [images[0][:15]])
    source = StreamedPairs(files, CropPlan(2, patch=8, batch=1, seed=0), CPU, workers)
    with refused(SrkitError, 1, 16):
        _take(source, 1)


def test_make_lr_is_the_benchmarks(images: list[RGB]) -> None:
    hr = crop_to_multiple(images[0], 4)
    assert hr.shape == (60, 48, 3)
    x = torch.from_numpy(hr).permute(2, 0, 1)[None]
    expected = bicubic_uint8(x, (15, 12))[0].permute(1, 2, 0).numpy()
    assert np.array_equal(make_lr(hr, 4), expected)
