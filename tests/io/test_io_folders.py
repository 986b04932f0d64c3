"""Which files an input names."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from srkit.errors import SrkitError, UsageError
from srkit.io.folders import IMAGE_EXTENSIONS, OTHER_EXTENSIONS, find_images
from srkit.io.names import printable
from srkit.progress import Silent
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
    return [f.relative.as_posix() for f in find_images(source, recursive=recursive)]


def test_folders(tree: Path) -> None:
    assert relative(tree) == ["a.JPG", "b.png", "c.heic"]
    assert relative(tree, True) == ["a.JPG", "b.png", "c.heic", "sub/d.webp", "sub/deep/e.tif"]
    found = find_images(tree, recursive=True)
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
        with refused(UsageError, printable(str(missing))):
            find_images(missing, recursive=False)
    empty = tree / "empty"
    empty.mkdir()
    with refused(SrkitError, empty):
        find_images(empty, recursive=True)


def test_links(tree: Path) -> None:
    (tree / "sub" / "up").symlink_to(tree, target_is_directory=True)
    (tree / "sub" / "self").symlink_to(tree / "sub" / "self")
    (tree / "z").symlink_to(tree / "sub" / "deep", target_is_directory=True)
    (tree / "link.png").symlink_to(tree / "b.png")
    (tree / "nowhere.png").symlink_to(tree / "gone.png")
    expected = [
        "a.JPG",
        "b.png",
        "c.heic",
        "link.png",
        "nowhere.png",
        "sub/d.webp",
        "sub/deep/e.tif",
        "z/e.tif",
    ]
    assert relative(tree, True) == expected
    assert relative(f"{tree}/**/*.webp") == ["sub/d.webp"]


def test_pipes_and_devices_are_no_files(tree: Path) -> None:
    os.mkfifo(tree / "pipe.png")
    assert relative(tree) == ["a.JPG", "b.png", "c.heic"]


class Listening(Silent):
    def __init__(self) -> None:
        self.warnings: list[str] = []

    def warn(self, message: str) -> None:
        self.warnings.append(message)


@pytest.mark.parametrize("source", ["{}", "{}*"])
def test_images_of_other_kinds_are_told_of_in_one_line(tree: Path, source: str) -> None:
    for name in ("x.TGA", "y.ppm", "sub/z.ppm", ".w.tga", "s.mpo"):
        (tree / name).write_bytes(b"")
    listening = Listening()
    found = find_images(source.format(tree), recursive=True, progress=listening)
    assert "s.mpo" in [f.path.name for f in found]
    (line,) = listening.warnings
    assert "\n" not in line
    for part in ("3 images", ".ppm, .tga", "'x.TGA'", "'y.ppm'", "'z.ppm'"):
        assert part in line
    assert "w.tga" not in line


def test_a_folder_of_other_kinds_alone_names_them(tree: Path) -> None:
    (tree / "raw").mkdir()
    for i in range(5):
        (tree / "raw" / f"{i}.nef").write_bytes(b"")
    with pytest.raises(SrkitError, match=r"5 images.*\.nef.*0\.nef"):
        find_images(tree / "raw", recursive=False)


def test_the_table_of_extensions() -> None:
    assert not IMAGE_EXTENSIONS & OTHER_EXTENSIONS
    assert all(e == e.lower() and e.startswith(".") for e in IMAGE_EXTENSIONS | OTHER_EXTENSIONS)
    assert {".mpo", ".jxl", ".heic", ".jp2"} <= IMAGE_EXTENSIONS
    assert {".tga", ".ppm", ".pgm"} <= OTHER_EXTENSIONS


def test_names_that_are_not_utf8(tree: Path) -> None:
    name = os.fsdecode(b"caf\xe9.png")
    (tree / name).write_bytes(b"")
    found = find_images(tree, recursive=False)
    assert name in [f.path.name for f in found]
    assert [f.relative.name for f in find_images(f"{tree}/caf*", recursive=False)] == [name]
    with pytest.raises(UsageError) as caught:
        find_images(tree / os.fsdecode(b"no\xe9.png"), recursive=False)
    str(caught.value).encode("utf-8")
