"""Colours that files give without an ICC profile: every output shows what the input shows."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image, ImageCms

from srkit.io.colour_tags import from_cicp, from_gamma
from srkit.io.icc import profile_space
from srkit.io.read import read_image
from srkit.io.write import encode_image

FLAT = (180, 90, 60)
SRGB_XY = np.array([[0.64, 0.33], [0.30, 0.60], [0.15, 0.06], [0.3127, 0.3290]])
ADOBE_XY = np.array([[0.64, 0.33], [0.21, 0.71], [0.15, 0.06], [0.3127, 0.3290]])
P3_XY = np.array([[0.68, 0.32], [0.265, 0.69], [0.15, 0.06], [0.3127, 0.3290]])
REC2020_XY = np.array([[0.708, 0.292], [0.170, 0.797], [0.131, 0.046], [0.3127, 0.3290]])
SWAPPED_XY = SRGB_XY[[1, 0, 2, 3]]  # red and green changed places: plain to see
CHRM_ORDER = [3, 0, 1, 2]


def srgb_light(v: np.ndarray) -> np.ndarray:
    return np.where(v <= 0.04045, v / 12.92, ((v + 0.055) / 1.055) ** 2.4)


def srgb_value(light: np.ndarray) -> np.ndarray:
    light = light.clip(0, 1)
    return np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)


def rec709_light(v: np.ndarray) -> np.ndarray:
    return np.where(v < 0.081, v / 4.5, ((v + 0.099) / 1.099) ** (1 / 0.45))


def matrix(points: np.ndarray) -> np.ndarray:
    """From linear RGB of these primaries to XYZ; all here share the white D65."""
    xyz = np.c_[points, 1 - points.sum(1)].T
    return xyz[:, :3] * np.linalg.solve(xyz[:, :3], xyz[:, 3] / xyz[1, 3])


def in_srgb(
    rgb: tuple[int, ...], points: np.ndarray, light: Callable[[np.ndarray], np.ndarray]
) -> np.ndarray:
    """The sRGB values that show a colour: from the definitions alone."""
    linear = np.linalg.solve(matrix(SRGB_XY), matrix(points) @ light(np.array(rgb) / 255))
    return srgb_value(linear) * 255


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def chrm(points: np.ndarray) -> bytes:
    return chunk(b"cHRM", struct.pack(">8I", *np.rint(points[CHRM_ORDER].ravel() * 100_000).astype(int)))


def gama(gamma: float) -> bytes:
    return chunk(b"gAMA", struct.pack(">I", round(100_000 / gamma)))


def encoded(kind: str, image: Image.Image, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def png(*chunks: bytes, mode: str = "RGB", value: object = FLAT) -> bytes:
    data = encoded("PNG", Image.new(mode, (32, 32), value))  # type: ignore[arg-type]
    return data[:33] + b"".join(chunks) + data[33:]


def avif(primaries: int, transfer: int) -> bytes:
    data = encoded("AVIF", Image.new("RGB", (32, 32), FLAT), quality=100, subsampling="4:4:4")
    at = data.index(b"nclx") + 4
    return data[:at] + struct.pack(">HH", primaries, transfer) + data[at + 4 :]


def tiff(points: np.ndarray | None, curve: Callable[[np.ndarray], np.ndarray] | None) -> bytes:
    tags: dict[int, object] = {}
    if points is not None:
        tags |= {318: tuple(points[3]), 319: tuple(points[:3].ravel())}
    if curve is not None:
        table = np.rint(curve(np.linspace(0, 1, 256)).clip(0, 1) * 65535).astype(int)
        tags[301] = tuple(table) * 3
    return encoded("TIFF", Image.new("RGB", (32, 32), FLAT), tiffinfo=tags)


def linear(v: np.ndarray) -> np.ndarray:
    return v


def power(gamma: float) -> Callable[[np.ndarray], np.ndarray]:
    return lambda v: v**gamma


CASES = {
    "png linear": (lambda: png(gama(1.0)), SRGB_XY, linear),
    "png gamma 1.8": (lambda: png(gama(1.8)), SRGB_XY, power(1.8)),
    "png Adobe RGB": (lambda: png(gama(2.2), chrm(ADOBE_XY)), ADOBE_XY, power(2.2)),
    "png primaries": (lambda: png(chrm(SWAPPED_XY)), SWAPPED_XY, srgb_light),
    "png palette": (lambda: png(gama(1.0), mode="P", value=3), SRGB_XY, linear),
    "png sRGB wins over gAMA": (lambda: png(chunk(b"sRGB", b"\0"), gama(1.0)), SRGB_XY, srgb_light),
    "png cICP P3": (lambda: png(chunk(b"cICP", bytes([12, 13, 0, 1]))), P3_XY, srgb_light),
    "png cICP linear": (lambda: png(chunk(b"cICP", bytes([1, 8, 0, 1]))), SRGB_XY, linear),
    "png cICP Rec. 2020": (lambda: png(chunk(b"cICP", bytes([9, 14, 0, 1]))), REC2020_XY, rec709_light),
    "png cICP wins over gAMA": (
        lambda: png(gama(1.0), chunk(b"cICP", bytes([1, 13, 0, 1]))),
        SRGB_XY,
        srgb_light,
    ),
    "png cICP narrow range": (
        lambda: png(chunk(b"cICP", bytes([1, 13, 0, 0]))),
        SRGB_XY,
        lambda v: srgb_light(((v * 255 - 16) / 219).clip(0, 1)),
    ),
    "avif P3": (lambda: avif(12, 13), P3_XY, srgb_light),
    "avif linear": (lambda: avif(1, 8), SRGB_XY, linear),
    "avif gamma 2.8": (lambda: avif(1, 5), SRGB_XY, power(2.8)),
    "avif Rec. 2020": (lambda: avif(9, 1), REC2020_XY, rec709_light),
    "avif sRGB": (lambda: avif(1, 13), SRGB_XY, srgb_light),
    "avif unspecified": (lambda: avif(2, 2), SRGB_XY, srgb_light),
    "tiff Adobe RGB": (lambda: tiff(ADOBE_XY, None), ADOBE_XY, power(2.2)),
    "tiff transfer": (lambda: tiff(None, linear), SRGB_XY, linear),
    "tiff both": (lambda: tiff(P3_XY, power(1.8)), P3_XY, power(1.8)),
    "tiff sRGB": (lambda: tiff(SRGB_XY, srgb_light), SRGB_XY, srgb_light),
}


def shown(data: bytes) -> np.ndarray:
    """What a viewer that knows profiles shows on an sRGB screen."""
    with Image.open(io.BytesIO(data)) as image:
        icc = image.info.get("icc_profile")
        if icc is None:
            return np.asarray(image.convert("RGB"))[16, 16]
        source = ImageCms.ImageCmsProfile(io.BytesIO(icc))
        target = ImageCms.createProfile("sRGB")
        result = ImageCms.profileToProfile(image, source, target, renderingIntent=1, outputMode="RGB")
        assert result is not None
        return np.asarray(result)[16, 16]


@pytest.mark.parametrize("output", ["png", "jpg", "webp", "tiff", "avif"])
@pytest.mark.parametrize("name", CASES)
def test_outputs_show_what_the_input_shows(name: str, output: str) -> None:
    make, points, light = CASES[name]
    image = read_image(make())
    assert image.warnings == ()
    stored = tuple(int(v) for v in image.pixels[16, 16])
    data, warnings = encode_image(image, format=output, quality=100)
    assert warnings == ()
    # Lossy formats err by a level or two, and steep curves multiply that.
    limit = 2.0 if output in ("png", "tiff") else 7.0
    assert np.abs(shown(data) - in_srgb(stored, points, light)).max() <= limit


@pytest.mark.parametrize("name", [n for n in CASES if "sRGB" in n or "unspecified" in n])
def test_srgb_by_tags_needs_no_profile(name: str) -> None:
    assert read_image(CASES[name][0]()).icc is None


@pytest.mark.parametrize("output", ["png", "jpg", "webp", "tiff", "avif"])
@pytest.mark.parametrize("mode", ["L", "LA", "I;16"])
def test_gray_too(mode: str, output: str) -> None:
    value = {"L": 64, "LA": (64, 200), "I;16": 64 * 257}[mode]
    image = read_image(png(gama(1.0), mode=mode, value=value))
    assert image.icc is not None
    assert profile_space(image.icc) == "GRAY"
    data, _ = encode_image(image, format=output, quality=100)
    with Image.open(io.BytesIO(data)) as pil:
        icc = pil.info.get("icc_profile")
        # Pillow's engine takes gray of 8 bit without alpha.
        plane = read_image(data).colour[..., 0]
        eight = (plane // 257).astype(np.uint8) if plane.dtype == np.uint16 else plane
    if icc is None:
        found = int(eight[16, 16])
    else:
        source, target = ImageCms.ImageCmsProfile(io.BytesIO(icc)), ImageCms.createProfile("sRGB")
        gray = Image.fromarray(eight)
        result = ImageCms.profileToProfile(gray, source, target, renderingIntent=1, outputMode="RGB")
        assert result is not None
        found = result.getpixel((16, 16))[1]  # type: ignore[index]
    opaque = 137
    expected = opaque if mode != "LA" or output != "jpg" else None  # laid over white there
    assert expected is None or abs(found - expected) <= 3


@pytest.mark.parametrize(("primaries", "transfer", "word"), [(9, 16, "PQ"), (9, 18, "HLG"), (12, 16, "PQ")])
@pytest.mark.parametrize("kind", ["png", "avif"])
def test_hdr_is_warned_of_and_keeps_its_codes(kind: str, primaries: int, transfer: int, word: str) -> None:
    data = (
        avif(primaries, transfer)
        if kind == "avif"
        else png(chunk(b"cICP", bytes([primaries, transfer, 0, 1])))
    )
    image = read_image(data)
    assert [w for w in image.warnings if "HDR" in w and word in w]
    assert image.icc is not None
    # ICC.1:2022, 9.2.17: the codes, for viewers that show HDR.
    assert b"cicp\0\0\0\0" + bytes([primaries, transfer, 0, 1]) in image.icc
    again, _ = encode_image(image, format="webp")
    assert read_image(again).warnings == image.warnings


def test_hdr_white_is_white_where_there_is_no_hdr() -> None:
    """BT.2408: diffuse white of 203 cd/m2 lies at 58 % of PQ and 75 % of HLG."""
    for transfer, white in ((16, 0.5807), (18, 0.75)):
        tags = from_cicp(9, transfer)
        assert tags is not None
        curve = np.asarray(tags.curves[0]) / 65535
        at = np.searchsorted(curve, 0.999) / (len(curve) - 1)
        assert at == pytest.approx(white, abs=0.005)


def test_colours_that_are_not_known_are_warned_of() -> None:
    for data in (png(chunk(b"cICP", bytes([77, 13, 0, 1]))), avif(1, 99)):
        image = read_image(data)
        assert image.icc is None
        assert any("CICP" in w or "cICP" in w for w in image.warnings)


@pytest.mark.parametrize(
    "chunks",
    [
        (gama(1.0)[:-1],),
        (chunk(b"gAMA", b"\0\0\0\0"),),
        (chunk(b"gAMA", b"\0"),),
        (chunk(b"cHRM", b"\0" * 32),),
        (chunk(b"cHRM", b"\xff" * 32),),
        (chunk(b"cICP", b"\1"),),
        (gama(1.0)[:-4] + b"\0\0\0\0",),
    ],
)
def test_tags_that_make_no_sense_change_nothing(chunks: tuple[bytes, ...]) -> None:
    data = png(*chunks)
    try:
        image = read_image(data)
    except Exception as error:  # a chunk of a wrong length puts the decoder off
        assert type(error).__name__ == "ImageError"
        return
    assert image.icc is None


def test_profiles_of_all_codes_are_accepted() -> None:
    for primaries in range(256):
        for transfer in range(20):
            tags = from_cicp(primaries, transfer)
            if tags is None:
                continue
            for gray in (False, True):
                icc = tags.profile(gray=gray)
                assert icc is not None
                assert (
                    ImageCms.getProfileDescription(ImageCms.ImageCmsProfile(io.BytesIO(icc))).strip()
                    == tags.name
                )


def test_profiles_repeat_to_the_byte() -> None:
    one, other = (from_gamma(1.9, None) for _ in range(2))
    assert one is not None
    assert other is not None
    assert one.profile(gray=False) == other.profile(gray=False)
