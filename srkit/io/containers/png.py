"""PNG chunks (W3C PNG, third edition)."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Iterator

from srkit.io.colour_tags import from_cicp, from_gamma
from srkit.io.containers.contents import C2PA, MAX_BLOCK, MAX_BLOCKS, Contents, Source, iptc_of, text_of
from srkit.io.exif import PREFIX, bare

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_XMP = b"XML:com.adobe.xmp"
_MAX_INFLATED = 8 << 20
_RAW_PROFILE = "Raw profile type "
_STALE = ("png:", "exif:", "jpeg:", "icc:", "Thumb::")
"""Prefixes of keywords under which ImageMagick and thumbnailers record how the file was stored."""
_C2PA = b"caBX"
# Chunks without metadata, or with metadata of the stored file only: palettes and their use, significant bits,
# background, time of the last change, static HDR data (the colours have their own warning), Apple's index.
_PLAIN = frozenset(
    {
        *(b"IHDR", b"PLTE", b"IDAT", b"IEND", b"tRNS", b"sBIT", b"bKGD", b"hIST", b"sPLT", b"tIME", b"iDOT"),
        *(b"fcTL", b"fdAT", b"iCCP", b"mDCV", b"mDCv", b"cLLI", b"cLLi"),
    }
)
_NOTED = frozenset({b"acTL", b"sRGB", b"gAMA", b"cHRM", b"cICP"})


def scan(source: Source) -> Contents:
    """Read the metadata of the chunks, up to the first that exceeds the file."""
    found = Contents()
    given: dict[bytes, bytes] = {}
    for kind, at, size in _chunks(source):
        if kind not in _READERS and kind not in _NOTED:
            if kind not in _PLAIN:
                found.lose(C2PA if kind == _C2PA else f"the PNG chunk {kind.decode('ascii')}")
            continue
        data = source.at(at, size) if size <= MAX_BLOCK else b""
        crc = source.at(at + size, 4)
        if len(data) < size or crc != struct.pack(">I", zlib.crc32(kind + data)):
            continue  # as libpng does
        if kind in _READERS:
            _READERS[kind](found, data)
        else:
            given.setdefault(kind, data)
    _colours(found, given)
    return found


def head(
    exif: bytes | None,
    xmp: bytes | None,
    texts: tuple[tuple[str, str], ...],
    resolution: tuple[float, float] | None,
) -> bytes:
    """Build chunks of these metadata, to precede the pixels.

    Texts are tEXt if Latin-1, as programs that read them expect, else iTXt.
    """
    chunks = b""
    if resolution is not None:
        per_metre = [min(round(1000 * r), 2**31 - 1) for r in resolution]
        chunks += _chunk(b"pHYs", struct.pack(">IIB", *per_metre, 1))
    if exif is not None:
        chunks += _chunk(b"eXIf", exif)
    if xmp is not None:
        chunks += _chunk(b"iTXt", _XMP + b"\0\0\0\0\0" + xmp)
    for keyword, text in texts:
        name, text = keyword.encode("latin-1", "replace"), text.replace("\0", "")
        try:
            chunks += _chunk(b"tEXt", name + b"\0" + text.encode("latin-1"))
        except UnicodeEncodeError:
            chunks += _chunk(b"iTXt", name + b"\0\0\0\0\0" + text.encode("utf-8", "replace"))
    return chunks


def edited(start: bytes, chunks: bytes) -> bytes | None:
    """Start of a file written by libvips, with these chunks before its pixels.

    A resolution added by libvips is removed. None if `start` does not reach the pixels.
    """
    kept = _SIGNATURE
    for kind, at, size in _chunks(Source(io.BytesIO(start))):
        if kind in (b"IDAT", b"PLTE", b"tRNS"):
            return kept + chunks + start[at - 8 :]
        if kind not in _READERS:
            kept += start[at - 8 : at + size + 4]
    return None


def _chunks(source: Source) -> Iterator[tuple[bytes, int, int]]:
    """Yield type, data position and data size of each chunk."""
    at = len(_SIGNATURE)
    for _ in range(MAX_BLOCKS):
        declared = source.at(at, 8)
        if len(declared) < 8:
            return
        size, kind = struct.unpack(">I4s", declared)
        if not (kind.isalpha() and kind.isascii()):
            return
        yield kind, at + 8, size
        if kind == b"IEND":
            return
        at += 12 + size


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def _colours(found: Contents, given: dict[bytes, bytes]) -> None:
    """Read cICP, else (a profile, else) sRGB, else gAMA and cHRM (11.3.2, "Colour space information")."""
    if len(given.get(b"acTL", b"")) >= 4:
        found.images = struct.unpack_from(">I", given[b"acTL"])[0]
    cicp = given.get(b"cICP", b"")
    if len(cicp) == 4:
        found.colour = from_cicp(cicp[0], cicp[1], full_range=cicp[3] != 0)
        found.colour_first = found.colour is not None
        if found.colour is None and cicp[:2] != b"\2\2":
            found.lose(f"the colours of cICP {cicp[0]}/{cicp[1]}, which are not known")
    if found.colour is not None or b"sRGB" in given:
        return
    gamma, points = None, None
    if len(given.get(b"gAMA", b"")) == 4 and any(given[b"gAMA"]):
        gamma = 100_000 / struct.unpack(">I", given[b"gAMA"])[0]
    if len(given.get(b"cHRM", b"")) == 32:
        white_x, white_y, *rest = (v / 100_000 for v in struct.unpack(">8I", given[b"cHRM"]))
        points = ((rest[0], rest[1]), (rest[2], rest[3]), (rest[4], rest[5]), (white_x, white_y))
    found.colour = from_gamma(gamma, points)


def _text(found: Contents, data: bytes) -> None:
    keyword, _, text = data.partition(b"\0")
    _take(found, keyword, text, latin=True)


def _compressed_text(found: Contents, data: bytes) -> None:
    keyword, _, rest = data.partition(b"\0")
    _take(found, keyword, _inflated(rest[1:]), latin=True)


def _international_text(found: Contents, data: bytes) -> None:
    keyword, _, rest = data.partition(b"\0")
    compressed, rest = rest[:1] == b"\1", rest[2:]
    text = rest.partition(b"\0")[2].partition(b"\0")[2]
    _take(found, keyword, _inflated(text) if compressed else text, latin=False)


def _inflated(data: bytes) -> bytes | None:
    try:
        inflater = zlib.decompressobj()
        text = inflater.decompress(data, _MAX_INFLATED)
    except zlib.error:
        return None
    return text if inflater.eof else None


def _take(found: Contents, keyword: bytes, text: bytes | None, *, latin: bool) -> None:
    name = keyword.decode("latin-1")
    if text is None:
        found.lose(f"the damaged or oversized text '{name}'")
    elif keyword == _XMP:
        found.xmp = found.xmp or text
    elif name.startswith(_RAW_PROFILE):
        _raw_profile(found, name.removeprefix(_RAW_PROFILE), text)
    elif not name.startswith(_STALE):
        found.add_text(name, text.decode("latin-1") if latin else text_of(text))


def _raw_profile(found: Contents, kind: str, text: bytes) -> None:
    """Read metadata as ImageMagick stores them in PNG: a name, the size, and hexadecimal digits."""
    try:
        data = bytes.fromhex("".join(text.decode("ascii").split()[2:]))
    except ValueError:
        data = b""
    if kind in ("exif", "APP1") and data.startswith(PREFIX):
        found.exif = found.exif or bare(data)
    elif kind == "xmp" and data:
        found.xmp = found.xmp or data
    elif kind in ("iptc", "8bim"):
        found.iptc = iptc_of(data) or (data if data.startswith(b"\x1c") else found.iptc)
    elif kind not in ("icc", "icm"):
        found.lose(f"the raw profile '{kind}'")


def _exif(found: Contents, data: bytes) -> None:
    found.exif = data


def _resolution(found: Contents, data: bytes) -> None:
    if len(data) == 9:
        across, down = struct.unpack_from(">II", data)
        if data[8] == 1 and across and down:
            found.resolution = (across / 1000, down / 1000)
        found.note_aspect(across, down, square=data[8] == 1)


_READERS = {
    b"tEXt": _text,
    b"zTXt": _compressed_text,
    b"iTXt": _international_text,
    b"eXIf": _exif,
    b"pHYs": _resolution,
}
