"""What people reject is in no picture that the shipped weights make.

The networks for real pictures are held to all of it. Those for clean pictures are not made for noise, which they
sharpen with the rest; of them flat pictures must stay flat.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from srkit.io.picture import Picture
from srkit.io.read import read_picture
from srkit.recipes.upscale import UpscaleRecipe
from srkit.tasks.chain import RESTORING_FAMILIES
from srkit.tasks.upscaler import Done, Upscaler, Work
from srkit.zoo.manifest import Entry, Manifest
from tests.quality.artefacts import Pixels, complaints, flat_complaints, noise_complaints

TOLD_OF_BLUR = "nbsr"  # an architecture that upscales nothing without a kernel map
SHIPPED = [entry for entry in Manifest.load().shipped() if entry.task == "sr" and entry.arch != TOLD_OF_BLUR]
RESTORING = [entry for entry in SHIPPED if entry.name.rpartition("-x")[0] in RESTORING_FAMILIES]
COLOURS = [
    (0, 0, 0),
    (40, 40, 40),
    (128, 128, 128),
    (255, 255, 255),
    (200, 30, 30),
    (30, 60, 180),
    (240, 200, 40),
]
CROP = 96

Enlarge = Callable[[Pixels], Pixels]


def _named(entry: Entry) -> str:
    return entry.name


@pytest.fixture
def enlarge(entry: Entry) -> Enlarge:
    """Pictures through a shipped model, as `srkit upscale` runs it."""
    upscaler = Upscaler(UpscaleRecipe(model=entry.name, device="cpu"))

    def run(lr: Pixels) -> Pixels:
        height, width = lr.shape[:2]
        done: Done[None]
        (done,) = upscaler.run([Work(None, Picture(lr), width * entry.scale, height * entry.scale)])
        assert done.picture is not None, done.error
        return done.picture.pixels

    return run


@pytest.mark.parametrize("entry", SHIPPED, ids=_named)
def test_flat_pictures_stay_flat(entry: Entry, enlarge: Enlarge) -> None:
    assert flat_complaints(enlarge, COLOURS if entry.scale <= 4 else COLOURS[1:3]) == []


@pytest.mark.parametrize("entry", RESTORING, ids=_named)
def test_noise_on_flat_pictures_does_not_grow(enlarge: Enlarge) -> None:
    assert noise_complaints(enlarge, [3, 8]) == []


@pytest.mark.data
@pytest.mark.parametrize("entry", RESTORING, ids=_named)
def test_real_pictures_keep_their_colour_and_have_no_pattern(enlarge: Enlarge, data_root: Path) -> None:
    pictures = sorted((data_root / "real" / "RealSRSet").iterdir())
    assert len(pictures) == 20
    found = {}
    for path in pictures:
        lr = _middle(path)
        if wrong := complaints(enlarge(lr), lr):
            found[path.name] = wrong
    assert found == {}


def _middle(path: Path) -> Pixels:
    """(CROP, CROP, 3) at most, from the middle of a picture."""
    picture = read_picture(path)
    colour = np.repeat(picture.colour, 3, axis=2) if picture.is_gray else picture.colour
    height, width = colour.shape[:2]
    rows, columns = min(CROP, height), min(CROP, width)
    top, left = (height - rows) // 2, (width - columns) // 2
    return np.ascontiguousarray(colour[top : top + rows, left : left + columns])
