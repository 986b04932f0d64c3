"""HEIF boxes: AVIF and HEIC (ISO/IEC 14496-12, 23008-12)."""

from __future__ import annotations

import contextlib
import io
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field

from srkit.io.colour_tags import from_cicp
from srkit.io.containers.contents import C2PA, MAX_BLOCKS, Contents, Source

_CODECS = {
    "hvc1": "a HEIC image (HEVC)",
    "hev1": "a HEIC image (HEVC)",
    "vvc1": "a HEIF image coded as VVC",
    "avc1": "a HEIF image coded as H.264",
    "jpeg": "a HEIF image coded as JPEG",
    "j2k1": "a HEIF image coded as JPEG 2000",
    "unci": "an uncompressed HEIF image",
    "evc1": "a HEIF image coded as EVC",
}
_MAX_META = 4 << 20
_C2PA_UUID = bytes.fromhex("d8fec3d61b0e483c92975828877ec481")


@dataclass
class _Meta:
    """The items of a file."""

    primary: int = 0
    kinds: dict[int, str] = field(default_factory=dict)
    properties: list[tuple[bytes, bytes]] = field(default_factory=list)
    held: dict[int, list[int]] = field(default_factory=dict)
    """Properties of each item, counted from 1."""
    refers: dict[tuple[bytes, int], list[int]] = field(default_factory=dict)
    """Target items by kind of reference and source item."""

    def of(self, item: int, kind: bytes) -> list[bytes]:
        """Data of an item's properties of a kind."""
        numbers = (n for n in self.held.get(item, []) if 0 < n <= len(self.properties))
        return [data for name, data in (self.properties[n - 1] for n in numbers) if name == kind]


def scan(source: Source) -> Contents:
    """Read colours given by code points, the number of images, and the codec of the primary item.

    EXIF, XMP and profiles are read by libvips. Damage ends the scan.
    """
    found = Contents()
    for kind, at, size in _boxes(source, 0, source.size):
        if kind == b"meta" and size <= _MAX_META:
            with contextlib.suppress(struct.error, IndexError):
                _describe(found, _meta(_within(source, at + 4, size - 4)))
        elif kind == b"uuid" and source.at(at, 16) == _C2PA_UUID:
            found.lose(C2PA)
    if source.at(4, 8) == b"ftypavis":
        found.images = 2  # or more: the number is in the track, which is not read
    return found


def edited(data: bytes, exif: bytes | None) -> bytes:
    """Replace the EXIF of a file written by libvips with this block, byte by byte.

    libvips passes EXIF through a library that drops unknown tags and adds missing ones.
    """
    if exif is None:
        return data
    source = Source(io.BytesIO(data))
    for kind, at, size in _boxes(source, 0, len(data)):
        if kind != b"meta":
            continue
        item = next(
            (i for i, k in _meta(_within(source, at + 4, size - 4)).kinds.items() if k == "Exif"), None
        )
        for name, start, _ in _boxes(source, at + 4, at + size):
            if name == b"iloc" and item is not None:
                payload = b"\0\0\0\0" + exif
                return _relocated(data, start, item, payload)
    raise ValueError("the encoder wrote no EXIF item")


def _relocated(data: bytes, iloc: int, item: int, payload: bytes) -> bytes:
    """File with an item's only extent moved to the end (8.11.3); `iloc` is the position of the box's content."""
    version, sizes, more = data[iloc], data[iloc + 4], data[iloc + 5]
    offset_size, length_size, base_size, index_size = sizes >> 4, sizes & 15, more >> 4, more & 15
    wide = 4 if version == 2 else 2
    count = int.from_bytes(data[iloc + 6 : iloc + 6 + wide], "big")
    at = iloc + 6 + wide
    for _ in range(count):
        found = int.from_bytes(data[at : at + wide], "big")
        at += wide + (2 if version else 0) + 2
        base = int.from_bytes(data[at : at + base_size], "big")
        at += base_size
        (extents,) = struct.unpack_from(">H", data, at)
        at += 2
        if found == item and extents == 1:
            at += index_size if version else 0
            old = base + int.from_bytes(data[at : at + offset_size], "big")
            size = int.from_bytes(data[at + offset_size : at + offset_size + length_size], "big")
            changed = bytearray(data)
            changed[old : old + size] = bytes(size)
            place = (len(data) + 8 - base).to_bytes(offset_size, "big")
            place += len(payload).to_bytes(length_size, "big")
            changed[at : at + len(place)] = place
            return bytes(changed) + struct.pack(">I4s", 8 + len(payload), b"mdat") + payload
        at += extents * ((index_size if version else 0) + offset_size + length_size)
    raise ValueError("the encoder's EXIF item has no place")


