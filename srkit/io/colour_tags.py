"""Colour spaces described without an ICC profile (CICP, gAMA and cHRM, TIFF and BMP tags), and equivalent profiles.

A matrix/TRC profile is generated, so that every output format keeps the description, and viewers interpret the result's
values like the input's.
"""

from __future__ import annotations

import contextlib
import struct
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Point = tuple[float, float]
"""CIE 1931 chromaticity x, y."""
Parametric = tuple[float, float, float, float, float]
"""(g, a, b, c, d): (a v + b)^g from v = d on, c v below (ICC.1:2022, 10.18, type 3)."""
Curve = Parametric | NDArray[np.uint16]
"""Mapping of a stored value in [0, 1] to light in [0, 1]; or a table of it in units of 1/65535."""

_D65, _C, _E = (0.3127, 0.3290), (0.310, 0.316), (1 / 3, 1 / 3)
BT709 = ((0.640, 0.330), (0.300, 0.600), (0.150, 0.060), _D65)
_BT601 = ((0.630, 0.340), (0.310, 0.595), (0.155, 0.070), _D65)
# ITU-T H.273 (2024), table 2: red, green, blue, white.
_PRIMARIES: dict[int, tuple[Point, Point, Point, Point]] = {
    1: BT709,
    4: ((0.67, 0.33), (0.21, 0.71), (0.14, 0.08), _C),
    5: ((0.64, 0.33), (0.29, 0.60), (0.15, 0.06), _D65),
    6: _BT601,
    7: _BT601,
    8: ((0.681, 0.319), (0.243, 0.692), (0.145, 0.049), _C),
    9: ((0.708, 0.292), (0.170, 0.797), (0.131, 0.046), _D65),
    10: ((1.0, 0.0), (0.0, 1.0), (0.0, 0.0), _E),
    11: ((0.680, 0.320), (0.265, 0.690), (0.150, 0.060), (0.314, 0.351)),
    12: ((0.680, 0.320), (0.265, 0.690), (0.150, 0.060), _D65),
    22: ((0.630, 0.340), (0.295, 0.605), (0.155, 0.077), _D65),
}
SRGB: Parametric = (2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045)
_BT709_CURVE: Parametric = (1 / 0.45, 1 / 1.099, 0.099 / 1.099, 1 / 4.5, 0.081)
# H.273, table 3: the inverse of each function.
_CURVES: dict[int, Parametric] = {
    **dict.fromkeys((1, 6, 11, 12, 14, 15), _BT709_CURVE),
    4: (2.2, 1, 0, 0, 0),
    5: (2.8, 1, 0, 0, 0),
    7: (1 / 0.45, 1 / 1.1115, 0.1115 / 1.1115, 1 / 4, 0.0912),
    8: (1, 1, 0, 0, 0),
    13: SRGB,
}
_LOG_100, _LOG_316, _PQ, _SMPTE_428, _HLG = 9, 10, 16, 17, 18
_HDR = {_PQ: "PQ", _HLG: "HLG"}
_NAMES = {
    (1, 1): "Rec. 709",
    (1, 8): "linear, sRGB primaries",
    (9, 1): "Rec. 2020",
    (9, 14): "Rec. 2020",
    (9, 15): "Rec. 2020",
    (9, 16): "Rec. 2100 PQ",
    (9, 18): "Rec. 2100 HLG",
    (12, 13): "Display P3",
}
_UNSPECIFIED = 2
_WHITE_NITS = 203.0  # diffuse white of HDR, ITU-R BT.2408-7
_TABLE = 4096
_D50 = np.array([0.9642, 1.0, 0.8249])
_BRADFORD = np.array([[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]])


@dataclass(frozen=True)
class ColourTags:
    """Primaries and transfer curves given by a file's tags.

    Attributes:
        name: display name.
        primaries: red, green, blue, white.
        curves: one for all channels, or red, green, blue.
        cicp: H.273 codes of primaries and transfer, if the tags are CICP.
        hdr: PQ, HLG, or None.
    """

    name: str
    primaries: tuple[Point, Point, Point, Point]
    curves: tuple[Curve, ...]
    cicp: tuple[int, int] | None = None
    hdr: str | None = None

    @property
    def is_srgb(self) -> bool:
        """True if the colours are sRGB's up to the rounding of tags; they then need no profile."""
        v = np.linspace(0, 1, 256)
        light = [_light(curve, v) for curve in self.curves]
        near = np.allclose(self.primaries, BT709, rtol=0, atol=1.5e-3)
        return near and bool(np.allclose(light, _light(SRGB, v), rtol=0, atol=1e-3))

    def profile(self, *, gray: bool) -> bytes | None:
        """ICC profile (version 4.3, or 4.4 with CICP codes); None if the primaries are degenerate."""
        chroma = None if gray else _to_pcs(self.primaries)
        if chroma is None and not gray:
            return None
        return _profile(self, chroma)


