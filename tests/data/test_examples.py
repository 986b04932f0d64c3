"""Examples: found in every layout, read, refused or left out with reasons, and split so that no pixel is shared."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from srkit.data.examples import MARGIN, MAX_VALIDATION, Example, Needs, Split, find_examples, split_examples
from srkit.data.pairs import make_lr
from srkit.errors import SrkitError, UsageError
from srkit.io.image import DecodedImage
from srkit.io.write import write_image
from srkit.ops.layout import RGB
from tests.helpers import missing, refused

NEEDS = Needs(scale=2, support=8, validation=8)


@pytest.fixture
def folder(tmp_path: Path, rendered: Callable[..., RGB]) -> Callable[..., Path]:
    """Writes cuts of one image as a folder of examples: by name, their (height, width).

    One pixel at the upper left differs, so that none is a copy of another.
    """

    def make(sizes: dict[str, tuple[int, int]], where: str = "") -> Path:
        (tmp_path / "domain" / where).mkdir(parents=True, exist_ok=True)
        for number, (name, (height, width)) in enumerate(sizes.items()):
            pixels = rendered(height, width)
            pixels[0, 0, 0] += number
            write(tmp_path / "domain" / where / f"{name}.png", pixels)
        return tmp_path / "domain"

    return make


def write(path: Path, pixels: RGB) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_image(DecodedImage(np.ascontiguousarray(pixels)), path, format="png")


def split(domain: Path, shots: int, holdout: float | None = None, needs: Needs = NEEDS) -> Split[Example]:
    return split_examples(find_examples(domain, needs.scale), shots, holdout, needs)


def names(examples: object) -> list[str]:
    return [example.name for example in examples]  # type: ignore[attr-defined]


# -- where images are found ------------------------------------------------------------------------------


def test_a_folder_of_images(folder: Callable[..., Path]) -> None:
    found = find_examples(folder({"b": (40, 41), "a": (40, 40)}), 2)
    assert (found.name, found.lr_source) == ("domain", "made: bicubic uint8")
    assert [(item.name, item.lr) for item in found.items] == [("a", None), ("b", None)]


@pytest.mark.parametrize("where", ["LR", "LR/X2", "LR_bicubic/X2"])
def test_pairs(where: str, folder: Callable[..., Path], rendered: Callable[..., RGB]) -> None:
    domain = folder({"a": (40, 40), "b": (48, 40)}, "HR")
    given = (make_lr(rendered(48, 40), 2).astype(np.int64) + 3).clip(0, 255).astype(np.uint8)
    write(domain / where / "a.png", make_lr(rendered(40, 40), 2))
    write(domain / where / "bx2.png", given)
    found = find_examples(domain, 2)
    assert found.lr_source == where
    parts = split(domain, 1)
    assert names(parts.support) == ["a"]
    assert np.array_equal(parts.validation[0].lr, given)


def test_hr_without_lr_is_made(folder: Callable[..., Path], rendered: Callable[..., RGB]) -> None:
    parts = split(folder({"a": (41, 43), "b": (48, 40)}, "HR"), 1)
    assert parts.support[0].hr.shape == (40, 42, 3)
    assert np.array_equal(parts.support[0].lr, make_lr(rendered(41, 43)[:40, :42], 2))


def test_layouts_that_are_none(tmp_path: Path, folder: Callable[..., Path]) -> None:
    with refused(UsageError, tmp_path / "gone"):
        find_examples(tmp_path / "gone", 2)
    with refused(UsageError, "LR/", "HR/"):
        find_examples(folder({"a": (20, 20)}, "LR"), 2)
    domain = folder({"a": (40, 40), "b": (40, 40)}, "HR")
    with refused(UsageError, domain / "LR", "'b'"):
        find_examples(domain, 2)
    (tmp_path / "empty").mkdir()
    with refused(SrkitError, tmp_path / "empty"):
        find_examples(tmp_path / "empty", 2)


# -- what teaches and what judges --------------------------------------------------------------------------


def test_the_first_by_name_are_the_support(folder: Callable[..., Path]) -> None:
    parts = split(folder(dict.fromkeys("edcba", (40, 40))), 2)
    assert (names(parts.support), names(parts.validation), parts.strips) == (
        ["a", "b"],
        ["c", "d", "e"],
        False,
    )


@pytest.mark.parametrize(("holdout", "judges"), [(0.2, ["c"]), (0.4, ["c", "d"]), (0.9, ["c", "d", "e"])])
def test_a_share_judges(holdout: float, judges: list[str], folder: Callable[..., Path]) -> None:
    assert names(split(folder(dict.fromkeys("abcde", (40, 40))), 2, holdout).validation) == judges


def test_a_large_folder_is_thinned(folder: Callable[..., Path]) -> None:
    parts = split(folder({f"{i:03}": (24, 24) for i in range(2 * MAX_VALIDATION + 1)}), 1)
    assert len(parts.validation) == MAX_VALIDATION
    assert names(parts.validation)[:3] == ["001", "003", "005"]


@pytest.mark.parametrize(("height", "width"), [(96, 64), (64, 96), (97, 65)])
def test_strips(height: int, width: int, folder: Callable[..., Path], rendered: Callable[..., RGB]) -> None:
    """A quarter of the longer side judges; between it and what teaches lie pixels that serve neither."""
    parts = split(folder({"a": (height, width), "b": (height, width)}), 2)
    assert parts.strips
    assert names(parts.support) == names(parts.validation) == ["a", "b"]
    whole = rendered(height, width)[: height // 2 * 2, : width // 2 * 2]
    support, judge = parts.support[0], parts.validation[0]
    axis = int(width > height)
    assert judge.lr.shape[axis] == 12
    assert support.lr.shape[axis] == 48 - 12 - MARGIN
    end, start = support.hr.shape[axis], whole.shape[axis] - judge.hr.shape[axis]
    assert np.array_equal(support.hr, whole[:end] if axis == 0 else whole[:, :end])
    assert np.array_equal(judge.hr, whole[start:] if axis == 0 else whole[:, start:])


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_no_pixel_has_a_part_in_both(scale: int, tmp_path: Path, rendered: Callable[..., RGB]) -> None:
    """Whatever the strip's HR pixels are, what teaches is the same; and the other way round."""
    needs = Needs(scale, support=8, validation=8)
    image = rendered(60 * scale, 12 * scale)
    found = []
    for kind in ("as it is", "strip", "rest"):
        changed = image.copy()
        if kind == "strip":
            changed[-15 * scale :] = 255 - changed[-15 * scale :]
        elif kind == "rest":
            changed[: (60 - 15 - MARGIN) * scale] //= 2
        write(tmp_path / kind / "a.png", changed)
        write(tmp_path / kind / "b.png", image[:, ::-1])
        found.append(split(tmp_path / kind, 2, needs=needs))
    plain, strip, rest = found
    assert np.array_equal(plain.support[0].lr, strip.support[0].lr)
    assert np.array_equal(plain.support[0].hr, strip.support[0].hr)
    assert not np.array_equal(plain.validation[0].lr, strip.validation[0].lr)
    assert np.array_equal(plain.validation[0].lr, rest.validation[0].lr)
    assert not np.array_equal(plain.support[0].lr, rest.support[0].lr)


