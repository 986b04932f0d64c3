"""Writing pictures: whole or not at all, with what the format can hold."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np

from srkit.errors import PictureError, SrkitError, UsageError, nearest
from srkit.io import icc as profiles
from srkit.io._vips import detail, vips
from srkit.io.atomic import atomic_path
from srkit.io.formats import FORMATS, Format
from srkit.io.names import shown
from srkit.io.picture import Picture

_NO_ROOM = ("No space left", "File too large", "quota exceeded")
_JPEG_SEGMENT = 65_000  # a JPEG segment holds 65,533 bytes, of which names and identifiers take some
_CLASSIC_TIFF = 3 << 30  # pixel bytes; above, offsets might not fit into 32 bits


def write_picture(
    picture: Picture, path: Path, *, format: str, quality: int | None = None, compression: int | None = None
) -> tuple[str, ...]:
    """Write a picture to a file, atomically; an existing file is replaced at the end, and kept on failure.

    The pixels are not copied (a memory map is read as it is encoded), unless they are not contiguous.

    Args:
        picture: what to write.
        path: where; its extension is not looked at.
        format: a key of `FORMATS`.
        quality: 1 to 100, for jpg, webp and avif; None: 95, 92, 85. Others ignore it.
        compression: 0 to 9, for png and tiff (deflate; 0 is none); None: 1. Others ignore it.

    Returns:
        A sentence for each thing that the format could not hold and that was reduced or dropped.

    Raises:
        UsageError: an unknown format, or a quality or compression out of range.
        PictureError: the picture is too large for the format, or could not be encoded.
        SrkitError: the file system refused (no room, no permission, no such folder).
    """
    image, options, warnings = _prepare(picture, format, quality, compression)
    pyvips = vips()
    with atomic_path(path) as temporary:
        descriptor = os.open(temporary, os.O_RDWR | getattr(os, "O_BINARY", 0))
        try:
            target = pyvips.Target.new_to_descriptor(descriptor)
            pyvips.Operation.call(_SAVERS[format], image, target, **options)
        except pyvips.Error as error:
            raise _failed(shown(path), error) from error
        finally:
            os.close(descriptor)
    return warnings


def encode_picture(
    picture: Picture, *, format: str, quality: int | None = None, compression: int | None = None
) -> tuple[bytes, tuple[str, ...]]:
    """The bytes that `write_picture` would write, and its warnings; see there for arguments and errors."""
    image, options, warnings = _prepare(picture, format, quality, compression)
    pyvips = vips()
    try:
        target = pyvips.Target.new_to_memory()
        pyvips.Operation.call(_SAVERS[format], image, target, **options)
    except pyvips.Error as error:
        raise _failed("The picture", error) from error
    return bytes(target.get("blob")), warnings


def check_encoding(format: str, quality: int | None = None, compression: int | None = None) -> None:
    """Check what a user asked of the encoder, before any work.

    Raises:
        UsageError: an unknown format, a quality outside 1 to 100 or a compression outside 0 to 9.
    """
    if format not in FORMATS:
        raise UsageError(
            f"The format '{format}' is not one of {', '.join(FORMATS)}.{nearest(format, FORMATS)}"
        )
    if quality is not None and not 1 <= quality <= 100:
        raise UsageError(f"The quality {quality} is not within 1 to 100; 95 is near lossless.")
    if compression is not None and not 0 <= compression <= 9:
        raise UsageError(f"The compression {compression} is not within 0 (none) to 9 (smallest).")


_SAVERS = {
    "png": "pngsave_target",
    "jpg": "jpegsave_target",
    "webp": "webpsave_target",
    "tiff": "tiffsave_target",
    "avif": "heifsave_target",
}


def _prepare(
    picture: Picture, format: str, quality: int | None, compression: int | None
) -> tuple[Any, dict[str, Any], tuple[str, ...]]:
    """The lazy libvips image as the format can hold it, the saver's options, and the warnings."""
    check_encoding(format, quality, compression)
    form = FORMATS[format]
    side = max(picture.width, picture.height)
    if form.max_side is not None and side > form.max_side:
        raise PictureError(
            f"A picture of {picture.width} x {picture.height} pixels does not fit into {format.upper()}, whose "
            f"sides end at {form.max_side}; write PNG or TIFF (--format png)."
        )
    warnings: list[str] = []
    image = _reduced(_wrapped(picture), picture, format, warnings)
    image = _with_metadata(image, picture, format, warnings)
    return image, _options(form, format, quality, compression, picture.pixels.nbytes), tuple(warnings)


