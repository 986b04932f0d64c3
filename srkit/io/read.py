"""Reading pictures: headers first, then pixels, orientation and metadata."""

from __future__ import annotations

import contextlib
import io
import stat
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from srkit.errors import PictureError
from srkit.io import icc as profiles
from srkit.io._bmp import BmpHeader, decode_bmp, read_bmp_header
from srkit.io._exif import reset_orientation
from srkit.io._vips import detail, vips
from srkit.io.names import shown
from srkit.io.picture import Picture, PictureInfo, Pixels

DEFAULT_MAX_PIXELS = 10**9

_HEAD = 2048  # a BMP header and its palette
_LOADERS = {
    "png": "pngload_source",
    "jpg": "jpegload_source",
    "webp": "webpload_source",
    "tiff": "tiffload_source",
    "gif": "gifload_source",
    "heif": "heifload_source",
}
_HEIF_BRANDS = frozenset(
    {b"avif", b"avis", b"mif1", b"msf1", b"miaf", b"heic", b"heix", b"heim", b"heis", b"hevc"}
)
_UNREADABLE = (  # how files begin that we know but cannot read
    (b"\xff\x0a", "a JPEG XL picture"),
    (b"\0\0\0\x0cJXL ", "a JPEG XL picture"),
    (b"\0\0\0\x0cjP  ", "a JPEG 2000 picture"),
    (b"\xff\x4f\xff\x51", "a JPEG 2000 picture"),
    (b"8BPS", "a Photoshop document"),
    (b"%PDF", "a PDF document"),
    (b"<svg", "an SVG drawing"),
    (b"\0\0\x01\0", "an icon file"),
    (b"version https://git-lfs", "a Git LFS pointer, not the picture itself (run `git lfs pull`)"),
    (b"P1", "a PNM picture"),
    (b"P2", "a PNM picture"),
    (b"P3", "a PNM picture"),
    (b"P4", "a PNM picture"),
    (b"P5", "a PNM picture"),
    (b"P6", "a PNM picture"),
)


def probe(source: Path | bytes, *, max_pixels: int = DEFAULT_MAX_PIXELS) -> PictureInfo:
    """What the header says, without decoding.

    Args:
        source: a file, or the bytes of one.
        max_pixels: pictures that declare more pixels are refused.

    Raises:
        PictureError: not a picture that can be read, or larger than `max_pixels`.
    """
    with _opened(source, max_pixels) as opened:
        return opened.info


def read_picture(source: Path | bytes, *, max_pixels: int = DEFAULT_MAX_PIXELS) -> Picture:
    """Decode a picture, its first page only (a warning says so), with orientation applied.

    Palettes become RGB, 1 bit and 2, 4 bit gray become 8 bit, CMYK becomes sRGB through its profile. Float
    samples in [0, 1] become 16 bit, with a warning. Alpha comes out straight. A profile is kept as it is
    where it fits the channels; gray with an RGB profile is mapped to sRGB's grays.

    Args:
        source: a file, or the bytes of one.
        max_pixels: pictures that declare more pixels are refused before decoding.

    Raises:
        PictureError: missing, unreadable, empty, broken, truncated, of an unknown kind, or larger than
            `max_pixels`.
    """
    with _opened(source, max_pixels) as opened:
        if opened.bmp is not None:
            return Picture(decode_bmp(opened.handle.read(), opened.bmp), format="bmp")
        return _decode(opened)


@dataclass(frozen=True)
class _Opened:
    """A file with its header read; `handle` stands at its start."""

    handle: BinaryIO
    info: PictureInfo
    image: Any = None
    bmp: BmpHeader | None = None


