"""TIFF and BigTIFF files (TIFF 6.0)."""

from __future__ import annotations

import contextlib
import struct
from fractions import Fraction
from typing import BinaryIO

import numpy as np

from srkit.io.colour_tags import BT709, ColourTags, Curve, Point, from_gamma, table_curve
from srkit.io.containers.contents import C2PA, Contents, Source, iptc_of, write_all
from srkit.io.exif import from_tiff, per_millimetre, to_tiff
from srkit.io.ifd import BYTE, RATIONAL, SHORT, UNDEFINED, Directory, Entry, Tiff, build

_COMPRESSION, _PHOTOMETRIC, _BITS, _SAMPLE_FORMAT, _SUB_DIRECTORIES = 259, 262, 258, 339, 330
_X_RESOLUTION, _Y_RESOLUTION, _RESOLUTION_UNIT = 282, 283, 296
_TRANSFER, _WHITE_POINT, _PRIMARIES = 301, 318, 319
_XMP, _IPTC, _PHOTOSHOP, _LAYERS, _C2PA, _DNG_VERSION = 700, 33723, 34377, 37724, 0xCD41, 50706
_MOSAIC = (32803, 34892)  # colour filter array, linear raw (DNG 1.7)
_CR2 = b"CR\2\0"
_COMPRESSIONS = {
    6: "old-style JPEG",
    7: "JPEG",
    9: "JBIG",
    10: "JBIG",
    32809: "ThunderScan",
    32909: "PixarFilm",
    33003: "JPEG 2000",
    33004: "JPEG 2000",
    33005: "JPEG 2000",
    34661: "JBIG",
    34676: "LogLuv",
    34677: "LogLuv",
    34712: "JPEG 2000",
    34887: "LERC",
    34892: "lossy JPEG",
    34925: "LZMA",
    50000: "Zstandard",
    50001: "WebP",
    50002: "JPEG XL",
    52546: "JPEG XL",
}
_PHOTOMETRICS = {
    8: "CIELab",
    9: "ICCLab",
    10: "ITULab",
    32844: "LogL",
    32845: "LogLuv",
    51177: "depth",
}
_FORMATS = {1: "unsigned integer", 2: "signed integer", 3: "float", 5: "complex integer", 6: "complex"}


def scan(source: Source) -> Contents:
    """Read the metadata of the first directory."""
    found = Contents()
    with contextlib.suppress(ValueError):
        tiff = Tiff(source.at)
        tags = {e.tag: e for e in tiff.entries(tiff.first)[0]}
        found.unsupported = _kind(tiff, tags)
        found.refused = _raw(tiff, tags, source)
        found.exif = from_tiff(tiff)
        found.xmp = tiff.value(tags[_XMP]) or None if _XMP in tags else None
        found.iptc = _iptc(tiff, tags)
        across, down = (next(iter(_numbers(tiff, tags, t)), 0.0) for t in (_X_RESOLUTION, _Y_RESOLUTION))
        unit = tiff.whole(tags.get(_RESOLUTION_UNIT)) or 2
        found.resolution = per_millimetre(across, down, unit)
        found.note_aspect(across, down, square=unit != 1)
        found.colour = _colours(tiff, tags)
        if _LAYERS in tags:
            found.lose("Photoshop layers")
        if _C2PA in tags:
            found.lose(C2PA)
    return found


def edit(
    file: BinaryIO,
    exif: bytes | None,
    xmp: bytes | None,
    iptc: bytes | None,
    resolution: tuple[float, float] | None,
) -> None:
    """Insert metadata into a file written by libvips, by a new first directory at its end.

    The resolution is set to the given one, or to none, since libvips adds one where there is none.
    """
    source = Source(file)
    tiff = Tiff(source.at)
    old = {e.tag: (e.kind, e.count, tiff.value(e)) for e in tiff.entries(tiff.first)[0]}
    new = to_tiff(exif) if exif is not None else Directory()
    across, down = resolution or (1 / 25.4, 1 / 25.4)
    new.values[_X_RESOLUTION] = (RATIONAL, 1, _per_inch(across))
    new.values[_Y_RESOLUTION] = (RATIONAL, 1, _per_inch(down))
    new.values[_RESOLUTION_UNIT] = (SHORT, 1, struct.pack("<H", 1 if resolution is None else 2))
    if xmp is not None:
        new.values[_XMP] = (BYTE, len(xmp), xmp)
    if iptc is not None:
        new.values[_IPTC] = (UNDEFINED, len(iptc), iptc)
    place = source.size + source.size % 2
    file.seek(place)
    write_all(file, build(Directory(old | new.values, new.below), place, big=tiff.big))
    file.seek(8 if tiff.big else 4)
    write_all(file, struct.pack("<Q" if tiff.big else "<I", place))


