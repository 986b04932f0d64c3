"""Copies are found by content: the same bytes, the same pixels in another file, the same HR or the same LR."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from srkit.data.benchmarks import rgb8
from srkit.data.copies import Copies, fingerprint, same_bytes
from srkit.data.examples import Example, Needs, Split, find_examples, split_examples
from srkit.data.pairs import make_lr
from srkit.data.unlabelled import UnpairedImage, find_unpaired, split_unpaired
from srkit.io.image import DecodedImage
from srkit.io.read import read_image
from srkit.io.write import write_image
from srkit.ops.layout import RGB

Rendered = Callable[..., RGB]

WAYS = {
    "bytes": ("png", {}),
    "another compression": ("png", {"compression": 9}),
    "another format": ("tiff", {}),
    "16 bit": ("tiff", {"deep": True}),
}
"""How a copy of a PNG file may have been written, all with the pixels of the first."""


def write(path: Path, pixels: RGB, way: str = "bytes") -> None:
    form, options = WAYS[way]
    path = path.with_suffix(f".{form}")
    path.parent.mkdir(parents=True, exist_ok=True)
    deep = options.get("deep", False)
    content = np.ascontiguousarray(pixels.astype(np.uint16) * 257 if deep else pixels)
    write_image(DecodedImage(content), path, format=form, compression=options.get("compression", 1))  # type: ignore[arg-type]


def labelled(folder: Path, shots: int) -> Split[Example]:
    return split_examples(find_examples(folder, 2), shots, None, Needs(scale=2, support=8, validation=8))


def contents(images: list[RGB]) -> list[bytes]:
    return [fingerprint(image) for image in images]


# -- the parts --------------------------------------------------------------------------------------------


def test_fingerprints_are_of_size_and_pixels(rendered: Rendered) -> None:
    image = rendered(24, 36)
    others = [
        image.transpose(1, 0, 2),  # other sizes, the same bytes in the last
        image.reshape(36, 24, 3),
        np.where(np.arange(image.size).reshape(image.shape) == 7, image ^ 1, image).astype(np.uint8),
    ]
    assert fingerprint(image) == fingerprint(np.asfortranarray(image))
    assert len({fingerprint(one) for one in (image, *others)}) == 4


@pytest.mark.parametrize("way", [way for way in WAYS if way != "bytes"])
def test_other_files_of_the_same_pixels(way: str, tmp_path: Path, rendered: Rendered) -> None:
    image = rendered(24, 36)
    write(tmp_path / "a", image)
    write(tmp_path / "b", image, way)
    (first,) = tmp_path.glob("a.*")
    (second,) = tmp_path.glob("b.*")
    assert first.read_bytes() != second.read_bytes()
    assert fingerprint(rgb8(read_image(first))) == fingerprint(rgb8(read_image(second)))


def test_each_sentence_names_the_copies_and_the_first() -> None:
    one, two, three = (np.full((2, 2, 3), value, np.uint8) for value in (1, 2, 3))
    copies = Copies()
    assert copies.add("a", one, two)
    assert copies.add("b", three, three)
    assert not copies.add("c", three, one)
    assert not copies.add("d", one)
    assert copies.has("e", three)
    assert not copies.has("f", two)  # not the same view as in `a`
    assert copies.add("f", two)
    assert len(copies.sentences) == 2
    for names, sentence in zip(("bce", "ad"), copies.sentences, strict=True):
        assert all(f"'{name}'" in sentence for name in names)


def test_same_bytes(tmp_path: Path) -> None:
    files = {}
    for name, content in {"a": b"12", "b": b"12", "c": b"21", "d": b"123", "e": b"", "f": b"12"}.items():
        files[name] = tmp_path / name
        files[name].write_bytes(content)
    gone = tmp_path / "gone"
    found = same_bytes([files["b"], files["c"], files["d"], gone, files["f"]], [files["a"], gone])
    assert found == {files["b"], files["f"]}
    assert same_bytes([files["b"]], []) == set()


# -- what is learned from, and what is validated on -------------------------------------------------------------------


@pytest.mark.parametrize("way", WAYS)
def test_a_copy_is_on_one_side_only(way: str, tmp_path: Path, rendered: Rendered) -> None:
    for name, seed in (("a", 0), ("b", 1), ("c", 0), ("d", 2), ("e", 1)):
        write(tmp_path / name, rendered(40, 40, seed), way if name in "ce" else "bytes")
    parts = labelled(tmp_path, 2)
    assert [example.name for example in parts.support] == ["a", "b"]
    assert [example.name for example in parts.validation] == ["d"]
    assert not parts.strips
    assert any("'c'" in sentence and "'a'" in sentence for sentence in parts.left_out)
    assert any("'e'" in sentence and "'b'" in sentence for sentence in parts.left_out)


@pytest.mark.parametrize("way", WAYS)
def test_copies_alone_leave_a_strip(way: str, tmp_path: Path, rendered: Rendered) -> None:
    """Six files of one image are one image: a part of it is held out."""
    for name in "abcdef":
        write(tmp_path / name, rendered(96, 40), way if name != "a" else "bytes")
    parts = labelled(tmp_path, 5)
    assert (len(parts.support), len(parts.validation), parts.strips) == (1, 1, True)
    rows = {row.tobytes() for row in parts.support[0].hr}
    assert not any(row.tobytes() in rows for row in parts.validation[0].hr)
    assert all(f"'{name}'" in parts.left_out[0] for name in "abcdef")


@pytest.mark.parametrize("shared", ["HR", "LR", "both"])
def test_copies_among_pairs(shared: str, tmp_path: Path, rendered: Rendered) -> None:
    """A pair is a copy by its HR or its LR image: the other of the two may have been compressed once more."""
    images = {"a": rendered(80, 80), "b": rendered(80, 80), "c": rendered(80, 80, 1)}
    touched = images["b"].copy()
    touched[::7, ::5] ^= 1
    for name, image in images.items():
        hr = touched if name == "b" and shared == "LR" else image
        lr = make_lr(touched if name == "b" and shared == "HR" else image, 2)
        if name == "b" and shared == "HR":
            lr[0, 0] ^= 1
        write(tmp_path / "HR" / name, hr)
        write(tmp_path / "LR" / name, lr)
    parts = labelled(tmp_path, 1)
    assert [example.name for example in parts.support] == ["a"]
    assert [example.name for example in parts.validation] == ["c"]
    assert any("'b'" in sentence and "'a'" in sentence for sentence in parts.left_out)


def unlabelled(folder: Path) -> Split[UnpairedImage]:
    return split_unpaired(find_unpaired(folder, 2), None, 24)


@pytest.mark.parametrize("way", WAYS)
def test_copies_among_low_resolution_images(way: str, tmp_path: Path, rendered: Rendered) -> None:
    for i in range(8):
        write(tmp_path / "some" / str(i), rendered(30, 90, i % 4), way if i >= 4 else "bytes")
    parts = unlabelled(tmp_path / "some")
    sides = [contents([low.lr for low in lows]) for lows in (parts.support, parts.validation)]
    assert [len(side) for side in sides] == [3, 1]
    assert not set(sides[0]) & set(sides[1])
    assert sum(f"'{i}'" in sentence for i in range(4, 8) for sentence in parts.left_out) == 4
    for name in "abcdef":
        write(tmp_path / "one" / name, rendered(30, 90), way if name != "a" else "bytes")
    parts = unlabelled(tmp_path / "one")
    assert (len(parts.support), len(parts.validation), parts.strips) == (1, 1, True)