def test_of_a_single_image_half_judges(folder: Callable[..., Path]) -> None:
    parts = split(folder({"a": (96, 64)}), 5)
    assert (parts.validation[0].lr.shape[0], parts.support[0].lr.shape[0]) == (24, 20)
    parts = split(folder({}), 5, holdout=0.25)
    assert parts.validation[0].lr.shape[0] == 12


def test_one_too_small_to_be_cut_teaches_whole(folder: Callable[..., Path]) -> None:
    parts = split(folder({"a": (96, 64), "b": (32, 32)}), 5)
    assert names(parts.support) == ["a", "b"]
    assert names(parts.validation) == ["a"]
    assert parts.support[1].hr.shape == (32, 32, 3)
    parts = split(folder({"all/a": (32, 32), "all/b": (32, 30), "all/c": (32, 32)}) / "all", 5)
    assert (names(parts.support), names(parts.validation), parts.strips) == (["a", "b"], ["c"], False)
    assert ["'c'" in text for text in parts.left_out] == [True]
    with refused(SrkitError, "'a'", 40):
        split(folder({"a": (32, 32)}, "small") / "small", 5)


# -- images that are of no use ---------------------------------------------------------------------------


def test_broken_small_and_flat_images_are_left_out(folder: Callable[..., Path]) -> None:
    domain = folder({"b": (40, 40), "c": (14, 40), "e": (40, 40), "f": (40, 40)})
    (domain / "a.png").write_bytes(b"\x89PNG\r\n\x1a\nbroken")
    write(domain / "d.png", np.zeros((40, 40, 3), np.uint8))
    parts = split(domain, 2)
    assert names(parts.support) == ["b", "e"]
    assert names(parts.validation) == ["f"]
    assert [name for name, _ in parts.failed] == ["a"]
    assert not missing(parts.left_out[0], ("'c'", "40 x 14", 16))
    assert not missing(parts.left_out[1], ("'d'",))


