"""XMP packets: properties that describe the stored image are corrected or removed, and provenance is added.

XMP is RDF in XML (ISO 16684-1); a packet that needs no change is kept byte by byte.
"""

from __future__ import annotations

import re
from codecs import BOM_UTF16_BE, BOM_UTF16_LE
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from xml.dom import minidom
from xml.parsers.expat import ExpatError
from xml.sax.saxutils import escape

_RDF = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"
_XMLNS = "http://www.w3.org/2000/xmlns/"
_TIFF, _EXIF = "http://ns.adobe.com/tiff/1.0/", "http://ns.adobe.com/exif/1.0/"
_XMP, _XMP_NOTE = "http://ns.adobe.com/xap/1.0/", "http://ns.adobe.com/xmp/note/"
_XMP_MM, _EVENT = "http://ns.adobe.com/xap/1.0/mm/", "http://ns.adobe.com/xap/1.0/sType/ResourceEvent#"
_DC, _DC_TERMS = "http://purl.org/dc/elements/1.1/", "http://purl.org/dc/terms/"
_PHOTOSHOP, _PANORAMA = "http://ns.adobe.com/photoshop/1.0/", "http://ns.google.com/photos/1.0/panorama/"
_REGIONS, _DIMENSIONS = (
    "http://www.metadataworkinggroup.com/schemas/regions/",
    "http://ns.adobe.com/xap/1.0/sType/Dimensions#",
)
_CAMERA = "http://ns.google.com/photos/1.0/camera/"
SRKIT = "urn:srkit:xmp:1.0/"
"""Namespace of srkit's properties: Version, Models (a sequence of Name and SHA256)."""

_GONE_NAMESPACES = frozenset(
    # Gain maps, other images and videos in the same file, depth.
    {
        "http://ns.adobe.com/hdr-gain-map/1.0/",
        "http://ns.apple.com/HDRGainMap/1.0/",
        "http://ns.apple.com/pixeldatainfo/1.0/",
        "http://ns.google.com/photos/1.0/container/",
        "http://ns.google.com/photos/1.0/container/item/",
        "http://ns.google.com/photos/1.0/depthmap/",
        "http://ns.google.com/photos/1.0/image/",
        "http://ns.google.com/photos/1.0/audio/",
        "http://ns.google.com/photos/dd/1.0/device/",
    }
)
_GONE = frozenset(
    {
        *((_XMP, "Thumbnails"), (_XMP_NOTE, "HasExtendedXMP")),
        *((_EXIF, name) for name in ("SubjectArea", "SubjectLocation")),
        # Storage of the original file; the written file has its own.
        *(
            (_TIFF, n)
            for n in ("BitsPerSample", "Compression", "PhotometricInterpretation", "SamplesPerPixel")
        ),
        *(
            (_TIFF, n)
            for n in ("PlanarConfiguration", "YCbCrSubSampling", "YCbCrPositioning", "NativeDigest")
        ),
        *((_EXIF, "NativeDigest"), (_PHOTOSHOP, "ColorMode"), (_PHOTOSHOP, "ICCProfile")),
    }
)
_MOTION = ("MotionPhoto", "MicroVideo")
_ACROSS = ((_TIFF, "ImageWidth"), (_EXIF, "PixelXDimension"))
_DOWN = ((_TIFF, "ImageLength"), (_EXIF, "PixelYDimension"))
_PANORAMA_ACROSS = ("CroppedAreaImageWidthPixels", "FullPanoWidthPixels", "CroppedAreaLeftPixels")
_PANORAMA_DOWN = ("CroppedAreaImageHeightPixels", "FullPanoHeightPixels", "CroppedAreaTopPixels")
_ORIENTATION = re.compile(rb"tiff:Orientation\s*(?:=\s*[\"']|>)\s*([0-9])")
_CLAIMS = (
    (re.compile(rb"(?:MotionPhoto|MicroVideo)\s*(?:=\s*[\"']|>)\s*1"), "the video of a motion photo"),
    (re.compile(rb"hdrgm:Version|HDRGainMapVersion"), "the gain map"),
    (re.compile(rb"GDepth:"), "the depth map"),
)
_FORBIDDEN = re.compile(rb"<!(DOCTYPE|ENTITY)", re.IGNORECASE)
_MAX_SIZE = 16 << 20
_EMPTY = (
    b'<?xpacket begin="\xef\xbb\xbf" id="W5M0MpCehiHzreSzNTczkc9d"?><x:xmpmeta xmlns:x="adobe:ns:meta/">'
    b'<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"/></x:xmpmeta><?xpacket end="r"?>'
)


@dataclass(frozen=True)
class Provenance:
    """Provenance of an image.

    Attributes:
        version: version of srkit.
        models: name and sha256 of each network, in the order of use.
    """

    version: str
    models: tuple[tuple[str, str], ...]


def orientation(xmp: bytes) -> int:
    """Orientation declared by a packet; 1 if it declares none."""
    found = _ORIENTATION.search(xmp)
    return int(found[1]) if found else 1


