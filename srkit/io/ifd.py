"""Directories of TIFF structures: EXIF blocks, TIFF and BigTIFF files, multi-image indexes."""

from __future__ import annotations

import contextlib
import struct
from collections.abc import Callable, Container
from dataclasses import dataclass, field, replace

import numpy as np

Read = Callable[[int, int], bytes]
"""Function from (offset, size) to bytes, fewer at the end."""

EXIF, GPS, INTEROP = 34665, 34853, 40965
"""Tags that point to further directories."""
BYTE, ASCII, SHORT, LONG, RATIONAL, UNDEFINED = 1, 2, 3, 4, 5, 7

# Bytes of a value, and of its numbers below (relevant for byte order); TIFF 6.0, 2, and BigTIFF.
_SIZES = {
    1: 1,
    2: 1,
    3: 2,
    4: 4,
    5: 8,
    6: 1,
    7: 1,
    8: 2,
    9: 4,
    10: 8,
    11: 4,
    12: 8,
    13: 4,
    16: 8,
    17: 8,
    18: 8,
}
_UNITS = _SIZES | {5: 4, 10: 4}
_LAST_CLASSIC, _LONG8 = 13, 16
_BELOW: dict[int | None, tuple[int, ...]] = {None: (EXIF, GPS), EXIF: (INTEROP,)}
_MAX_ENTRIES = 4096
_MAX_NUMBERS = 4096
_MAX_VALUE = 64 << 20


@dataclass(frozen=True)
class Entry:
    """Tag of a directory with its type, count and position of the values."""

    tag: int
    kind: int
    count: int
    at: int
    """Offset of the entry itself."""
    where: int

    @property
    def size(self) -> int:
        """Size of all values, in bytes."""
        return _SIZES.get(self.kind, 0) * self.count


class Tiff:
    """TIFF structure; offsets are from its first byte.

    Args:
        read: function that reads its bytes.

    Raises:
        ValueError: the data do not begin as a TIFF structure.
    """

    def __init__(self, read: Read) -> None:
        self.read = read
        head = read(0, 16)
        self.order = {b"II": "<", b"MM": ">"}.get(head[:2], "")
        if not self.order or len(head) < 8:
            raise ValueError("no TIFF structure")
        (version,) = struct.unpack_from(self.order + "H", head, 2)
        self.big = version == 43
        if not self.big:
            (self.first,) = struct.unpack_from(self.order + "I", head, 4)
        elif len(head) == 16:
            (self.first,) = struct.unpack_from(self.order + "Q", head, 8)
        else:
            raise ValueError("the BigTIFF header is incomplete")
        self.step = 20 if self.big else 12
        """Bytes of an entry."""

    def entries(self, offset: int) -> tuple[list[Entry], int]:
        """Read the entries of the directory at an offset, and the offset of the next directory (0: none).

        Raises:
            ValueError: the directory lies outside, or declares more than 4,096 entries.
        """
        counted, pointer = ("Q", "Q") if self.big else ("H", "I")
        (count,) = self._unpack(counted, offset)
        if count > _MAX_ENTRIES:
            raise ValueError(f"a directory of {count} entries")
        start = offset + struct.calcsize("=" + counted)
        (following,) = self._unpack(pointer, start + self.step * count)
        return [self._entry(start + self.step * i) for i in range(count)], following

    def value(self, entry: Entry) -> bytes:
        """Bytes of an entry's values in the file's byte order; empty if they lie outside."""
        if entry.size > _MAX_VALUE:
            return b""
        data = self.read(entry.where, entry.size)
        return data if len(data) == entry.size else b""

    def little(self, entry: Entry) -> bytes:
        """Bytes of an entry's values in little-endian order."""
        data, unit = self.value(entry), _UNITS.get(entry.kind, 1)
        if self.order == "<" or unit == 1:
            return data
        return np.frombuffer(data, f">u{unit}").astype(f"<u{unit}").tobytes()

    def numbers(self, entry: Entry) -> list[float]:
        """Values of an entry as numbers (a rational with denominator 0 is 0); empty for text."""
        code = {1: "u1", 3: "u2", 4: "u4", 5: "u4", 7: "u1", 8: "i2", 9: "i4", 10: "i4", 13: "u4"}
        code |= {11: "f4", 12: "f8", 16: "u8", 18: "u8"}
        if entry.kind not in code or entry.count > _MAX_NUMBERS:
            return []
        values = [float(v) for v in np.frombuffer(self.little(entry), "<" + code[entry.kind])]
        if entry.kind not in (5, 10):
            return values
        return [a / b if b else 0.0 for a, b in zip(values[::2], values[1::2], strict=True)]

    def whole(self, entry: Entry | None) -> int | None:
        """First value of an entry as an integer, or None."""
        values = [] if entry is None else self.numbers(replace(entry, count=min(entry.count, 1)))
        return int(values[0]) if values and abs(values[0]) < 2**63 else None

    def _entry(self, at: int) -> Entry:
        tag, kind, count = self._unpack("HHQ" if self.big else "HHI", at)
        inline, room = (at + 12, 8) if self.big else (at + 8, 4)
        where = inline
        if _SIZES.get(kind, 0) * count > room:
            (where,) = self._unpack("Q" if self.big else "I", inline)
        return Entry(tag, kind, count, at, where)

    def _unpack(self, form: str, offset: int) -> tuple[int, ...]:
        form = self.order + form
        data = self.read(offset, struct.calcsize(form))
        try:
            return struct.unpack(form, data)
        except struct.error:
            raise ValueError("a directory lies outside of its file") from None


