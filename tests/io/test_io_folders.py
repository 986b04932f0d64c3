"""Which files an input names."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from srkit.errors import SrkitError, UsageError
from srkit.io.folders import find_pictures
from tests.helpers import refused


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    root = tmp_path / "in"
    (root / "sub" / "deep").mkdir(parents=True)
    names = ["b.png", "a.JPG", "c.heic", "notes.txt", "desktop.ini", "Thumbs.db", ".hidden.png", "noext"]
    names += [".srkit-01234567-1-0123456789ab.part", "sub/d.webp", "sub/deep/e.tif"]
    for name in names:
        (root / name).write_bytes(b"")
    return root


def relative(source: str | Path, recursive: bool = False) -> list[str]:
    return [f.relative.as_posix() for f in find_pictures(source, recursive=recursive)]


def test_folders(tree: Path) -> None:
    assert relative(tree) == ["a.JPG", "b.png", "c.heic"]
    assert relative(tree, True) == ["a.JPG", "b.png", "c.heic", "sub/d.webp", "sub/deep/e.tif"]
    found = find_pictures(tree, recursive=True)
    assert [f.path for f in found] == [tree / f.relative for f in found]


def test_a_file_is_taken_whatever_its_extension(tree: Path) -> None:
    assert relative(tree / "notes.txt") == ["notes.txt"]


def test_globs(tree: Path) -> None:
    assert relative(f"{tree}/*.png") == ["b.png"]
    assert relative(f"{tree}/**/*.[tw]*") == ["notes.txt", "sub/d.webp", "sub/deep/e.tif"]
    assert relative(f"{tree}/s*", True) == ["sub/d.webp", "sub/deep/e.tif"]
    with refused(SrkitError, f"{tree}/s*"):
        relative(f"{tree}/s*")


def test_an_existing_name_is_not_a_glob(tree: Path) -> None:
    (tree / "p[1].png").write_bytes(b"")
    assert relative(f"{tree}/p[1].png") == ["p[1].png"]


def test_nothing_there(tree: Path) -> None:
    for missing in (tree / "no.png", f"{tree}/*.bmp", tree / ("n" * 300), "a\0b"):
        with refused(UsageError, missing):
            find_pictures(missing, recursive=False)
    empty = tree / "empty"
    empty.mkdir()
    with refused(SrkitError, empty):
        find_pictures(empty, recursive=True)


def test_links(tree: Path) -> None:
    (tree / "sub" / "up").symlink_to(tree, target_is_directory=True)
    (tree / "sub" / "self").symlink_to(tree / "sub" / "self")
    (tree / "z").symlink_to(tree / "sub" / "deep", target_is_directory=True)
    (tree / "link.png").symlink_to(tree / "b.png")
    expected = ["a.JPG", "b.png", "c.heic", "link.png", "sub/d.webp", "sub/deep/e.tif", "z/e.tif"]
    assert relative(tree, True) == expected


def test_names_that_are_not_utf8(tree: Path) -> None:
    name = os.fsdecode(b"caf\xe9.png")
    (tree / name).write_bytes(b"")
    found = find_pictures(tree, recursive=False)
    assert name in [f.path.name for f in found]
    assert [f.relative.name for f in find_pictures(f"{tree}/caf*", recursive=False)] == [name]
    with pytest.raises(UsageError) as caught:
        find_pictures(tree / os.fsdecode(b"no\xe9.png"), recursive=False)
    str(caught.value).encode("utf-8")