def test_nothing_usable(folder: Callable[..., Path]) -> None:
    domain = folder({"a": (14, 40)})
    write(domain / "b.png", np.zeros((40, 40, 3), np.uint8))
    with refused(SrkitError, 2, "'domain'", "'a'", "40 x 14", "'b'", 16):
        split(domain, 2)


# -- pairs that do not match -------------------------------------------------------------------------------


def test_sizes_that_do_not_match(folder: Callable[..., Path], rendered: Callable[..., RGB]) -> None:
    domain = folder({"a": (40, 40), "b": (48, 40)}, "HR")
    write(domain / "LR/a.png", make_lr(rendered(40, 40), 2))
    write(domain / "LR/b.png", make_lr(rendered(40, 40), 2))
    with refused(UsageError, "'b'", "20 x 20", "20 x 24"):
        split(domain, 1)


@pytest.mark.parametrize(("down", "right"), [(2, 0), (-1, 3)])
def test_a_shift_is_named_in_pixels(
    down: int, right: int, folder: Callable[..., Path], rendered: Callable[..., RGB]
) -> None:
    domain = folder({"a": (160, 160), "b": (160, 160)}, "HR")
    whole = rendered(256, 256)
    moved = whole[48 - down : 208 - down, 48 - right : 208 - right]
    write(domain / "LR/a.png", make_lr(np.ascontiguousarray(moved), 2))
    write(domain / "LR/b.png", make_lr(rendered(160, 160), 2))
    sides = [*(["right" if right > 0 else "left"] if right else []), "below" if down > 0 else "above"]
    with refused(UsageError, "'a'", *sides) as caught:
        split(domain, 2)
    lengths = [float(number) for number in re.findall(r"\d+\.\d+", str(caught.value))]
    assert lengths == pytest.approx([abs(right), abs(down)], abs=0.2)
    assert "'b'" not in str(caught.value)


def test_a_pair_of_two_images(folder: Callable[..., Path], rendered: Callable[..., RGB]) -> None:
    domain = folder({"a": (96, 96), "b": (96, 96)}, "HR")
    write(domain / "LR/a.png", make_lr(np.random.default_rng(0).integers(0, 256, (96, 96, 3), np.uint8), 2))
    write(domain / "LR/b.png", make_lr(rendered(96, 96), 2))
    parts = split(domain, 2)
    assert names(parts.support) == ["b"]
    assert list(dict(parts.failed)) == ["a"]
