"""WebP chunks (RFC 9649)."""

from __future__ import annotations

import struct
from collections.abc import Iterator

from srkit.io.containers.contents import C2PA, MAX_BLOCK, MAX_BLOCKS, Contents, Source
from srkit.io.exif import bare

_ALPHA, _EXIF, _XMP = 0x10, 0x08, 0x04
_PLAIN = frozenset({b"VP8X", b"VP8 ", b"VP8L", b"ALPH", b"ANIM", b"ANMF", b"ICCP"})


def scan(source: Source) -> Contents:
    """Read the metadata of the chunks."""
    found = Contents()
    for kind, at, size in _chunks(source):
        if kind in (b"EXIF", b"XMP ") and size <= MAX_BLOCK:
            data = source.at(at, size)
            if kind == b"EXIF":
                found.exif = found.exif or bare(data) or None
            else:
                found.xmp = found.xmp or data or None
        elif kind == b"C2PA":
            found.lose(C2PA)
        elif kind not in _PLAIN:
            found.lose(f"the WebP chunk {kind.decode('latin-1')}")
    return found


def edited(data: bytes, exif: bytes | None, xmp: bytes | None) -> bytes:
    """File written by libvips without metadata, with these metadata appended."""
    if exif is None and xmp is None:
        return data
    body = data[12:]
    flags = (_EXIF if exif is not None else 0) | (_XMP if xmp is not None else 0)
    if not body.startswith(b"VP8X"):
        body = _extended(body) + body
    body = body[:8] + bytes([body[8] | flags]) + body[9:]
    for kind, block in ((b"EXIF", exif), (b"XMP ", xmp)):
        if block is not None:
            body += kind + struct.pack("<I", len(block)) + block + b"\0" * (len(block) % 2)
    return b"RIFF" + struct.pack("<I", 4 + len(body)) + b"WEBP" + body


def _extended(body: bytes) -> bytes:
    """VP8X chunk, required by metadata, for a file of one simple chunk."""
    if body.startswith(b"VP8L"):
        (bits,) = struct.unpack_from("<I", body, 9)
        width, height, alpha = bits & 0x3FFF, (bits >> 14) & 0x3FFF, bits >> 28 & 1
    else:
        alpha = 0
        width, height = (v & 0x3FFF for v in struct.unpack_from("<HH", body, 14))
        width, height = width - 1, height - 1
    sizes = struct.pack("<I", width)[:3] + struct.pack("<I", height)[:3]
    return b"VP8X" + struct.pack("<IB3x", 10, _ALPHA if alpha else 0) + sizes


def _chunks(source: Source) -> Iterator[tuple[bytes, int, int]]:
    at = 12
    for _ in range(MAX_BLOCKS):
        declared = source.at(at, 8)
        if len(declared) < 8:
            return
        kind, size = struct.unpack("<4sI", declared)
        yield kind, at + 8, size
        at += 8 + size + size % 2
