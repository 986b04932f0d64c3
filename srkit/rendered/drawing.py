"""Technical drawings and maps: parts with dimensions and sections, floor plans, contour maps, street maps.

Lines are 0.5 to 2.5 pixels wide, lettering 6 to 13 pixels, whatever the picture's size; a larger sheet holds more
parts, rooms, hills or streets.
"""

from __future__ import annotations

import numpy as np

from srkit.rendered.canvas import Pixels, pick
from srkit.rendered._hills import hills
from srkit.rendered._machine import parts
from srkit.rendered._plan import plan
from srkit.rendered._streets import streets

_KINDS = (parts, plan, hills, streets)


def draw(width: int, height: int, seed: int) -> Pixels:
    """The picture, (height, width, 3)."""
    rng = np.random.default_rng(seed)
    return rng.pick(_KINDS)(width, height, rng).reduced()
