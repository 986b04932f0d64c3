"""BMP headers (BITMAPINFOHEADER, V4, V5)."""

from __future__ import annotations

import struct

from srkit.io.containers.contents import MAX_BLOCK, Contents, Source

_FILE_HEADER = 14
_V4, _V5 = 108, 124
_CALIBRATED, _EMBEDDED, _LINKED = 0, 0x4D424544, 0x4C494E4B
_IN_BMP = {4: "JPEG", 5: "PNG"}


def scan(source: Source) -> Contents:
    """Read the resolution and the profile; calibrated colours without a profile are not supported."""
    found = Contents()
    head = source.at(0, _FILE_HEADER + _V5)
    if len(head) < 54:
        return found
    (size,) = struct.unpack_from("<I", head, _FILE_HEADER)
    if size < 40:
        return found
    (compression,) = struct.unpack_from("<I", head, 30)
    found.unsupported = f"a BMP that holds a {_IN_BMP[compression]}" if compression in _IN_BMP else None
    across, down = struct.unpack_from("<ii", head, 38)
    found.resolution = (across / 1000, down / 1000) if across > 0 and down > 0 else None
    if size < _V4 or len(head) < _FILE_HEADER + _V4:
        return found
    (space,) = struct.unpack_from("<I", head, 70)
    if space == _EMBEDDED and len(head) == _FILE_HEADER + _V5:
        at, length = struct.unpack_from("<II", head, 126)
        found.icc = source.at(_FILE_HEADER + at, length) if length <= MAX_BLOCK else None
    elif space == _LINKED or (space == _CALIBRATED and any(head[74:110]) and any(head[110:122])):
        found.lose("the BMP's calibrated colours")
    return found
