"""The formats that are written, what each can hold, and which one `auto` means."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

_PNG_SAFE_SIDE = 1_000_000
_PNG_SAFE_PIXELS = 1 << 30


@dataclass(frozen=True)
class Format:
    """What a file format can hold, as written here.

    Attributes:
        extension: of the files that are written, with its dot.
        extensions: all that mean the format.
        depth16, alpha, gray: whether it holds 16 bit, alpha, one-channel gray. Of metadata see `metadata.WRITTEN`.
        lossless: whether pixels come back as they went in.
        max_side: the longest side in pixels that the encoder takes, or None.
        quality: the quality where none is asked for, or None where there is no such setting.
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
    """The format that a file's extension means, or None (no extension, or none that is written)."""
    suffix = path.suffix.lower()
    return next((name for name, form in FORMATS.items() if suffix in form.extensions), None)


def auto_format(source: str, *, width: int, height: int, depth: int, has_alpha: bool) -> str:
    """The format of an output for which none was asked.

    The input's own (`source`), where it is written here and holds the result's depth, alpha and size; else
    PNG; but TIFF for images with a side over 1,000,000 or more than 2^30 pixels, which many PNG readers
    refuse (libpng's and OpenCV's default limits).
    """
    form = FORMATS.get(source)
    large = max(width, height) > _PNG_SAFE_SIDE or width * height > _PNG_SAFE_PIXELS
    if form is not None and not (source == "png" and large):
        fits = form.max_side is None or max(width, height) <= form.max_side
        if fits and (form.depth16 or depth == 8) and (form.alpha or not has_alpha):
            return source
    return "tiff" if large else "png"
