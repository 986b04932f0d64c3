"""Reading of images: header, pixels, orientation and metadata."""

from __future__ import annotations

import contextlib
import io
import re
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from srkit.errors import ImageError
from srkit.io import exif as exif_blocks
from srkit.io import icc as profiles
from srkit.io import xmp as xmp_packets
from srkit.io._bmp import BmpHeader, decode_bmp, read_bmp_header
from srkit.io._vips import detail, vips
from srkit.io.colour_tags import hdr_of_profile
from srkit.io.containers.contents import Contents
from srkit.io.image import DecodedImage, ImageInfo, Pixels
from srkit.io.kinds import HEAD, contents_of, kind_of, what_it_is
from srkit.io.names import shown
from srkit.io.remote import Remote

DEFAULT_MAX_PIXELS = 10**9

_LOADERS = {
    "png": "pngload_source",
    "jpg": "jpegload_source",
    "webp": "webpload_source",
    "tiff": "tiffload_source",
    "gif": "gifload_source",
    "heif": "heifload_source",
}
_EXIF_TURNS = ("png", "jpg", "webp")  # TIFF has its own tag, and HEIF pixels are rotated by the decoder
_UNSUPPORTED = re.compile(
    r"unsupported|not supported|not configured|not been built in|unimplemented", re.IGNORECASE
)


@dataclass(frozen=True)
class Encoded:
    """Bytes of an image file that is not on this machine, and its name in messages."""

    data: bytes
    name: str


Readable = Path | Remote | bytes | Encoded
"""File by path or URL, bytes from standard input, or bytes with a name."""


def probe(source: Readable, *, max_pixels: int = DEFAULT_MAX_PIXELS) -> ImageInfo:
    """Read the header, without decoding.

    Args:
        source: file, or bytes of a file.
        max_pixels: images that declare more pixels are rejected.

    Raises:
        ImageError: not a readable image, or larger than `max_pixels`.
    """
    with _opened(source, max_pixels) as opened:
        return opened.info


def read_image(source: Readable, *, max_pixels: int = DEFAULT_MAX_PIXELS) -> DecodedImage:
    """Decode the first page of an image, with orientation applied; a warning mentions further pages.

    Palettes become RGB, 1 bit and 2, 4 bit gray become 8 bit, CMYK becomes sRGB by its profile. Float samples in
    [0, 1] become 16 bit, with a warning. Alpha is straight. A profile is kept if it fits the channels; gray with an
    RGB profile is mapped to sRGB's grays. Colours described otherwise (CICP, gAMA, cHRM, TIFF's tags) become an
    equivalent profile, or none if they are sRGB's; for HDR (PQ, HLG) a warning describes the loss. Other metadata
    that are not read are named in a warning.

    Args:
        source: file, or bytes of a file.
        max_pixels: images that declare more pixels are rejected before decoding.

    Raises:
        ImageError: missing, unreadable, empty, broken, truncated, of an unknown kind, or larger than
            `max_pixels`.
    """
    with _opened(source, max_pixels) as opened:
        return _decode(opened) if opened.bmp is None else _decode_bmp(opened, opened.bmp)


@dataclass(frozen=True)
class _Opened:
    """Open file with its header; `handle` is at its start."""

    handle: BinaryIO
    info: ImageInfo
    contents: Contents
    image: Any = None
    bmp: BmpHeader | None = None


@contextlib.contextmanager
def _opened(source: Readable, max_pixels: int) -> Iterator[_Opened]:
    """Open a file, detect its kind, read its header and check its size; errors inside the block name the file."""
    name = "The image from standard input"
    if isinstance(source, Remote):
        source = source.read()
    if not isinstance(source, bytes):
        name = shown(source.name if isinstance(source, Encoded) else source)
    contents = Contents()
    try:
        with _handle(source, name) as handle:
            kind = _kind_of(handle, name)
            contents = contents_of(handle, kind)
            opened = _read_header(handle, kind, contents, name)
            pixels = opened.info.width * opened.info.height
            if pixels > max_pixels:
                size = f"{opened.info.width} x {opened.info.height}"
                raise ImageError(
                    f"{name} declares {size} pixels, more than the limit of {max_pixels:,}; "
                    f"if it is trusted, raise the limit with --max-pixels."
                )
            yield opened
    except OSError as error:
        raise ImageError(f"{name} could not be read ({error.strerror or error}).") from error
    except MemoryError as error:
        raise ImageError(f"{name} does not fit into memory; resize it or use a machine with more.") from error
    except ValueError as error:
        raise ImageError(f"{name} could not be read: {error}; convert it to PNG or replace it.") from error
    except vips().Error as error:
        raise ImageError(_undecodable(name, contents, detail(error))) from error


def _undecodable(name: str, contents: Contents, reason: str) -> str:
    """Message for a file that the decoder rejects as unsupported or damaged."""
    if contents.unsupported:
        return _not_here(name, contents.unsupported)
    if _UNSUPPORTED.search(reason):
        return f"{name} is of a kind that cannot be read here ({reason}); convert it to PNG, or replace it."
    return f"{name} is damaged or incomplete ({reason}); replace it with an intact copy."


