"""Captions of images: every place that they come from, and what is wrong with some."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from srkit.data.captions import find_captions, named_attributes, rendered_wordings, wordings
from srkit.errors import UsageError
from srkit.rendered import DOMAINS, caption, spec
from tests.helpers import refused


@pytest.fixture
def images(tmp_path: Path) -> list[Path]:
    found = [tmp_path / "in" / name for name in ("a.png", "b.jpg", "deep/a.png")]
    for one in found:
        one.parent.mkdir(exist_ok=True, parents=True)
        one.touch()
    return found


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(exist_ok=True, parents=True)
    path.write_text(text, encoding="utf-8")
    return path


def test_text_files_beside_the_images(images: list[Path]) -> None:
    a, b, deep = images
    write(a.with_suffix(".txt"), "a cup\n\n  a red cup \n")
    write(b.with_name("b.jpg.txt"), "看板 😀")
    write(deep.with_suffix(".txt"), "  \n")
    spare = write(a.with_name("c.txt"), "nothing")
    found = find_captions(images)
    assert found.texts == {a: ("a cup", "a red cup"), b: ("看板 😀",)}
    assert found.without_caption == (deep,)
    assert found.without_image == (str(spare),)
    printed = " ".join(found.warnings())
    assert "deep/a.png" in printed
    assert "c.txt" in printed


def test_text_files_in_another_folder(images: list[Path], tmp_path: Path) -> None:
    write(tmp_path / "said" / "a.txt", "one")
    write(tmp_path / "said" / "deep" / "a.txt", "two")
    found = find_captions(images, tmp_path / "said")
    assert found.texts == {images[0]: ("one",), images[2]: ("two",)}
    assert found.without_caption == (images[1],)
    assert list(find_captions([], tmp_path / "said").warnings()) != []


def test_a_table(images: list[Path], tmp_path: Path) -> None:
    table = write(
        tmp_path / "said.tsv",
        'path\tcaption\tdetail\tkeywords\nb.jpg\ta "dog"\tfur, teeth\tdog, fur\nin/a.png\tcup\t\t\n\n'
        "deep/a.png\tdeep\n gone.png\tx\n",
    )
    found = find_captions(images, table)
    a, b, deep = images
    assert found.texts[b] == ('a "dog", fur, teeth', 'a "dog"', "dog, fur")
    assert (found.texts[a], found.texts[deep]) == (("cup",), ("deep",))
    assert found.without_image == ("gone.png",)
    assert found.without_caption == ()


def test_coco_s_json(images: list[Path], tmp_path: Path) -> None:
    content = {
        "images": [{"id": 7, "file_name": "b.jpg"}, {"id": 8, "file_name": "z.jpg"}],
        "annotations": [
            {"image_id": 7, "caption": "one "},
            {"image_id": 8, "caption": "other"},
            {"image_id": 7, "caption": "two"},
        ],
    }
    found = find_captions(images, write(tmp_path / "said.json", json.dumps(content)))
    assert found.texts == {images[1]: ("one", "two")}
    assert found.without_image == ("z.jpg",)


def test_two_captions_for_one_image(images: list[Path], tmp_path: Path) -> None:
    rows = write(tmp_path / "said.tsv", "path\tcaption\nb.jpg\tx\nin/b.jpg\ty\n")
    with refused(UsageError, "said.tsv", "b.jpg"):
        find_captions(images, rows)
    write(images[0].with_suffix(".txt"), "x")
    write(images[0].with_name("a.png.txt"), "y")
    with refused(UsageError, "a.txt", "a.png.txt"):
        find_captions(images)


def test_a_name_of_two_images(images: list[Path], tmp_path: Path) -> None:
    twin = tmp_path / "in" / "other" / "a.png"
    rows = write(tmp_path / "away" / "said.tsv", "path\tcaption\na.png\tx\n")
    with refused(UsageError, "a.png", "said.tsv"):
        find_captions([*images, twin], rows)


@pytest.mark.parametrize(
    ("name", "content", "named"),
    [
        ("said.tsv", "file\ttext\n", "caption"),
        ("said.tsv", "", "caption"),
        ("said.tsv", "path\tcaption\na.png\t\n", "2"),
        ("said.json", "{", "annotations"),
        ("said.json", '{"images": [], "annotations": [{"image_id": 1, "caption": "x"}]}', "annotations"),
        ("said.json", "[" * 100_000, "annotations"),
        ("said.csv", "path,caption\n", ".tsv"),
    ],
)
def test_faults(images: list[Path], tmp_path: Path, name: str, content: str, named: str) -> None:
    with refused(UsageError, name, named):
        find_captions(images, write(tmp_path / name, content))


def test_what_cannot_be_read(images: list[Path], tmp_path: Path) -> None:
    with refused(UsageError, "nowhere.tsv"):
        find_captions(images, tmp_path / "nowhere.tsv")
    (tmp_path / "said.tsv").write_bytes(b"path\tcaption\na\t\xff\xfe\n")
    with refused(UsageError, "said.tsv", "UTF-8"):
        find_captions(images, tmp_path / "said.tsv")


def test_wordings() -> None:
    assert wordings("a", "b", "c") == ("a, b", "a", "c")
    assert wordings("a") == ("a",)


@pytest.mark.parametrize("domain", DOMAINS)
def test_rendered_images_have_captions_that_name_attributes(domain: str) -> None:
    named = 0
    for seed in range(6):
        shown = spec(domain, seed)
        texts = rendered_wordings(shown, 2)
        assert len(texts) >= 2
        assert texts[0].startswith(caption(shown, 0).short)
        said = named_attributes(shown, texts[0])
        assert all(getattr(shown, name) == value for name, value in said.items())
        named += len(said)
        assert named_attributes(shown, "") == {}
    assert named > 0
