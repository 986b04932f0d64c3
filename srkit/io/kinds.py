"""What a file is, by its first bytes; and what is in it, by the scanner of its container."""

from __future__ import annotations

import contextlib
import struct
from collections.abc import Callable
from typing import BinaryIO

from srkit.io.containers import bmp, gif, heif, jpeg, png, tiff, webp
from srkit.io.containers.contents import Contents, Source

HEAD = 2048
"""Bytes that the functions here look at; a BMP header and its palette."""

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
_UNREADABLE = (  # how files begin that are known but cannot be read
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
    """The container that a file begins as: png, jpg, webp, tiff, gif, heif, bmp; None for all others."""
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
    """What a file is that begins as no container that is read, for a sentence."""
    if head.startswith(_LFS):
        return "a Git LFS pointer, not the image itself (run `git lfs pull`)"
    for start, what in _UNREADABLE:
        if head.startswith(start):
            return what + _CANNOT
    if head[4:8] == b"ftyp":
        return ("a camera's raw file" if head[8:12] == b"crx " else "a video or another media file") + _CANNOT
    return "not an image of a known kind"


def contents_of(handle: BinaryIO, kind: str) -> Contents:
    """What the file holds besides pixels; the handle is put back to its start.

    Damage is no error here: what was found before it is given, or nothing, and the decoder says what is wrong.
    """
    found = Contents()
    with contextlib.suppress(struct.error, ValueError, IndexError, OverflowError):
        found = _SCANNERS[kind](Source(handle))
    handle.seek(0)
    return found
