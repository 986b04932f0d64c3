"""EXIF blocks, corrected in place; and to and from the directories of TIFF files."""

from __future__ import annotations

import io
import struct
from typing import Any

import numpy as np
import pytest
import tifffile
from PIL import Image

from srkit.io import exif as blocks
from srkit.io.containers import tiff
from srkit.io.ifd import EXIF, INTEROP, Directory, Tiff, build, read_directory
from srkit.io.image import DecodedImage
from srkit.io.read import read_image
from srkit.io.write import encode_image

MAKER = b"MAKER\0" + bytes(range(200))


def block(order: str, orientation: int = 6) -> bytes:
    """A block of all that is corrected, and of what must stay, in a byte order; laid out by hand."""

    def entry(tag: int, kind: int, count: int, value: bytes) -> bytes:
        return struct.pack(order + "HHI", tag, kind, count) + value.ljust(4, b"\0")

    def short(value: int) -> bytes:
        return struct.pack(order + "H", value)

    def long(value: int) -> bytes:
        return struct.pack(order + "I", value)

    exif_at, interop_at, maker_at, area_at, text_at, dpi_at = 100, 190, 220, 430, 440, 460
    first = struct.pack(order + "H", 7) + b"".join(
        [
            entry(0x0100, 3, 1, short(60)),
            entry(0x0101, 4, 1, long(40)),
            entry(0x010E, 2, 6, long(text_at)),
            entry(0x0112, 3, 1, short(orientation)),
            entry(0x011A, 5, 1, long(dpi_at)),
            entry(0x011B, 5, 1, long(dpi_at)),
            entry(EXIF, 4, 1, long(exif_at)),
        ]
    )
    below = struct.pack(order + "H", 6) + b"".join(
        [
            entry(0x9214, 3, 4, long(area_at)),
            entry(0x927C, 7, len(MAKER), long(maker_at)),
            entry(0xA002, 3, 1, short(60)),
            entry(0xA003, 3, 1, short(40)),
            entry(INTEROP, 4, 1, long(interop_at)),
            entry(0xFE00, 4, 1, long(77)),
        ]
    )
    interop = struct.pack(order + "H", 1) + entry(0x1001, 4, 1, long(60))
    data = bytearray(470)
    for at, part in (
        (0, (b"II" if order == "<" else b"MM") + short(42) + long(8)),
        (8, first + long(0)),
        (exif_at, below + long(0)),
        (interop_at, interop + long(0)),
        (maker_at, MAKER),
        (area_at, struct.pack(order + "4H", 1, 2, 3, 4)),
        (text_at, b"words\0"),
        (dpi_at, long(300) + long(1)),
    ):
        data[at : at + len(part)] = part
    return bytes(data)


def values(data: bytes) -> dict[int, Any]:
    tags = Image.Exif()
    tags.load(data)
    return dict(tags) | dict(tags.get_ifd(EXIF)) | dict(tags.get_ifd(INTEROP))


@pytest.mark.parametrize("prefix", [b"", b"Exif\0\0"])
@pytest.mark.parametrize("size", [(600, 400), (100_000, 70_000)])
@pytest.mark.parametrize("order", ["<", ">"])
def test_fitted(order: str, size: tuple[int, int], prefix: bytes) -> None:
    before = prefix + block(order)
    assert blocks.orientation(before) == 6
    assert blocks.resolution(before) == pytest.approx((300 / 25.4, 300 / 25.4))
    after = blocks.fitted(before, *size)
    found = values(after)
    assert (found[0x0100], found[0x0101]) == size
    assert (found[0xA002], found[0xA003], found[0x1001]) == (*size, size[0])
    assert blocks.orientation(after) == 1
    assert 0x9214 not in found
    assert (found[0x010E], found[0xFE00], found[0x927C]) == ("words", 77, MAKER)
    # Maker notes point into the block: they and all around them stay where they are.
    assert len(after) == len(before)
    assert after.index(MAKER) == before.index(MAKER)
    assert blocks.fitted(after, *size) == after


