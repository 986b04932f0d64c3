"""The orientation inside an EXIF block, changed in place: everything else stays to the byte."""

from __future__ import annotations

import struct

_ORIENTATION = 0x0112
_SHORT = 3


def reset_orientation(exif: bytes) -> bytes:
    """The block with the orientation of its first directory set to 1; unchanged if it has none or is 1 already.

    Where it changes, the thumbnail is unlinked, since that still lies as the camera stored it.

    Args:
        exif: a TIFF structure, with or without the prefix `Exif\\0\\0` (EXIF 2.32, 4.5.2 and 4.7.2).
    """
    start = 6 if exif.startswith(b"Exif\0\0") else 0
    order = {b"II": "<", b"MM": ">"}.get(exif[start : start + 2])
    if order is None:
        return exif
    changed = bytearray(exif)
    try:
        (offset,) = struct.unpack_from(order + "I", exif, start + 4)
        (count,) = struct.unpack_from(order + "H", exif, start + offset)
        for i in range(count):
            at = start + offset + 2 + 12 * i
            tag, kind, _, value = struct.unpack_from(order + "HHIH", exif, at)
            if tag == _ORIENTATION and kind == _SHORT and value != 1:
                struct.pack_into(order + "H", changed, at + 8, 1)
                struct.pack_into(order + "I", changed, start + offset + 2 + 12 * count, 0)
    except struct.error:  # a directory that points beyond the block: nobody can read an orientation from it
        return exif
    return bytes(changed)