@dataclass
class Directory:
    """Directory as values: tag to (type, count, little-endian bytes), and its subdirectories."""

    values: dict[int, tuple[int, int, bytes]] = field(default_factory=dict)
    below: dict[int, Directory] = field(default_factory=dict)


def read_directory(
    tiff: Tiff, offset: int, keep: Container[int] | None = None, name: int | None = None
) -> Directory:
    """Read the directory at an offset with its subdirectories: EXIF and GPS in the first, interoperability in EXIF.

    Args:
        keep: tags of this directory to keep; None: all. Subdirectories are kept entirely.
        name: the tag that points to this directory, None for the first.

    Raises:
        ValueError: the directory lies outside. Such subdirectories are omitted.
    """
    result = Directory()
    for entry in tiff.entries(offset)[0]:
        if entry.tag in _BELOW.get(name, ()):
            with contextlib.suppress(ValueError):
                result.below[entry.tag] = read_directory(tiff, tiff.whole(entry) or 0, name=entry.tag)
        elif entry.tag not in (EXIF, GPS, INTEROP) and (keep is None or entry.tag in keep):
            data = tiff.little(entry)
            if data and entry.kind <= _LAST_CLASSIC:
                result.values[entry.tag] = (entry.kind, entry.count, data)
    return result


def build(directory: Directory, base: int, *, big: bool = False) -> bytes:
    """Encode a directory and its subdirectories as little-endian bytes, to be stored at the even offset `base`."""
    step, pointer, counted, kind = (20, "<Q", "<Q", _LONG8) if big else (12, "<I", "<H", LONG)
    room, values = struct.calcsize(pointer), dict(directory.values)
    count = len(values) + len(directory.below)
    start = base + struct.calcsize(counted) + step * count + room
    body = b""
    for tag, below in directory.below.items():
        at = start + len(body)
        values[tag] = (kind, 1, struct.pack(pointer, at))
        body += _even(build(below, at, big=big))
    table = struct.pack(counted, count)
    for tag, (kind, number, data) in sorted(values.items()):
        table += struct.pack("<HHQ" if big else "<HHI", tag, kind, number)
        if len(data) <= room:
            table += data.ljust(room, b"\0")
        else:
            table += struct.pack(pointer, start + len(body))
            body += _even(data)
    return table + struct.pack(pointer, 0) + body


def _even(data: bytes) -> bytes:
    return data + b"\0" * (len(data) % 2)
