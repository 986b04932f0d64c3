"""Low-resolution images alone: support and validation, and crops of them."""

from __future__ import annotations

from collections.abc import Callable
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import torch

from srkit.conditioning.values import Condition, Coordinates
from srkit.data.pairs import CropPlan
from srkit.data.unlabelled import (
    MAX_VALIDATION,
    UnpairedCrops,
    UnpairedDomain,
    UnpairedImage,
    find_unpaired,
    parts_of,
    split_unpaired,
)
from srkit.errors import SrkitError, UsageError
from srkit.io.image import DecodedImage
from srkit.io.write import write_image
from srkit.ops.geometry import position_grid
from srkit.ops.layout import RGB
from tests.helpers import conditioned_on, missing, refused

CPU = torch.device("cpu")
Rendered = Callable[..., RGB]


def write(path: Path, pixels: RGB) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_image(DecodedImage(np.ascontiguousarray(pixels)), path, format="png")


def folder(root: Path, rendered: Rendered, count: int, height: int = 30, width: int = 40) -> UnpairedDomain:
    for i in range(count):
        pixels = rendered(height, width, i % 3)
        pixels[0, 0, 0] += i // 3  # none is a copy of another
        write(root / f"{i:02}.png", pixels)
    return find_unpaired(root, 2)


# -- finding -----------------------------------------------------------------------------------------------


def test_where_images_lie(tmp_path: Path, rendered: Rendered) -> None:
    write(tmp_path / "a/x.png", rendered(24, 24))
    assert find_unpaired(tmp_path / "a", 2) == UnpairedDomain("a", (("x", tmp_path / "a/x.png"),), ".")
    write(tmp_path / "b/HR/x.png", rendered(48, 48))
    with refused(UsageError, tmp_path / "b", "HR/", "LR/", "--shots"):
        find_unpaired(tmp_path / "b", 2)
    write(tmp_path / "b/LR/x.png", rendered(24, 24))
    assert find_unpaired(tmp_path / "b", 2).source == "LR"
    write(tmp_path / "b/LR/X4/y.png", rendered(24, 24))
    assert find_unpaired(tmp_path / "b", 2).source == "LR"
    assert find_unpaired(tmp_path / "b", 4).files == (("y", tmp_path / "b/LR/X4/y.png"),)
    with refused(UsageError, tmp_path / "c"):
        find_unpaired(tmp_path / "c", 2)
    (tmp_path / "d").mkdir()
    with refused(SrkitError, tmp_path / "d"):
        find_unpaired(tmp_path / "d", 2)


# -- splitting ---------------------------------------------------------------------------------------------


def test_a_quarter_is_held_out_evenly(tmp_path: Path, rendered: Rendered) -> None:
    split = split_unpaired(folder(tmp_path / "x", rendered, 8), None, 24)
    assert [low.name for low in split.validation] == ["00", "04"]
    assert [low.name for low in split.support] == ["01", "02", "03", "05", "06", "07"]
    assert (split.strips, split.failed, split.left_out) == (False, (), ())
    assert np.array_equal(split.validation[0].lr, rendered(30, 40, 0))


def test_how_many_are_held_out(tmp_path: Path, rendered: Rendered) -> None:
    domain = folder(tmp_path / "x", rendered, 60)
    assert len(split_unpaired(domain, None, 24).validation) == MAX_VALIDATION
    assert len(split_unpaired(domain, 0.5, 24).validation) == 30
    assert len(split_unpaired(domain, 0.001, 24).validation) == 1
    assert len(split_unpaired(domain, 0.999, 24).support) == 1


