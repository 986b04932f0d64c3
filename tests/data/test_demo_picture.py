"""The picture that the program draws itself."""

from __future__ import annotations

import numpy as np
import pytest

from srkit.data.rendered import demo_picture
from srkit.errors import UsageError


def test_the_same_seed_draws_the_same_picture() -> None:
    picture = demo_picture(160, 120, seed=3)
    assert picture.shape == (120, 160, 3)
    assert picture.dtype == np.uint8
    assert np.array_equal(picture, demo_picture(160, 120, seed=3))
    assert not np.array_equal(picture, demo_picture(160, 120, seed=4))


@pytest.mark.parametrize(("width", "height"), [(64, 64), (64, 300), (300, 64)])
def test_it_shows_something_at_any_size(width: int, height: int) -> None:
    picture = demo_picture(width, height)
    assert picture.shape == (height, width, 3)
    assert len(np.unique(picture.reshape(-1, 3), axis=0)) > 500
    assert picture.std() > 25
    # Edges a pixel wide, as a camera would take them: neither flat nor noise.
    steps = np.abs(np.diff(picture.astype(int), axis=1)).max(axis=2)
    assert steps.max() > 100
    assert np.median(steps) < 12


@pytest.mark.parametrize(("width", "height"), [(63, 64), (64, 0), (10_000, 100), (-5, 100)])
def test_sizes_that_are_refused(width: int, height: int) -> None:
    with pytest.raises(UsageError, match=f"picture of {width} x {height} was asked for; sides go from 64"):
        demo_picture(width, height)
