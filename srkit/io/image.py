"""In-memory image of a file: pixels and metadata."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8 | np.uint16]
"""(H, W, C) uint8 or uint16; C = 1 gray, 2 gray and alpha, 3 RGB, 4 RGBA."""


def is_colourless(pixels: Pixels) -> bool:
    """Return whether all channels of (H, W, C) are equal everywhere, as for gray content in RGB; without alpha."""
    first = pixels[:, :, 0]
    for channel in range(1, pixels.shape[2]):
        other = pixels[:, :, channel]
        # The first rows identify most coloured images at no cost.
        if not np.array_equal(first[:8], other[:8]) or not np.array_equal(first, other):
            return False
    return True


@dataclass(frozen=True)
class DecodedImage:
    """Decoded image with orientation applied.

    Attributes:
        pixels: (H, W, C), uint8 in [0, 255] or uint16 in [0, 65535]; C = 1 gray, 2 gray and alpha, 3 RGB, 4
            RGBA.
            Alpha is straight (colour is not multiplied by it). May be a memory map.
        icc: ICC profile that fits the channels, or None (sRGB, or its gray).
        exif: EXIF block (a TIFF structure) with orientation 1, or None.
        xmp: XMP packet, or None.
        format: format of the file: png, jpg, webp, tiff, avif, bmp or other.
        warnings: sentences on differences from the file's content.
        resolution: horizontal and vertical pixels per millimetre, or None if not in the file.
        iptc: IPTC-IIM data sets, or None.
        texts: keyword and text of PNG's text chunks; a comment of JPEG and GIF has the keyword `Comment`.
        jpeg_quality: 1 to 100, from the quantisation tables of a JPEG file, or None.

    Raises:
        ValueError: the array has another shape or type.
    """

    pixels: Pixels
    icc: bytes | None = None
    exif: bytes | None = None
    xmp: bytes | None = None
    format: str = "png"
    warnings: tuple[str, ...] = ()
    resolution: tuple[float, float] | None = None
    iptc: bytes | None = None
    texts: tuple[tuple[str, str], ...] = ()
    jpeg_quality: int | None = None

    def __post_init__(self) -> None:
        shape, dtype = self.pixels.shape, self.pixels.dtype
        if (
            len(shape) != 3
            or shape[2] not in (1, 2, 3, 4)
            or 0 in shape
            or dtype not in (np.uint8, np.uint16)
        ):
            raise ValueError(
                f"An image's pixels are (H, W, 1 to 4), uint8 or uint16; found {shape}, {dtype}."
            )

    def stripped(self) -> DecodedImage:
        """Copy of the image without metadata except its colour profile."""
        return replace(self, exif=None, xmp=None, resolution=None, iptc=None, texts=())

    @property
    def height(self) -> int:
        return int(self.pixels.shape[0])

    @property
    def width(self) -> int:
        return int(self.pixels.shape[1])

    @property
    def depth(self) -> int:
        """Bits per sample: 8 or 16."""
        return 8 * self.pixels.dtype.itemsize

    @property
    def has_alpha(self) -> bool:
        return self.pixels.shape[2] in (2, 4)

    @property
    def is_gray(self) -> bool:
        return int(self.pixels.shape[2]) <= 2

    @property
    def colour(self) -> Pixels:
        """View without alpha, (H, W, 1) for gray or (H, W, 3)."""
        return self.pixels[:, :, : 1 if self.is_gray else 3]

    @property
    def alpha(self) -> Pixels | None:
        """View of alpha, (H, W), or None."""
        return self.pixels[:, :, -1] if self.has_alpha else None


@dataclass(frozen=True)
class ImageInfo:
    """Header information on the image that `read_image` would return.

    Attributes:
        width, height: in pixels, orientation applied.
        bands: 1 gray, 2 gray and alpha, 3 RGB, 4 RGBA, after conversion from palettes and CMYK.
        depth: 8 or 16.
        has_alpha: True if the last band is alpha.
        format: png, jpg, webp, tiff, avif, bmp or other.
        pages: number of frames or pages in the file; only the first is read.
    """

    width: int
    height: int
    bands: int
    depth: int
    has_alpha: bool
    format: str
    pages: int = 1