def _per_inch(per_mm: float) -> bytes:
    """Resolution per inch as a rational; rounded if within 0.01 of an integer, because metric units round."""
    dpi = per_mm * 25.4
    fraction = (
        Fraction(round(dpi)) if abs(dpi - round(dpi)) < 0.01 else Fraction(dpi).limit_denominator(10_000)
    )
    return struct.pack("<II", min(fraction.numerator, 2**32 - 1), fraction.denominator)


def _numbers(tiff: Tiff, tags: dict[int, Entry], tag: int) -> list[float]:
    return tiff.numbers(tags[tag]) if tag in tags else []


def _iptc(tiff: Tiff, tags: dict[int, Entry]) -> bytes | None:
    if _IPTC in tags:
        # Some writers, libtiff included, declare the bytes as LONG in the file's byte order.
        data = tiff.value(tags[_IPTC]).rstrip(b"\0")
        return data or None
    return iptc_of(tiff.value(tags[_PHOTOSHOP])) if _PHOTOSHOP in tags else None


def _colours(tiff: Tiff, tags: dict[int, Entry]) -> ColourTags | None:
    """Read white point, primaries and transfer function (TIFF 6.0, 20); the default transfer is gamma 2.2."""
    white, rest = _numbers(tiff, tags, _WHITE_POINT), _numbers(tiff, tags, _PRIMARIES)
    points: tuple[Point, Point, Point, Point] | None = None
    if len(white) == 2 and len(rest) == 6:
        points = ((rest[0], rest[1]), (rest[2], rest[3]), (rest[4], rest[5]), (white[0], white[1]))
    given = from_gamma(None, points)
    curves = _curves(tiff, tags)
    if curves:
        return ColourTags("transfer function", BT709 if given is None else given.primaries, curves)
    return given if given is None or given.is_srgb else from_gamma(2.2, points)


def _curves(tiff: Tiff, tags: dict[int, Entry]) -> tuple[Curve, ...]:
    if _TRANSFER not in tags:
        return ()
    bits = min(tiff.whole(tags.get(_BITS)) or 1, 16)
    table = np.frombuffer(tiff.little(tags[_TRANSFER]), "<u2").astype(np.uint16)
    if bits < 2 or len(table) not in (2**bits, 3 * 2**bits):
        return ()
    return tuple(table_curve(part) for part in table.reshape(-1, 2**bits))


def _raw(tiff: Tiff, tags: dict[int, Entry], source: Source) -> str | None:
    """Description of a camera's raw file, whose first directory is a preview; else None."""
    directories = [tags]
    for number in tiff.numbers(tags[_SUB_DIRECTORIES])[:16] if _SUB_DIRECTORIES in tags else []:
        with contextlib.suppress(ValueError):
            directories.append({e.tag: e for e in tiff.entries(int(number))[0]})
    mosaic = any(tiff.whole(d.get(_PHOTOMETRIC)) in _MOSAIC for d in directories)
    raw = mosaic or _DNG_VERSION in tags or source.at(8, 4) == _CR2
    return "a camera's raw file" if raw else None


def _kind(tiff: Tiff, tags: dict[int, Entry]) -> str | None:
    """Description of a kind of TIFF that a decoder may lack, by compression, sample format or colour; else None."""
    colours = _PHOTOMETRICS.get(tiff.whole(tags.get(_PHOTOMETRIC)) or 0)
    bits, form = tiff.whole(tags.get(_BITS)) or 1, tiff.whole(tags.get(_SAMPLE_FORMAT)) or 1
    compression = tiff.whole(tags.get(_COMPRESSION)) or 1
    if compression in _COMPRESSIONS:
        return f"a TIFF image with {_COMPRESSIONS[compression]} compression"
    if (form, bits) not in ((1, 1), (1, 2), (1, 4), (1, 8), (1, 16), (3, 16), (3, 32)):
        return f"a TIFF image of {bits}-bit {_FORMATS.get(form, 'untyped')} samples"
    if compression not in (1, 2, 3, 4, 5, 8, 32773, 32946):
        return f"a TIFF image with the compression {compression}"
    return f"a TIFF image of {colours} values" if colours else None