def test_many_images_are_thinned_out(
    tmp_path: Path, rendered: Rendered, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("srkit.data.unlabelled.MAX_IMAGES", 5)
    split = split_unpaired(folder(tmp_path / "x", rendered, 9), None, 24)
    assert sorted(low.name for low in (*split.support, *split.validation)) == ["00", "01", "03", "05", "07"]
    assert split.left_out == ("5 of the 9 images are used, evenly taken.",)


def test_strips_of_few(tmp_path: Path, rendered: Rendered) -> None:
    split = split_unpaired(folder(tmp_path / "x", rendered, 2, 30, 120), None, 24)
    assert split.strips
    assert [low.lr.shape for low in split.support] == [(30, 86, 3)] * 2
    assert [low.lr.shape for low in split.validation] == [(30, 30, 3)] * 2
    whole = rendered(30, 120, 1)
    assert np.array_equal(split.support[1].lr, whole[:, :86])
    assert np.array_equal(split.validation[1].lr, whole[:, 90:])


def test_half_of_a_single_one(tmp_path: Path, rendered: Rendered) -> None:
    split = split_unpaired(folder(tmp_path / "x", rendered, 1, 100, 40), None, 24)
    assert (split.support[0].lr.shape, split.validation[0].lr.shape) == ((46, 40, 3), (50, 40, 3))
    with refused(SrkitError, "'00'", 52):
        split_unpaired(folder(tmp_path / "y", rendered, 1, 40, 40), None, 24)


def test_few_that_cannot_be_cut(tmp_path: Path, rendered: Rendered) -> None:
    split = split_unpaired(folder(tmp_path / "x", rendered, 3, 30, 30), None, 24)
    assert ([low.name for low in split.support], [low.name for low in split.validation]) == (
        ["00", "01"],
        ["02"],
    )
    assert ["'02'" in text for text in split.left_out] == [True]


def test_what_is_of_no_use(tmp_path: Path, rendered: Rendered) -> None:
    write(tmp_path / "x/black.png", np.zeros((40, 40, 3), np.uint8))
    write(tmp_path / "x/small.png", rendered(20, 90))
    (tmp_path / "x/torn.png").write_bytes(b"no image")
    with refused(SrkitError, 3, "'x'", "'black'", "'small'", tmp_path / "x/torn.png"):
        split_unpaired(find_unpaired(tmp_path / "x", 2), None, 24)
    split = split_unpaired(folder(tmp_path / "x", rendered, 5), None, 24)
    assert [name for name, _ in split.failed] == ["torn"]
    assert not missing(split.left_out[0], ("'black'",))
    assert not missing(split.left_out[1], ("'small'", "90 x 20", 24))
    assert len(split.left_out) == 2


def test_gray_images(tmp_path: Path, rendered: Rendered) -> None:
    for i in range(4):
        write(tmp_path / f"x/{i}.png", rendered(30, 40, i)[:, :, :1])
    split = split_unpaired(find_unpaired(tmp_path / "x", 2), None, 24)
    assert all(bool((low.lr == low.lr[:, :, :1]).all()) for low in (*split.support, *split.validation))


# -- crops and parts ---------------------------------------------------------------------------------------


def test_crops_repeat_and_are_their_own_target(rendered: Rendered) -> None:
    lows = [UnpairedImage(str(i), rendered(30, 40, i)) for i in range(2)]
    crops = UnpairedCrops(lows, CropPlan(2, 16, 3, seed=4), CPU)
    one, two = islice(crops.batches(0), 2)
    assert one.lr.shape == (3, 3, 16, 16)
    assert one.hr is one.lr
    assert not torch.equal(one.lr, two.lr)
    again = UnpairedCrops(lows, CropPlan(2, 16, 3, seed=4), CPU)
    assert torch.equal(next(again.batches(1)).lr, two.lr)


def test_crops_lie_in_their_images(rendered: Rendered, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without turns, every crop is found in the image at the position that it is said to have."""
    low = UnpairedImage("x", rendered(20, 30))
    plan = CropPlan(2, 8, 2, seed=0, augment=False)
    conditioning = conditioned_on(monkeypatch, position=True, mean=lambda lr: lr.mean((2, 3)))
    batch = UnpairedCrops([low], plan, CPU, conditioning).draw(3)
    grid = position_grid(20, 30, CPU)
    image = torch.from_numpy(low.lr).permute(2, 0, 1).float() / 255
    for crop, place in zip(batch.lr, batch.conditions["position"], strict=True):
        left = int((grid[0, 0, 0] - place[0, 0, 0]).abs().argmin())
        top = int((grid[0, 1, :, 0] - place[1, 0, 0]).abs().argmin())
        assert torch.equal(crop, image[:, top : top + 8, left : left + 8])
    assert torch.allclose(batch.conditions["mean"], image.mean((1, 2)).expand(2, -1), atol=1e-6)


def test_parts_are_middles(rendered: Rendered) -> None:
    low = UnpairedImage("x", rendered(50, 70))
    (part,) = parts_of([low], 1, 32, 24, 4)
    assert (part.rows, part.columns) == (slice(9, 41), slice(19, 51))
    several = parts_of([low], 2, 32, 24, 4)
    assert [(one.columns.start, one.columns.stop) for one in several] == [(1, 33), (36, 68)]
    assert len(parts_of([low], 9, 32, 24, 4)) == 2  # no more have room
    assert len(parts_of([low, low, low], 6, 32, 24, 4)) == 6
    small = parts_of([UnpairedImage("y", rendered(25, 25))], 4, 32, 24, 4)
    assert [one.pixels.shape for one in small] == [(24, 24, 3)]


def test_a_part_knows_its_place(rendered: Rendered) -> None:
    low = UnpairedImage("x", rendered(50, 70))
    (part,) = parts_of([low], 1, 32, 24, 4)
    batch = part.batch(CPU, {"semantic": Condition(torch.ones(1, 2)), "position": Coordinates()})
    assert batch.conditions.keys() == {"semantic", "position"}
    assert torch.equal(batch.conditions["position"], position_grid(50, 70, CPU)[:, :, 9:41, 19:51])
    assert torch.equal(batch.lr[0], torch.from_numpy(part.pixels.copy()).permute(2, 0, 1).float() / 255)
