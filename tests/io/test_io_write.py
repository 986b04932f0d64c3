"""Encoding: round trips, what formats cannot hold, metadata, memory, and failures of the disk."""

from __future__ import annotations

import functools
import io
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageCms

from srkit.errors import ImageError, SrkitError, UsageError
from srkit.io.formats import FORMATS, auto_format, format_of_name
from srkit.io.image import DecodedImage
from srkit.io.read import read_image
from srkit.io.write import encode_image, write_image
from tests.helpers import refused

XMP = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"/></x:xmpmeta>'


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def smooth(bands: int, depth: int = 8, size: tuple[int, int] = (40, 56)) -> np.ndarray:
    y, x = np.mgrid[0 : size[0], 0 : size[1]] / max(size)
    planes = [0.5 + 0.4 * np.sin(3 * x + (i + 1) * y + i) for i in range(bands)]
    top = 2**depth - 1
    return np.rint(np.stack(planes, -1) * top).astype(np.uint8 if depth == 8 else np.uint16)


def exif_block(orientation: int = 6) -> bytes:
    exif = Image.Exif()
    exif[0x0112], exif[0x010E], exif[0x0110] = orientation, "a description", "a camera"
    exif.get_ifd(0x8769)[0x9003] = "2020:01:01 00:00:00"
    return b"Exif\0\0" + exif.tobytes().removeprefix(b"Exif\0\0")


@functools.cache  # it holds the time at which it was made
def srgb_profile() -> bytes:
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


@pytest.mark.parametrize("depth", [8, 16])
@pytest.mark.parametrize("bands", [1, 2, 3, 4])
@pytest.mark.parametrize("name", FORMATS)
def test_round_trip(tmp_path: Path, name: str, bands: int, depth: int) -> None:
    pixels, form = smooth(bands, depth), FORMATS[name]
    path = tmp_path / "a"
    warnings = write_image(DecodedImage(pixels), path, format=name)
    assert names_in(tmp_path) == ["a"]
    back = read_image(path)
    has_alpha = bands in (2, 4)
    assert back.format == name
    assert back.has_alpha == (has_alpha and form.alpha)
    assert back.depth == (16 if depth == 16 and form.depth16 else 8)
    assert back.is_gray == (bands <= 2 and form.gray)
    assert any("alpha" in w for w in warnings) == (has_alpha and not form.alpha)
    assert any("16 bits" in w for w in warnings) == (depth == 16 and not form.depth16)
    if form.lossless:
        assert np.array_equal(back.pixels, pixels)
        return
    top = 2**depth - 1
    expected = pixels / top
    if has_alpha and not form.alpha:
        alpha = expected[..., -1:]
        expected = expected[..., :-1] * alpha + 1 - alpha
    colours = 1 if bands <= 2 else 3
    found = back.pixels / 255
    assert (
        np.abs(found[..., :3] - np.broadcast_to(expected[..., :colours], found[..., :3].shape)).mean() < 0.01
    )
    if back.has_alpha:
        assert np.abs(found[..., -1] - expected[..., -1]).max() < 0.02


def test_16_to_8_bit_rounds_to_the_nearest() -> None:
    ramp = np.arange(65536, dtype=np.uint16).reshape(256, 256, 1)
    data, _ = encode_image(DecodedImage(ramp), format="jpg", quality=100)
    # JPEG blurs the steps of a ramp; the exact table is seen through flat images.
    assert read_image(data).pixels.shape == (256, 256, 1)
    for value in (0, 128, 129, 385, 386, 32767, 32896, 65406, 65407, 65535):
        flat = DecodedImage(np.full((16, 16, 1), value, np.uint16))
        data, _ = encode_image(flat, format="jpg", quality=100)
        assert set(read_image(data).pixels.ravel()) == {int(np.rint(value / 257))}, value


