"""`srkit upscale`: what an output says of its colours, its source and how it was made."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

import srkit
from srkit.io.formats import FORMATS
from srkit.io.read import read_image
from srkit.zoo.files import sha256_of

XMP = (
    b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
    b'<rdf:Description rdf:about="" xmlns:hdrgm="http://ns.adobe.com/hdr-gain-map/1.0/" hdrgm:Version="1.0" '
    b'xmlns:tiff="http://ns.adobe.com/tiff/1.0/" tiff:Orientation="6" tiff:ImageWidth="24" tiff:Make="maker"/>'
    b"</rdf:RDF></x:xmpmeta>"
)


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    """A phone's photograph: turned, with sizes in two places, a gain map, a comment, and who made it."""
    image = Image.linear_gradient("L").resize((24, 16)).convert("RGB")
    exif = Image.Exif()
    exif[0x0112], exif[0x010F] = 6, "maker"
    below = exif.get_ifd(0x8769)
    below[0xA002], below[0xA003] = 24, 16
    buffer = io.BytesIO()
    image.save(
        buffer,
        "MPO",
        save_all=True,
        append_images=[image.convert("L")],
        exif=exif,
        xmp=XMP,
        comment=b"a note",
    )
    path = tmp_path / "photo.jpg"
    path.write_bytes(buffer.getvalue())
    return path


@pytest.mark.parametrize("format", FORMATS)
def test_what_no_longer_holds_is_gone_and_what_is_lost_is_said(
    upscale: Callable[..., Any], photo: Path, tmp_path: Path, format: str
) -> None:
    target = tmp_path / f"out{FORMATS[format].extension}"
    ran = upscale(photo, target, "--json")
    assert ran.code == 0
    (record,) = ran.records
    warnings = " ".join(record["warnings"])
    assert "2 images" in warnings
    assert "gain map" in warnings
    assert ("comment" in warnings) == (format not in ("png", "jpg"))
    with Image.open(target) as image:
        assert (image.size, getattr(image, "n_frames", 1)) == ((32, 48), 1)
        tags = image.getexif()
        assert (tags.get(0x0112, 1), tags[0x010F]) == (1, "maker")
        assert (tags.get_ifd(0x8769)[0xA002], tags.get_ifd(0x8769)[0xA003]) == (32, 48)
    xmp = read_image(target).xmp
    assert xmp is not None
    assert b"hdrgm" not in xmp
    for word in (b'tiff:Orientation="1"', b'tiff:ImageWidth="32"', b'tiff:Make="maker"'):
        assert word in xmp


@pytest.mark.parametrize("format", FORMATS)
def test_an_output_says_what_made_it_and_repeats_to_the_byte(
    upscale: Callable[..., Any], save: Callable[..., Path], edsr_weights: Path, tmp_path: Path, format: str
) -> None:
    source = save(tmp_path / "a.png")
    first, second = (tmp_path / f"{name}{FORMATS[format].extension}" for name in ("one", "two"))
    assert upscale(source, first).code == upscale(source, second).code == 0
    assert first.read_bytes() == second.read_bytes()
    xmp = read_image(first).xmp
    assert xmp is not None
    for word in (srkit.__version__, edsr_weights.stem, sha256_of(edsr_weights)):
        assert word.encode() in xmp
    assert upscale(source, first, "--strip", "--overwrite").code == 0
    assert read_image(first).xmp is None


@pytest.mark.parametrize("format", FORMATS)
def test_strip_leaves_colours_alone(
    upscale: Callable[..., Any], photo: Path, tmp_path: Path, format: str
) -> None:
    target = tmp_path / f"out{FORMATS[format].extension}"
    primaries = {318: (0.3127, 0.3290), 319: (0.68, 0.32, 0.265, 0.69, 0.15, 0.06)}
    with Image.open(photo) as image:
        image.save(tmp_path / "p3.tif", exif=image.getexif(), dpi=(300, 300), tiffinfo=primaries)
    assert upscale(tmp_path / "p3.tif", target, "--strip").code == 0
    result = read_image(target)
    assert result.icc is not None
    assert (result.exif, result.xmp, result.iptc, result.texts, result.resolution) == (
        None,
        None,
        None,
        (),
        None,
    )


def test_text_of_generators_is_kept_or_named(
    upscale: Callable[..., Any], save: Callable[..., Path], tmp_path: Path
) -> None:
    data = save(tmp_path / "a.png").read_bytes()
    text = b"parameters\0a castle, Steps: 20"
    chunk = struct.pack(">I", len(text)) + b"tEXt" + text + struct.pack(">I", zlib.crc32(b"tEXt" + text))
    (tmp_path / "a.png").write_bytes(data[:33] + chunk + data[33:])
    ran = upscale(tmp_path / "a.png", tmp_path / "b.png", "--json")
    assert ran.records[0]["warnings"] == []
    with Image.open(tmp_path / "b.png") as image:
        assert image.info["parameters"] == "a castle, Steps: 20"
    ran = upscale(tmp_path / "a.png", tmp_path / "b.jpg", "--json")
    (warning,) = ran.records[0]["warnings"]
    assert "'parameters'" in warning
