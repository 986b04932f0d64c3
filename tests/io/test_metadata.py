"""The table of metadata: each kind, in each format that it is read from, written into each format."""

from __future__ import annotations

import functools
import io
import re
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image, ImageCms, PngImagePlugin

from srkit.io.image import DecodedImage
from srkit.io.metadata import OUTPUTS, READ, WRITTEN, Fate, Kind
from srkit.io.read import read_image
from srkit.io.write import encode_image
from srkit.io.xmp import Provenance

PILLOW = {
    "png": "PNG",
    "jpg": "JPEG",
    "webp": "WEBP",
    "tiff": "TIFF",
    "avif": "AVIF",
    "gif": "GIF",
    "bmp": "BMP",
}
SIZE = (48, 32)
XMP = (
    b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
    b'<rdf:Description rdf:about="" xmlns:dc="http://purl.org/dc/elements/1.1/" dc:source="my own words"/>'
    b"</rdf:RDF></x:xmpmeta>"
)
IIM = b"\x1c\x02\x78\0\x09a caption"
MARK = b"a block that only its maker knows"


def plain(format: str, **options: Any) -> bytes:
    image = Image.linear_gradient("L").resize(SIZE).convert("RGB")
    buffer = io.BytesIO()
    image.save(buffer, PILLOW[format], **options)
    return buffer.getvalue()


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png_with(*chunks: bytes) -> bytes:
    data = plain("png")
    return data[:33] + b"".join(chunks) + data[33:]


def jpeg_with(marker: int, data: bytes) -> bytes:
    image = plain("jpg")
    return image[:20] + struct.pack(">BBH", 0xFF, marker, len(data) + 2) + data + image[20:]


def gif_with(label: int, *blocks: bytes) -> bytes:
    data = plain("gif")
    at = 13 + (3 << (data[10] & 7) + 1)
    body = b"".join(bytes([len(block)]) + block for block in blocks)
    return data[:at] + bytes([0x21, label]) + body + b"\0" + data[at:]


@functools.cache
def profile() -> bytes:
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


@functools.cache
def thumbnail() -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (16, 8), "red").save(buffer, "JPEG")
    return buffer.getvalue()


def exif(orientation: int = 1, *, with_sizes: bool = False) -> bytes:
    block = Image.Exif()
    block[0x010E] = "my own words"
    if orientation > 1:
        block[0x0112] = orientation
    if with_sizes:
        below = block.get_ifd(0x8769)
        below[0xA002], below[0xA003], below[0x9214] = SIZE[0], SIZE[1], (1, 2, 3, 4)
    return block.tobytes()


def exif_with_thumbnail(orientation: int = 1) -> bytes:
    first = struct.pack("<HHHIII", 1, 0x0112, 3, 1, orientation, 26)
    second = struct.pack("<HHHII", 3, 0x0112, 3, 1, 6)
    start = 26 + 2 + 3 * 12 + 4
    second += struct.pack("<HHII", 0x0201, 4, 1, start) + struct.pack("<HHII", 0x0202, 4, 1, len(thumbnail()))
    return b"Exif\0\0II*\0\x08\0\0\0" + first + second + b"\0" * 4 + thumbnail()


def p3_avif() -> bytes:
    data = plain("avif")
    at = data.index(b"nclx") + 4
    return data[:at] + struct.pack(">HH", 12, 13) + data[at + 4 :]


def bmp_v5(space: int, tail: bytes = b"", endpoints: bytes = b"") -> bytes:
    pixels = plain("bmp")[54:]
    start = 14 + 124
    head = struct.pack("<IiiHHIIiiII", 124, *SIZE, 1, 24, 0, len(pixels), 0, 0, 0, 0).ljust(56, b"\0")
    head += struct.pack("<I", space) + endpoints.ljust(48, b"\0") + struct.pack("<I", 4)
    head += struct.pack("<III", 124 + len(pixels), len(tail), 0)
    return b"BM" + struct.pack("<IHHI", start + len(pixels) + len(tail), 0, 0, start) + head + pixels + tail


