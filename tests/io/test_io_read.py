"""Decoding, against Pillow, OpenCV and tifffile as independent makers and readers of files."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import tifffile
from PIL import Image, ImageCms

from srkit.errors import ImageError
from srkit.io.icc import profile_space
from srkit.io.read import probe, read_image
from tests.helpers import refused


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(7)


def encoded(image: Image.Image, kind: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def tiff(array: np.ndarray, **options: Any) -> bytes:
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, array, **options)
    return buffer.getvalue()


def noise(rng: np.random.Generator, bands: int, size: tuple[int, int] = (20, 30)) -> np.ndarray:
    return rng.integers(0, 256, (*size, bands), dtype=np.uint8)


def smooth(bands: int) -> np.ndarray:
    y, x = np.mgrid[0:32, 0:48]
    return np.stack([(x * 4 + y * (i + 1)) % 256 for i in range(bands)], axis=-1).astype(np.uint8)


def png_chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


@pytest.mark.data
def test_pngsuite_splits_into_readable_and_broken(data_root: Path) -> None:
    readable = 0
    for path in sorted((data_root / "pngsuite").glob("*.png")):
        if path.name.startswith("x"):
            with refused(ImageError, path):
                read_image(path)
            continue
        image, info = read_image(path), probe(path)
        assert image.pixels.shape == (info.height, info.width, info.bands), path.name
        assert (image.depth, image.has_alpha, info.format) == (info.depth, info.has_alpha, "png"), path.name
        readable += 1
    assert readable > 150


@pytest.mark.data
@pytest.mark.parametrize(
    "name",
    [
        *("basn0g01", "basn0g02", "basn0g04", "basn0g08", "basn2c08", "basn3p01", "basn3p04", "basn3p08"),
        *("basn4a08", "basn6a08", "basi6a08", "tbrn2c08", "tbbn3p08", "tp1n3p08", "s05n3p02", "g25n3p04"),
    ],
)
def test_pngsuite_pixels_equal_pillow(data_root: Path, name: str) -> None:
    path = data_root / "pngsuite" / f"{name}.png"
    image = read_image(path)
    mode = {1: "L", 2: "LA", 3: "RGB", 4: "RGBA"}[image.pixels.shape[2]]
    with Image.open(path) as pil:
        # Pillow does not stretch 2 and 4 bit gray unless it converts.
        expected = np.asarray(pil.convert("RGBA" if mode in ("LA", "RGBA") else "RGB"))
    shape = image.pixels.shape
    gray = image.is_gray
    colour = np.repeat(image.colour, 3, axis=2) if gray else image.colour
    assert expected.shape[:2] == shape[:2]
    assert np.array_equal(colour, expected[..., :3])
    if image.alpha is not None:
        assert np.array_equal(image.alpha, expected[..., 3])


@pytest.mark.data
@pytest.mark.parametrize("name", ["basn0g16", "basn2c16", "basn6a16", "oi9n2c16"])
def test_pngsuite_16_bit_equals_opencv(data_root: Path, name: str) -> None:
    path = data_root / "pngsuite" / f"{name}.png"
    expected = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    expected = expected[:, :, None] if expected.ndim == 2 else expected
    order = {1: [0], 3: [2, 1, 0], 4: [2, 1, 0, 3]}[expected.shape[2]]
    image = read_image(path)
    assert image.depth == 16
    assert np.array_equal(image.pixels, expected[:, :, order])


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_orientation_is_applied_once(kind: str, orientation: int) -> None:
    stored = smooth(3)
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = {"WEBP": {"lossless": True}, "JPEG": {"quality": 100, "subsampling": 0}}.get(kind, {})
    data = encoded(Image.fromarray(stored), kind, exif=exif, **options)
    turn = {
        1: lambda a: a,
        2: lambda a: a[:, ::-1],
        3: lambda a: a[::-1, ::-1],
        4: lambda a: a[::-1],
        5: lambda a: a.swapaxes(0, 1),
        6: lambda a: np.rot90(a, -1),
        7: lambda a: a[::-1, ::-1].swapaxes(0, 1),
        8: lambda a: np.rot90(a),
    }[orientation]
    image, info = read_image(data), probe(data)
    expected = turn(stored)
    assert image.pixels.shape == expected.shape == (info.height, info.width, 3)
    assert np.abs(image.pixels.astype(int) - expected).max() <= (4 if kind == "JPEG" else 0)
    if image.exif is not None:
        tags = Image.Exif()
        tags.load(image.exif)
        assert tags.get(0x0112, 1) == 1


def test_only_the_orientation_of_exif_changes() -> None:
    exif = Image.Exif()
    exif[0x0112], exif[0x010E] = 6, "words"
    before = exif.tobytes().removeprefix(b"Exif\0\0")
    after = read_image(encoded(Image.fromarray(smooth(3)), "JPEG", exif=exif)).exif
    assert after is not None
    assert len(after) == len(before)
    assert sum(a != b for a, b in zip(after, before, strict=True)) == 1


@pytest.mark.parametrize("mode", ["1", "L", "P", "LA", "RGB", "RGBA"])
@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_modes_equal_what_pillow_meant(rng: np.random.Generator, kind: str, mode: str) -> None:
    pil = Image.fromarray(noise(rng, 4), "RGBA").convert("RGB" if mode == "P" else mode)
    if mode == "P":
        pil = pil.quantize(16)
    image = read_image(encoded(pil, kind))
    expected = np.asarray(pil.convert("RGB" if mode == "P" else "L" if mode == "1" else mode))
    assert image.depth == 8
    assert np.array_equal(image.pixels, expected.reshape(image.pixels.shape))


def test_associated_alpha_comes_out_straight(rng: np.random.Generator) -> None:
    colour = noise(rng, 3)
    alpha = rng.integers(128, 256, (20, 30, 1), dtype=np.uint8)
    multiplied = np.rint(colour * (alpha / 255.0)).astype(np.uint8)
    data = tiff(np.concatenate([multiplied, alpha], 2), photometric="rgb", extrasamples=["assocalpha"])
    image = read_image(data)
    assert image.alpha is not None
    assert np.array_equal(image.alpha, alpha[..., 0])
    assert np.abs(image.colour.astype(int) - colour).max() <= 2


def test_miniswhite_is_inverted(rng: np.random.Generator) -> None:
    gray = noise(rng, 1)[..., 0]
    image = read_image(tiff(gray, photometric="miniswhite"))
    assert np.array_equal(image.pixels[..., 0], 255 - gray)


def test_float_in_unit_range_becomes_16_bit_with_a_warning() -> None:
    values = np.linspace(0, 1, 300, dtype=np.float32).reshape(20, 15)
    for array, photometric in ((values, "minisblack"), (np.stack([values] * 3, -1), "rgb")):
        image = read_image(tiff(array, photometric=photometric))
        expected = np.rint(array.astype(np.float64) * 65535)
        assert np.abs(image.pixels.reshape(expected.shape) - expected).max() <= 1
        assert any("Float" in w for w in image.warnings)


@pytest.mark.parametrize(
    "array",
    [
        np.full((8, 8), 2.0, np.float32),
        np.full((8, 8), np.nan, np.float32),
        np.zeros((8, 8), np.int16),
        np.zeros((8, 8), np.uint32),
        np.zeros((8, 8), np.float64),
    ],
)
def test_samples_of_unknown_range_are_refused(array: np.ndarray) -> None:
    with pytest.raises(ImageError):
        read_image(tiff(array, photometric="minisblack"))


def test_more_channels_than_colour_and_alpha_are_refused(rng: np.random.Generator) -> None:
    data = tiff(noise(rng, 6), photometric="rgb", extrasamples=["unassalpha", "unspecified", "unspecified"])
    with refused(ImageError, 6):
        read_image(data)


def test_cmyk_jpeg_becomes_srgb_without_its_profile() -> None:
    inks = np.zeros((16, 48, 4), np.uint8)
    inks[:, 16:32, 0] = 255  # cyan
    inks[:, 32:, 3] = 255  # black
    image = read_image(encoded(Image.fromarray(inks, "CMYK"), "JPEG", quality=100))
    assert image.pixels.shape == (16, 48, 3)
    assert image.icc is None
    paper, cyan, black = (image.pixels[8, x].astype(int) for x in (4, 24, 44))
    assert paper.min() > 245
    assert cyan[0] < 90
    assert cyan[2] > 180
    assert black.max() < 60


def test_cmyk_16_bit_keeps_its_alpha() -> None:
    inks = np.zeros((8, 8, 5), np.uint16)
    inks[..., 4] = np.arange(64, dtype=np.uint16).reshape(8, 8) * 1000
    image = read_image(tiff(inks, photometric="separated", extrasamples=["unassalpha"]))
    assert (image.pixels.shape[2], image.depth) == (4, 16)
    assert image.alpha is not None
    assert np.array_equal(image.alpha, inks[..., 4])
    assert image.colour.min() > 60000


def test_a_fitting_profile_is_kept_to_the_byte(
    rng: np.random.Generator, gray_profile: Callable[[float], bytes]
) -> None:
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    assert profile_space(srgb) == "RGB"
    colour = read_image(encoded(Image.fromarray(noise(rng, 3)), "PNG", icc_profile=srgb))
    assert colour.icc == srgb
    gray = read_image(encoded(Image.fromarray(noise(rng, 1)[..., 0]), "JPEG", icc_profile=gray_profile(1.8)))
    assert gray.icc == gray_profile(1.8)


def test_gray_under_srgb_keeps_its_values_and_drops_the_profile(rng: np.random.Generator) -> None:
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    gray = noise(rng, 1)[..., 0]
    image = read_image(tiff(gray, photometric="minisblack", iccprofile=srgb))
    assert image.icc is None
    assert image.warnings == ()
    assert np.array_equal(image.pixels[..., 0], gray)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_gray_under_another_rgb_profile_is_mapped(dtype: Any) -> None:
    linear = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    # The sRGB curve (`para`, type 3) becomes an exponent of 1: values are then linear light.
    for i in range(len(linear) - 12):
        if linear[i : i + 10] == b"para\0\0\0\0\0\3":
            linear[i + 8 : i + 16] = b"\0\0\0\0" + struct.pack(">i", 0x10000)
    top = np.iinfo(dtype).max
    gray = np.linspace(0, top, 256).astype(dtype).reshape(16, 16)
    image = read_image(tiff(gray, photometric="minisblack", iccprofile=bytes(linear)))
    light = gray / top
    expected = np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055) * top
    assert (image.icc, image.is_gray) == (None, True)
    assert np.abs(image.pixels[..., 0] - expected).max() <= top * 0.006


def test_a_broken_profile_is_dropped_with_a_warning(rng: np.random.Generator) -> None:
    image = read_image(tiff(noise(rng, 3), photometric="rgb", iccprofile=b"no profile" * 20))
    assert image.icc is None
    assert any("profile" in w for w in image.warnings)


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG", "AVIF", "TIFF"])
def test_the_first_of_several_frames_with_a_warning(kind: str) -> None:
    first, second = Image.fromarray(smooth(3)), Image.fromarray(255 - smooth(3))
    data = encoded(
        first, kind, save_all=True, append_images=[second], **({"lossless": True} if kind == "WEBP" else {})
    )
    image = read_image(data)
    assert probe(data).pages == 2
    assert any("only the first" in w for w in image.warnings)
    error = np.abs(image.colour.astype(int) - smooth(3)).mean()
    assert error < (20 if kind in ("GIF", "AVIF") else 1)


def test_one_frame_gives_no_warning() -> None:
    for kind in ("GIF", "WEBP", "PNG", "AVIF", "TIFF", "JPEG", "BMP"):
        data = encoded(Image.fromarray(smooth(3)), kind)
        assert (probe(data).pages, read_image(data).warnings) == (1, ()), kind


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB"])
def test_bmp(rng: np.random.Generator, mode: str) -> None:
    pil = Image.fromarray(noise(rng, 3))
    pil = pil.quantize(16) if mode == "P" else pil.convert(mode)
    data = encoded(pil, "BMP")
    image, info = read_image(data), probe(data)
    expected = np.asarray(pil.convert("RGB" if mode == "P" else "L" if mode == "1" else mode))
    assert (image.format, info.format) == ("bmp", "bmp")
    assert image.pixels.shape == (info.height, info.width, info.bands)
    assert np.array_equal(image.pixels, expected.reshape(image.pixels.shape))


@pytest.mark.parametrize("bits", [10, 12])
def test_avif_of_10_and_12_bit_spans_16_bit(bits: int) -> None:
    import pyvips

    levels = np.linspace(0, 65535, 64).astype(np.uint16)
    pixels = np.ascontiguousarray(np.tile(levels[None, :, None], (64, 1, 3)))
    pil = pyvips.Image.new_from_memory(pixels, 64, 64, 3, "ushort").copy(interpretation="rgb16")
    image = read_image(pil.write_to_buffer(".avif", bitdepth=bits, lossless=True))
    assert (image.depth, image.format) == (16, "avif")
    assert (image.pixels.min(), image.pixels.max()) == (0, 65535)
    assert np.abs(image.pixels.astype(int) - pixels).max() <= 2 ** (16 - bits)


def bmp(bits: int, masks: tuple[int, ...], data: bytes, width: int = 2, height: int = 2) -> bytes:
    """A BMP with a V5 header where there is an alpha mask, else the plain one (three masks follow it)."""
    size = 124 if len(masks) == 4 else 40
    info = struct.pack("<IiiHHIIiiII", size, width, height, 1, bits, 3 if masks else 0, len(data), 0, 0, 0, 0)
    info = (info + struct.pack(f"<{len(masks)}I", *masks)).ljust(size, b"\0")
    start = 14 + len(info)
    return b"BM" + struct.pack("<IHHI", start + len(data), 0, 0, start) + info + data


def test_bmp_alpha_only_where_a_mask_says_so(rng: np.random.Generator) -> None:
    rgba = noise(rng, 4, (2, 2))
    data = rgba[::-1][..., [2, 1, 0, 3]].tobytes()
    masks = (0xFF0000, 0xFF00, 0xFF, 0xFF000000)
    with_alpha = bmp(32, masks, data)
    assert probe(with_alpha).has_alpha
    assert np.array_equal(read_image(with_alpha).pixels, rgba)
    without = bmp(32, (), data)
    assert not probe(without).has_alpha
    assert np.array_equal(read_image(without).pixels, rgba[..., :3])


def test_bmp_16_bit_white_is_white() -> None:
    for masks, value in (((), 0x7FFF), ((0xF800, 0x07E0, 0x001F), 0xFFFF)):
        image = read_image(bmp(16, masks, struct.pack("<4H", value, 0, value, 0)))
        assert image.pixels.reshape(4, 3).tolist() == [[255] * 3, [0] * 3] * 2


def test_png_bomb_is_refused_before_decoding(tmp_path: Path) -> None:
    header = struct.pack(">IIBBBBB", 100_000, 100_000, 8, 2, 0, 0, 0)
    body = (
        png_chunk(b"IHDR", header) + png_chunk(b"IDAT", zlib.compress(b"\0" * 100)) + png_chunk(b"IEND", b"")
    )
    path = tmp_path / "bomb.png"
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + body)
    for read in (probe, read_image):
        with refused(ImageError, path, "100000 x 100000", "--max-pixels"):
            read(path)
    assert probe(path, max_pixels=10**10).width == 100_000


def test_bmp_and_the_pixel_limit() -> None:
    with refused(ImageError, "100000 x 100000"):
        read_image(bmp(24, (), b"", 100_000, 100_000))
    small = encoded(Image.fromarray(smooth(3)), "PNG")
    assert read_image(small, max_pixels=32 * 48).width == 48
    with refused(ImageError, "48 x 32", "1,535"):
        read_image(small, max_pixels=32 * 48 - 1)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF", "GIF", "BMP"])
@pytest.mark.parametrize("share", [0.1, 0.6, 0.95])
def test_truncated_files_are_refused_by_name(
    tmp_path: Path, rng: np.random.Generator, kind: str, share: float
) -> None:
    data = encoded(Image.fromarray(noise(rng, 3, (64, 64))), kind)
    path = tmp_path / "half.bin"
    path.write_bytes(data[: int(len(data) * share)])
    with refused(ImageError, path):
        read_image(path)


@pytest.mark.parametrize(
    ("data", "named"),
    [
        (b"", 0),
        (b"some words", "PNG"),
        (b"version https://git-lfs.github.com/spec/v1\n", "LFS"),
        (b"\xff\x0a0000", "JPEG XL"),
        (b"P6 1 1 255 abc", "PNM"),
        (b"BM", "BMP"),
        (b"\x89PNG\r\n\x1a\n", ""),
    ],
)
def test_no_images(tmp_path: Path, data: bytes, named: object) -> None:
    path = tmp_path / "thing.png"
    path.write_bytes(data)
    for source in (path, data):
        with refused(ImageError, named, *([path] if source is path else [])):
            probe(source)


def test_missing_files_and_folders(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "no.png", tmp_path / ("n" * 300)):
        with refused(ImageError, path):
            read_image(path)


@pytest.mark.parametrize("name", [b"caf\xe9.png", b"p[1].png", b"a%d,b=c.png", "Ω 写真.png".encode()])
def test_odd_names(tmp_path: Path, name: bytes) -> None:
    path = tmp_path / name.decode("utf-8", "surrogateescape")
    Image.fromarray(smooth(3)).save(tmp_path / "plain.png")
    (tmp_path / "plain.png").rename(path)
    assert np.array_equal(read_image(path).pixels, smooth(3))
    path.write_bytes(b"x")
    with pytest.raises(ImageError) as caught:
        read_image(path)
    str(caught.value).encode("utf-8")


def test_a_rewritten_path_is_read_anew(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    for value in (10, 200):
        Image.new("L", (8, 8), value).save(path)
        assert read_image(path).pixels.max() == value