def _not_here(name: str, what: str) -> str:
    return f"{name} is {what}, which cannot be read here; convert it to PNG, or to 8-bit JPEG or TIFF."


def _handle(source: Path | bytes | Encoded, name: str) -> BinaryIO:
    if not isinstance(source, Path):
        data = source.data if isinstance(source, Encoded) else source
    else:
        status = source.stat()
        if stat.S_ISDIR(status.st_mode):
            raise ImageError(f"{name} is a folder; an image file was expected.")
        if stat.S_ISREG(status.st_mode) and status.st_size:
            # Unbuffered, since libvips continues at the descriptor's position.
            return source.open("rb", buffering=0)
        data = b"" if stat.S_ISREG(status.st_mode) else source.read_bytes()
    if not data:
        raise ImageError(f"{name} is empty (0 bytes); replace it with an intact copy.")
    return io.BytesIO(data)


def _kind_of(handle: BinaryIO, name: str) -> str:
    head = handle.read(HEAD)
    kind = kind_of(head)
    if kind is None:
        raise ImageError(
            f"{name} is {what_it_is(head)}; give a PNG, JPEG, WebP, TIFF, AVIF, BMP or GIF image."
        )
    return kind


def _read_header(handle: BinaryIO, kind: str, contents: Contents, name: str) -> _Opened:
    if contents.refused:
        raise ImageError(_not_here(name, contents.refused))
    if kind == "bmp":
        head = handle.read(HEAD)
        handle.seek(0)
        if contents.unsupported:
            raise ImageError(_not_here(name, contents.unsupported))
        bmp = read_bmp_header(head)
        bands = 4 if bmp.has_alpha else 1 if bmp.gray else 3
        info = ImageInfo(bmp.width, bmp.height, bands, 8, bmp.has_alpha, "bmp")
        return _Opened(handle, info, contents, bmp=bmp)
    image = _open_image(handle, kind)  # libvips moves the descriptor from here on
    if kind in _EXIF_TURNS:
        turn = 1 if contents.exif is None else exif_blocks.orientation(contents.exif)
        image = image.copy()
        image.set_type(vips().GValue.gint_type, "orientation", turn)
    _refuse_unsupported(image, name)
    return _Opened(handle, _info(image, kind, contents.images), contents, image)


def _open_image(handle: BinaryIO, kind: str) -> Any:
    """Open a lazy libvips image by descriptor, since libvips accepts no names with invalid UTF-8 or brackets."""
    pyvips = vips()
    if isinstance(handle, io.BytesIO):
        source = pyvips.Source.new_from_memory(handle.getvalue())
    else:
        source = pyvips.Source.new_from_descriptor(handle.fileno())
    image = pyvips.Operation.call(_LOADERS[kind], source, fail_on="error", access="sequential")
    image._references.append(source)  # as in pyvips: the image reads from it later
    return image


def _refuse_unsupported(image: Any, name: str) -> None:
    if image.format not in ("uchar", "ushort", "float"):
        raise ImageError(
            f"{name} holds {image.format} samples; 8 or 16 bit unsigned integers, or floats in [0, 1], were "
            "expected; convert it to PNG."
        )
    known = ("b-w", "grey16", "srgb", "rgb16", "scrgb", "cmyk", "lab", "labs")
    colours = {"b-w": 1, "grey16": 1, "cmyk": 4}.get(image.interpretation, 3)
    if image.interpretation not in known or not colours <= image.bands <= colours + 1:
        raise ImageError(
            f"{name} has {image.bands} channels ({image.interpretation}); gray, RGB or CMYK, with or without "
            "alpha, was expected; convert it to PNG."
        )


def _info(image: Any, kind: str, frames: int) -> ImageInfo:
    width, height = image.width, image.height
    if _orientation(image) >= 5:
        width, height = height, width
    gray = image.interpretation in ("b-w", "grey16")
    alpha = image.bands in (2, 5) or (image.bands == 4 and image.interpretation != "cmyk")
    depth = 8 if image.format == "uchar" else 16
    pages = max(frames, int(_field(image, "n-pages") or 1))
    return ImageInfo(width, height, (1 if gray else 3) + alpha, depth, alpha, _format(image, kind), pages)


def _format(image: Any, kind: str) -> str:
    if kind == "heif":
        return "avif" if _field(image, "heif-compression") == "av1" else "other"
    return "other" if kind == "gif" else kind