def two(format: str) -> bytes:
    second = Image.new("RGB", SIZE, "red")
    if format == "jpg":
        buffer = io.BytesIO()
        second.save(buffer, "MPO", save_all=True, append_images=[second])
        return buffer.getvalue()
    return plain(format, save_all=True, append_images=[second])


def calibrated_bmp() -> bytes:
    return bmp_v5(0, endpoints=b"\1" * 48)


PRIMARIES = {318: (0.3127, 0.3290), 319: (0.64, 0.33, 0.21, 0.71, 0.15, 0.06)}
SOURCES: dict[Kind, dict[str, Callable[[], bytes]]] = {
    Kind.PROFILE: {
        **{f: functools.partial(lambda f: plain(f, icc_profile=profile()), f) for f in OUTPUTS},
        "gif": lambda: gif_with(
            0xFF, b"ICCRGBG1012", *(profile()[i : i + 255] for i in range(0, len(profile()), 255))
        ),
        "bmp": lambda: bmp_v5(0x4D424544, profile()),
    },
    Kind.COLOUR_TAGS: {
        "png": lambda: png_with(chunk(b"gAMA", struct.pack(">I", 100_000))),
        "tiff": lambda: plain("tiff", tiffinfo=PRIMARIES),
        "avif": p3_avif,
    },
    Kind.ORIENTATION: {f: functools.partial(lambda f: plain(f, exif=exif(6)), f) for f in OUTPUTS},
    Kind.RESOLUTION: {
        **{f: functools.partial(lambda f: plain(f, dpi=(300, 300)), f) for f in ("png", "jpg", "tiff", "bmp")}
    },
    Kind.EXIF: {f: functools.partial(lambda f: plain(f, exif=exif()), f) for f in OUTPUTS},
    Kind.XMP: {
        "png": lambda: png_with(chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + XMP)),
        "jpg": lambda: plain("jpg", xmp=XMP),
        "webp": lambda: plain("webp", xmp=XMP),
        "avif": lambda: plain("avif", xmp=XMP),
        "tiff": lambda: plain("tiff", tiffinfo={700: XMP}),
        "gif": lambda: gif_with(0xFF, b"XMP DataXMP" + b"").replace(
            b"\x0bXMP DataXMP\0", b"\x0bXMP DataXMP" + XMP + b"\1" + bytes(range(255, -1, -1)) + b"\0"
        ),
    },
    Kind.IPTC: {
        "png": lambda: png_with(
            chunk(
                b"zTXt",
                b"Raw profile type iptc\0\0"
                + zlib.compress(b"\niptc\n%8d\n%s\n" % (len(IIM), IIM.hex().encode())),
            )
        ),
        "jpg": lambda: jpeg_with(
            0xED,
            b"Photoshop 3.0\x008BIM\x04\x04\0\0" + struct.pack(">I", len(IIM)) + IIM + b"\0" * (len(IIM) % 2),
        ),
        "tiff": lambda: plain("tiff", tiffinfo={33723: IIM}),
    },
    Kind.TEXT: {"png": lambda: png_with(chunk(b"tEXt", b"parameters\0my own words, Seed: 7"))},
    Kind.COMMENT: {
        "jpg": lambda: plain("jpg", comment=b"my own words"),
        "gif": lambda: plain("gif", comment=b"my own words"),
    },
    Kind.SIZES: {f: functools.partial(lambda f: plain(f, exif=exif(with_sizes=True)), f) for f in OUTPUTS},
    Kind.THUMBNAIL: {
        f: functools.partial(lambda f: plain(f, exif=exif_with_thumbnail()), f)
        for f in ("png", "jpg", "webp", "avif")
    },
    Kind.IMAGES: {f: functools.partial(two, f) for f in ("png", "jpg", "webp", "tiff", "avif", "gif")},
    Kind.OTHER: {
        "png": lambda: png_with(chunk(b"caBX", b"jumb c2pa" + MARK)),
        "jpg": lambda: jpeg_with(0xEB, b"JP\0\1\0\0\0\1\0\0\0\x30jumb\0\0\0\x20jumdc2pa" + MARK),
        "webp": lambda: (lambda d: b"RIFF" + struct.pack("<I", len(d) + 4) + b"WEBP" + d)(
            plain("webp")[12:] + b"C2PA" + struct.pack("<I", len(MARK)) + MARK + b"\0" * (len(MARK) % 2)
        ),
        "tiff": lambda: plain("tiff", tiffinfo={0xCD41: MARK}),
        "avif": lambda: (
            plain("avif")
            + struct.pack(">I4s", 24 + len(MARK), b"uuid")
            + bytes.fromhex("d8fec3d61b0e483c92975828877ec481")
            + MARK
        ),
        "gif": lambda: gif_with(0xFF, b"MYMAKER 1.0", MARK),
        "bmp": calibrated_bmp,
    },
}
WORDS = {
    Kind.PROFILE: "profile",
    Kind.RESOLUTION: "resolution",
    Kind.EXIF: "EXIF",
    Kind.XMP: "XMP",
    Kind.IPTC: "IPTC",
    Kind.TEXT: "'parameters'",
    Kind.COMMENT: "comment",
    Kind.IMAGES: "only the first",
    Kind.OTHER: "Not kept",
}