def claims(xmp: bytes) -> list[str]:
    """Content of the file that a packet claims, for a warning: it is not read, and `fitted` removes the claim."""
    return [what for pattern, what in _CLAIMS if pattern.search(xmp)]


def fitted(xmp: bytes, width: int, height: int, mime: str) -> bytes:
    """Adapt a packet to an upright image of this size, alone in a file of this media type.

    Raises:
        ValueError: the data are no XMP.
    """
    document = _parsed(xmp)
    changed = [_corrected(d, width, height, mime) for d in _descriptions(document)]
    if not any(changed):
        return xmp
    _drop_declarations(document)
    return _packet(document)


def stamped(xmp: bytes | None, made: Provenance) -> bytes:
    """Add provenance to a packet (a new one for None): in srkit's namespace, and as an event of its history.

    Existing properties are kept, except those in srkit's namespace. No time is written, so that output is
    reproducible to the byte.

    Raises:
        ValueError: the data are no XMP.
    """
    document = _parsed(_EMPTY if xmp is None else xmp)
    descriptions = _descriptions(document)
    about = descriptions[0].getAttributeNS(_RDF, "about") if descriptions else ""
    properties = [(d, node) for d in descriptions for node in _properties(d)]
    for description, node in properties:
        if node.namespaceURI == SRKIT:
            _remove(description, node)
            if not any(_properties(description)):
                description.parentNode.removeChild(description)
    history = next((node for _, node in properties if _name(node) == (_XMP_MM, "History")), None)
    sequence = None if history is None else _first(history, _RDF, "Seq")
    if sequence is not None:
        sequence.appendChild(_node(_event(made)))
    rdf = _first(document, _RDF, "RDF")
    if rdf is None:
        rdf = document.documentElement.appendChild(_node(f'<rdf:RDF xmlns:rdf="{_RDF}"/>'))
    rdf.appendChild(_node(_ours(made, about, "" if history is not None else _event(made))))
    return _packet(document)


def _ours(made: Provenance, about: str, event: str) -> str:
    models = "".join(
        f'<rdf:li rdf:parseType="Resource"><srkit:Name>{_escaped(name)}</srkit:Name>'
        f"<srkit:SHA256>{_escaped(sha)}</srkit:SHA256></rdf:li>"
        for name, sha in made.models
    )
    history = f'<xmpMM:History xmlns:xmpMM="{_XMP_MM}"><rdf:Seq>{event}</rdf:Seq></xmpMM:History>'
    return (
        f'<rdf:Description xmlns:rdf="{_RDF}" xmlns:srkit="{SRKIT}" rdf:about="{_escaped(about)}">'
        f"<srkit:Version>{_escaped(made.version)}</srkit:Version>"
        f"<srkit:Models><rdf:Seq>{models}</rdf:Seq></srkit:Models>{history if event else ''}</rdf:Description>"
    )


def _event(made: Provenance) -> str:
    """Entry of xmpMM:History (XMP part 2, "ResourceEvent")."""
    parameters = ", ".join(f"{name} (sha256 {sha})" for name, sha in made.models)
    return (
        f'<rdf:li xmlns:rdf="{_RDF}" xmlns:stEvt="{_EVENT}" rdf:parseType="Resource">'
        f"<stEvt:action>resized</stEvt:action><stEvt:softwareAgent>srkit {_escaped(made.version)}</stEvt:softwareAgent>"
        f"<stEvt:parameters>{_escaped(parameters)}</stEvt:parameters></rdf:li>"
    )


def _corrected(description: Any, width: int, height: int, mime: str) -> bool:
    """Correct or remove the properties of one rdf:Description; return whether anything was changed."""
    panorama = _panorama(description, width, height)
    changed = False
    for node in list(_properties(description)):
        name, value = _name(node), _value(node)
        if _is_gone(name, value) or (name == (_REGIONS, "Regions") and not _fit_regions(node, width, height)):
            _remove(description, node)
            changed = True
            continue
        right = {(_TIFF, "Orientation"): "1", (_DC, "format"): mime} | panorama
        right |= dict.fromkeys(_ACROSS, str(width)) | dict.fromkeys(_DOWN, str(height))
        if name in right and value != right[name]:
            _set(node, right[name])
            changed = True
        changed |= name == (_REGIONS, "Regions")
    return changed


def _is_gone(name: tuple[str, str], value: str) -> bool:
    """Return whether a property describes only the file that was read."""
    if name[0] in _GONE_NAMESPACES or name in _GONE:
        return True
    if name == (_DC_TERMS, "provenance"):  # position of the file's C2PA manifest
        return "jumbf" in value or "c2pa" in value
    return name[0] == _CAMERA and name[1].startswith(_MOTION)


