"""JPEG marker segments (ITU-T T.81, annex B), up to the first scan."""

from __future__ import annotations

import contextlib
import struct
from collections.abc import Iterator

from srkit.io.containers.contents import (
    C2PA,
    COMMENT,
    MAX_BLOCKS,
    Contents,
    Source,
    iptc_of,
    iptc_resources,
    text_of,
)
from srkit.io.exif import PREFIX, per_millimetre
from srkit.io.ifd import Tiff

MAX_SEGMENT = 65_533
_SOI, _EOI, _SOS, _DQT, _COM = 0xD8, 0xD9, 0xDA, 0xDB, 0xFE
_USUAL_SUM = 3689  # of the 64 steps of T.81, table K.1
_FRAMES = frozenset({*range(0xC0, 0xD0), 0xF7}) - {0xC4, 0xC8, 0xCC}
_XMP, _EXTENDED_XMP = b"http://ns.adobe.com/xap/1.0/\0", b"http://ns.adobe.com/xmp/extension/\0"
_PHOTOSHOP = b"Photoshop 3.0\0"
_MPF, _MP_ENTRIES, _LARGE_THUMBNAIL = b"MPF\0", 0xB002, 0x01
# Segments that concern only the stored data, or are read elsewhere: JFIF, the profile, an index, gain map versions,
# Adobe's colour transform and quality.
_PLAIN = (
    *(b"JFIF\0", b"JFXX\0", b"ICC_PROFILE\0", _MPF, b"urn:iso:std:iso:ts:21496"),
    *(b"Adobe", b"Ducky", _PHOTOSHOP),
)


def scan(source: Source) -> Contents:
    """Read the metadata of the segments, up to the first scan or damaged segment."""
    found = Contents()
    for marker, data in _segments(source):
        if marker == _DQT:
            found.jpeg_quality = found.jpeg_quality or _quality(data)
        elif marker == _COM:
            found.add_text(COMMENT, text_of(data))
        elif marker in _FRAMES:
            found.unsupported = _unsupported(marker, data)
        elif 0xE0 <= marker <= 0xEF:
            _application(found, marker - 0xE0, data)
    return found


def head(
    exif: bytes | None, xmp: bytes | None, iptc: bytes | None, texts: tuple[tuple[str, str], ...]
) -> bytes:
    """Build segments of these metadata, texts as comments; each must fit into `MAX_SEGMENT`, including its name."""
    segments = b""
    if exif is not None:
        segments += _segment(0xE1, PREFIX + exif)
    if xmp is not None:
        segments += _segment(0xE1, _XMP + xmp)
    if iptc is not None:
        segments += _segment(0xED, _PHOTOSHOP + iptc_resources(iptc))
    return segments + b"".join(_segment(_COM, text.encode("utf-8", "replace")) for _, text in texts)


def edited(start: bytes, segments: bytes, resolution: tuple[float, float] | None) -> bytes | None:
    """Start of a file written by libvips, with a new JFIF header and these segments.

    The header has the given resolution, or none. None if `start` is too short.
    """
    if len(start) < 20:
        return None
    end = 4 + struct.unpack_from(">H", start, 4)[0] if start[6:11] == b"JFIF\0" else 2
    unit, across, down = 0, 1, 1
    if resolution is not None:
        # Per inch if that is an integer, as usual; else per centimetre, if that is closer.
        inches, centimetres = ([r * size for r in resolution] for size in (25.4, 10))
        off = [max(abs(v - round(v)) for v in values) for values in (inches, centimetres)]
        unit, values = (1, inches) if off[0] <= off[1] or off[0] < 0.01 else (2, centimetres)
        across, down = (min(max(round(v), 1), 65535) for v in values)
    jfif = _segment(0xE0, b"JFIF\0\1\2" + struct.pack(">BHH", unit, across, down) + b"\0\0")
    return start[:2] + jfif + segments + start[end:]


def _segments(source: Source) -> Iterator[tuple[int, bytes]]:
    at = 2
    for _ in range(MAX_BLOCKS):
        declared = source.at(at, 4)
        if len(declared) < 4 or declared[0] != 0xFF:
            return
        marker = declared[1]
        if marker == 0xFF:  # a fill byte
            at += 1
            continue
        if marker in (_SOS, _EOI):
            return
        if marker == 1 or _SOI - 8 <= marker <= _SOI:
            at += 2
            continue
        size = struct.unpack_from(">H", declared, 2)[0]
        yield marker, source.at(at + 4, size - 2)
        at += 2 + max(size, 2)


def _quality(data: bytes) -> int | None:
    """Quality 1 to 100 in libjpeg's terms, from the sum of the first quantisation table; None if truncated."""
    size = 2 if data[:1] >= b"\x10" else 1
    steps = data[1 : 1 + 64 * size]
    if len(steps) < 64 * size:
        return None
    total: int = sum(struct.unpack(f">64{'BH'[size - 1]}", steps))
    percent = 100 * total / _USUAL_SUM
    return max(1, min(100, round(100 - percent / 2 if percent <= 100 else 5000 / percent)))


def _application(found: Contents, number: int, data: bytes) -> None:
    if number == 0 and data.startswith(b"JFIF\0") and len(data) >= 12:
        unit, across, down = struct.unpack_from(">BHH", data, 7)
        found.note_aspect(across, down, square=unit != 0)
        found.resolution = per_millimetre(across, down, unit + 1)
    elif number == 1 and data.startswith(PREFIX):
        found.exif = found.exif or data[len(PREFIX) :]
    elif number == 1 and data.startswith(_XMP):
        found.xmp = found.xmp or data[len(_XMP) :]
    elif number == 1 and data.startswith(_EXTENDED_XMP):
        found.lose("extended XMP")
    elif number == 2 and data.startswith(_MPF):
        with contextlib.suppress(ValueError, struct.error):
            found.images = _images(data[len(_MPF) :])
    elif number == 11 and b"jumb" in data[:64]:
        found.lose(C2PA if b"c2pa" in data else "JUMBF boxes")
    elif number == 13 and data.startswith(_PHOTOSHOP):
        found.iptc = found.iptc or iptc_of(data[len(_PHOTOSHOP) :])
    elif not data.startswith(_PLAIN) and any(data):
        found.lose(f"the data of JPEG's APP{number}")


def _images(index: bytes) -> int:
    """Number of images in a multi-image index that are no previews of the first (CIPA DC-007, 5.2.3)."""
    tiff = Tiff(lambda offset, size: index[offset : offset + size])
    for entry in tiff.entries(tiff.first)[0]:
        if entry.tag == _MP_ENTRIES:
            listed = struct.iter_unpack(tiff.order + "I12x", tiff.value(entry))
            kinds: list[int] = [(attribute >> 16) & 0xFF for (attribute,) in listed]
            return max(1, len(kinds) - kinds.count(_LARGE_THUMBNAIL))
    return 1


def _unsupported(marker: int, frame: bytes) -> str | None:
    """Description of rare kinds of JPEG that decoders may lack, else None (T.81, table B.1)."""
    bits = frame[0] if frame else 8
    if marker == 0xF7:
        return "a JPEG-LS image"
    coding = "losslessly coded " if marker & 3 == 3 else "hierarchical " if marker & 7 > 3 else ""
    coding = "arithmetically coded " + coding if marker > 0xC8 else coding
    if not coding and bits == 8:
        return None
    return f"a {coding}JPEG image of {bits} bits per sample"


def _segment(marker: int, data: bytes) -> bytes:
    return struct.pack(">BBH", 0xFF, marker, len(data) + 2) + data