def found(kind: Kind, data: bytes) -> bool:
    """Whether a file holds metadata of this kind, as Pillow sees it."""
    with Image.open(io.BytesIO(data)) as image:
        image.load()
        info, tags = image.info, image.getexif()
        sizes = tags.get_ifd(0x8769)
        return {
            Kind.PROFILE: info.get("icc_profile") == profile(),
            Kind.COLOUR_TAGS: info.get("icc_profile") is not None,
            Kind.ORIENTATION: image.size == SIZE[::-1] and tags.get(0x0112, 1) == 1,
            Kind.RESOLUTION: tuple(round(float(d)) for d in info.get("dpi", ())) == (300, 300),
            Kind.EXIF: tags.get(0x010E) == "my own words",
            Kind.XMP: b'dc:source="my own words"' in data,
            Kind.IPTC: IIM in data,
            Kind.TEXT: info.get("parameters") == "my own words, Seed: 7",
            Kind.COMMENT: b"my own words" in (info.get("comment") or info.get("Comment", "").encode()),
            Kind.SIZES: (sizes.get(0xA002), sizes.get(0xA003), sizes.get(0x9214)) == (*image.size, None),
            Kind.THUMBNAIL: thumbnail() in data,
            Kind.IMAGES: getattr(image, "n_frames", 1) > 1,
            Kind.OTHER: MARK in data,
        }[kind]


def test_the_table_is_whole() -> None:
    assert set(WRITTEN) == set(READ) == set(SOURCES) == set(Kind)
    for kind, fates in WRITTEN.items():
        assert tuple(fates) == OUTPUTS
        assert set(READ[kind]) == set(SOURCES[kind])


@pytest.mark.parametrize("output", OUTPUTS)
@pytest.mark.parametrize(("kind", "source"), [(k, f) for k, formats in READ.items() for f in formats])
def test_each_kind_from_each_format_into_each(kind: Kind, source: str, output: str) -> None:
    image = read_image(SOURCES[kind][source]())
    assert image.format == ("other" if source == "gif" else source)
    data, dropped = encode_image(image, format=output, quality=100)
    warnings = [w for w in (*image.warnings, *dropped) if "alpha" not in w]  # of animated GIF
    fate = WRITTEN[kind][output]
    assert found(kind, data) == (fate in (Fate.KEPT, Fate.CONVERTED, Fate.CORRECTED))
    if fate is Fate.DROPPED:
        assert [w for w in warnings if WORDS[kind] in w], warnings
        assert len(warnings) == 1
    else:
        assert warnings == []


