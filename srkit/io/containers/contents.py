"""Metadata of an image file, read without decoding the pixels."""

from __future__ import annotations

import contextlib
import struct
from dataclasses import dataclass, field
from typing import BinaryIO

from srkit.io.colour_tags import ColourTags

COMMENT = "Comment"
"""Keyword of a text that is a file's comment (JPEG, GIF)."""
C2PA = "C2PA content credentials"
"""Name of content credentials in warnings; they are lost, since they sign the stored image."""
MAX_BLOCK = 64 << 20
"""Maximum size of a metadata block in bytes."""
MAX_BLOCKS = 1_000_000
"""Maximum number of blocks that are scanned, enough for the pixels of 8 GB."""
_MAX_TEXT = 64 << 20
_MAX_LOST = 16


@dataclass
class Contents:
    """Metadata of a file; filled by a container's scanner, which may stop at damage.

    Attributes:
        exif, xmp, iptc: the blocks: EXIF without prefix, an XMP packet, IPTC-IIM data sets.
        texts: keyword and text; a comment's keyword is `Comment`.
        resolution: pixels per millimetre across and down.
        colour: colours described by other means than an ICC profile.
        colour_first: `colour` takes precedence over an ICC profile.
        icc: a profile that libvips does not find.
        images: number of images, frames or pages, without thumbnails.
        jpeg_quality: 1 to 100, from the quantisation tables of a JPEG.
        lost: other metadata that are not read, for a warning.
        unsupported: subtype of the format, if the decoder may not support it; for the error.
        refused: kind of the file, if the decoder would read something else than the image.
    """

    exif: bytes | None = None
    xmp: bytes | None = None
    iptc: bytes | None = None
    texts: list[tuple[str, str]] = field(default_factory=list)
    resolution: tuple[float, float] | None = None
    colour: ColourTags | None = None
    colour_first: bool = False
    icc: bytes | None = None
    images: int = 1
    jpeg_quality: int | None = None
    lost: list[str] = field(default_factory=list)
    unsupported: str | None = None
    refused: str | None = None

    def lose(self, what: str) -> None:
        """Record metadata that are not read, once."""
        what = "".join(c if c.isprintable() else "?" for c in what[:120])
        if what not in self.lost and len(self.lost) < _MAX_LOST:
            self.lost.append(what)

    def note_aspect(self, across: float, down: float, *, square: bool) -> None:
        """Record a pixel aspect ratio, given by a resolution without a unit, as lost."""
        if not square and across > 0 and down > 0 and across != down:
            self.lose(f"the pixel aspect ratio {down / across:.4g}")

    def add_text(self, keyword: str, text: str) -> None:
        """Add a text; texts beyond 64 MB in total are lost."""
        if sum(len(t) for _, t in self.texts) + len(text) > _MAX_TEXT:
            self.lose(f"the text '{keyword}'")
        else:
            self.texts.append((keyword, text))


class Source:
    """Random access to a file's bytes."""

    def __init__(self, handle: BinaryIO) -> None:
        self._handle = handle
        self.size = handle.seek(0, 2)

    def at(self, offset: int, size: int) -> bytes:
        """Up to `size` bytes at an offset; fewer at the end of the file."""
        if not 0 <= offset < self.size or size <= 0:
            return b""
        self._handle.seek(offset)
        return self._handle.read(min(size, self.size - offset))


def write_all(file: BinaryIO, data: bytes) -> None:
    """Write all of the data, even if an unbuffered file accepts only part of it at a time."""
    view = memoryview(data)
    while view:
        view = view[file.write(view) :]


def text_of(data: bytes) -> str:
    """Decode text of unknown encoding: UTF-8, else Latin-1; without trailing zeros."""
    with contextlib.suppress(UnicodeDecodeError):
        return data.rstrip(b"\0").decode("utf-8")
    return data.rstrip(b"\0").decode("latin-1")


def iptc_of(resources: bytes) -> bytes | None:
    """Extract IPTC-IIM data sets from Photoshop image resources (its file format, "Image Resources", 0x0404)."""
    at = 0
    while resources[at : at + 4] == b"8BIM" and at + 8 <= len(resources):
        (kind,) = struct.unpack_from(">H", resources, at + 4)
        name = 1 + resources[at + 6]
        at += 6 + name + name % 2
        if at + 4 > len(resources):
            return None
        (size,) = struct.unpack_from(">I", resources, at)
        if kind == 0x0404:
            return resources[at + 4 : at + 4 + size] or None
        at += 4 + size + size % 2
    return None


def iptc_resources(iptc: bytes) -> bytes:
    """Wrap IPTC-IIM data sets in a Photoshop image resource."""
    return b"8BIM\x04\x04\0\0" + struct.pack(">I", len(iptc)) + iptc + b"\0" * (len(iptc) % 2)
