"""Handling of each kind of metadata in each format: the single table used by the writer, the tests and the README."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from srkit.io import exif as exif_blocks
from srkit.io import xmp as xmp_packets
from srkit.io.containers.contents import COMMENT
from srkit.io.containers.jpeg import MAX_SEGMENT
from srkit.io.image import DecodedImage
from srkit.io.xmp import Provenance


class Kind(StrEnum):
    """Kinds of metadata."""

    PROFILE = "ICC profile"
    COLOUR_TAGS = "colours by CICP, gAMA, cHRM or TIFF tags"
    ORIENTATION = "orientation"
    RESOLUTION = "resolution"
    EXIF = "EXIF"
    XMP = "XMP"
    IPTC = "IPTC"
    TEXT = "PNG text"
    COMMENT = "comment"
    SIZES = "sizes in pixels (EXIF, XMP)"
    THUMBNAIL = "thumbnails"
    IMAGES = "further images, gain maps"
    OTHER = "C2PA, layers, unknown blocks"


class Fate(StrEnum):
    """Treatment of metadata when an image is written."""

    KEPT = "kept"
    CONVERTED = "converted"
    CORRECTED = "corrected"
    DROPPED = "dropped, with a warning"
    REMOVED = "removed"
    """Removed because it is not true of the result."""


OUTPUTS = ("png", "jpg", "webp", "tiff", "avif")
_K, _C, _D = Fate.KEPT, Fate.CONVERTED, Fate.DROPPED

WRITTEN: dict[Kind, dict[str, Fate]] = {
    kind: dict(zip(OUTPUTS, fates, strict=True))
    for kind, fates in {
        Kind.PROFILE: (_K, _K, _K, _K, _K),
        Kind.COLOUR_TAGS: (_C, _C, _C, _C, _C),
        Kind.ORIENTATION: (Fate.CORRECTED,) * 5,
        Kind.RESOLUTION: (_K, _K, _D, _K, _D),
        Kind.EXIF: (_K, _K, _K, _K, _K),
        Kind.XMP: (_K, _K, _K, _K, _K),
        Kind.IPTC: (_D, _K, _D, _K, _D),
        Kind.TEXT: (_K, _D, _D, _D, _D),
        Kind.COMMENT: (_C, _K, _D, _D, _D),
        Kind.SIZES: (Fate.CORRECTED,) * 5,
        Kind.THUMBNAIL: (Fate.REMOVED,) * 5,
        Kind.IMAGES: (_D,) * 5,
        Kind.OTHER: (_D,) * 5,
    }.items()
}
"""Treatment by kind and output format."""

READ: dict[Kind, tuple[str, ...]] = {
    Kind.PROFILE: ("png", "jpg", "webp", "tiff", "avif", "gif", "bmp"),
    Kind.COLOUR_TAGS: ("png", "tiff", "avif"),
    Kind.ORIENTATION: ("png", "jpg", "webp", "tiff", "avif"),
    Kind.RESOLUTION: ("png", "jpg", "tiff", "bmp"),
    Kind.EXIF: ("png", "jpg", "webp", "tiff", "avif"),
    Kind.XMP: ("png", "jpg", "webp", "tiff", "avif", "gif"),
    Kind.IPTC: ("png", "jpg", "tiff"),
    Kind.TEXT: ("png",),
    Kind.COMMENT: ("jpg", "gif"),
    Kind.SIZES: ("png", "jpg", "webp", "tiff", "avif"),
    Kind.THUMBNAIL: ("png", "jpg", "webp", "avif"),
    Kind.IMAGES: ("png", "jpg", "webp", "tiff", "avif", "gif"),
    Kind.OTHER: ("png", "jpg", "webp", "tiff", "avif", "gif", "bmp"),
}
"""Input formats by kind; in other formats the kind does not exist, or counts as another kind."""


_MEDIA_TYPES = {
    "png": "image/png",
    "jpg": "image/jpeg",
    "webp": "image/webp",
    "tiff": "image/tiff",
    "avif": "image/avif",
}
_SCREENS = ((72, 72), (96, 96))  # dots per inch that programs write by default


def is_dropped(kind: Kind, format: str) -> bool:
    """Return whether files of this format are written without metadata of this kind."""
    return WRITTEN[kind][format] is Fate.DROPPED


@dataclass(frozen=True)
class Held:
    """Metadata that are written with an image, adapted to it and limited to its format's capabilities.

    See `DecodedImage` for the fields.
    """

    exif: bytes | None = None
    xmp: bytes | None = None
    iptc: bytes | None = None
    texts: tuple[tuple[str, str], ...] = ()
    resolution: tuple[float, float] | None = None


def held_by(image: DecodedImage, format: str, made: Provenance | None = None) -> tuple[Held, list[str]]:
    """Metadata of an image that a format supports, and a sentence for each that is dropped."""
    sieve = _Sieve(format)
    exif = image.exif
    if exif is not None:
        exif = sieve.take("EXIF", Kind.EXIF, exif_blocks.fitted(exif, image.width, image.height))
    iptc = sieve.take("IPTC", Kind.IPTC, image.iptc)
    held = Held(
        exif,
        _xmp(image, format, made, sieve),
        iptc,
        tuple(sieve.texts(image.texts)),
        _resolution(image, exif, sieve),
    )
    return held, sieve.warnings


class _Sieve:
    """Filter of the metadata that a format supports, which records the rest."""

    def __init__(self, format: str) -> None:
        self.format = format
        self.warnings: list[str] = []
        self._room = MAX_SEGMENT - 100 if format == "jpg" else None  # reserve for names and identifiers

    def take(self, what: str, kind: Kind, data: bytes | None) -> bytes | None:
        """Return the block, or None if it is dropped."""
        if data is None:
            return None
        if is_dropped(kind, self.format):
            self.dropped(what)
        elif self._room is not None and len(data) > self._room:
            self.dropped(f"{what} of {len(data):,} bytes")
        else:
            return data
        return None

    def texts(self, texts: tuple[tuple[str, str], ...]) -> list[tuple[str, str]]:
        """Return the supported texts; the others are reported together."""
        held, dropped = [], []
        for keyword, text in texts:
            is_comment = keyword == COMMENT
            kind, size = Kind.COMMENT if is_comment else Kind.TEXT, len(text.encode("utf-8", "replace"))
            if is_dropped(kind, self.format) or (self._room is not None and size > self._room):
                name = "comment" if is_comment else f"text '{keyword}'"
                dropped.append("".join(c if c.isprintable() else "?" for c in name))
            else:
                held.append((keyword, text))
        if dropped:
            self.dropped(f"The {', '.join(dict.fromkeys(dropped))}")
        return held

    def dropped(self, what: str) -> None:
        """Record metadata that are not written."""
        self.warnings.append(f"{what} has no place in {self.format.upper()} and was dropped.")


def _xmp(image: DecodedImage, format: str, made: Provenance | None, sieve: _Sieve) -> bytes | None:
    """XMP packet, adapted, and with provenance, which always fits."""
    xmp, stamped = image.xmp, None
    try:
        if xmp is not None:
            xmp = xmp_packets.fitted(xmp, image.width, image.height, _MEDIA_TYPES[format])
        stamped = xmp if made is None else xmp_packets.stamped(xmp, made)
    except ValueError as error:
        sieve.warnings.append(f"The XMP was dropped: {error}.")
    held = sieve.take("XMP", Kind.XMP, stamped)
    return xmp_packets.stamped(None, made) if held is None and made is not None else held


def _resolution(image: DecodedImage, exif: bytes | None, sieve: _Sieve) -> tuple[float, float] | None:
    resolution = image.resolution
    if resolution is None or not is_dropped(Kind.RESOLUTION, sieve.format):
        return resolution
    dpi = tuple(round(r * 25.4) for r in resolution)
    in_exif = exif is not None and exif_blocks.resolution(exif) is not None
    if not in_exif and dpi not in _SCREENS:
        sieve.dropped(f"The resolution of {dpi[0]} dpi")
    return None
