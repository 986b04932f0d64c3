"""ICC profiles: check that one fits the channels of an image, and conversion if it does not."""

from __future__ import annotations

from typing import Any

import numpy as np

from srkit.io._vips import vips

_SIGNATURE = b"acsp"


def profile_space(icc: bytes) -> str | None:
    """Colour space of a profile's device side (RGB, GRAY, CMYK, Lab, ...); None if it is no profile.

    ICC.1:2022, 7.2: bytes 16 to 19 of the header; the signature `acsp` is at 36.
    """
    if len(icc) < 132 or icc[36:40] != _SIGNATURE:
        return None
    return icc[16:20].decode("latin-1").strip()


def attach(image: Any, icc: bytes | None) -> Any:
    """Copy a libvips image with this profile, or without a profile."""
    pyvips = vips()
    copy = image.copy()
    if icc is not None:
        copy.set_type(pyvips.GValue.blob_type, "icc-profile-data", icc)
    elif copy.get_typeof("icc-profile-data"):
        copy.remove("icc-profile-data")
    return copy


def cmyk_to_srgb(image: Any) -> Any:
    """Convert a CMYK image (8 or 16 bit, alpha as a fifth band kept) to sRGB by its profile, or by a standard one.

    Relative colorimetric with black point compensation, as in browsers and photo editors.
    """
    depth = 16 if image.format == "ushort" else 8
    # Converted separately, since libvips would scale a 16-bit alpha twice.
    alpha = image.extract_band(4) if image.bands > 4 else None
    colour = image.extract_band(0, n=4).icc_transform(
        "srgb",
        embedded=True,
        input_profile="cmyk",
        depth=depth,
        intent="relative",
        black_point_compensation=True,
    )
    return attach(colour if alpha is None else colour.bandjoin(alpha), None)


def gray_to_srgb(image: Any, icc: bytes) -> Any:
    """Convert a gray image (with or without alpha, 8 or 16 bit) with an RGB or GRAY profile to gray under sRGB.

    The result has no profile.

    Raises:
        pyvips.Error: the profile is unusable.
    """
    table = _gray_table(icc, image.format)
    levels = table.width
    if np.abs(table.numpy().astype(np.int64).ravel() - np.arange(levels)).max() <= levels // 256:
        return attach(image, None)  # equivalent to sRGB up to rounding: the values are unchanged
    gray = image.extract_band(0).maplut(table)
    mapped = gray if image.bands == 1 else gray.bandjoin(image.extract_band(1))
    return attach(mapped.copy(interpretation=image.interpretation), None)


def _gray_table(icc: bytes, band_format: str) -> Any:
    """Table from gray values of the profile to sRGB: (1, 256 or 65536), of the same format."""
    pyvips = vips()
    deep = band_format == "ushort"
    ramp = np.arange(65536 if deep else 256, dtype=np.uint16 if deep else np.uint8)
    gray = profile_space(icc) == "GRAY"
    values = ramp if gray else np.repeat(ramp[:, None], 3, axis=1)
    names = ("grey16" if deep else "b-w") if gray else ("rgb16" if deep else "srgb")
    image = pyvips.Image.new_from_memory(values, len(ramp), 1, 1 if gray else 3, band_format)
    srgb = attach(image.copy(interpretation=names), icc).icc_transform(
        "srgb", embedded=True, depth=16 if deep else 8, intent="relative", black_point_compensation=True
    )
    return srgb.extract_band(1).copy_memory()
