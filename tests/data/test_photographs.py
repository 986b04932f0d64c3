"""Images to train and to validate on: which files are taken, how they are read, which validate."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

from srkit.data.photographs import (
    PhotographReader,
    find_photographs,
    fits_in_memory,
    hold_out,
    read_rgb8,
)
from srkit.errors import ImageError, SrkitError, UsageError
from srkit.progress import Silent

CPU = torch.device("cpu")
Pixels = NDArray[np.uint8]


class Listening(Silent):
    def __init__(self) -> None:
        self.warnings: list[str] = []
        self.done = 0.0

    def advance(self, amount: float = 1.0) -> None:
        self.done += amount

    def warn(self, message: str) -> None:
        self.warnings.append(message)


def write(folder: Path, **images: Pixels | bytes) -> list[Path]:
    files = []
    for name, image in images.items():
        file = folder / f"{name}.png"
        file.write_bytes(image if isinstance(image, bytes) else _encoded(Image.fromarray(image), "PNG"))
        files.append(file)
    return files


def _encoded(image: Image.Image, format: str, **options: Any) -> bytes:
    out = io.BytesIO()
    image.save(out, format, **options)
    return out.getvalue()


@pytest.fixture
def image(rendered: Callable[..., Pixels]) -> Pixels:
    return rendered(45, 61)


# -- reading ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("format", "options"),
    [
        ("PNG", {}),
        ("JPEG", {"quality": 95, "subsampling": 0}),
        ("JPEG", {"quality": 60, "subsampling": 1}),
        ("JPEG", {"quality": 75, "subsampling": 2}),
        ("JPEG", {"quality": 75, "subsampling": 2, "progressive": True}),
        ("WEBP", {"quality": 70}),
        ("WEBP", {"lossless": True}),
        ("BMP", {}),
        ("TIFF", {"compression": "tiff_lzw"}),
    ],
)
def test_ordinary_files_give_the_pixels_that_opencv_gives(
    image: Pixels, tmp_path: Path, format: str, options: dict[str, Any]
) -> None:
    data = _encoded(Image.fromarray(image), format, **options)
    (tmp_path / "a").write_bytes(data)
    expected = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)[:, :, ::-1]
    assert np.array_equal(read_rgb8(tmp_path / "a"), expected)


def test_orientation_gray_alpha_and_16_bit(image: Pixels, tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    path = tmp_path / "a"
    path.write_bytes(_encoded(Image.fromarray(image), "PNG", exif=exif))
    assert np.array_equal(read_rgb8(path), np.rot90(image, -1))
    path.write_bytes(_encoded(Image.fromarray(image[:, :, 0]), "PNG"))
    assert np.array_equal(read_rgb8(path), np.repeat(image[:, :, :1], 3, axis=2))
    opaque = np.dstack([image, np.full_like(image[:, :, 0], 255)])
    path.write_bytes(_encoded(Image.fromarray(opaque), "PNG"))
    assert np.array_equal(read_rgb8(path), image)
    opaque[:, :, 3] = 0  # what is transparent is laid over white: its colours are not meant to be seen
    path.write_bytes(_encoded(Image.fromarray(opaque), "PNG"))
    assert (read_rgb8(path) == 255).all()
    deep = np.minimum(image[:, :, 0].astype(np.uint16) * 257, 65535 - 100)
    path.write_bytes(_encoded(Image.fromarray(deep + 100), "PNG"))  # 100 of 65535 is less than half a level
    assert np.array_equal(read_rgb8(path)[:, :, 1], image[:, :, 0])
    with pytest.raises(ImageError):
        read_rgb8(tmp_path / "gone")


def test_what_cannot_be_used_is_left_out_and_named(image: Pixels, tmp_path: Path) -> None:
    small = {f"small{i}": image[:10, :10] for i in range(6)}
    files = write(tmp_path, a=b"\xff\xd8\xff\xe0 and no more", b=image, c=image[::-1].copy(), **small)
    progress = Listening()
    kept, images = PhotographReader(32).read_all(files, progress)
    assert kept == files[1:3]
    assert np.array_equal(images[0], image)
    assert progress.done == 9
    broken, little = progress.warnings
    assert "1 of 9" in broken
    assert "a.png" in broken
    assert "6 of 9" in little
    assert "small4.png, ..." in little
    assert "small5.png" not in little


def test_gray_images_are_left_out_where_asked(image: Pixels, tmp_path: Path) -> None:
    gray = np.repeat(image[:, :, :1], 3, axis=2)
    nearly = gray.copy()
    nearly[5, 7, 2] ^= 1
    files = write(tmp_path, gray=gray, nearly=nearly)
    progress = Listening()
    assert PhotographReader(8, gray=False).read_all(files, progress)[0] == files[1:]
    assert ["gray.png" in words for words in progress.warnings] == [True]
    assert PhotographReader(8).read_all(files, Silent())[0] == files
    with pytest.raises(SrkitError):
        PhotographReader(8, gray=False).read_all(files[:1], Silent())


def test_at_least_one_is_needed(image: Pixels, tmp_path: Path) -> None:
    files, progress = write(tmp_path, a=image, b=image), Listening()
    with pytest.raises(SrkitError):
        PhotographReader(100).read_all(files, progress)
    assert "a.png, b.png" in progress.warnings[0]


# -- which are taken --------------------------------------------------------------------------------------


def test_the_files_of_a_folder(image: Pixels, tmp_path: Path) -> None:
    (tmp_path / "b/deep").mkdir(parents=True)
    (tmp_path / ".trash").mkdir()
    for name in (
        "a.PNG",
        "._a.png",
        ".trash/x.png",
        "b/c.jpg",
        "b/d.mpo",
        "b/e.tga",
        "b/notes.txt",
        "b/deep/f.gif",
    ):
        (tmp_path / name).write_bytes(b"")
    (tmp_path / "b/self.png").symlink_to(tmp_path / "b/self.png")
    (tmp_path / "b/up").symlink_to(tmp_path)
    progress = Listening()
    found = find_photographs([tmp_path, tmp_path / "b"], progress)
    names = [file.name for file in found]
    assert names == ["a.PNG", "c.jpg", "d.mpo", "f.gif", "self.png"]
    assert all("e.tga" in words for words in progress.warnings)
    with pytest.raises(UsageError):
        find_photographs([tmp_path / "gone"])


# -- which validate ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("useless", "held", "rest"),
    [
        ("", "adg", "bcefh"),
        ("a", "bdg", "cefh"),
        ("ab", "cdg", "efh"),
        ("abc", "dg", "efh"),
        ("b", "adg", "bcefh"),  # not looked at here: left out when the rest is read
        ("gh", "ad", "bcef"),
    ],
)
@pytest.mark.parametrize("why", ["broken", "small"])
def test_those_held_out_are_chosen_among_the_usable(
    image: Pixels, tmp_path: Path, useless: str, held: str, rest: str, why: str
) -> None:
    bad = b"\x89PNG and no more" if why == "broken" else image[:8, :8]
    files = write(tmp_path, **{name: bad if name in useless else image for name in "abcdefgh"})
    reader, progress = PhotographReader(32), Listening()
    split = hold_out(files, 3, reader)
    assert "".join(file.stem for file in split.files) == held
    assert "".join(file.stem for file in split.rest) == rest
    assert len(split.images) == len(held)
    kept, _ = reader.read_all(split.rest, progress)
    assert [file.stem for file in kept] == [name for name in rest if name not in useless]
    assert all(f"{name}.png" in "".join(progress.warnings) for name in useless)


def test_where_none_can_validate(image: Pixels, tmp_path: Path) -> None:
    with pytest.raises(SrkitError):
        hold_out(write(tmp_path, a=b"", b=image[:4]), 3, PhotographReader(32))


# -- memory -----------------------------------------------------------------------------------------------


def test_fits_in_memory(image: Pixels, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = write(tmp_path, a=image, b=image[:40])
    need = (image.nbytes + image[:40].nbytes) * 1.25

    def pages(free: float) -> Callable[[str], int]:
        return lambda name: 1 if name == "SC_PAGE_SIZE" else int(free)

    found: list[Any] = []
    for free in (2 * need + 2, 2 * need - 2):
        monkeypatch.setattr("os.sysconf", pages(free))
        found.append(fits_in_memory(files, 2, CPU))
    monkeypatch.setattr("os.sysconf", pages(2 * need + 2))
    found.append(fits_in_memory(files, 2, CPU, (1.0, 0.5)))
    monkeypatch.setattr("os.sysconf", pages(2.5 * need + 2))
    found.append(fits_in_memory(files, 2, CPU, (1.0, 0.5)))
    assert found == [True, False, False, True]
