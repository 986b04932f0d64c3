"""Damaged images of every format that is read, made from rendered ones: bits flipped, files cut, lengths changed."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from srkit.io.image import DecodedImage
from srkit.io.write import encode_image

_EXTREMES = (0, 1, 0x7F, 0xFF, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)


def whole_images(pixels: NDArray[np.uint8]) -> dict[str, bytes]:
    """Encoded images by file name, of every format and of its main kinds, from RGB (H, W, 3) uint8."""
    rgb, gray = Image.fromarray(pixels), Image.fromarray(pixels[:, :, 0])
    alpha = np.dstack([pixels, pixels[:, :, :1]])
    frames = [rgb, Image.fromarray(pixels[::-1].copy())]
    palette, bits = rgb.quantize(16), gray.point(lambda v: 255 * (v > 127)).convert("1")
    animated = {"save_all": True, "append_images": frames[1:]}
    return {
        "rgb.png": _ours(pixels, "png"),
        "deep.png": _ours(pixels.astype(np.uint16) * 257, "png"),
        "alpha.png": _ours(alpha, "png"),
        "palette.png": _encoded(palette, "PNG"),
        "bits.png": _encoded(bits, "PNG"),
        "animated.png": _encoded(rgb, "PNG", **animated),
        "photo.jpg": _encoded(rgb, "JPEG", quality=80),
        "progressive.jpg": _encoded(rgb, "JPEG", quality=80, progressive=True),
        "gray.jpg": _encoded(gray, "JPEG"),
        "inks.jpg": _encoded(rgb.convert("CMYK"), "JPEG"),
        "pair.mpo": _encoded(rgb, "MPO", **animated),
        "lossy.webp": _encoded(rgb, "WEBP"),
        "lossless.webp": _encoded(Image.fromarray(alpha), "WEBP", lossless=True),
        "animated.webp": _encoded(rgb, "WEBP", **animated),
        "plain.tif": _encoded(rgb, "TIFF"),
        "packed.tif": _encoded(gray, "TIFF", compression="packbits"),
        "lzw.tif": _encoded(rgb, "TIFF", compression="tiff_lzw"),
        "jpeg.tif": _encoded(rgb, "TIFF", compression="jpeg"),
        "deflate.tif": _ours(pixels.astype(np.uint16) * 257, "tiff"),
        "photo.avif": _ours(pixels, "avif"),
        "alpha.avif": _ours(alpha, "avif"),
        "still.gif": _encoded(palette, "GIF"),
        "animated.gif": _encoded(rgb, "GIF", **animated),
        "rgb.bmp": _encoded(rgb, "BMP"),
        "gray.bmp": _encoded(gray, "BMP"),
        "palette.bmp": _encoded(palette, "BMP"),
        "bits.bmp": _encoded(bits, "BMP"),
        "runs.bmp": _run_lengths(np.asarray(palette)),
        "deep.bmp": _fields(pixels),
    }


def damaged(data: bytes, rng: np.random.Generator) -> bytes:
    """The file with one thing done to it, or a few."""
    kinds: list[Callable[[bytearray, np.random.Generator], None]] = [_flip, _flip, _cut, _set_length, _move]
    if data.startswith(b"\x89PNG"):
        kinds += [_chunk, _chunk]
    changed = bytearray(data)
    for _ in range(int(rng.integers(1, 3))):
        kinds[int(rng.integers(len(kinds)))](changed, rng)
    return bytes(changed)


def write_damaged(folder: Path, pixels: NDArray[np.uint8], of_each: int, seed: int = 0) -> list[Path]:
    """Write `of_each` damaged files of every kind into a folder, and `EMPTY_FRAME`; the same for the same seed."""
    return list(_written(folder, pixels, of_each, seed))


def _written(folder: Path, pixels: NDArray[np.uint8], of_each: int, seed: int) -> Iterator[Path]:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "empty-frame.png").write_bytes(EMPTY_FRAME)
    yield folder / "empty-frame.png"
    rng = np.random.default_rng(seed)
    for name, data in whole_images(pixels).items():
        stem, _, extension = name.partition(".")
        for number in range(of_each):
            path = folder / f"{extension}-{stem}-{number}.{extension}"
            path.write_bytes(damaged(data, rng))
            yield path


def _ours(pixels: NDArray[np.uint8 | np.uint16], format: str) -> bytes:
    return encode_image(DecodedImage(pixels), format=format)[0]


def _encoded(image: Image.Image, format: str, **options: object) -> bytes:
    out = io.BytesIO()
    image.save(out, format, **options)
    return out.getvalue()


def _bmp(width: int, height: int, bits: int, compression: int, tables: bytes, data: bytes) -> bytes:
    start = 54 + len(tables)
    info = struct.pack("<IiiHHIIiiII", 40, width, height, 1, bits, compression, len(data), 0, 0, 0, 0)
    return struct.pack("<2sIHHI", b"BM", start + len(data), 0, 0, start) + info + tables + data


def _run_lengths(indices: NDArray[np.uint8]) -> bytes:
    """A BMP of 8 bits with a gray palette and run lengths: runs, absolute stretches and ends of lines."""
    height, width = indices.shape
    lines = []
    for row in indices[::-1]:
        half = width // 2 // 2 * 2
        runs = b"".join(bytes([1, int(value)]) for value in row[half:])
        lines.append(bytes([0, half]) + row[:half].tobytes() + runs + b"\0\0")
    table = b"".join(bytes([v, v, v, 0]) for v in range(256))
    return _bmp(width, height, 8, 1, table, b"".join(lines) + b"\0\1")


def _fields(pixels: NDArray[np.uint8]) -> bytes:
    """A BMP of 16 bits with masks."""
    height, width, _ = pixels.shape
    red, green, blue = (pixels[::-1, :, i].astype(np.uint16) for i in range(3))
    packed = (red >> 3 << 11) | (green >> 2 << 5) | (blue >> 3)
    rows = np.pad(packed, ((0, 0), (0, width % 2))).astype("<u2").tobytes()
    return _bmp(width, height, 16, 3, struct.pack("<3I", 0xF800, 0x07E0, 0x001F), rows)


def _png(*chunks: tuple[bytes, bytes]) -> bytes:
    made = (
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in chunks
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(made)


EMPTY_FRAME = _png(
    (b"IHDR", struct.pack(">IIBBBBB", 16, 16, 8, 6, 0, 0, 0)),
    (b"acTL", struct.pack(">II", 2, 0)),
    (b"IDAT", zlib.compress(bytes(16 * (16 * 4 + 1)))),
    (b"fcTL", struct.pack(">IIIIIHHBB", 0, 16, 16, 0, 0, 100, 1000, 0, 0)),
    (b"fdAT", b""),
    (b"IEND", b""),
)
"""An animated PNG whose second frame has no data: OpenCV 5.0 ends the process that decodes it."""


def _place(data: bytearray, rng: np.random.Generator, room: int = 1) -> int:
    """Half of all near the start, where headers and tables lie."""
    end = max(1, len(data) - room)
    return int(rng.integers(min(end, 512) if rng.random() < 0.5 else end))


def _flip(data: bytearray, rng: np.random.Generator) -> None:
    for _ in range(int(rng.integers(1, 9))):
        if data:
            data[_place(data, rng)] ^= 1 << int(rng.integers(8))


def _cut(data: bytearray, rng: np.random.Generator) -> None:
    del data[int(rng.integers(len(data) + 1)) :]


def _set_length(data: bytearray, rng: np.random.Generator) -> None:
    """Two or four bytes become a number at the end of its range, in either order."""
    size = int(rng.choice([2, 4]))
    if len(data) < size:
        return
    value = int(rng.choice(_EXTREMES)) & (256**size - 1)
    at = _place(data, rng, size)
    data[at : at + size] = value.to_bytes(size, "little" if rng.random() < 0.5 else "big")


def _move(data: bytearray, rng: np.random.Generator) -> None:
    """A stretch is taken out, or comes twice."""
    at = _place(data, rng)
    stretch = data[at : at + int(rng.integers(1, 64))]
    if rng.random() < 0.5:
        del data[at : at + len(stretch)]
    else:
        data[at:at] = stretch


def _chunk(data: bytearray, rng: np.random.Generator) -> None:
    """Of a PNG, a chunk is changed, with a checksum that fits; or it comes once more elsewhere."""
    starts = []
    position = 8
    while position + 12 <= len(data):
        starts.append(position)
        position += 12 + int(struct.unpack_from(">I", data, position)[0])
    if not starts:
        return
    start = int(rng.choice(starts))
    length = min(int(struct.unpack_from(">I", data, start)[0]), len(data) - start - 12)
    if length < 0:
        return
    if rng.random() < 0.3:
        at = int(rng.choice(starts))
        data[at:at] = data[start : start + 12 + length]
        return
    if length:
        at = start + 8 + int(rng.integers(length))
        data[at] = int(rng.integers(256))
    struct.pack_into(">I", data, start + 8 + length, zlib.crc32(data[start + 4 : start + 8 + length]))