@contextlib.contextmanager
def _opened(source: Path | bytes, max_pixels: int) -> Iterator[_Opened]:
    """Open, find the kind, read the header and check the size; errors of the block are told with the file's
    name."""
    name = shown(source) if isinstance(source, Path) else "The picture from standard input"
    try:
        with _handle(source, name) as handle:
            opened = _read_header(handle, name)
            pixels = opened.info.width * opened.info.height
            if pixels > max_pixels:
                size = f"{opened.info.width} x {opened.info.height}"
                raise PictureError(
                    f"{name} declares {size} pixels, more than the limit of {max_pixels:,}; "
                    f"if it is trusted, raise the limit with --max-pixels."
                )
            yield opened
    except OSError as error:
        raise PictureError(f"{name} could not be read ({error.strerror or error}).") from error
    except MemoryError as error:
        raise PictureError(
            f"{name} does not fit into memory; resize it or use a machine with more."
        ) from error
    except ValueError as error:
        raise PictureError(f"{name} could not be read: {error}; convert it to PNG or replace it.") from error
    except vips().Error as error:
        raise PictureError(
            f"{name} is damaged or incomplete ({detail(error)}); replace it with an intact copy."
        ) from error


def _handle(source: Path | bytes, name: str) -> BinaryIO:
    if isinstance(source, bytes):
        data = source
    else:
        status = source.stat()
        if stat.S_ISDIR(status.st_mode):
            raise PictureError(f"{name} is a folder; a picture file was expected.")
        if stat.S_ISREG(status.st_mode) and status.st_size:
            # Unbuffered, since libvips reads on from where the descriptor stands.
            return source.open("rb", buffering=0)
        data = b"" if stat.S_ISREG(status.st_mode) else source.read_bytes()
    if not data:
        raise PictureError(f"{name} is empty (0 bytes); replace it with an intact copy.")
    return io.BytesIO(data)


def _read_header(handle: BinaryIO, name: str) -> _Opened:
    head = handle.read(_HEAD)
    handle.seek(0)
    kind = _kind(head)
    if kind == "bmp":
        bmp = read_bmp_header(head)
        bands = 4 if bmp.has_alpha else 1 if bmp.gray else 3
        return _Opened(handle, PictureInfo(bmp.width, bmp.height, bands, 8, bmp.has_alpha, "bmp"), bmp=bmp)
    if kind is None:
        raise PictureError(
            f"{name} is {_what_it_is(head)}; give a PNG, JPEG, WebP, TIFF, AVIF, BMP or GIF picture."
        )
    frames = _declared_frames(handle, kind, head)  # first: afterwards the descriptor is libvips' to move
    image = _open_image(handle, kind)
    _refuse_unsupported(image, name)
    return _Opened(handle, _info(image, kind, frames), image=image)


def _kind(head: bytes) -> str | None:
    if head.startswith(b"\x89PNG\r\n\x1a\n"):
        return "png"
    if head.startswith(b"\xff\xd8\xff"):
        return "jpg"
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "webp"
    if head[:4] in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"):
        return "tiff"
    if head[:6] in (b"GIF87a", b"GIF89a"):
        return "gif"
    if head[4:8] == b"ftyp" and head[8:12] in _HEIF_BRANDS:
        return "heif"
    return "bmp" if head[:2] == b"BM" else None


def _what_it_is(head: bytes) -> str:
    for start, what in _UNREADABLE:
        if head.startswith(start):
            return what + ", which cannot be read here" if "LFS" not in what else what
    return "not a picture of a known kind"


def _open_image(handle: BinaryIO, kind: str) -> Any:
    """The lazy libvips image. From a descriptor, since libvips takes neither names that are not UTF-8 nor
    brackets."""
    pyvips = vips()
    if isinstance(handle, io.BytesIO):
        source = pyvips.Source.new_from_memory(handle.getvalue())
    else:
        source = pyvips.Source.new_from_descriptor(handle.fileno())
    image = pyvips.Operation.call(_LOADERS[kind], source, fail_on="error", access="sequential")
    image._references.append(source)  # pyvips does the same: the image reads from it later
    return image


