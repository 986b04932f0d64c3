"""EXIF blocks: tags that describe the stored image are corrected in place; all other bytes are unchanged.

In place, since maker notes use offsets into the block that only their makers know.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping

from srkit.io.ifd import EXIF, GPS, INTEROP, LONG, SHORT, Directory, Entry, Tiff, build, read_directory

PREFIX = b"Exif\0\0"
"""Prefix of the block in JPEG; other formats store it without."""
EMPTY = b"II*\0\x08\0\0\0" + bytes(6)
"""EXIF block without tags."""

_ORIENTATION, _WIDTH, _HEIGHT = 0x0112, 0x0100, 0x0101
_X_DIMENSION, _Y_DIMENSION, _RELATED_WIDTH, _RELATED_HEIGHT = 0xA002, 0xA003, 0x1001, 0x1002
_SUBJECT_AREA, _SUBJECT_LOCATION = 0x9214, 0xA214  # in pixels of the stored image
_X_RESOLUTION, _Y_RESOLUTION, _RESOLUTION_UNIT = 0x011A, 0x011B, 0x0128
_INCH_MM = 25.4
_THUMBNAILS = ((0x0201, 0x0202), (0x0111, 0x0117))  # offset and size: a JPEG, or one strip
DESCRIPTIVE = frozenset(
    # Document name, description, make, model, software, date, artist, host, rating, copyright, Windows' own.
    {
        0x010D,
        0x010E,
        0x010F,
        0x0110,
        0x0131,
        0x0132,
        0x013B,
        0x013C,
        0x4746,
        0x4749,
        0x8298,
        *range(0x9C9B, 0x9CA0),
    }
)
"""Tags of a TIFF directory that describe the image and not its storage."""


def is_sound(exif: bytes) -> bool:
    """Return whether the block's first directory is readable."""
    try:
        tiff = _tiff(exif)
        tiff.entries(tiff.first)
    except ValueError:
        return False
    return True


def orientation(exif: bytes) -> int:
    """Orientation of the block, 1 to 8; 1 if it has none."""
    found = _numbers(exif, (_ORIENTATION,)).get(_ORIENTATION, 1)
    return int(found) if 1 <= found <= 8 else 1


def resolution(exif: bytes) -> tuple[float, float] | None:
    """Pixels per millimetre across and down; None if the block has no resolution."""
    found = _numbers(exif, (_X_RESOLUTION, _Y_RESOLUTION, _RESOLUTION_UNIT))
    return per_millimetre(
        found.get(_X_RESOLUTION, 0), found.get(_Y_RESOLUTION, 0), int(found.get(_RESOLUTION_UNIT, 2))
    )


def per_millimetre(across: float, down: float, unit: int) -> tuple[float, float] | None:
    """Convert a resolution in TIFF's units (2: inch, 3: centimetre) to pixels per millimetre; None for other units."""
    size = {2: _INCH_MM, 3: 10.0}.get(unit)
    if size is None or not (0 < across < 1e9 and 0 < down < 1e9):
        return None
    return across / size, down / size


def upright(exif: bytes) -> bytes:
    """Block with its orientation, if any, set to 1 (EXIF 2.32, 4.6.4)."""
    return _edited(exif, {_ORIENTATION: 1})


def fitted(exif: bytes, width: int, height: int) -> bytes:
    """Block adapted to an upright image of this size.

    Sizes in pixels are corrected; subject areas (in pixels) and the thumbnail are removed.
    """
    exif = _edited(exif, {_ORIENTATION: 1, _WIDTH: width, _HEIGHT: height})
    sizes = {_X_DIMENSION: width, _Y_DIMENSION: height}
    exif = _edited(exif, sizes, (EXIF,), drop=(_SUBJECT_AREA, _SUBJECT_LOCATION))
    exif = _edited(exif, {_RELATED_WIDTH: width, _RELATED_HEIGHT: height}, (EXIF, INTEROP))
    return _without_thumbnail(exif)


