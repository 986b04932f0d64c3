"""GIF blocks (GIF89a)."""

from __future__ import annotations

from srkit.io.containers.contents import COMMENT, Contents, Source, text_of

_COMMENT, _APPLICATION, _EXTENSION, _IMAGE = 0xFE, 0xFF, 0x21, 0x2C
_LOOP = (b"NETSCAPE2.0", b"ANIMEXTS1.0")
_ICC, _XMP = b"ICCRGBG1012", b"XMP DataXMP"
_XMP_TRAILER = 258
_LOOKED_AT = 16 << 20


def scan(source: Source) -> Contents:
    """Read comments and application data, which may stand between images."""
    found = Contents()
    data = source.at(0, _LOOKED_AT)
    at = 13 + _palette(data, 10)
    while at + 1 < len(data):
        if data[at] == _IMAGE:
            at += 10 + _palette(data, at + 9)
            _, at = _blocks(data, at + 1, keep=False)
        elif data[at] == _EXTENSION:
            label = data[at + 1]
            start = at + 2
            body, at = _blocks(data, start, keep=label in (_COMMENT, _APPLICATION))
            if label == _COMMENT:
                found.add_text(COMMENT, text_of(body))
            elif label == _APPLICATION and body.startswith(_XMP):
                # The packet is not split into blocks: its bytes are read as lengths, up to a trailer that ends them.
                found.xmp = data[start + 1 + len(_XMP) : at - _XMP_TRAILER] or None
            elif label == _APPLICATION and body.startswith(_ICC):
                found.icc = body[len(_ICC) :]
            elif label == _APPLICATION and not body.startswith(_LOOP):
                found.lose(f"the GIF extension {body[:11].decode('latin-1')}")
        else:
            break
    return found


def _palette(data: bytes, at: int) -> int:
    flags = data[at] if at < len(data) else 0
    return 3 << (flags & 7) + 1 if flags & 0x80 else 0


def _blocks(data: bytes, at: int, *, keep: bool) -> tuple[bytes, int]:
    """Joined data of the sub-blocks from here, if `keep`, and the end position."""
    parts = []
    while at < len(data) and data[at]:
        if keep:
            parts.append(data[at + 1 : at + 1 + data[at]])
        at += 1 + data[at]
    return b"".join(parts), at + 1
