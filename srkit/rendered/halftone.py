"""Four-colour halftone print: a soft scene in dots of cyan, magenta, yellow and black on paper.

Screens are turned by the usual 15, 75, 0 and 45 degrees and have a pitch of 4 to 9 pixels, whatever the picture's
size. The inks multiply where they overlap (Neugebauer's primaries), print a little aside of each other, and the
paper has a tone.
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from srkit.rendered.canvas import FINER, Floats, Pixels, between, cosine, reduce_bands
from srkit.rendered._scenes import soft_scene

_ANGLES = (15.0, 75.0, 0.0, 45.0)  # degrees; cyan, magenta, yellow, black
_INKS = ((0, 152, 218), (218, 16, 116), (255, 232, 18), (34, 31, 33))
_PAPERS = ((252, 250, 246), (246, 240, 226), (236, 226, 204), (226, 222, 214), (250, 244, 232))
_ASIDE = 2  # pixels that an ink may print aside, at most


def draw(width: int, height: int, seed: int) -> Pixels:
    """The picture, (height, width, 3)."""
    rng = np.random.default_rng(seed)
    pitch = 4.0 + 5.0 * rng.random() ** 1.5
    turn = rng.between(-2, 2) if rng.chance(0.4) else 0.0
    paper = _PAPERS[rng.whole(len(_PAPERS))]
    gray = rng.chance(0.12)  # a newspaper: black only
    aside = rng.between(0.0, 0.9)
    shifts = rng.uniform(-aside, aside, (4, 2))
    plates = _separated(soft_scene(width, height, rng), rng.between(0.5, 0.9), gray=gray)
    padded = [Image.fromarray(np.pad(plate, _ASIDE, mode="edge")) for plate in plates]
    table = _overprints(paper)

    def band(top: int, bottom: int) -> Pixels:
        printed: Pixels = np.zeros((bottom - top, width * FINER), np.uint8)
        for ink, plate in enumerate(padded):
            if gray and ink < 3:
                continue
            dx, dy = (float(v) for v in shifts[ink])
            box = (_ASIDE - dx, _ASIDE - dy + top / FINER, _ASIDE - dx + width, _ASIDE - dy + bottom / FINER)
            size = (width * FINER, bottom - top)
            tone = np.asarray(plate.resize(size, Image.Resampling.BICUBIC, box=box))
            spot = _spot(
                top, bottom, width * FINER, pitch * FINER, _ANGLES[ink] + turn, (dx * FINER, dy * FINER)
            )
            printed |= (spot > _limits()[tone]).astype(np.uint8) << np.uint8(ink)
        return table[printed]

    return reduce_bands(width, height, FINER, band)


def _separated(scene: Pixels, black: float, *, gray: bool) -> list[Pixels]:
    """How much of each ink, 0..255: what all three share is printed in black by the share `black`."""
    lack = 255 - scene.astype(np.int32)
    if gray:
        luminance = (lack[:, :, 0] * 77 + lack[:, :, 1] * 150 + lack[:, :, 2] * 29) >> 8
        return [np.zeros_like(luminance, np.uint8)] * 3 + [luminance.astype(np.uint8)]
    shared = lack.min(axis=2)
    # Black sets in late, as printers do it: faces and skies stay free of it.
    key = (np.clip(shared - 50, 0, 255) * (black * 255 / 205)).astype(np.int32)
    colours = [np.clip((lack[:, :, c] - key) * 255 // np.maximum(1, 255 - key), 0, 255) for c in range(3)]
    return [plate.astype(np.uint8) for plate in (*colours, key)]


def _spot(
    top: int, bottom: int, width: int, pitch: float, degrees: float, shift: tuple[float, float]
) -> Floats:
    """cos u + cos v over two axes turned by `degrees`: hills in a square lattice, `pitch` samples apart."""
    c, s = (round(f(math.radians(degrees)) * 2**24) / 2**24 / pitch for f in (math.cos, math.sin))
    x, y = np.arange(width) - shift[0], np.arange(top, bottom) - shift[1]
    total: Floats = np.zeros((bottom - top, width), np.float32)
    for a, b in ((c, s), (-s, c)):
        # cos(p + q) = cos p cos q - sin p sin q: cosines of columns and rows instead of every sample's.
        p, q = x * a, y * b
        total += cosine(q)[:, None] * cosine(p)[None, :]
        total -= cosine(q - 0.25)[:, None] * cosine(p - 0.25)[None, :]
    return total


@lru_cache(maxsize=1)
def _limits() -> Floats:
    """For every tone 0..255 the height of the spot above which just that share of the lattice lies."""
    wave = cosine(np.arange(512) / 512)
    heights = np.sort((wave[:, None] + wave[None, :]).ravel())[::-1]
    at = np.arange(1, 255) * heights.size // 255
    limits: Floats = np.concatenate(([np.float32(3)], heights[at], [np.float32(-3)])).astype(np.float32)
    return limits


def _overprints(paper: tuple[int, int, int]) -> NDArray[np.uint8]:
    """The colour of the 16 ways in which the inks can lie on each other."""
    table = np.empty((16, 3), np.uint8)
    for way in range(16):
        colour = [float(v) for v in paper]
        for ink in range(4):
            if way >> ink & 1:
                colour = [v * t / 255 for v, t in zip(colour, _INKS[ink], strict=True)]
        table[way] = [round(v) for v in colour]
    return table