def from_tiff(tiff: Tiff) -> bytes | None:
    """EXIF block of the descriptive tags of a TIFF file's first directory; None if there are none."""
    found = read_directory(tiff, tiff.first, DESCRIPTIVE)
    for tag, (_, _, data) in list(found.values.items()):
        if tag == 0x010E and data.startswith((b'{"shape', b"ImageJ=", b"<?xml", b"<OME")):
            del found.values[tag]  # notes of programs on how the array is stored
    if not found.values and not found.below:
        return None
    return b"II*\0\x08\0\0\0" + build(found, 8)


def to_tiff(exif: bytes) -> Directory:
    """Descriptive tags of a block, for a TIFF file's directory.

    Raises:
        ValueError: the data are no EXIF block.
    """
    tiff = _tiff(exif)
    found = read_directory(tiff, tiff.first, DESCRIPTIVE)
    return Directory(found.values, {tag: d for tag, d in found.below.items() if tag in (EXIF, GPS)})


def bare(exif: bytes) -> bytes:
    """Block without the prefix that it has in JPEG."""
    return exif.removeprefix(PREFIX)


def _tiff(exif: bytes) -> Tiff:
    start = len(PREFIX) if exif.startswith(PREFIX) else 0
    tiff = Tiff(lambda offset, size: exif[start + offset : start + offset + size])
    if tiff.big:
        raise ValueError("EXIF is no BigTIFF")
    return tiff


def _numbers(exif: bytes, tags: Iterable[int]) -> dict[int, float]:
    """First values of tags in the first directory."""
    try:
        tiff = _tiff(exif)
        entries = [e for e in tiff.entries(tiff.first)[0] if e.tag in tags]
        return {e.tag: numbers[0] for e in entries if (numbers := tiff.numbers(e))}
    except ValueError:
        return {}


def _edited(
    exif: bytes,
    values: Mapping[int, int],
    path: tuple[int, ...] = (),
    drop: tuple[int, ...] = (),
) -> bytes:
    """Block with existing tags of a directory set to new values, or removed.

    Args:
        path: pointers to follow from the first directory.
    """
    try:
        tiff = _tiff(exif)
        at = tiff.first
        for pointer in path:
            at = tiff.whole(next((e for e in tiff.entries(at)[0] if e.tag == pointer), None)) or 0
        if not at:
            return exif
        entries, following = tiff.entries(at)
    except ValueError:  # the directory lies beyond the block and is unreadable
        return exif
    kept = [_with_value(tiff, e, values.get(e.tag)) for e in entries if e.tag not in drop]
    table = (
        struct.pack(tiff.order + "H", len(kept)) + b"".join(kept) + struct.pack(tiff.order + "I", following)
    )
    start = len(PREFIX) if exif.startswith(PREFIX) else 0
    size = 2 + 12 * len(entries) + 4
    return exif[: start + at] + table.ljust(size, b"\0") + exif[start + at + size :]


def _with_value(tiff: Tiff, entry: Entry, value: int | None) -> bytes:
    """Twelve bytes of an entry, with a new value if it is not None."""
    old = tiff.read(entry.at, 12)
    if value is None or tiff.whole(entry) == value:
        return old
    if value < 65536 and entry.kind != LONG:
        return struct.pack(tiff.order + "HHIHH", entry.tag, SHORT, 1, value, 0)
    return struct.pack(tiff.order + "HHII", entry.tag, LONG, 1, value)


def _without_thumbnail(exif: bytes) -> bytes:
    """Block without the second directory and its thumbnail, which are overwritten with zeros."""
    try:
        tiff = _tiff(exif)
        entries, second = tiff.entries(tiff.first)
        if not second:
            return exif
        below = {e.tag: e for e in tiff.entries(second)[0]}
    except ValueError:
        return exif
    start = len(PREFIX) if exif.startswith(PREFIX) else 0
    block = bytearray(exif)
    struct.pack_into(tiff.order + "I", block, start + tiff.first + 2 + 12 * len(entries), 0)
    block[start + second : start + second + 2 + 12 * len(below)] = bytes(2 + 12 * len(below))
    for offset_tag, size_tag in _THUMBNAILS:
        offset, size = tiff.whole(below.get(offset_tag)), tiff.whole(below.get(size_tag))
        if offset and size and offset > second and start + offset + size <= len(block):
            block[start + offset : start + offset + size] = bytes(size)
            if start + offset + size == len(block):
                del block[start + offset :]
    return bytes(block)