@pytest.mark.parametrize("output", OUTPUTS)
@pytest.mark.parametrize("source", PILLOW)
def test_nothing_is_made_up(source: str, output: str) -> None:
    data, warnings = encode_image(read_image(plain(source)), format=output)
    assert warnings == ()
    with Image.open(io.BytesIO(data)) as image:
        image.load()
        ours = {t: v for t, v in image.getexif().items() if output != "tiff" or t not in range(254, 340)}
        assert ours == {}
        for key in () if source == "bmp" else ("dpi",):  # in TIFF it is mandatory; without a unit it is 1
            assert image.info.get(key, (1, 1)) == (1, 1)
        for key in ("exif", "xmp", "icc_profile", "photoshop", "comment", "parameters"):
            assert not image.info.get(key), key


@pytest.mark.parametrize("made", [None, Provenance("1.2.3", (("some-net", "ab" * 32),))])
@pytest.mark.parametrize("output", OUTPUTS)
def test_stripped_images_have_colours_alone(output: str, made: Provenance | None) -> None:
    full = DecodedImage(
        read_image(plain("png")).pixels,
        profile(),
        exif().removeprefix(b"Exif\0\0"),
        XMP,
        resolution=(11.811, 11.811),
        iptc=IIM,
        texts=(("parameters", "my own words, Seed: 7"), ("Comment", "my own words")),
    )
    data, warnings = encode_image(full.stripped(), format=output, made=made)
    assert warnings == ()
    assert found(Kind.PROFILE, data)
    for kind in (Kind.EXIF, Kind.XMP, Kind.IPTC, Kind.TEXT, Kind.COMMENT, Kind.RESOLUTION):
        assert not found(kind, data)
    assert (b"some-net" in data) == (made is not None)


@pytest.mark.parametrize("output", OUTPUTS)
def test_provenance_stands_beside_what_was_there(output: str) -> None:
    made = Provenance("1.2.3", (("some-net", "ab" * 32), ("other-net", "cd" * 32)))
    image = read_image(SOURCES[Kind.XMP]["jpg"]())
    data, warnings = encode_image(image, format=output, made=made)
    assert warnings == ()
    assert found(Kind.XMP, data)
    assert data == encode_image(image, format=output, made=made)[0]
    for word in (b"1.2.3", b"some-net", b"other-net", b"ab" * 32, b"cd" * 32):
        assert word in data


def test_texts_of_all_alphabets_and_codings() -> None:
    long = "words " * 20_000
    international = b"\xd0\xba\0\0\0de\0schluessel\0" + "Ω 写真".encode()
    source = png_with(
        chunk(b"zTXt", b"workflow\0\0" + zlib.compress(long.encode())),
        chunk(b"iTXt", b"prompt" + international[2:]),
        chunk(b"tEXt", b"Author\0\xe9"),
        chunk(b"tEXt", b"exif:Orientation\x006"),
        chunk(b"tEXt", b"broken\0crc")[:-4] + b"\0\0\0\0",
    )
    data, warnings = encode_image(read_image(source), format="png")
    assert warnings == ()
    with Image.open(io.BytesIO(data)) as image:
        assert isinstance(image, PngImagePlugin.PngImageFile)
        assert image.text == {"workflow": long, "prompt": "Ω 写真", "Author": "é"}


def test_texts_behind_the_pixels_are_found() -> None:
    data = plain("png")
    late = chunk(b"tEXt", b"parameters\0my own words, Seed: 7") + chunk(
        b"eXIf", exif(6).removeprefix(b"Exif\0\0")
    )
    image = read_image(data[:-12] + late + data[-12:])
    assert (image.width, image.height) == SIZE[::-1]
    assert image.texts == (("parameters", "my own words, Seed: 7"),)