def test_opaque_alpha_over_white_changes_nothing() -> None:
    for depth in (8, 16):
        pixels = smooth(4, depth)
        pixels[..., 3] = 2**depth - 1
        with_alpha, _ = encode_image(DecodedImage(pixels), format="jpg")
        without, _ = encode_image(DecodedImage(np.ascontiguousarray(pixels[..., :3])), format="jpg")
        assert np.array_equal(read_image(with_alpha).pixels, read_image(without).pixels)


@pytest.mark.parametrize("prefix", [True, False])
@pytest.mark.parametrize("name", FORMATS)
def test_metadata_travel_and_orientation_stays_1(name: str, prefix: bool) -> None:
    source = io.BytesIO()
    stored = Image.fromarray(smooth(3))
    stored.save(source, "JPEG" if prefix else "WEBP", exif=exif_block(6), icc_profile=srgb_profile(), xmp=XMP)
    image = read_image(source.getvalue())
    assert (image.height, image.width) == (56, 40)
    data, warnings = encode_image(image, format=name)
    assert warnings == ()
    with Image.open(io.BytesIO(data)) as pil:
        assert pil.size == (40, 56)
        assert pil.info.get("icc_profile") == srgb_profile()
        tags = pil.getexif()
        assert tags.get(0x0112, 1) == 1
        assert (tags[0x010E], tags[0x0110]) == ("a description", "a camera")
        assert tags.get_ifd(0x8769)[0x9003] == "2020:01:01 00:00:00"
    again = read_image(data)
    assert (again.height, again.width) == (56, 40)
    assert (again.icc, again.xmp) == (image.icc, XMP)
    assert again.exif is not None


def test_resolution_is_kept() -> None:
    source = io.BytesIO()
    Image.fromarray(smooth(3)).save(source, "JPEG", dpi=(300, 300))
    for name in ("png", "jpg", "tiff"):
        data, _ = encode_image(read_image(source.getvalue()), format=name)
        with Image.open(io.BytesIO(data)) as image:
            assert float(image.info["dpi"][0]) == pytest.approx(300, abs=1)


def test_metadata_too_large_for_jpeg_are_dropped_with_a_warning() -> None:
    padded = XMP.replace(b"<rdf:RDF", b"<!--" + b"x" * 70_000 + b"--><rdf:RDF")
    image = DecodedImage(smooth(3), xmp=padded)
    data, warnings = encode_image(image, format="jpg")
    assert any("XMP" in w for w in warnings)
    assert read_image(data).xmp is None
    data, warnings = encode_image(image, format="png")
    assert warnings == ()
    assert read_image(data).xmp == image.xmp


def test_png_is_written_with_compression_1_and_filter_up() -> None:
    pixels = smooth(3, size=(300, 400))
    default, _ = encode_image(DecodedImage(pixels), format="png")
    sizes = [len(encode_image(DecodedImage(pixels), format="png", compression=c)[0]) for c in (0, 9)]
    assert sizes[1] < len(default) < sizes[0]
    for name in ("png", "tiff"):
        for compression in (0, 1, 9):
            data, _ = encode_image(DecodedImage(pixels), format=name, compression=compression)
            assert np.array_equal(read_image(data).pixels, pixels)


@pytest.mark.parametrize("name", ["jpg", "webp", "avif"])
def test_quality_changes_size_and_error(name: str) -> None:
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (64, 64, 3), dtype=np.uint8)
    low, _ = encode_image(DecodedImage(pixels), format=name, quality=10)
    high, _ = encode_image(DecodedImage(pixels), format=name, quality=95)
    errors = [np.abs(read_image(d).pixels.astype(int) - pixels).mean() for d in (low, high)]
    assert len(low) < len(high)
    assert errors[0] > errors[1]


