"""Where the letters of rendered words stand, and which token of a caption each of them is."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from srkit.ops.characters import cleaned
from srkit.rendered.canvas import Lettering
from srkit.rendered.lettering import advances

LETTERS = 255
"""How many letters of an image are numbered; those behind them count as none."""
NONE = -1
_NARROWEST = 0.5  # LR pixels: narrower letters leave LR nothing that attention could find them by


def letter_map(
    lettering: Sequence[Lettering], height: int, width: int, scale: float
) -> tuple[NDArray[np.uint8], tuple[str, ...]]:
    """Which letter covers each LR pixel's centre.

    Letters take a part of their line's box in proportion to their advance, which is right to a fraction of an LR pixel.

    Args:
        lettering: of the image, in its own pixels.
        height, width: of LR.
        scale: of the image against LR.

    Returns:
        (height, width, 1): numbers of letters from 1, in the order of the lines, 0 where there is none; and the lines,
        without spaces.
    """
    found, lines, count = np.zeros((height, width, 1), np.uint8), [], 0
    for one in lettering:
        line = cleaned(one.words)
        left, top, right, bottom = (edge / scale for edge in one.box)
        letters = [letter for letter in line if letter != " "]
        if not letters or (right - left) / len(line) < _NARROWEST or count + len(letters) > LETTERS:
            continue
        steps = np.cumsum([0.0, *advances(line)])
        stops = left + (right - left) * steps / steps[-1]
        rows = slice(max(round(top), 0), max(round(bottom), 0))
        for letter, (start, stop) in zip(line, pairwise(stops), strict=True):
            if letter != " ":
                count += 1
                found[rows, max(round(start), 0) : max(round(stop), 0)] = count
        lines.append("".join(letters))
    return found, tuple(lines)


def token_table(lines: Sequence[str], caption: str, length: int) -> NDArray[np.int64]:
    """For each number of a `letter_map` the token of a caption, whose tokens are its characters.

    Args:
        lines: as `letter_map` gives them.
        caption: that may name some of the lines.
        length: tokens that are kept of a caption.

    Returns:
        (1 + letters,): `NONE` for 0, and for letters that the caption does not name.
    """
    said, after = cleaned(caption).replace(" ", ""), 0
    tokens = [NONE]
    for line in lines:
        start = said.find(line, after)
        start = said.find(line) if start < 0 else start
        after = max(after, start + len(line)) if start >= 0 else after
        tokens += [start + i if 0 <= start + i < length and start >= 0 else NONE for i in range(len(line))]
    return np.array(tokens, np.int64)