def _refuse_unsupported(image: Any, name: str) -> None:
    if image.format not in ("uchar", "ushort", "float"):
        raise PictureError(
            f"{name} holds {image.format} samples; 8 or 16 bit unsigned integers, or floats in [0, 1], were "
            "expected."
        )
    known = ("b-w", "grey16", "srgb", "rgb16", "scrgb", "cmyk", "lab", "labs")
    colours = {"b-w": 1, "grey16": 1, "cmyk": 4}.get(image.interpretation, 3)
    if image.interpretation not in known or not colours <= image.bands <= colours + 1:
        raise PictureError(
            f"{name} has {image.bands} channels ({image.interpretation}); gray, RGB or CMYK, with or without "
            "alpha, was expected."
        )


def _info(image: Any, kind: str, frames: int) -> PictureInfo:
    width, height = image.width, image.height
    if _orientation(image) >= 5:
        width, height = height, width
    gray = image.interpretation in ("b-w", "grey16")
    alpha = image.bands in (2, 5) or (image.bands == 4 and image.interpretation != "cmyk")
    depth = 8 if image.format == "uchar" else 16
    pages = max(frames, int(_field(image, "n-pages") or 1))
    return PictureInfo(width, height, (1 if gray else 3) + alpha, depth, alpha, _format(image, kind), pages)


def _format(image: Any, kind: str) -> str:
    if kind == "heif":
        return "avif" if _field(image, "heif-compression") == "av1" else "other"
    return "other" if kind == "gif" else kind


def _declared_frames(handle: BinaryIO, kind: str, head: bytes) -> int:
    """Frames that libvips does not tell of, as it reads the first (PNG) or the still picture (AVIF) only."""
    if kind == "png":
        return _apng_frames(handle)
    return 2 if head[4:12] == b"ftypavis" else 1


def _apng_frames(handle: BinaryIO) -> int:
    """The frames that an animated PNG declares in front of its picture data."""
    position = 8
    frames = 1
    while True:
        handle.seek(position)
        chunk = handle.read(12)
        if len(chunk) < 12 or chunk[4:8] in (b"IDAT", b"IEND"):
            break
        if chunk[4:8] == b"acTL":
            frames = struct.unpack_from(">I", chunk, 8)[0]
            break
        position += 12 + struct.unpack_from(">I", chunk)[0]
    handle.seek(0)
    return frames


def _decode(opened: _Opened) -> Picture:
    image, info = opened.image, opened.info
    warnings: list[str] = []
    if info.pages > 1:
        what = "frames" if info.format in ("png", "webp", "avif", "other") else "pages"
        count = "several" if info.format == "avif" else str(info.pages)
        warnings.append(f"The file holds {count} {what}; only the first was read.")
    icc = _field(image, "icc-profile-data")
    exif = _field(image, "exif-data")
    xmp = _field(image, "xmp-data")
    resolution = (image.xres, image.yres)
    orientation = _orientation(image)
    if orientation > 1:
        # Turning needs every row at hand; autorot on a sequential image would read it out of order.
        image = image.copy_memory().autorot()
        resolution = resolution[::-1] if orientation >= 5 else resolution
    bits = int(_field(image, "bits-per-sample") or 0)
    if opened.info.format in ("avif", "other") and image.format == "ushort" and 8 < bits < 16:
        # libvips fills the low bits with zeros, so that white would not be 65535; repeating the high ones does it.
        image = image | (image >> bits)
    image, icc = _to_gray_or_rgb(image, icc, warnings)
    image = _to_integers(image, warnings)
    samples: Pixels = np.frombuffer(
        image.write_to_memory(), dtype=np.uint16 if image.format == "ushort" else np.uint8
    )
    pixels = samples.reshape(image.height, image.width, image.bands)
    exif = None if exif is None else reset_orientation(exif)
    return Picture(pixels, icc, exif, xmp, info.format, tuple(warnings), resolution)


def _to_gray_or_rgb(image: Any, icc: bytes | None, warnings: list[str]) -> tuple[Any, bytes | None]:
    """Leave CMYK and Lab, and settle a profile that does not fit."""
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
        with contextlib.suppress(vips().Error):  # a broken profile: below
            return profiles.gray_to_srgb(image, icc), None
    warnings.append(
        f"The embedded colour profile ({space or 'broken'}) does not fit the picture and was dropped."
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