@pytest.mark.parametrize("name", ["jpg", "webp", "avif"])
def test_sides_over_the_limit_are_refused_and_the_limit_itself_works(tmp_path: Path, name: str) -> None:
    limit = FORMATS[name].max_side
    assert limit is not None
    with refused(ImageError, name.upper(), limit, "--format"):
        write_image(DecodedImage(np.zeros((1, limit + 1, 1), np.uint8)), tmp_path / "a", format=name)
    assert names_in(tmp_path) == []
    write_image(DecodedImage(np.zeros((1, limit, 1), np.uint8)), tmp_path / "a", format=name)
    assert read_image(tmp_path / "a").width == limit


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"format": "pgn"}, ("pgn", "png")),
        ({"format": "jpg", "quality": 0}, ("quality", 0)),
        ({"format": "jpg", "quality": 101}, ("quality", 101)),
        ({"format": "png", "compression": 10}, ("compression", 10)),
    ],
)
def test_bad_options(tmp_path: Path, options: dict[str, Any], named: tuple[object, ...]) -> None:
    with refused(UsageError, *named):
        write_image(DecodedImage(smooth(3)), tmp_path / "a.png", **options)
    assert names_in(tmp_path) == []


def test_arrays_that_are_not_contiguous(tmp_path: Path) -> None:
    pixels = smooth(3, 16)
    for odd in (pixels[::-1, ::2], np.asfortranarray(pixels)):
        write_image(DecodedImage(odd), tmp_path / "a.png", format="png")
        assert np.array_equal(read_image(tmp_path / "a.png").pixels, odd)


def test_a_memory_map_is_written(tmp_path: Path) -> None:
    mapped = np.memmap(tmp_path / "raw", np.uint8, "w+", shape=(40, 56, 3))
    mapped[:] = smooth(3)
    write_image(DecodedImage(mapped), tmp_path / "a.png", format="png")
    assert np.array_equal(read_image(tmp_path / "a.png").pixels, smooth(3))


def test_1_by_1() -> None:
    for name in FORMATS:
        for bands in (1, 2, 3, 4):
            data, _ = encode_image(DecodedImage(np.full((1, 1, bands), 255, np.uint8)), format=name)
            back = read_image(data).pixels
            assert back.shape[:2] == (1, 1)
            assert back.min() >= 250


def run(code: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=False
    )


def test_pixels_are_not_copied(tmp_path: Path) -> None:
    code = """
import resource, sys
from pathlib import Path
import numpy as np
from srkit.io.image import DecodedImage
from srkit.io.write import write_image
pixels = np.zeros((8000, 5000, 3), np.uint8)
pixels[::7] = 200
write_image(DecodedImage(pixels[:64, :64]), Path(sys.argv[1]) / "warm.png", format="png")
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
write_image(DecodedImage(pixels), Path(sys.argv[1]) / "a.png", format="png")
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""
    grown = int(run(code, str(tmp_path)).stdout)  # in KiB; the pixels are 117,187
    assert grown < 50_000


@pytest.mark.parametrize("name", FORMATS)
def test_a_full_disk_leaves_nothing_and_says_so(tmp_path: Path, name: str) -> None:
    code = """
import resource, sys
from pathlib import Path
import numpy as np
from srkit.errors import SrkitError
from srkit.io.image import DecodedImage
from srkit.io.write import write_image
pixels = np.random.default_rng(0).integers(0, 256, (400, 400, 3), dtype=np.uint8)
resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
try:
    write_image(DecodedImage(pixels), Path(sys.argv[1]), format=sys.argv[2])
except SrkitError as error:
    print(type(error).__name__, error)
