"""BMP reading through OpenCV, since libvips has no BMP reader."""

from __future__ import annotations

import struct
from dataclasses import dataclass

import numpy as np

from srkit.io.image import Pixels

_BITFIELDS, _ALPHA_BITFIELDS = 3, 6
_GREEN_6_BITS = 0x07E0


@dataclass(frozen=True)
class BmpHeader:
    """Declared size in pixels, bits per pixel, and flags: alpha mask, six bits of green (16 bit only), gray palette."""

    width: int
    height: int
    bits: int
    has_alpha: bool
    green_6: bool = False
    gray: bool = False


def read_bmp_header(head: bytes) -> BmpHeader:
    """Read the header in the first 2048 bytes of a BMP file.

    Raises:
        ValueError: the header is incomplete or invalid.
    """
    try:
        (size,) = struct.unpack_from("<I", head, 14)
        if size == 12:
            width, height, _, bits = struct.unpack_from("<HHHH", head, 18)
            return _checked(BmpHeader(width, height, bits, False, gray=_gray_palette(head, 26, 3, bits, 0)))
        width, height, _, bits, compression = struct.unpack_from("<iiHHI", head, 18)
        masks = compression in (_BITFIELDS, _ALPHA_BITFIELDS)
        green = struct.unpack_from("<I", head, 58)[0] if masks else 0
        with_alpha_mask = masks and bits == 32 and (size >= 56 or compression == _ALPHA_BITFIELDS)
        (used,) = struct.unpack_from("<I", head, 46)
        alpha = struct.unpack_from("<I", head, 66)[0] if with_alpha_mask else 0
    except struct.error as error:
        raise ValueError("the BMP header is incomplete") from error
    gray = _gray_palette(head, 14 + size, 4, bits, used)
    return _checked(BmpHeader(width, abs(height), bits, alpha != 0, green == _GREEN_6_BITS, gray))


def decode_bmp(data: bytes, header: BmpHeader) -> Pixels:
    """Decode to (H, W, 1 | 3 | 4) uint8, RGB order.

    Raises:
        ValueError: OpenCV cannot decode the file, or not to the declared size.
    """
    import cv2

    cv2.utils.logging.setLogLevel(
        cv2.utils.logging.LOG_LEVEL_SILENT
    )  # silences messages on stderr, since the error is raised
    try:
        decoded = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    except cv2.error as error:
        raise ValueError("OpenCV cannot decode it") from error
    if decoded is None or decoded.shape[:2] != (header.height, header.width):
        raise ValueError("the BMP data are incomplete or of an unknown kind")
    if decoded.ndim == 2:
        return np.ascontiguousarray(decoded[:, :, None])
    order = [2, 1, 0, 3] if decoded.shape[2] == 4 and header.has_alpha else [2, 1, 0]
    pixels = np.ascontiguousarray(decoded[:, :, order])
    if header.bits == 16:
        # OpenCV fills the low bits with zeros, so that white would be 248; repeating the high bits makes it 255.
        pixels |= pixels >> np.array([5, 6 if header.green_6 else 5, 5], np.uint8)
    return pixels


def _gray_palette(head: bytes, start: int, step: int, bits: int, used: int) -> bool:
    """Return whether every colour of the palette is gray, in which case OpenCV decodes to one channel."""
    if bits > 8:
        return False
    end = start + step * min(used or 1 << bits, 256)
    blue, green, red = (head[start + i : end : step] for i in range(3))
    return blue == green == red


def _checked(header: BmpHeader) -> BmpHeader:
    if header.width < 1 or header.height < 1 or header.bits not in (1, 2, 4, 8, 16, 24, 32):
        raise ValueError(
            f"the BMP header declares {header.width} x {header.height}, {header.bits} bits per pixel"
        )
    return header