def test_a_text_that_inflates_without_end_is_left() -> None:
    bomb = chunk(b"zTXt", b"bomb\0\0" + zlib.compress(b"\0" * (32 << 20), 9))
    image = read_image(png_with(bomb))
    assert image.texts == ()
    assert any("'bomb'" in w for w in image.warnings)


def test_cameras_previews_are_no_further_images() -> None:
    """Multi-image files of many cameras list a large preview of the same image (CIPA DC-007, 5.2.3.3)."""
    data = two("jpg")
    entry = data.index(b"MPF\0II") + 4 + 50  # of the first image; each is 16 bytes, attributes first
    assert data[entry : entry + 4] == struct.pack("<I", 0x30000)
    preview = data[: entry + 16] + struct.pack("<I", 0x10002) + data[entry + 20 :]
    assert read_image(data).warnings != ()
    assert read_image(preview).warnings == ()


ORIENTED = XMP.replace(
    b"dc:source", b'xmlns:tiff="http://ns.adobe.com/tiff/1.0/" tiff:Orientation="6" dc:source'
)


@pytest.mark.parametrize("output", OUTPUTS)
@pytest.mark.parametrize("with_exif", [False, True])
def test_an_orientation_in_xmp(with_exif: bool, output: str) -> None:
    """With EXIF's it is the same one; alone, browsers and libvips do not follow it, so the image is not turned."""
    image = read_image(plain("jpg", xmp=ORIENTED, **({"exif": exif(6)} if with_exif else {})))
    assert ((image.width, image.height) == SIZE) == (not with_exif)
    assert bool(image.warnings) == (not with_exif)
    data, _ = encode_image(image, format=output)
    assert b'tiff:Orientation="1"' in data
    assert b'tiff:Orientation="6"' not in data


def test_an_avif_is_turned_by_its_boxes_and_not_by_exif() -> None:
    """ISO/IEC 23008-12, A.2.1: EXIF's orientation is ignored in favour of `irot` and `imir`."""
    turned = read_image(plain("avif", exif=exif(6)))
    assert (turned.width, turned.height) == SIZE[::-1]
    tag = struct.pack(">HHIH", 0x0112, 3, 1, 1)
    block = exif(6).removeprefix(b"Exif\0\0").replace(tag[:-1] + b"\6", tag)
    data, _ = encode_image(DecodedImage(turned.pixels, exif=block), format="avif")
    assert data.count(tag) == 1
    by_exif = read_image(data.replace(tag, tag[:-1] + b"\6"))
    assert (by_exif.width, by_exif.height) == SIZE[::-1]
    assert found(Kind.ORIENTATION, encode_image(by_exif, format="png")[0])


@pytest.mark.parametrize(
    "data",
    [
        lambda: png_with(chunk(b"pHYs", struct.pack(">IIB", 1, 2, 0))),
        lambda: plain("jpg")[:13] + struct.pack(">BHH", 0, 1, 2) + plain("jpg")[18:],
        lambda: plain("tiff", tiffinfo={282: 1.0, 283: 2.0, 296: 1}),
    ],
)
def test_pixels_that_are_not_square_are_warned_of(data: Callable[[], bytes]) -> None:
    (warning,) = read_image(data()).warnings
    assert "aspect" in warning


def test_the_readme_shows_the_table() -> None:
    readme = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
    (table,) = re.findall(r"^\| metadata \|.*?\n\n", readme, re.MULTILINE | re.DOTALL)
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in table.strip().splitlines()]
    names = {"jpg": "JPEG", "webp": "WebP"}
    assert rows[0] == ["metadata", "read from", *(names.get(f, f.upper()) for f in OUTPUTS)]
    expected = [
        [
            kind.value,
            ", ".join(names.get(f, f.upper()) for f in READ[kind]),
            *(f.value for f in WRITTEN[kind].values()),
        ]
        for kind in Kind
    ]
    assert rows[2:] == expected