def from_cicp(primaries: int, transfer: int, *, full_range: bool = True) -> ColourTags | None:
    """Colours of H.273 code points; None for codes that the standard reserves or leaves unspecified.

    If one of the codes is unspecified (2), sRGB's is used. A narrow range is included in the curve. PQ and HLG end at
    203 cd/m2 (BT.2408's diffuse white), since a matrix profile cannot exceed its white.
    """
    if (primaries, transfer) == (_UNSPECIFIED, _UNSPECIFIED):
        return None
    primaries = 1 if primaries == _UNSPECIFIED else primaries
    transfer = 13 if transfer == _UNSPECIFIED else transfer
    points = _PRIMARIES.get(primaries)
    curve = _CURVES.get(transfer, _sampled(transfer))
    if points is None or curve is None:
        return None
    name, codes = _NAMES.get((primaries, transfer), f"CICP {primaries}/{transfer}"), (primaries, transfer)
    if not full_range:  # a profile's `cicp` tag cannot express it
        return ColourTags(name, points, (_from_narrow(curve),), None, _HDR.get(transfer))
    return ColourTags(name, points, (curve,), codes, _HDR.get(transfer))


def from_gamma(gamma: float | None, primaries: tuple[Point, Point, Point, Point] | None) -> ColourTags | None:
    """Colours of a power curve (light = value^gamma) and chromaticities; None stands for sRGB's.

    Returns None if neither is given, or if the numbers are invalid.
    """
    if gamma is not None and not 0.01 <= gamma <= 100:
        gamma = None
    if primaries is not None and _to_pcs(primaries) is None:
        primaries = None
    if gamma is None and primaries is None:
        return None
    curve: Curve = SRGB if gamma is None else (gamma, 1, 0, 0, 0)
    name = "given primaries" if gamma is None else f"gamma {gamma:.4g}"
    return ColourTags(name, primaries or BT709, (curve,))


def hdr_of_profile(icc: bytes) -> str | None:
    """PQ or HLG if stated by a profile's `cicp` tag (ICC.1:2022, 9.2.17), else None."""
    with contextlib.suppress(struct.error, IndexError):
        for i in range(min(struct.unpack_from(">I", icc, 128)[0], 100)):
            name, at, _ = struct.unpack_from(">4sII", icc, 132 + 12 * i)
            if name == b"cicp":
                return _HDR.get(icc[at + 9])
    return None


def table_curve(values: NDArray[np.uint16]) -> NDArray[np.uint16]:
    """Reduce a file's transfer table to at most 4,096 entries."""
    if len(values) <= _TABLE:
        return values
    return values[np.linspace(0, len(values) - 1, _TABLE).round().astype(np.intp)]


def _sampled(transfer: int) -> NDArray[np.uint16] | None:
    """Curves other than a power with a linear toe, as tables; None if unknown."""
    v = np.linspace(0, 1, _TABLE)
    if transfer == _PQ:  # SMPTE ST 2084
        p = v ** (1 / 78.84375)
        light = 1e4 * (np.maximum(p - 0.8359375, 0) / (18.8515625 - 18.6875 * p)) ** (1 / 0.1593017578125)
        light = light / _WHITE_NITS
    elif transfer == _HLG:  # ARIB STD-B67, and BT.2100's system gamma at 1,000 cd/m2
        scene = np.where(v <= 0.5, v**2 / 3, (np.exp((v - 0.55991073) / 0.17883277) + 0.28466892) / 12)
        light = 1000 * scene**1.2 / _WHITE_NITS
    elif transfer == _SMPTE_428:
        light = v**2.6 * 52.37 / 48
    elif transfer in (_LOG_100, _LOG_316):
        light = 10 ** ((v - 1) * (2 if transfer == _LOG_100 else 2.5))
    else:
        return None
    return _quantised(light)


def _from_narrow(curve: Curve) -> NDArray[np.uint16]:
    """Curve of narrow-range values, with black at 16/255 and white at 235/255."""
    v = ((np.linspace(0, 1, _TABLE) * 255 - 16) / 219).clip(0, 1)
    return _quantised(_light(curve, v))


