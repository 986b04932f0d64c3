"""What the file of an image holds besides its pixels, found without decoding."""

from __future__ import annotations

import contextlib
import struct
from dataclasses import dataclass, field
from typing import BinaryIO

from srkit.io.colour_tags import ColourTags

COMMENT = "Comment"
"""The keyword of texts that are a file's comment (JPEG, GIF)."""
C2PA = "C2PA content credentials"
"""As what is lost: they are signed over the stored image."""
MAX_BLOCK = 64 << 20
"""Longer blocks of metadata are not taken."""
MAX_BLOCKS = 1_000_000
"""As many are looked at, which is enough for the pixels of 8 GB."""
_MAX_TEXT = 64 << 20
_MAX_LOST = 16


@dataclass
class Contents:
    """What was found; filled by the scanner of a container, which may stop where the file is damaged.

    Attributes:
        exif, xmp, iptc: the blocks: EXIF without prefix, an XMP packet, IPTC-IIM data sets.
        texts: keyword and text; a comment's keyword is `Comment`.
        resolution: pixels per millimetre across and down.
        colour: colours that are given by other means than an ICC profile.
        colour_first: `colour` outranks an ICC profile.
        icc: a profile that libvips does not find.
        images: how many images, frames or pages, thumbnails not counted.
        jpeg_quality: 1 to 100, from the quantisation tables of a JPEG.
        lost: what else there is that is not read, for a warning.
        unsupported: what kind of the format it is, where the decoder may not read it; for the error.
        refused: what it is, where the decoder would read something else than the image.
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
        """Note something that is not read, once."""
        what = "".join(c if c.isprintable() else "?" for c in what[:120])
        if what not in self.lost and len(self.lost) < _MAX_LOST:
            self.lost.append(what)

    def note_aspect(self, across: float, down: float, *, square: bool) -> None:
        """Note a resolution: without a unit it says how long pixels are for their width, which is not kept."""
        if not square and across > 0 and down > 0 and across != down:
            self.lose(f"the pixel aspect ratio {down / across:.4g}")

    def add_text(self, keyword: str, text: str) -> None:
        """Note a text; those beyond 64 MB in all are lost."""
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
        """Up to `size` bytes at an offset: fewer where the file ends."""
        if not 0 <= offset < self.size or size <= 0:
            return b""
        self._handle.seek(offset)
        return self._handle.read(min(size, self.size - offset))


def write_all(file: BinaryIO, data: bytes) -> None:
    """Write all of it, where an unbuffered file may take a part."""
    view = memoryview(data)
    while view:
        view = view[file.write(view) :]


def text_of(data: bytes) -> str:
    """Text of unknown encoding: UTF-8, else Latin-1; no zeros at its end."""
    with contextlib.suppress(UnicodeDecodeError):
        return data.rstrip(b"\0").decode("utf-8")
    return data.rstrip(b"\0").decode("latin-1")


def iptc_of(resources: bytes) -> bytes | None:
    """The IPTC-IIM data sets within Photoshop image resources (its file format, "Image Resources", 0x0404)."""
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
    """IPTC-IIM data sets as a Photoshop image resource."""
    return b"8BIM\x04\x04\0\0" + struct.pack(">I", len(iptc)) + iptc + b"\0" * (len(iptc) % 2)
