"""Resampling strip by strip against resizing the whole at once."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from srkit.engine import resample as module
from srkit.engine.resample import resample
from srkit.ops.resize import bicubic
from tests.engine.networks import random_pixels


def _whole(pixels: NDArray[Any], height: int, width: int) -> NDArray[Any]:
    x = torch.from_numpy(pixels.astype(np.float64)).permute(2, 0, 1)[None]
    y = bicubic(x, (height, width)).add(0.5).floor().clamp(0, np.iinfo(pixels.dtype).max)
    return y[0].permute(1, 2, 0).numpy().astype(pixels.dtype)


@pytest.mark.parametrize("strip", [None, 2000])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize(
    ("size", "out"),
    [
        ((40, 61), (73, 99)),
        ((40, 61), (11, 17)),
        ((40, 61), (90, 20)),
        ((40, 61), (40, 20)),
        ((1, 1), (5, 3)),
        ((3, 200), (1, 33)),
        ((64, 64), (4, 4)),
    ],
)
def test_equals_bicubic_of_the_whole(
    size: tuple[int, int],
    out: tuple[int, int],
    dtype: Any,
    strip: int | None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if strip is not None:
        monkeypatch.setattr(module, "_STRIP_BYTES", strip)
    pixels = random_pixels(*size, dtype=dtype)
    result = resample(pixels, *out)
    assert (result.shape, result.dtype) == ((*out, 3), dtype)
    off = np.abs(result.astype(np.int64) - _whole(pixels, *out))
    assert off.max() <= 1  # where fp32 falls on the other side of a half
    assert (off > 0).mean() < (0.001 if dtype == np.uint8 else 0.2)


@pytest.mark.parametrize("channels", [1, 2, 4])
def test_any_number_of_channels(channels: int) -> None:
    pixels = np.repeat(random_pixels(12, 12)[:, :, :1], channels, axis=2)
    result = resample(pixels, 30, 7)
    assert result.shape == (30, 7, channels)
    assert (result == result[:, :, :1]).all()


def test_the_same_size_is_the_same_image() -> None:
    pixels = random_pixels(9, 9)
    assert resample(pixels, 9, 9) is pixels


def test_overshoot_is_clipped() -> None:
    edge = np.zeros((20, 20, 3), np.uint8)
    edge[:, 10:] = 255
    result = resample(edge, 80, 80)
    assert set(np.unique(result[:, :20])) == {0}
    assert set(np.unique(result[:, -20:])) == {255}
