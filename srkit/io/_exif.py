"""The orientation inside an EXIF block, changed in place: everything else in the block stays to the byte."""

from __future__ import annotations

import struct

_ORIENTATION = 0x0112
_SHORT = 3


def reset_orientation(exif: bytes) -> bytes:
    """The block with the orientation of its first directory set to 1 (as stored); unchanged if it has none.

    Args:
        exif: a TIFF structure, with or without the prefix `Exif\\0\\0` (EXIF 2.32, 4.5 and 4.7.2).
    """
    start = 6 if exif.startswith(b"Exif\0\0") else 0
    order = {b"II": "<", b"MM": ">"}.get(exif[start : start + 2])
    if order is None:
        return exif
    try:
        (offset,) = struct.unpack_from(order + "I", exif, start + 4)
        (count,) = struct.unpack_from(order + "H", exif, start + offset)
        for i in range(count):
            at = start + offset + 2 + 12 * i
            tag, kind, _ = struct.unpack_from(order + "HHI", exif, at)
            if tag == _ORIENTATION and kind == _SHORT:
                changed = bytearray(exif)
                struct.pack_into(order + "H", changed, at + 8, 1)
                return bytes(changed)
    except struct.error:  # a directory that points beyond the block: nobody can read an orientation from it
        return exif
    return exif