"""
    target = tmp_path / "a.out"
    target.write_bytes(b"earlier")
    result = run(code, str(target), name)
    assert "SrkitError" in result.stdout, result.stderr
    assert "free some space" in result.stdout
    assert result.stderr == ""
    assert names_in(tmp_path) == ["a.out"]
    assert target.read_bytes() == b"earlier"


def test_no_space_left(tmp_path: Path) -> None:
    mount = tmp_path / "small"
    mount.mkdir()
    made = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", mount], capture_output=True, check=False
    )
    if made.returncode:
        pytest.skip("a small file system cannot be mounted here")
    try:
        pixels = np.random.default_rng(0).integers(0, 256, (400, 400, 3), dtype=np.uint8)
        for name in FORMATS:
            with refused(SrkitError, mount / "a"):
                write_image(DecodedImage(pixels), mount / "a", format=name)
            assert names_in(mount) == []
    finally:
        subprocess.run(["umount", mount], check=True)


def test_missing_and_special_targets(tmp_path: Path) -> None:
    image = DecodedImage(smooth(3))
    for target in (tmp_path / "no" / "a.png", tmp_path, Path(os.devnull), tmp_path / ("n" * 300)):
        with refused(SrkitError, target):
            write_image(image, target, format="png")
    assert names_in(tmp_path) == []


@pytest.mark.parametrize("name", ["n" * 251 + ".png", os.fsdecode(b"caf\xe9.png"), "p[Q=1].png"])
def test_long_and_odd_names(tmp_path: Path, name: str) -> None:
    write_image(DecodedImage(smooth(3)), tmp_path / name, format="png")
    assert names_in(tmp_path) == [name]
    assert np.array_equal(read_image(tmp_path / name).pixels, smooth(3))


def test_gray_profile_in_a_format_without_gray_is_applied(gray_profile: Callable[[float], bytes]) -> None:
    gray, profile = smooth(1), gray_profile(1.0)
    data, warnings = encode_image(DecodedImage(gray, icc=profile), format="webp", quality=100)
    back = read_image(data)
    light = gray / 255
    expected = 255 * np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)
    assert (back.icc, warnings) == (None, ())
    assert np.abs(back.pixels - expected).mean() < 2
    kept, _ = encode_image(DecodedImage(gray, icc=profile), format="png")
    assert read_image(kept).icc == profile


@pytest.mark.parametrize(
    ("source", "changes", "expected"),
    [
        ("jpg", {}, "jpg"),
        ("jpg", {"depth": 16}, "png"),
        ("jpg", {"has_alpha": True}, "png"),
        ("jpg", {"width": 65_501}, "png"),
        ("webp", {"has_alpha": True}, "webp"),
        ("webp", {"height": 16_384}, "png"),
        ("avif", {"depth": 16}, "png"),
        ("tiff", {"depth": 16, "has_alpha": True}, "tiff"),
        ("bmp", {}, "png"),
        ("other", {}, "png"),
        ("png", {"width": 40_000, "height": 40_000}, "tiff"),
        ("webp", {"width": 2_000_000}, "tiff"),
    ],
)
def test_auto_format(source: str, changes: dict[str, Any], expected: str) -> None:
    assert (
        auto_format(source, **({"width": 100, "height": 100, "depth": 8, "has_alpha": False} | changes))
        == expected
    )


def test_format_of_name() -> None:
    assert [format_of_name(Path(n)) for n in ("a.PNG", "a.jpeg", "a.tif", "a.txt", "a")] == [
        "png",
        "jpg",
        "tiff",
        None,
        None,
    ]


def test_images_are_checked() -> None:
    for bad in (
        np.zeros((4, 4), np.uint8),
        np.zeros((4, 4, 3), np.float32),
        np.zeros((4, 4, 5), np.uint8),
        np.zeros((4, 4, 3), ">u2"),
    ):
        with refused(ValueError, bad.shape, bad.dtype):
            DecodedImage(bad)  # type: ignore[arg-type]


def test_importing_io_loads_no_codec() -> None:
    code = "import sys, srkit.io, srkit.io.folders, srkit.io.atomic, srkit.io.read, srkit.io.write; " + (
        "print([m for m in ('pyvips', 'cv2', 'torch', 'PIL') if m in sys.modules])"
    )
    assert run(code).stdout.strip() == "[]"


def test_codec_threads_are_set() -> None:
    code = (
        "import srkit.io, sys; srkit.io.set_codec_threads(1); import pyvips; print(pyvips.concurrency_get())"
    )
    assert run(code).stdout.strip() == "1"
