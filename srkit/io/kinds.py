"""File type by the first bytes, and metadata by the container's scanner."""

from __future__ import annotations

import contextlib
import struct
from collections.abc import Callable
from typing import BinaryIO

from srkit.io.containers import bmp, gif, heif, jpeg, png, tiff, webp
from srkit.io.containers.contents import Contents, Source

HEAD = 2048
"""Number of leading bytes used here: a BMP header and its palette."""

_SCANNERS: dict[str, Callable[[Source], Contents]] = {
    "png": png.scan,
    "jpg": jpeg.scan,
    "webp": webp.scan,
    "tiff": tiff.scan,
    "gif": gif.scan,
    "heif": heif.scan,
    "bmp": bmp.scan,
}
_HEIF_BRANDS = frozenset(
    {
        b"avif",
        b"avis",
        b"mif1",
        b"mif2",
        b"msf1",
        b"miaf",
        b"heic",
        b"heix",
        b"heim",
        b"heis",
        b"hevc",
        b"hevx",
    }
)
_CANNOT = ", which cannot be read here"
_UNREADABLE = (  # first bytes of known but unreadable types
    (b"\xff\x0a", "a JPEG XL image"),
    (b"\0\0\0\x0cJXL ", "a JPEG XL image"),
    (b"\0\0\0\x0cjP  ", "a JPEG 2000 image"),
    (b"\xff\x4f\xff\x51", "a JPEG 2000 image"),
    (b"II\xbc\x01", "a JPEG XR image"),
    (b"8BPS", "a Photoshop document"),
    (b"gimp xcf", "a GIMP document"),
    (b"%PDF", "a PDF document"),
    (b"<svg", "an SVG drawing"),
    (b"\0\0\x01\0", "an icon file"),
    (b"icns", "an icon file"),
    (b"qoif", "a QOI image"),
    (b"\x76\x2f\x31\x01", "an OpenEXR image"),
    (b"#?RADIANCE", "a Radiance HDR image"),
    (b"DDS ", "a DirectDraw texture"),
    (b"FUJIFILMCCD-RAW", "a camera's raw file"),
    (b"IIU\0", "a camera's raw file"),
    (b"IIRO", "a camera's raw file"),
    *((b"P" + digit, "a PNM image") for digit in (b"1", b"2", b"3", b"4", b"5", b"6")),
)
_LFS = b"version https://git-lfs"


def kind_of(head: bytes) -> str | None:
    """Container of a file by its first bytes: png, jpg, webp, tiff, gif, heif, bmp; None for others."""
    if head.startswith(b"\x89PNG\r\n\x1a\n"):
        return "png"
    if head.startswith(b"\xff\xd8\xff"):
        return "jpg"
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "webp"
    if head[:4] in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"):
        return "tiff"
    if head[:6] in (b"GIF87a", b"GIF89a"):
        return "gif"
    if head[4:8] == b"ftyp" and head[8:12] in _HEIF_BRANDS:
        return "heif"
    return "bmp" if head[:2] == b"BM" else None


def what_it_is(head: bytes) -> str:
    """Description of a file in no readable container, for an error message."""
    if head.startswith(_LFS):
        return "a Git LFS pointer, not the image itself (run `git lfs pull`)"
    for start, what in _UNREADABLE:
        if head.startswith(start):
            return what + _CANNOT
    if head[4:8] == b"ftyp":
        return ("a camera's raw file" if head[8:12] == b"crx " else "a video or another media file") + _CANNOT
    return "not an image of a known kind"


def contents_of(handle: BinaryIO, kind: str) -> Contents:
    """Read the metadata of a file, and rewind the handle.

    Damage is no error here: the metadata found before it are returned, and the decoder reports the damage.
    """
    found = Contents()
    with contextlib.suppress(struct.error, ValueError, IndexError, OverflowError):
        found = _SCANNERS[kind](Source(handle))
    handle.seek(0)
    return found