def _wrapped(picture: Picture) -> Any:
    """The pixels as a libvips image over the same memory."""
    pixels = np.ascontiguousarray(picture.pixels)
    deep = picture.depth == 16
    height, width, bands = pixels.shape
    image = vips().Image.new_from_memory(pixels, width, height, bands, "ushort" if deep else "uchar")
    shallow, sixteen = ("b-w", "grey16") if picture.is_gray else ("srgb", "rgb16")
    across, down = picture.resolution
    return image.copy(interpretation=sixteen if deep else shallow, xres=across, yres=down)


def _reduced(image: Any, picture: Picture, format: str, warnings: list[str]) -> Any:
    form = FORMATS[format]
    name = format.upper()
    if picture.has_alpha and not form.alpha:
        image = image.flatten(
            background=[255 if picture.depth == 8 else 65535], max_alpha=2**picture.depth - 1
        )
        warnings.append(f"{name} holds no alpha: the picture was laid over white.")
    if picture.depth == 16 and not form.depth16:
        # x / 257, rounded; libvips' own shift would round down.
        table = ((np.arange(65536, dtype=np.int64) * 255 + 32895) >> 16).astype(np.uint8)
        lookup = vips().Image.new_from_memory(table, 65536, 1, 1, "uchar")
        image = image.maplut(lookup).copy(interpretation="b-w" if picture.is_gray else "srgb")
        warnings.append(f"{name} is written with 8 bits: the 16 bits of the picture were rounded.")
    return image


def _with_metadata(image: Any, picture: Picture, format: str, warnings: list[str]) -> Any:
    pyvips = vips()
    form = FORMATS[format]
    icc = picture.icc
    if icc is not None and picture.is_gray and not form.gray:
        # Gray is stored as RGB there, which a profile for gray does not fit.
        try:
            image = profiles.gray_to_srgb(image, icc)
        except pyvips.Error:
            warnings.append("The gray colour profile could not be used and was dropped.")
        icc = None
    image = profiles.attach(image, icc)
    if picture.exif is not None:  # else libvips would write an EXIF block for it
        image.set_type(pyvips.GValue.gint_type, "orientation", 1)
    for field, label, data in (("exif-data", "EXIF", picture.exif), ("xmp-data", "XMP", picture.xmp)):
        if data is None:
            continue
        if field == "exif-data" and not form.exif:
            warnings.append(f"EXIF is not written into {format.upper()} and was dropped.")
        elif format == "jpg" and len(data) > _JPEG_SEGMENT:
            warnings.append(f"{label} of {len(data):,} bytes does not fit into JPEG and was dropped.")
        else:
            image.set_type(pyvips.GValue.blob_type, field, data)
    return image


def _options(
    form: Format, format: str, quality: int | None, compression: int | None, size: int
) -> dict[str, Any]:
    level = 1 if compression is None else compression
    if format == "png":
        # Measured best for upscaled pictures; where size is asked for, the choice of filters is the
        # encoder's.
        return {"compression": level, "filter": "up" if compression is None else "all"}
    if format == "tiff":
        options = {"bigtiff": size > _CLASSIC_TIFF}
        return options | (
            {"compression": "deflate", "level": level, "predictor": "horizontal"} if level else {}
        )
    chosen = {"Q": form.quality if quality is None else quality}
    if format == "jpg":
        return chosen | {"optimize_coding": True}
    if format == "avif":
        return chosen | {"compression": "av1", "effort": 2}
    return chosen


def _failed(what: str, error: Exception) -> SrkitError:
    message = str(error)
    if any(text in message for text in _NO_ROOM):
        reason = next(text for text in _NO_ROOM if text in message).lower()
        return SrkitError(
            f"{what} could not be written ({reason}); free some space or choose another output folder."
        )
    return PictureError(f"{what} could not be encoded ({detail(error)}); choose another --format.")
