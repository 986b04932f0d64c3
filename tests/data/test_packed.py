"""Crops of packed images against slicing the images themselves."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from torch import Tensor

from srkit.data.packed import Crops, PackedImages, choose_crops, draw_crops
from srkit.ops.geometry import TURNS, turn

CPU = torch.device("cpu")
SIZES = [(9, 14), (8, 8), (30, 11)]


def _images(scale: int = 1) -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    return [rng.integers(0, 256, (h * scale, w * scale, 3), dtype=np.uint8) for h, w in SIZES]


def _sliced(image: np.ndarray, top: int, left: int, side: int, kind: int) -> Tensor:
    cut = torch.from_numpy(image[top : top + side, left : left + side].copy()).permute(2, 0, 1)[None]
    return turn(cut.float() / 255, kind)[0]


@pytest.mark.parametrize("scale", [1, 3])
def test_crops_are_slices_turned(scale: int) -> None:
    images = _images(scale)
    packed = PackedImages(images, CPU)
    places = [(0, 0, 0), (0, 1, 6), (1, 0, 0), (2, 22, 3), (2, 5, 1)]
    for kind in range(TURNS):
        image, top, left = (torch.tensor(column) for column in zip(*places, strict=True))
        crops = packed.cut(Crops(image, top, left, torch.full((len(places),), kind)), 8, scale)
        assert crops.shape == (len(places), 3, 8 * scale, 8 * scale)
        assert crops.dtype == torch.float32
        assert crops.is_contiguous(memory_format=torch.channels_last)
        for crop, (p, y, x) in zip(crops, places, strict=True):
            assert torch.equal(crop, _sliced(images[p], y * scale, x * scale, 8 * scale, kind))


def test_lr_and_hr_show_the_same_place() -> None:
    """With an LR of whole blocks, HR enlarged by repetition must come out as the LR repeated."""
    lr = _images()
    hr = [np.repeat(np.repeat(p, 2, axis=0), 2, axis=1) for p in lr]
    small, large = PackedImages(lr, CPU), PackedImages(hr, CPU)
    crops = draw_crops((small.heights, small.widths), 6, 32, seed=1, step=5)
    assert len(set(crops.turn.tolist())) == TURNS
    repeated = small.cut(crops, 6).repeat_interleave(2, 2).repeat_interleave(2, 3)
    assert torch.equal(large.cut(crops, 6, 2), repeated)


def _draw(count: int, *, seed: int = 0, step: int = 0, augment: bool = True) -> Crops:
    heights, widths = (torch.tensor(column) for column in zip(*SIZES, strict=True))
    return draw_crops((heights, widths), 8, count, seed=seed, step=step, augment=augment)


def test_drawing_is_a_function_of_seed_and_step() -> None:
    torch.manual_seed(1)
    first = _draw(50, seed=3, step=7)
    torch.manual_seed(2)
    for a, b in zip(vars(first).values(), vars(_draw(50, seed=3, step=7)).values(), strict=True):
        assert torch.equal(a, b)
    for other in (_draw(50, seed=4, step=7), _draw(50, seed=3, step=8)):
        assert not torch.equal(first.top * 100 + first.left, other.top * 100 + other.left)


def test_every_place_is_reached_and_none_outside() -> None:
    crops = _draw(5000)
    for number, (height, width) in enumerate(SIZES):
        mine = crops.image == number
        assert set(crops.top[mine].tolist()) == set(range(height - 8 + 1))
        assert set(crops.left[mine].tolist()) == set(range(width - 8 + 1))


def test_large_images_are_drawn_more_often() -> None:
    share = torch.bincount(_draw(5000).image) / 5000
    areas = torch.tensor([h * w for h, w in SIZES]).float()
    torch.testing.assert_close(share, areas / areas.sum(), atol=0.02, rtol=0)


def test_turns_can_be_left_out() -> None:
    plain, turned = _draw(100, augment=False), _draw(100)
    assert plain.turn.tolist() == [0] * 100
    assert torch.equal(plain.top, turned.top)


@pytest.mark.parametrize("scale", [1, 3])
def test_crops_chosen_by_detail(scale: int) -> None:
    """Of each four the one with the largest mean gradient, whatever its turn; all of them where one is asked for."""
    rng = np.random.default_rng(0)
    flat = np.full((60 * scale, 60 * scale, 3), 90, np.uint8)
    busy = flat.copy()
    busy[::scale, ::scale][20:40, 20:40] = rng.integers(0, 255, (20, 20, 3), dtype=np.uint8)
    packed = PackedImages([flat, busy], CPU)
    crops = draw_crops((packed.heights // scale, packed.widths // scale), 8, 64, seed=0, step=0)
    assert choose_crops(packed, crops, 8, 1, scale) is crops
    chosen = choose_crops(packed, crops, 8, 4, scale)

    def detail(one: Crops) -> list[float]:
        green = packed.sampled(one, 8, scale, channel=1)
        return [float(c.diff(dim=0).abs().mean() + c.diff(dim=1).abs().mean()) for c in green]

    every = torch.tensor(detail(crops)).view(-1, 4)
    assert detail(chosen) == pytest.approx(every.max(1).values.tolist())
    assert len(chosen.image) == 16
    unturned = dataclasses.replace(chosen, turn=torch.zeros_like(chosen.turn))
    whole = packed.cut(unturned, 8, scale)[:, 1, ::scale, ::scale]
    assert torch.equal(packed.sampled(unturned, 8, scale, channel=1), whole)