def _decode(opened: _Opened) -> DecodedImage:
    image, info, contents = opened.image, opened.info, opened.contents
    exif = contents.exif or _field(image, "exif-data")
    xmp = contents.xmp or _field(image, "xmp-data")
    for claim in xmp_packets.claims(xmp or b""):
        contents.lose(claim)
    icc = _profile(image, contents)
    warnings = _warnings(info, contents, icc)
    exif = None if exif is None else exif_blocks.bare(exif)
    if exif is not None and not exif_blocks.is_sound(exif):
        warnings.append("The EXIF block is damaged and was dropped.")
        exif = None
    resolution = contents.resolution or (None if exif is None else exif_blocks.resolution(exif))
    orientation = _orientation(image)
    if orientation > 1:
        # Rotation needs all rows; autorot of a sequential image would read it out of order.
        image = image.copy_memory().autorot()
        resolution = resolution[::-1] if resolution and orientation >= 5 else resolution
    elif xmp is not None and info.format != "avif" and xmp_packets.orientation(xmp) != 1:
        warnings.append("The XMP declares an orientation that EXIF does not; the image was not turned.")
    bits = int(_field(image, "bits-per-sample") or 0)
    if opened.info.format in ("avif", "other") and image.format == "ushort" and 8 < bits < 16:
        # libvips fills the low bits with zeros, so that white would not be 65535; repeating the high bits fixes this.
        image = image | (image >> bits)
    image, icc = _to_gray_or_rgb(image, icc, warnings)
    image = _to_integers(image, warnings)
    samples: Pixels = np.frombuffer(
        image.write_to_memory(), dtype=np.uint16 if image.format == "ushort" else np.uint8
    )
    return DecodedImage(
        samples.reshape(image.height, image.width, image.bands),
        icc,
        None if exif is None else exif_blocks.upright(exif),
        xmp,
        info.format,
        tuple(warnings),
        resolution,
        contents.iptc,
        tuple(contents.texts),
        contents.jpeg_quality,
    )


def _decode_bmp(opened: _Opened, header: BmpHeader) -> DecodedImage:
    pixels = decode_bmp(opened.handle.read(), header)
    contents, icc = opened.contents, opened.contents.icc
    if icc is not None and profiles.profile_space(icc) != ("GRAY" if pixels.shape[2] == 1 else "RGB"):
        contents.lose("a colour profile that does not fit")
        icc = None
    warnings = tuple(_warnings(opened.info, contents, icc))
    return DecodedImage(pixels, icc, format="bmp", warnings=warnings, resolution=contents.resolution)


def _warnings(info: ImageInfo, contents: Contents, icc: bytes | None) -> list[str]:
    """Sentences on content of a file that is not read."""
    warnings: list[str] = []
    if info.pages > 1:
        what = "pages" if info.format == "tiff" else "images" if info.format == "jpg" else "frames"
        count = "several" if info.format == "avif" else str(info.pages)
        warnings.append(f"The file holds {count} {what}; only the first was read.")
    hdr = contents.colour.hdr if contents.colour is not None else hdr_of_profile(icc or b"")
    if hdr:
        warnings.append(
            f"The image is HDR ({hdr}): its values are kept with a profile that says so, and viewers "
            "without HDR show nothing brighter than 203 cd/m2; convert it to SDR first for colours that all show alike."
        )
    if contents.lost:
        warnings.append(f"Not kept: {', '.join(contents.lost)}.")
    return warnings


def _profile(image: Any, contents: Contents) -> bytes | None:
    """Profile of an image, embedded or generated from other colour information; None for sRGB."""
    embedded: bytes | None = _field(image, "icc-profile-data") or contents.icc
    tags = contents.colour
    if tags is None or image.interpretation in ("cmyk", "lab", "labs"):
        return embedded
    if embedded is not None and not contents.colour_first:
        return embedded
    return None if tags.is_srgb else tags.profile(gray=image.interpretation in ("b-w", "grey16"))


def _to_gray_or_rgb(image: Any, icc: bytes | None, warnings: list[str]) -> tuple[Any, bytes | None]:
    """Convert CMYK and Lab, and a profile that does not fit."""
    if image.interpretation == "cmyk":
        return profiles.cmyk_to_srgb(image), None
    if image.interpretation in ("lab", "labs"):
        return image.colourspace("rgb16"), None
    if icc is None:
        return image, None
    space = profiles.profile_space(icc)
    gray = image.interpretation in ("b-w", "grey16")
    if space == ("GRAY" if gray else "RGB"):
        return image, icc
    if gray and space == "RGB" and image.format != "float":
        with contextlib.suppress(vips().Error):  # a broken profile is handled below
            return profiles.gray_to_srgb(image, icc), None
    warnings.append(
        f"The embedded colour profile ({space or 'broken'}) does not fit the image and was dropped."
    )
    return image, None


def _to_integers(image: Any, warnings: list[str]) -> Any:
    if image.format != "float":
        return image
    image = image.copy_memory()
    low, high = image.min(), image.max()
    if not (low >= 0 and high <= 1):
        raise ValueError(f"its float samples lie in [{low:g}, {high:g}] where [0, 1] was expected")
    warnings.append("Float samples in [0, 1] were read as 16-bit integers.")
    scaled = (image * 65535).rint().cast("ushort")
    gray = image.bands <= 2
    return scaled.copy(interpretation="grey16" if gray else "rgb16")


def _orientation(image: Any) -> int:
    return int(_field(image, "orientation") or 1)


def _field(image: Any, name: str) -> Any:
    return image.get(name) if image.get_typeof(name) else None
