"""JPEG there and back."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from srkit.io.jpeg import through_jpeg


def test_quality_decides_the_error(rendered: Callable[..., NDArray[np.uint8]]) -> None:
    picture = rendered(64, 80)
    errors = [np.square(through_jpeg(picture, q).astype(float) - picture).mean() for q in (95, 50, 10)]
    assert 0 < errors[0] < errors[1] < errors[2]


def test_channels_keep_their_places() -> None:
    picture = np.zeros((16, 16, 3), dtype=np.uint8)
    picture[..., 0] = 200
    back = through_jpeg(picture, 95)
    assert back.shape == picture.shape
    assert np.abs(back.astype(int) - picture).max() < 8