def _panorama(description: Any, width: int, height: int) -> dict[tuple[str, str], str]:
    """GPano's sizes in pixels, the image's own among them, scaled like the image."""
    values = {_name(n)[1]: _value(n) for n in _properties(description) if _name(n)[0] == _PANORAMA}
    right: dict[tuple[str, str], str] = {}
    for size, (own, *others) in ((width, _PANORAMA_ACROSS), (height, _PANORAMA_DOWN)):
        if values.get(own, "").isdecimal() and int(values[own]) > 0:
            numbers = {n: int(values[n]) for n in (own, *others) if values.get(n, "").isdecimal()}
            right |= {(_PANORAMA, n): str(round(v * size / numbers[own])) for n, v in numbers.items()}
    return right


def _fit_regions(regions: Any, width: int, height: int) -> bool:
    """Correct the size that regions (MWG) apply to; return False if their image has other proportions."""
    dimensions = _first(regions, _REGIONS, "AppliedToDimensions")
    if dimensions is None:
        return True
    nodes = {_name(node)[1]: node for node in _properties(dimensions) if _name(node)[0] == _DIMENSIONS}
    try:
        across, down = float(_value(nodes["w"])), float(_value(nodes["h"]))
    except (KeyError, ValueError):
        return True
    if (
        abs(across * height - down * width)
        > max(across * down, width * height) ** 0.5 * max(across, down) * 0.02
    ):
        return False
    _set(nodes["w"], str(width))
    _set(nodes["h"], str(height))
    return True


def _parsed(xmp: bytes) -> Any:
    if len(xmp) > _MAX_SIZE:
        raise ValueError("the packet is too large")
    try:
        if xmp.startswith((BOM_UTF16_LE, BOM_UTF16_BE)):
            xmp = xmp.decode("utf-16").encode()
        data = xmp.strip(b"\0 \t\r\n")
        if _FORBIDDEN.search(data) or b"\0" in data:
            raise ValueError("the packet declares entities, or holds zeros")
        document = minidom.parseString(data)
    except (ExpatError, LookupError, UnicodeError) as error:
        raise ValueError("the packet is no XML") from error
    try:
        document.getElementsByTagName("*")  # recursion as deep as in all later work on the document
    except RecursionError:
        raise ValueError("the packet nests too deep") from None
    return document


def _packet(document: Any) -> bytes:
    try:
        return "\n".join(node.toxml() for node in document.childNodes).encode()
    except RecursionError:
        raise ValueError("the packet nests too deep") from None


def _drop_declarations(document: Any) -> None:
    """Remove declarations of namespaces whose properties were removed."""
    elements = document.getElementsByTagName("*")
    used = {e.namespaceURI for e in elements} | {
        a.namespaceURI for e in elements for a in e.attributes.values()
    }
    for element in elements:
        for attribute in list(element.attributes.values()):
            gone = attribute.value in _GONE_NAMESPACES and attribute.value not in used
            if attribute.namespaceURI == _XMLNS and gone:
                element.removeAttributeNode(attribute)


def _descriptions(document: Any) -> list[Any]:
    """Top-level rdf:Description elements."""
    rdf = _first(document, _RDF, "RDF")
    children = [] if rdf is None else rdf.childNodes
    return [n for n in children if n.nodeType == n.ELEMENT_NODE and _name(n) == (_RDF, "Description")]


def _properties(element: Any) -> Iterator[Any]:
    """Yield the attributes and elements of a node, except RDF and namespace declarations."""
    for node in (*element.attributes.values(), *element.childNodes):
        if node.nodeType != node.TEXT_NODE and getattr(node, "namespaceURI", None) not in (
            None,
            _RDF,
            _XMLNS,
        ):
            yield node


def _name(node: Any) -> tuple[str, str]:
    return (node.namespaceURI or "", node.localName or "")


def _value(node: Any) -> str:
    if node.nodeType == node.ATTRIBUTE_NODE:
        return str(node.value).strip()
    return "".join(child.data for child in node.childNodes if child.nodeType == child.TEXT_NODE).strip()


def _set(node: Any, value: str) -> None:
    if node.nodeType == node.ATTRIBUTE_NODE:
        node.value = value
        return
    while node.childNodes:
        node.removeChild(node.lastChild)
    node.appendChild(node.ownerDocument.createTextNode(value))


def _remove(parent: Any, node: Any) -> None:
    if node.nodeType == node.ATTRIBUTE_NODE:
        parent.removeAttributeNode(node)
    else:
        parent.removeChild(node)


def _first(element: Any, namespace: str, name: str) -> Any:
    return next(iter(element.getElementsByTagNameNS(namespace, name)), None)


def _node(text: str) -> Any:
    """Parse an element that declares all namespaces it uses."""
    return minidom.parseString(text.encode("utf-8")).documentElement


def _escaped(text: str) -> str:
    """Escape text for XML, with unsupported characters replaced."""
    printable = "".join(
        c if c.isprintable() else "?" for c in text.encode("utf-8", "replace").decode("utf-8")
    )
    return escape(printable, {'"': "&quot;"})
