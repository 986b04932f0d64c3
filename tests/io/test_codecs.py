"""Lossy codecs, there and back."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from srkit.io.codecs import through_jpeg, through_webp


@pytest.mark.parametrize("codec", [through_jpeg, through_webp])
def test_quality_decides_the_error(
    codec: Callable[[NDArray[np.uint8], int], NDArray[np.uint8]], rendered: Callable[..., NDArray[np.uint8]]
) -> None:
    image = rendered(64, 80)
    errors = [np.square(codec(image, q).astype(float) - image).mean() for q in (95, 50, 10)]
    assert 0 < errors[0] < errors[1] < errors[2]


def test_channels_keep_their_places() -> None:
    image = np.zeros((16, 16, 3), dtype=np.uint8)
    image[..., 0] = 200
    back = through_jpeg(image, 95)
    assert back.shape == image.shape
    assert np.abs(back.astype(int) - image).max() < 8


def test_full_colour_keeps_fine_stripes_of_colour() -> None:
    stripes = np.zeros((16, 16, 3), dtype=np.uint8)
    stripes[:, ::2, 0], stripes[:, 1::2, 2] = 200, 200
    errors = [
        np.abs(through_jpeg(stripes, 95, full_colour=full).astype(int) - stripes).mean()
        for full in (True, False)
    ]
    assert 5 * errors[0] < errors[1]