def _light(curve: Curve, v: NDArray[np.float64]) -> NDArray[np.float64]:
    """Apply a curve to values in [0, 1]."""
    if isinstance(curve, tuple):
        g, a, b, c, d = curve
        return np.asarray(np.where(v >= d, np.maximum(a * v + b, 0) ** g, c * v))
    return np.interp(v, np.linspace(0, 1, len(curve)), curve / 65535)


def _quantised(light: NDArray[np.float64]) -> NDArray[np.uint16]:
    return np.asarray(np.rint(light.clip(0, 1) * 65535), np.uint16)


def _to_pcs(primaries: tuple[Point, Point, Point, Point]) -> tuple[NDArray[np.float64], ...] | None:
    """Matrix from linear RGB to XYZ under D50, and the adaptation in it (3 x 3 each); None if singular."""
    xyz = np.array([(x, y, 1 - x - y) for x, y in primaries]).T
    if not np.isfinite(xyz).all() or xyz[1, 3] <= 0:
        return None
    white = xyz[:, 3] / xyz[1, 3]
    if abs(np.linalg.det(xyz[:, :3])) < 1e-4:
        return None
    matrix = xyz[:, :3] * np.linalg.solve(xyz[:, :3], white)
    adapted = np.linalg.inv(_BRADFORD) @ np.diag((_BRADFORD @ _D50) / (_BRADFORD @ white)) @ _BRADFORD
    return adapted @ matrix, adapted


def _profile(tags: ColourTags, chroma: tuple[NDArray[np.float64], ...] | None) -> bytes:
    """Build a profile (ICC.1:2022, 7.2, 8.3, 9.2.17); the date is fixed, so that output is reproducible."""
    parts = {b"desc": _text(tags.name), b"cprt": _text("No copyright"), b"wtpt": _xyz(_D50)}
    if chroma is None:
        parts[b"kTRC"] = _curve(tags.curves[0])
    else:
        matrix, adapted = chroma
        parts[b"chad"] = b"sf32\0\0\0\0" + _fixed(adapted.ravel())
        for i, channel in enumerate((b"r", b"g", b"b")):
            parts[channel + b"XYZ"] = _xyz(matrix[:, i])
            parts[channel + b"TRC"] = _curve(tags.curves[i % len(tags.curves)])
    holds_cicp = chroma is not None and tags.cicp is not None
    if holds_cicp:
        parts[b"cicp"] = b"cicp\0\0\0\0" + bytes([*(tags.cicp or ()), 0, 1])
    table, body = struct.pack(">I", len(parts)), b""
    places: dict[bytes, int] = {}
    start = 128 + 4 + 12 * len(parts)
    for name, data in parts.items():
        if data not in places:
            places[data] = start + len(body)
            body += data + b"\0" * (-len(data) % 4)
        table += name + struct.pack(">II", places[data], len(data))
    version = 0x04400000 if holds_cicp else 0x04300000
    space = b"GRAY" if chroma is None else b"RGB "
    head = struct.pack(">I4sI4s4s4s", start + len(body), b"", version, b"mntr", space, b"XYZ ")
    head += struct.pack(">6H", 2000, 1, 1, 0, 0, 0) + b"acsp"
    return head.ljust(68, b"\0") + _fixed(_D50) + b"\0" * 48 + table + body


def _text(text: str) -> bytes:
    data = text.encode("utf-16-be")
    return b"mluc\0\0\0\0" + struct.pack(">II4sII", 1, 12, b"enUS", len(data), 28) + data


def _xyz(values: NDArray[np.float64]) -> bytes:
    return b"XYZ \0\0\0\0" + _fixed(values)


def _fixed(values: NDArray[np.float64]) -> bytes:
    """Encode as s15Fixed16Number."""
    return np.rint(np.clip(values, -32768, 32767) * 65536).astype(">i4").tobytes()


def _curve(curve: Curve) -> bytes:
    if not isinstance(curve, tuple):
        return b"curv\0\0\0\0" + struct.pack(">I", len(curve)) + curve.astype(">u2").tobytes()
    if curve[1:] == (1, 0, 0, 0):
        return b"para\0\0\0\0\0\0\0\0" + _fixed(np.array(curve[:1]))
    return b"para\0\0\0\0\0\3\0\0" + _fixed(np.array(curve))
