"""Positions of the letters of rendered words, and their tokens in a caption."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from srkit.ops.characters import cleaned
from srkit.rendered.canvas import Lettering
from srkit.rendered.lettering import advances

LETTERS = 255
"""Maximum number of numbered letters per image; further letters count as none."""
NONE = -1
_NARROWEST = 0.5  # LR pixels: narrower letters are invisible at LR


def letter_map(
    lettering: Sequence[Lettering], height: int, width: int, scale: float
) -> tuple[NDArray[np.uint8], tuple[str, ...], NDArray[np.float32]]:
    """Index of the letter that covers each LR pixel's centre.

    Letters divide their line's box in proportion to their advances, which is accurate to a fraction of an LR pixel.

    Args:
        lettering: lettering of the image, in its own pixels.
        height, width: size of LR.
        scale: scale of the image relative to LR.

    Returns:
        (height, width, 1): indices of letters from 1, in the order of the lines, 0 for none; the lines, without spaces;
        and the boxes (1 + letters, 4) of the letters: left, right, top and bottom in LR pixels.
    """
    found, lines = np.zeros((height, width, 1), np.uint8), []
    boxes = [(0.0, 1.0, 0.0, 1.0)]  # of no letter
    for one in lettering:
        line = cleaned(one.words)
        left, top, right, bottom = (edge / scale for edge in one.box)
        letters = [letter for letter in line if letter != " "]
        if not letters or (right - left) / len(line) < _NARROWEST or len(boxes) + len(letters) > LETTERS + 1:
            continue
        steps = np.cumsum([0.0, *advances(line)])
        stops = left + (right - left) * steps / steps[-1]
        rows = slice(max(round(top), 0), max(round(bottom), 0))
        for letter, (start, stop) in zip(line, pairwise(stops), strict=True):
            if letter != " ":
                found[rows, max(round(start), 0) : max(round(stop), 0)] = len(boxes)
                boxes.append((start, stop, top, bottom))
        lines.append("".join(letters))
    return found, tuple(lines), np.array(boxes, np.float32)


def token_table(lines: Sequence[str], caption: str, length: int) -> NDArray[np.int64]:
    """Token of a caption, whose tokens are its characters, for each index of a `letter_map`.

    Args:
        lines: lines from `letter_map`.
        caption: caption that may name some of the lines.
        length: maximum number of tokens of a caption.

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
