"""Sets by name and folders as sets."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from srkit.data.benchmarks import by_name, cropped_size, find_dataset, folder_dataset, rgb8
from srkit.errors import ResourceError, SrkitError, UsageError
from srkit.io.image import DecodedImage
from tests.helpers import refused


@pytest.fixture(autouse=True)
def nowhere_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SRKIT_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("SRKIT_DATA", raising=False)


def touch(*paths: Path) -> None:
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def test_order_of_places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    places = [
        tmp_path / "given/Mine/HR",
        tmp_path / "given/benchmarks/Mine/HR",
        tmp_path / "named/Mine/HR",
        tmp_path / "named/benchmarks/Mine/HR",
        tmp_path / "cache/data/Mine/HR",
    ]
    for place in places:
        touch(place / "a.png")
    monkeypatch.setenv("SRKIT_DATA", str(tmp_path / "named"))
    for root, expected in ((tmp_path / "given", places[:2]), (None, places[2:])):
        for place in expected:
            assert find_dataset("Mine", root).folder == place
            (place / "a.png").unlink()
            place.rmdir()


def test_a_missing_set_says_where_and_how(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SRKIT_DATA", str(tmp_path / "named"))
    places = ("named/Urban100/HR", "named/benchmarks/Urban100/HR", "cache/data/Urban100/HR")
    with refused(ResourceError, *(tmp_path / place for place in places), "srkit eval --dataset Urban100"):
        find_dataset("Urban100")
    touch(tmp_path / "named/Kittens/HR/a.png")
    for name, part in (
        ("Manga109", "licence"),
        ("DIV2K-val", "DIV2K_valid_HR"),
        ("urban100", "Urban100"),
        ("Kitten", "Kittens"),
    ):
        with refused(ResourceError, name, part):
            find_dataset(name)


@pytest.mark.parametrize("name", ["", "..", "a/b", "/etc"])
def test_what_is_no_name(name: str) -> None:
    with refused(UsageError, f"'{name}'"):
        find_dataset(name)


def test_a_root_that_is_not_there(tmp_path: Path) -> None:
    with refused(UsageError, tmp_path / "none", "--data-root"):
        find_dataset("Set5", tmp_path / "none")


def test_lr_beside_the_reference(tmp_path: Path) -> None:
    touch(*(tmp_path / "S/HR" / f"{n}.png" for n in ("b", "a")))
    touch(tmp_path / "S/LR_bicubic/X4/ax4.png", tmp_path / "S/LR_bicubic/X4/b.webp")
    touch(tmp_path / "S/LR_bicubic/X2/ax2.png")
    found = find_dataset("S", tmp_path)
    assert [(i.name, i.lr and i.lr.name) for i in found.pairs(4)] == [("a", "ax4.png"), ("b", "b.webp")]
    assert found.lr_source(4) == "LR_bicubic/X4"
    assert [(i.name, i.lr) for i in found.pairs(3)] == [("a", None), ("b", None)]
    assert found.lr_source(3) == "made: bicubic uint8"
    assert found.lr_source(3, makes_lr=False) == "none"
    with refused(UsageError, tmp_path / "S/LR_bicubic/X2", "'b'"):
        found.pairs(2)


def test_a_folder_is_a_set(tmp_path: Path) -> None:
    touch(
        tmp_path / "Own/HR/a.png",
        tmp_path / "plain/a.png",
        tmp_path / "plain/b.png",
        tmp_path / "plain/B.txt",
    )
    assert folder_dataset(tmp_path / "Own/HR").name == "Own"
    assert folder_dataset(tmp_path / "plain").name == "plain"
    assert list(by_name(tmp_path / "plain")) == ["a", "b"]
    with refused(UsageError, tmp_path / "none"):
        folder_dataset(tmp_path / "none")


def test_two_images_of_one_name(tmp_path: Path) -> None:
    touch(tmp_path / "a.png", tmp_path / "a.jpg", tmp_path / "b.png")
    with refused(UsageError, tmp_path, "'a'"):
        by_name(tmp_path)


def test_an_empty_folder(tmp_path: Path) -> None:
    with refused(SrkitError, tmp_path):
        by_name(tmp_path)


def test_rgb8() -> None:
    gray16 = np.array([[[0], [128], [129], [65535]]], np.uint16)
    assert rgb8(DecodedImage(gray16)).tolist() == [[[0] * 3, [0] * 3, [1] * 3, [255] * 3]]
    rgba = np.array([[[10, 20, 30, 255], [10, 20, 30, 0], [10, 20, 30, 102]]], np.uint8)
    assert rgb8(DecodedImage(rgba)).tolist() == [[[10, 20, 30], [255] * 3, [157, 161, 165]]]
    assert rgb8(DecodedImage(rgba), background=0).tolist() == [[[10, 20, 30], [0] * 3, [4, 8, 12]]]
    deep = rgba.astype(np.uint16) * 257
    assert rgb8(DecodedImage(deep)).tolist() == rgb8(DecodedImage(rgba)).tolist()
    every = np.arange(65536, dtype=np.uint16).reshape(256, 256, 1)
    assert np.array_equal(rgb8(DecodedImage(every))[:, :, 0], np.rint(every[:, :, 0] / 257).astype(np.uint8))


def test_crop_to_a_multiple() -> None:
    assert cropped_size(481, 321, 4) == (480, 320)
    with refused(SrkitError, "3 x 9", 4):
        cropped_size(9, 3, 4)
