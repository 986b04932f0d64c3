"""Built surfaces: brickwork in four bonds, cobbles, dressed stone, shingles, tiles, mosaic, planks and parquet.

A brick is 26 to 64 pixels long, a tile 14 to 54, a plank 18 to 48 wide, a stone 22 to 70, whatever the picture's size.
"""

from __future__ import annotations

import numpy as np

from srkit.data.rendered._canvas import Pixels, pick, reduce_bands
from srkit.data.rendered._flooring import hexagons, planks, tiles
from srkit.data.rendered._masonry import ashlar, brick, cobbles, shingles
from srkit.data.rendered._surface import FINER, Surface

_KINDS = (brick, brick, cobbles, ashlar, shingles, tiles, hexagons, planks, planks)


def draw(width: int, height: int, seed: int) -> Pixels:
    """The picture, (height, width, 3)."""
    rng = np.random.default_rng(seed)
    kind = pick(rng, _KINDS)
    return reduce_bands(width, height, FINER, kind(Surface(width, height, rng), rng))
