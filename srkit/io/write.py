"""Atomic writing of images, with the metadata that the format supports."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from srkit.errors import ImageError, SrkitError, UsageError, nearest
from srkit.io import icc as profiles
from srkit.io._vips import detail, vips
from srkit.io.atomic import atomic_path
from srkit.io.containers import heif, jpeg, png, tiff, webp
from srkit.io.containers.contents import write_all
from srkit.io.exif import EMPTY, PREFIX
from srkit.io.formats import FORMATS, Format
from srkit.io.image import DecodedImage
from srkit.io.metadata import Held, held_by
from srkit.io.names import shown
from srkit.io.xmp import Provenance

_NO_ROOM = ("No space left", "File too large", "quota exceeded")
_CLASSIC_TIFF = 3 << 30  # bytes of pixels; above, offsets might exceed 32 bits


def write_image(
    image: DecodedImage,
    path: Path,
    *,
    format: str,
    quality: int | None = None,
    compression: int | None = None,
    made: Provenance | None = None,
) -> tuple[str, ...]:
    """Write an image to a file atomically; an existing file is replaced at the end, and kept on failure.

    The pixels are not copied (a memory map is read during encoding) unless they are not contiguous. Metadata are
    written according to `metadata.WRITTEN`: with the sizes of the written image, and none that the image lacks.

    Args:
        image: image to write.
        path: path of the file; its extension is ignored.
        format: a key of `FORMATS`.
        quality: 1 to 100, for jpg, webp and avif; None: 95, 92, 85. Ignored for others.
        compression: 0 to 9, for png and tiff (deflate; 0 is none); None: 1. Ignored for others.
        made: provenance to write into the XMP; None: nothing.

    Returns:
        A sentence for each property that the format does not support and that was reduced or dropped.

    Raises:
        UsageError: unknown format, or a quality or compression out of range.
        ImageError: the image is too large for the format, or could not be encoded.
        SrkitError: the file system refused the write (no room, no permission, no such folder).
    """
    job = _prepare(image, format, quality, compression, made)
    with atomic_path(path) as temporary, temporary.open("r+b", buffering=0) as file:
        _encode(job, file, shown(path))
    return job.warnings


def encode_image(
    image: DecodedImage,
    *,
    format: str,
    quality: int | None = None,
    compression: int | None = None,
    made: Provenance | None = None,
) -> tuple[bytes, tuple[str, ...]]:
    """Encode an image to the bytes that `write_image` would write, and return its warnings too."""
    job = _prepare(image, format, quality, compression, made)
    buffer = io.BytesIO()
    _encode(job, buffer, "The image")
    return buffer.getvalue(), job.warnings


def check_encoding(format: str, quality: int | None = None, compression: int | None = None) -> None:
    """Check the user's encoder settings, before any work.

    Raises:
        UsageError: unknown format, a quality outside 1 to 100 or a compression outside 0 to 9.
    """
    if format not in FORMATS:
        raise UsageError(
            f"The format '{format}' is not one of {', '.join(FORMATS)}.{nearest(format, FORMATS)}"
        )
    if quality is not None and not 1 <= quality <= 100:
        raise UsageError(f"The quality {quality} is not within 1 to 100; 95 is near lossless.")
    if compression is not None and not 0 <= compression <= 9:
        raise UsageError(f"The compression {compression} is not within 0 (none) to 9 (smallest).")


_KEEP_EXIF, _KEEP_XMP, _KEEP_ICC = 1, 2, 8  # VipsForeignKeep
_SAVERS = {
    "png": "pngsave_target",
    "jpg": "jpegsave_target",
    "webp": "webpsave_target",
    "tiff": "tiffsave_target",
    "avif": "heifsave_target",
}


@dataclass(frozen=True)
class _Job:
    """Image prepared for a format: lazy libvips image, encoder options, metadata, warnings."""

    canvas: Any
    format: str
    options: dict[str, Any]
    held: Held
    warnings: tuple[str, ...]


def _prepare(
    image: DecodedImage, format: str, quality: int | None, compression: int | None, made: Provenance | None
) -> _Job:
    check_encoding(format, quality, compression)
    form = FORMATS[format]
    side = max(image.width, image.height)
    if form.max_side is not None and side > form.max_side:
        raise ImageError(
            f"An image of {image.width} x {image.height} pixels does not fit into {format.upper()}, whose "
            f"sides end at {form.max_side}; write PNG or TIFF (--format png)."
        )
    warnings: list[str] = []
    canvas = _reduced(_wrapped(image), image, format, warnings)
    canvas = _with_profile(canvas, image, format, warnings)
    held, dropped = held_by(image, format, made)
    if format == "avif":
        canvas = _with_blocks(canvas, held)
    options = _options(form, format, quality, compression, image.pixels.nbytes)
    # Only existing blocks: libvips would create an EXIF block.
    keep = (
        _KEEP_ICC | (_KEEP_EXIF if held.exif is not None else 0) | (_KEEP_XMP if held.xmp is not None else 0)
    )
    options["keep"] = keep if format == "avif" else _KEEP_ICC
    return _Job(canvas, format, options, held, (*warnings, *dropped))


def _encode(job: _Job, file: BinaryIO, what: str) -> None:
    """Encode into an empty file; metadata are inserted during or after encoding."""
    held = job.held
    try:
        if job.format == "png":
            chunks = png.head(held.exif, held.xmp, held.texts, held.resolution)
            _save_edited(job, file, lambda start: png.edited(start, chunks))
        elif job.format == "jpg":
            segments = jpeg.head(held.exif, held.xmp, held.iptc, held.texts)
            _save_edited(job, file, lambda start: jpeg.edited(start, segments, held.resolution))
        elif job.format == "tiff":
            _save(job, file)
            tiff.edit(file, held.exif, held.xmp, held.iptc, held.resolution)
        elif job.format == "webp":
            write_all(file, webp.edited(_saved(job), held.exif, held.xmp))
        else:
            write_all(file, heif.edited(_saved(job), held.exif))
    except vips().Error as error:
        raise _failed(what, error) from error


def _save(job: _Job, file: BinaryIO) -> None:
    if isinstance(file, io.BytesIO):
        write_all(file, _saved(job))
    else:
        target = vips().Target.new_to_descriptor(file.fileno())
        vips().Operation.call(_SAVERS[job.format], job.canvas, target, **job.options)


def _saved(job: _Job) -> bytes:
    target = vips().Target.new_to_memory()
    vips().Operation.call(_SAVERS[job.format], job.canvas, target, **job.options)
    return bytes(target.get("blob"))


def _save_edited(job: _Job, file: BinaryIO, edited: Callable[[bytes], bytes | None]) -> None:
    """Encode through a function that edits the file's start, and returns None until the start is long enough."""
    start: bytes | None = b""
    failure: Exception | None = None

    def take(data: Any) -> int:
        nonlocal start, failure
        try:
            if start is None:
                write_all(file, bytes(data))
                return len(data)
            start += bytes(data)
            done = edited(start)
            if done is not None:
                start = None
                write_all(file, done)
        except Exception as error:  # exceptions cannot pass through libvips
            failure = error
            return -1
        return len(data)

    target = vips().TargetCustom()
    target.on_write(take)
    try:
        vips().Operation.call(_SAVERS[job.format], job.canvas, target, **job.options)
    except vips().Error:
        if failure is not None:
            raise failure from None
        raise
    if start:
        raise ValueError("the encoder wrote no pixels")


