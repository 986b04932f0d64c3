"""Output formats, their capabilities, and the choice of `auto`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

_PNG_SAFE_SIDE = 1_000_000
_PNG_SAFE_PIXELS = 1 << 30


@dataclass(frozen=True)
class Format:
    """Capabilities of a file format, as written by srkit.

    Attributes:
        extension: extension of written files, with its dot.
        extensions: all extensions of the format.
        depth16, alpha, gray: support of 16 bit, alpha, one-channel gray. For metadata see `metadata.WRITTEN`.
        lossless: pixels are stored exactly.
        max_side: longest side in pixels that the encoder accepts, or None.
        quality: default quality, or None if there is no such setting.
    """

    extension: str
    extensions: tuple[str, ...]
    depth16: bool
    alpha: bool
    gray: bool
    lossless: bool
    max_side: int | None
    quality: int | None


FORMATS: dict[str, Format] = {
    "png": Format(".png", (".png", ".apng"), True, True, True, True, None, None),
    "jpg": Format(".jpg", (".jpg", ".jpeg", ".jpe", ".jfif"), False, False, True, False, 65_500, 95),
    "webp": Format(".webp", (".webp",), False, True, False, False, 16_383, 92),
    "tiff": Format(".tif", (".tif", ".tiff"), True, True, True, True, None, None),
    # 16,384 is libvips' limit; the format's own is 65,536.
    "avif": Format(".avif", (".avif",), False, True, False, False, 16_384, 85),
}


def format_of_name(path: Path) -> str | None:
    """Format of a file's extension; None without an extension or if the format is not written."""
    suffix = path.suffix.lower()
    return next((name for name, form in FORMATS.items() if suffix in form.extensions), None)


def auto_format(source: str, *, width: int, height: int, depth: int, has_alpha: bool) -> str:
    """Choose the format of an output for which none was requested.

    The input's format (`source`), if it is written by srkit and supports the result's depth, alpha and size; else PNG;
    but TIFF for images with a side over 1,000,000 or more than 2^30 pixels, which many PNG readers refuse (default
    limits of libpng and OpenCV).
    """
    form = FORMATS.get(source)
    large = max(width, height) > _PNG_SAFE_SIDE or width * height > _PNG_SAFE_PIXELS
    if form is not None and not (source == "png" and large):
        fits = form.max_side is None or max(width, height) <= form.max_side
        if fits and (form.depth16 or depth == 8) and (form.alpha or not has_alpha):
            return source
    return "tiff" if large else "png"