def _describe(found: Contents, meta: _Meta) -> None:
    item = meta.primary
    shown = [item, *meta.refers.get((b"dimg", item), [])[:1]]  # a grid, and its first tile
    for one in shown:
        for colour in meta.of(one, b"colr"):
            if colour[:4] == b"nclx" and found.colour is None and len(colour) >= 8:
                primaries, transfer = struct.unpack_from(">HH", colour, 4)
                found.colour = from_cicp(primaries, transfer)  # the range is that of YCbCr, which is decoded
                if found.colour is None and (primaries, transfer) != (2, 2):
                    found.lose(f"the colours of CICP {primaries}/{transfer}, which are not known")
        found.unsupported = _CODECS.get(meta.kinds.get(one, ""), found.unsupported)
    if "tmap" in meta.kinds.values():
        found.lose("the gain map")
    for one in meta.kinds:
        for name in meta.of(one, b"auxC"):
            if b"hdrgainmap" in name:
                found.lose("the gain map")
            elif b"alpha" not in name and b":auxid:1" not in name:
                found.lose(
                    "the depth map" if b"depth" in name or b":auxid:2" in name else "an auxiliary image"
                )


def _meta(source: Source) -> _Meta:
    meta = _Meta()
    for kind, at, size in _boxes(source, 0, source.size):
        data = source.at(at, size)
        if kind == b"pitm":
            (meta.primary,) = struct.unpack_from(">I" if data[0] else ">H", data, 4)
        elif kind == b"iinf":
            _items(meta, _within(source, at, size), 8 if data[0] else 6)
        elif kind == b"iref":
            _references(meta, _within(source, at, size), ">I" if data[0] else ">H")
        elif kind == b"iprp":
            for name, start, length in _boxes(source, at, at + size):
                if name == b"ipco":
                    boxes = _boxes(source, start, start + length)
                    meta.properties = [(k, source.at(s, n)) for k, s, n in boxes]
                elif name == b"ipma":
                    _associations(meta, source.at(start, length))
    return meta


def _items(meta: _Meta, source: Source, start: int) -> None:
    for kind, at, size in _boxes(source, start, source.size):
        data = source.at(at, size)
        if kind == b"infe" and data[0] >= 2:
            form = ">I" if data[0] > 2 else ">H"
            (item,) = struct.unpack_from(form, data, 4)
            name = data[6 + struct.calcsize(form) :][:4]
            meta.kinds[item] = name.decode("latin-1")


def _references(meta: _Meta, source: Source, form: str) -> None:
    step = struct.calcsize(form)
    for kind, at, size in _boxes(source, 4, source.size):
        data = source.at(at, size)
        (item,) = struct.unpack_from(form, data)
        (count,) = struct.unpack_from(">H", data, step)
        others = [struct.unpack_from(form, data, 2 + step * (1 + i))[0] for i in range(count)]
        meta.refers[kind, item] = others


def _associations(meta: _Meta, data: bytes) -> None:
    wide = data[3] & 1
    (count,) = struct.unpack_from(">I", data, 4)
    at = 8
    for _ in range(count):
        (item,) = struct.unpack_from(">I" if data[0] else ">H", data, at)
        at += 4 if data[0] else 2
        number = data[at]
        form = f">{number}{'H' if wide else 'B'}"
        held = struct.unpack_from(form, data, at + 1)
        meta.held[item] = [n & (0x7FFF if wide else 0x7F) for n in held]
        at += 1 + struct.calcsize(form)


def _boxes(source: Source, at: int, end: int) -> Iterator[tuple[bytes, int, int]]:
    """Type, position and size of the content of each box (4.2)."""
    for _ in range(MAX_BLOCKS):
        if at + 8 > end:
            return
        size, kind = struct.unpack(">I4s", source.at(at, 8).ljust(8, b"\0"))
        head = 8
        if size == 1:
            size, head = int.from_bytes(source.at(at + 8, 8), "big"), 16
        elif size == 0:
            size = end - at
        if size < head or at + size > end:
            return
        yield kind, at + head, size - head
        at += size


def _within(source: Source, at: int, size: int) -> Source:
    return Source(io.BytesIO(source.at(at, size)))
