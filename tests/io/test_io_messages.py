"""What libraries say of damaged files stays out of stderr, whatever bytes it quotes."""

from __future__ import annotations

import numpy as np
import pytest

from srkit.errors import ImageError
from srkit.io._vips import vips
from srkit.io.image import DecodedImage
from srkit.io.read import read_image
from srkit.io.write import encode_image


def test_text_that_is_no_utf8() -> None:
    pyvips = vips()
    quoted = pyvips.ffi.new("char[]", b"tag \xe1\xff")
    for module in (pyvips, pyvips.error, pyvips.gvalue):
        assert module._to_string(quoted) == "tag \ufffd\ufffd"
    assert pyvips._to_string(pyvips.ffi.NULL) == "NULL"


@pytest.mark.parametrize("side", [0, 1 << 30, (1 << 31) - 1, 1 << 31, (1 << 32) - 1])
@pytest.mark.parametrize("offset", [8, 12], ids=["width", "height"])
def test_sizes_that_no_image_has(capfd: pytest.CaptureFixture[str], side: int, offset: int) -> None:
    alpha = np.full((48, 64, 4), 128, np.uint8)
    data = bytearray(encode_image(DecodedImage(alpha), format="avif")[0])
    at = data.index(b"ispe") + offset  # the box of the size (ISO/IEC 23008-12, 6.5.3)
    data[at : at + 4] = side.to_bytes(4, "big")
    with pytest.raises(ImageError):
        read_image(bytes(data), max_pixels=10**6)
    assert capfd.readouterr() == ("", "")
