"""XMP packets: corrected where they speak of the stored file, and with provenance."""

from __future__ import annotations

from xml.dom import minidom

import pytest

from srkit.io.xmp import SRKIT, Provenance, claims, fitted, orientation, stamped

RDF = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"
SPACES = {
    "tiff": "http://ns.adobe.com/tiff/1.0/",
    "exif": "http://ns.adobe.com/exif/1.0/",
    "dc": "http://purl.org/dc/elements/1.1/",
    "xmp": "http://ns.adobe.com/xap/1.0/",
    "xmpNote": "http://ns.adobe.com/xmp/note/",
    "hdrgm": "http://ns.adobe.com/hdr-gain-map/1.0/",
    "HDRGainMap": "http://ns.apple.com/HDRGainMap/1.0/",
    "Container": "http://ns.google.com/photos/1.0/container/",
    "GCamera": "http://ns.google.com/photos/1.0/camera/",
    "GDepth": "http://ns.google.com/photos/1.0/depthmap/",
    "GPano": "http://ns.google.com/photos/1.0/panorama/",
    "dcterms": "http://purl.org/dc/terms/",
    "photoshop": "http://ns.adobe.com/photoshop/1.0/",
}
MADE = Provenance("1.2.3", (("some-net", "ab" * 32),))


def packet(properties: str = "", elements: str = "") -> bytes:
    spaces = " ".join(f'xmlns:{prefix}="{uri}"' for prefix, uri in SPACES.items())
    return (
        '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>\n<x:xmpmeta xmlns:x="adobe:ns:meta/" x:xmptk="kit">'
        f'<rdf:RDF xmlns:rdf="{RDF}"><!-- a remark --><rdf:Description rdf:about="urn:this" {spaces} {properties}>'
        f"{elements}</rdf:Description></rdf:RDF></x:xmpmeta>\n<?xpacket end='w'?>"
    ).encode()


def properties(xmp: bytes) -> dict[str, str]:
    """Prefixed names of the first level to values, attributes and elements alike."""
    found: dict[str, str] = {}
    for description in minidom.parseString(xmp).getElementsByTagNameNS(RDF, "Description"):
        for node in description.attributes.values():
            if not node.name.startswith(("xmlns", "rdf:")):
                found[node.name] = node.value
        for node in description.childNodes:
            if node.nodeType == node.ELEMENT_NODE:
                found[node.nodeName] = "".join(c.data for c in node.childNodes if c.nodeType == c.TEXT_NODE)
    return found


@pytest.mark.parametrize("as_elements", [False, True])
@pytest.mark.parametrize(
    ("name", "before", "after"),
    [
        ("tiff:Orientation", "6", "1"),
        ("tiff:ImageWidth", "10", "40"),
        ("tiff:ImageLength", "20", "80"),
        ("exif:PixelXDimension", "10", "40"),
        ("exif:PixelYDimension", "20", "80"),
        ("dc:format", "image/jpeg", "image/png"),
        ("tiff:BitsPerSample", "8", None),
        ("tiff:Compression", "6", None),
        ("exif:SubjectArea", "1", None),
        ("xmpNote:HasExtendedXMP", "0123", None),
        ("hdrgm:Version", "1.0", None),
        ("hdrgm:GainMapMax", "2.5", None),
        ("HDRGainMap:HDRGainMapVersion", "65536", None),
        ("Container:Directory", "x", None),
        ("GCamera:MotionPhoto", "1", None),
        ("GCamera:MicroVideoOffset", "123", None),
        ("GDepth:Format", "RangeLinear", None),
        ("dcterms:provenance", "self#jumbf=c2pa", None),
        ("photoshop:ICCProfile", "sRGB", None),
        # What is not of the file stays.
        ("GCamera:SpecialTypeID", "x", "x"),
        ("dcterms:provenance", "a museum", "a museum"),
        ("dc:source", "words & signs", "words & signs"),
        ("tiff:Make", "maker", "maker"),
        ("exif:FNumber", "28/10", "28/10"),
        ("photoshop:Credit", "me", "me"),
        ("xmp:CreatorTool", "another program", "another program"),
    ],
)
def test_what_a_packet_says_of_its_file(name: str, before: str, after: str | None, as_elements: bool) -> None:
    text = before.replace("&", "&amp;")
    xmp = packet(elements=f"<{name}>{text}</{name}>") if as_elements else packet(f'{name}="{text}"')
    result = fitted(xmp, 40, 80, "image/png")
    assert properties(result).get(name) == after
    if before == after:
        assert result == xmp  # to the byte
    else:
        assert b"a remark" in result
        assert fitted(result, 40, 80, "image/png") == result


@pytest.mark.parametrize("prefix", ["hdrgm", "Container", "GDepth"])
def test_namespaces_that_nothing_uses_go(prefix: str) -> None:
    result = fitted(packet(f'{prefix}:Version="1" tiff:Orientation="3"'), 40, 80, "image/png")
    assert SPACES[prefix].encode() not in result


def test_structures_go_whole() -> None:
    item = (
        "<rdf:li rdf:parseType='Resource'><Container:Item Item:Mime='image/jpeg' "
        "xmlns:Item='http://ns.google.com/photos/1.0/container/item/'/></rdf:li>"
    )
    small = "<rdf:li rdf:parseType='Resource'><xmp:x>AAAA</xmp:x></rdf:li>"
    elements = (
        f"<Container:Directory><rdf:Seq>{item}</rdf:Seq></Container:Directory>"
        f"<xmp:Thumbnails><rdf:Alt>{small}</rdf:Alt></xmp:Thumbnails><dc:source>s</dc:source>"
    )
    result = fitted(packet(elements=elements), 40, 80, "image/png")
    assert properties(result) == {"dc:source": "s"}
    assert b"AAAA" not in result
    assert b"container/item" not in result


