"""What the tests of io share."""

from __future__ import annotations

import struct
from collections.abc import Callable

import pytest


@pytest.fixture
def gray_profile() -> Callable[[float], bytes]:
    """Makes ICC profiles for gray whose curve is a power."""
    return _gamma_profile


def _gamma_profile(gamma: float) -> bytes:
    """A gray profile with a pure power curve (ICC.1:2022: tags wtpt, kTRC)."""
    white = b"XYZ \0\0\0\0" + struct.pack(">iii", 0xF6D6, 0x10000, 0xD32D)
    curve = b"curv\0\0\0\0" + struct.pack(">IH", 1, round(gamma * 256)) + b"\0\0"
    text = b"text\0\0\0\0test\0\0\0\0"
    tags = [(b"desc", text), (b"cprt", text), (b"wtpt", white), (b"kTRC", curve)]
    offset = 128 + 4 + 12 * len(tags)
    table, body = struct.pack(">I", len(tags)), b""
    for name, data in tags:
        table += name + struct.pack(">II", offset + len(body), len(data))
        body += data
    size = offset + len(body)
    head = struct.pack(">I4sI4s4s4s", size, b"\0\0\0\0", 0x02400000, b"mntr", b"GRAY", b"XYZ ")
    head += b"\0" * 12 + b"acsp" + b"\0" * 28 + struct.pack(">iii", 0xF6D6, 0x10000, 0xD32D)
    return head.ljust(128, b"\0") + table + body
