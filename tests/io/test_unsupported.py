"""Intact files of a kind that the decoder lacks: named as what they are, never as damaged."""

from __future__ import annotations

import io
import struct
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import tifffile
from PIL import Image

from srkit.errors import ImageError
from srkit.io.read import probe, read_image


def encoded(kind: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    Image.linear_gradient("L").resize((48, 32)).convert("RGB").save(buffer, kind, **options)
    return buffer.getvalue()


def tiff(array: np.ndarray, **options: Any) -> bytes:
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, array, **options)
    return buffer.getvalue()


def with_tag(data: bytes, tag: int, value: int) -> bytes:
    """A little-endian TIFF with another value of a SHORT tag."""
    at = data.index(struct.pack("<HHI", tag, 3, 1)) + 8
    return data[:at] + struct.pack("<H", value) + data[at + 2 :]


def compressed(code: int) -> bytes:
    return with_tag(tiff(np.zeros((16, 16, 3), np.uint8), photometric="rgb"), 259, code)


def jpeg(marker: int, bits: int) -> bytes:
    """A JPEG whose frame header declares another coding or depth."""
    data = encoded("JPEG")
    at = data.index(b"\xff\xc0")
    return data[: at + 1] + bytes([marker]) + data[at + 2 : at + 4] + bytes([bits]) + data[at + 5 :]


def heif(codec: bytes, brand: bytes) -> bytes:
    """An AVIF whose item declares another codec."""
    data = encoded("AVIF")
    return data.replace(b"ftypavif", b"ftyp" + brand).replace(b"av01", codec)


def gray(dtype: Any) -> np.ndarray:
    return np.linspace(0, 1, 256).reshape(16, 16).astype(dtype)


def raw_file() -> bytes:
    """A preview with a mosaic below it, as cameras write."""
    return tiff(
        np.zeros((16, 16, 3), np.uint8), photometric="rgb", extratags=[(50706, "B", 4, (1, 4, 0, 0), True)]
    )


CASES: dict[str, tuple[Callable[[], bytes], str]] = {
    "HEIC": (lambda: heif(b"hvc1", b"heic"), "HEIC"),
    "HEIC, general brand": (lambda: heif(b"hvc1", b"mif1"), "HEIC"),
    "VVC": (lambda: heif(b"vvc1", b"mif1"), "VVC"),
    "Zstandard": (lambda: compressed(50000), "Zstandard"),
    "LERC": (lambda: compressed(34887), "LERC"),
    "LZMA": (lambda: compressed(34925), "LZMA"),
    "JPEG 2000": (lambda: compressed(34712), "JPEG 2000"),
    "JPEG XL": (lambda: compressed(50002), "JPEG XL"),
    "unknown compression": (lambda: compressed(64999), "64999"),
    "12-bit TIFF": (
        lambda: with_tag(tiff(gray(np.uint16), photometric="minisblack"), 258, 12),
        "12-bit",
    ),
    "24-bit TIFF": (
        lambda: with_tag(tiff(gray(np.uint32), photometric="minisblack"), 258, 24),
        "24-bit",
    ),
    "float64 TIFF": (lambda: tiff(gray(np.float64), photometric="minisblack"), "64-bit float"),
    "int64 TIFF": (lambda: tiff(gray(np.int64), photometric="minisblack"), "64-bit signed"),
    "complex TIFF": (lambda: tiff(gray(np.complex64), photometric="minisblack"), "complex"),
    "LogLuv TIFF": (lambda: with_tag(compressed(1), 262, 32845), "LogLuv"),
    "12-bit JPEG": (lambda: jpeg(0xC1, 12), "12 bits"),
    "lossless JPEG": (lambda: jpeg(0xC3, 16), "losslessly coded"),
    "hierarchical JPEG": (lambda: jpeg(0xC5, 8), "hierarchical"),
    "arithmetic JPEG of 12 bit": (lambda: jpeg(0xC9, 12), "arithmetically coded"),
    "JPEG-LS": (lambda: jpeg(0xF7, 8), "JPEG-LS"),
    "camera raw": (raw_file, "raw file"),
    "JPEG in BMP": (
        lambda: (
            b"BM"
            + struct.pack("<IHHI", 154, 0, 0, 54)
            + struct.pack("<IiiHHI", 40, 8, 8, 1, 24, 4).ljust(40, b"\0")
        ),
        "JPEG",
    ),
    "JPEG XL file": (lambda: b"\xff\x0a0000", "JPEG XL"),
    "JPEG 2000 file": (lambda: b"\0\0\0\x0cjP  \r\n\x87\n", "JPEG 2000"),
    "OpenEXR": (lambda: b"\x76\x2f\x31\x01\2\0\0\0", "OpenEXR"),
    "Photoshop": (lambda: b"8BPS\0\1", "Photoshop"),
    "CR3": (lambda: b"\0\0\0\x18ftypcrx \0\0\0\1", "raw file"),
    "video": (lambda: b"\0\0\0\x18ftypisom\0\0\0\1", "video"),
}


@pytest.mark.parametrize("name", CASES)
def test_named_as_what_it_is(name: str) -> None:
    make, words = CASES[name]
    with pytest.raises(ImageError) as caught:
        read_image(make())
    sentence = str(caught.value)
    assert words in sentence
    assert "damaged" not in sentence
    assert "\n" not in sentence


@pytest.mark.parametrize("share", [0.3, 0.7])
def test_what_is_supported_and_cut_is_damaged(share: float) -> None:
    for kind in ("PNG", "JPEG", "TIFF", "WEBP", "AVIF"):
        data = encoded(kind)
        with pytest.raises(ImageError):
            read_image(data[: int(len(data) * share)])


def test_samples_of_other_types_say_what_to_do() -> None:
    for dtype in (np.int16, np.uint32, np.int8):
        with pytest.raises(ImageError) as caught:
            probe(tiff(gray(dtype), photometric="minisblack"))
        assert "damaged" not in str(caught.value)
        assert "PNG" in str(caught.value)