def test_a_panorama_is_scaled() -> None:
    sizes = {"CroppedAreaImageWidthPixels": 100, "FullPanoWidthPixels": 400, "CroppedAreaLeftPixels": 50}
    sizes |= {"CroppedAreaImageHeightPixels": 50, "FullPanoHeightPixels": 200, "CroppedAreaTopPixels": 25}
    text = (
        " ".join(f'GPano:{name}="{value}"' for name, value in sizes.items())
        + ' GPano:PoseHeadingDegrees="90"'
    )
    found = properties(fitted(packet(text), 200, 150, "image/png"))
    factors = {"Width": 2, "Left": 2, "Height": 3, "Top": 3}
    for name, value in sizes.items():
        factor = next(f for word, f in factors.items() if word in name)
        assert found[f"GPano:{name}"] == str(value * factor)
    assert found["GPano:PoseHeadingDegrees"] == "90"


@pytest.mark.parametrize(("size", "kept"), [((40, 80), True), ((80, 40), False)])
def test_regions_lie_in_images_of_their_proportions(size: tuple[int, int], kept: bool) -> None:
    regions = (
        "<m:Regions xmlns:m='http://www.metadataworkinggroup.com/schemas/regions/' rdf:parseType='Resource'>"
        "<m:AppliedToDimensions xmlns:d='http://ns.adobe.com/xap/1.0/sType/Dimensions#' d:w='10' d:h='20'/>"
        "<m:RegionList/></m:Regions>"
    )
    result = fitted(packet(elements=regions), *size, "image/png")
    assert ("m:Regions" in properties(result)) == kept
    assert (b'd:w="40" d:h="80"' in result) == kept


def test_provenance() -> None:
    xmp = packet('dc:source="s"', "<xmp:CreatorTool>another program</xmp:CreatorTool>")
    result = stamped(xmp, MADE)
    assert result == stamped(xmp, MADE)
    found = properties(result)
    assert (found["dc:source"], found["xmp:CreatorTool"]) == ("s", "another program")
    document = minidom.parseString(result)
    (version,) = document.getElementsByTagNameNS(SRKIT, "Version")
    assert version.firstChild.data == "1.2.3"
    assert [n.firstChild.data for n in document.getElementsByTagNameNS(SRKIT, "SHA256")] == ["ab" * 32]
    # All descriptions are of one subject (ISO 16684-1, 7.4).
    subjects = {d.getAttributeNS(RDF, "about") for d in document.getElementsByTagNameNS(RDF, "Description")}
    assert subjects == {"urn:this"}


def test_provenance_twice_replaces_ours_and_lengthens_the_history() -> None:
    twice = stamped(stamped(None, MADE), Provenance("2.0.0", (("second-net", "cd" * 32),)))
    document = minidom.parseString(twice)
    assert [n.firstChild.data for n in document.getElementsByTagNameNS(SRKIT, "Version")] == ["2.0.0"]
    agents = document.getElementsByTagName("stEvt:softwareAgent")
    assert [n.firstChild.data for n in agents] == ["srkit 1.2.3", "srkit 2.0.0"]
    assert len(document.getElementsByTagName("xmpMM:History")) == 1


def test_names_that_xml_cannot_hold() -> None:
    made = Provenance("1", (('a\x1b<b>&"\udcff\0', "ab"),))
    (name,) = minidom.parseString(stamped(None, made)).getElementsByTagNameNS(SRKIT, "Name")
    assert name.firstChild.data.startswith("a?<b>&")


def test_other_encodings_and_padding() -> None:
    xmp = packet('tiff:Orientation="6"')
    assert orientation(xmp) == 6
    for data in (xmp + b" " * 2000 + b"\0", xmp.decode().lstrip("\ufeff").encode("utf-16")):
        assert properties(fitted(data, 40, 80, "image/png")) == {"tiff:Orientation": "1"}


def test_xml_without_rdf_stays_and_takes_provenance() -> None:
    xmp = b"<x:xmpmeta xmlns:x='adobe:ns:meta/'>words</x:xmpmeta>"
    assert fitted(xmp, 1, 1, "image/png") == xmp
    result = stamped(xmp, MADE)
    assert b"words" in result
    assert b"some-net" in result


LAUGHS = b'<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;">]><x>&b;</x>'


@pytest.mark.parametrize(
    "xmp",
    [
        *(b"", b"words", b"<x", b"<x/><y/>", b"\xff\xfe\0", b"<x>\0</x>"),
        LAUGHS,
        LAUGHS.decode().encode("utf-16"),
        b"<?xml version='1.0' encoding='no-such'?><x/>",
        b"<x>" * 20_000 + b"</x>" * 20_000,
        packet(elements="<dc:x>" * 3_000 + "</dc:x>" * 3_000),
        packet(elements=f"<dc:x>{'x' * (17 << 20)}</dc:x>"),
    ],
)
def test_hostile_packets_are_refused(xmp: bytes) -> None:
    with pytest.raises(ValueError):
        fitted(xmp, 1, 1, "image/png")
    with pytest.raises(ValueError):
        stamped(xmp, MADE)


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ('GCamera:MotionPhoto="1"', "video"),
        ('GCamera:MicroVideo="1"', "video"),
        ('hdrgm:Version="1.0"', "gain map"),
        ('GDepth:Format="RangeLinear"', "depth"),
        ('GCamera:MotionPhoto="0"', None),
        ('dc:source="s"', None),
    ],
)
def test_claims_of_other_data(text: str, word: str | None) -> None:
    found = claims(packet(text))
    assert found == [] if word is None else word in found[0]