def _wrapped(image: DecodedImage) -> Any:
    """Wrap the pixels in a libvips image that shares their memory."""
    pixels = np.ascontiguousarray(image.pixels)
    deep = image.depth == 16
    height, width, bands = pixels.shape
    canvas = vips().Image.new_from_memory(pixels, width, height, bands, "ushort" if deep else "uchar")
    shallow, sixteen = ("b-w", "grey16") if image.is_gray else ("srgb", "rgb16")
    return canvas.copy(interpretation=sixteen if deep else shallow)


def _reduced(canvas: Any, image: DecodedImage, format: str, warnings: list[str]) -> Any:
    form = FORMATS[format]
    name = format.upper()
    if image.has_alpha and not form.alpha:
        canvas = canvas.flatten(background=[255 if image.depth == 8 else 65535], max_alpha=2**image.depth - 1)
        warnings.append(f"{name} holds no alpha: the image was laid over white.")
    if image.depth == 16 and not form.depth16:
        # x / 257, rounded; libvips' own shift would round down.
        table = ((np.arange(65536, dtype=np.int64) * 255 + 32895) >> 16).astype(np.uint8)
        lookup = vips().Image.new_from_memory(table, 65536, 1, 1, "uchar")
        canvas = canvas.maplut(lookup).copy(interpretation="b-w" if image.is_gray else "srgb")
        warnings.append(f"{name} is written with 8 bits: the 16 bits of the image were rounded.")
    return canvas


def _with_profile(canvas: Any, image: DecodedImage, format: str, warnings: list[str]) -> Any:
    icc = image.icc
    if icc is not None and image.is_gray and not FORMATS[format].gray:
        # Gray is stored as RGB here, which does not fit a profile for gray.
        try:
            canvas = profiles.gray_to_srgb(canvas, icc)
        except vips().Error:
            warnings.append("The gray colour profile could not be used and was dropped.")
        icc = None
    return profiles.attach(canvas, icc)


def _with_blocks(canvas: Any, held: Held) -> Any:
    """Add XMP to the image, and an EXIF placeholder, for libvips to write (AVIF only)."""
    canvas = canvas.copy()
    for field, data in (("exif-data", held.exif and PREFIX + EMPTY), ("xmp-data", held.xmp)):
        if data is not None:
            canvas.set_type(vips().GValue.blob_type, field, data)
    canvas.set_type(vips().GValue.gint_type, "orientation", 1)
    return canvas


def _options(
    form: Format, format: str, quality: int | None, compression: int | None, size: int
) -> dict[str, Any]:
    level = 1 if compression is None else compression
    if format == "png":
        # Measured best for upscaled images; if a compression is requested, the encoder chooses the filters.
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
    return ImageError(f"{what} could not be encoded ({detail(error)}); choose another --format.")