@pytest.mark.parametrize("cut", [0, 3, 8, 9, 20, 90, 150])
def test_damaged_blocks_are_left_or_called_so(cut: int) -> None:
    damaged = block("<")[:cut]
    blocks.fitted(damaged, 5, 5)
    blocks.upright(damaged)
    assert blocks.is_sound(damaged) == (cut >= 100)
    assert blocks.is_sound(block("<"))


def test_directories_that_point_at_themselves_end() -> None:
    data = bytearray(block("<"))
    at = data.index(struct.pack("<HHI", EXIF, 4, 1)) + 8
    data[at : at + 4] = struct.pack("<I", 8)
    assert blocks.is_sound(bytes(data))
    blocks.fitted(bytes(data), 5, 5)
    blocks.to_tiff(bytes(data))


@pytest.mark.parametrize("big", [False, True])
@pytest.mark.parametrize("order", ["<", ">"])
def test_into_a_tiff_file_and_back(order: str, big: bool) -> None:
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, np.zeros((16, 16, 3), np.uint8), photometric="rgb", bigtiff=big, metadata=None)
    exif = blocks.fitted(block(order), 16, 16)
    tiff.edit(buffer, exif, b"<x/>", b"\x1c\2\x78\0\1a", (300 / 25.4, 300 / 25.4))
    with tifffile.TiffFile(io.BytesIO(buffer.getvalue())) as file:
        tags = file.pages[0].tags
        assert tags["ImageDescription"].value == "words"
        assert tags["XMP"].value == b"<x/>"
        assert (tags["XResolution"].value, tags["ResolutionUnit"].value) == ((300, 1), 2)
        assert tags["ExifTag"].value["PixelXDimension"] == 16
        assert np.array_equal(file.pages[0].asarray(), np.zeros((16, 16, 3), np.uint8))
    back = read_image(buffer.getvalue())
    assert back.exif is not None
    assert (values(back.exif)[0x010E], values(back.exif)[0x927C]) == ("words", MAKER)
    assert (back.xmp, back.iptc) == (b"<x/>", b"\x1c\2\x78\0\1a")


def test_tags_of_a_tiff_file_become_exif_elsewhere() -> None:
    buffer = io.BytesIO()
    tags = [
        (315, "s", 0, "an artist", True),
        (33432, "s", 0, "me", True),
        (33550, "d", 3, (1.0, 1.0, 0.0), True),
    ]
    tifffile.imwrite(buffer, np.zeros((16, 16), np.uint8), photometric="minisblack", extratags=tags)
    image = read_image(buffer.getvalue())  # tifffile describes the array's shape, which the result has not
    data, warnings = encode_image(image, format="jpg")
    assert warnings == ()
    with Image.open(io.BytesIO(data)) as pil:
        assert dict(pil.getexif()) == {315: "an artist", 33432: "me", 305: "tifffile.py"}


def test_a_directory_of_all_types_survives() -> None:
    values_of = {1: "B", 3: "H", 4: "I", 6: "b", 8: "h", 9: "i", 11: "f", 12: "d"}
    source = Directory(
        {
            tag: (kind, 3, struct.pack(f"<3{code}", 1, 2, 3))
            for tag, (kind, code) in enumerate(values_of.items(), 600)
        }
    )
    for big in (False, True):
        data = build(source, 16, big=big)
        head = struct.pack("<2sHHHQ", b"II", 43, 8, 0, 16) if big else struct.pack("<2sHI8x", b"II", 42, 16)
        whole = head + data
        structure = Tiff(lambda at, size, whole=whole: whole[at : at + size])
        assert read_directory(structure, 16) == source


def test_metadata_of_an_image_are_not_changed_by_writing_it() -> None:
    image = DecodedImage(np.zeros((8, 8, 3), np.uint8), exif=block("<", 1))
    encode_image(image, format="jpg")
    assert image.exif == block("<", 1)
