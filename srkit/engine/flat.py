"""Preservation of flat areas: pixels amid a constant colour keep that colour exactly.

A network maps a constant input to values some levels off, and further off at the image's border, where it pads. Yet
where the input is exactly constant around a pixel the result is known: that constant, as bicubic upscaling gives.
Whole images are corrected after their tiles are assembled, so that tiles make no difference.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

_FULL = 8
"""Weight of an LR pixel that keeps its colour exactly, a power of 2; smaller weights are fractions of it."""
_EXTREME = {1: 4, 2: 8}
"""Weights of black and white by the radius of the constant square around a pixel. At radius 2, the radius of bicubic
upscaling, its result is constant over the whole pixel."""
_OTHER = {5: 2, 6: 4, 7: 6, 8: 8}
"""Weights of all other colours. A coarsely compressed JPEG is constant over blocks of 8 or 16 pixels with steps
between them, which a network smooths; so the squares must be larger than such blocks."""
_MAX_SHIFT = 12 / 255
"""Maximum shift of flat areas that is corrected: a network that shifts them further is assumed to do so on purpose
(brightening, for example). The shipped networks stay within 9 levels in images of a single pixel, which are all
border, and within 3 in larger ones."""
_SAMPLES = 4096
"""Approximate number of flat pixels at which the shift is measured (at most about twice as many)."""
_STRIP = 64
"""Rows of the input that are processed at a time, to bound memory."""


def hold_flat(sr: NDArray[Any], lr: NDArray[Any], scale: int) -> None:
    """Restore the colours of flat areas of the input in its result, with a gradual transition around; in place.

    Args:
        sr: (scale h, scale w, C), uint8 or uint16.
        lr: (h, w, C), of the same type.
        scale: scale of the network.
    """
    weight = _weights(lr)
    full = weight == _FULL
    if not full.any():
        return
    if _shift(sr, lr, full, scale) > _MAX_SHIFT * np.iinfo(lr.dtype).max:
        return
    for top in range(0, len(lr), _STRIP):
        rows = slice(top, top + _STRIP)
        if weight[rows].any():
            _hold(sr[top * scale : (top + _STRIP) * scale], lr[rows], weight[rows], scale)


def _hold(sr: NDArray[Any], lr: NDArray[Any], weight: NDArray[np.uint8], scale: int) -> None:
    # A pixel, and the run of result pixels that replaces it, as single items, which numpy copies at once.
    pixel, stretch = (np.dtype((np.void, count * lr.shape[2] * lr.itemsize)) for count in (1, scale))
    length = scale * lr.shape[2]
    rows = sr.reshape(lr.shape[0], scale, lr.shape[1], length).view(stretch)[..., 0]
    pixels = np.ascontiguousarray(lr).view(pixel)[..., 0]
    full = weight == _FULL
    part = (weight > 0) & ~full
    kept, given = (np.repeat(pixels[where], scale).view(stretch) for where in (full, part))
    wide = np.uint16 if lr.dtype == np.uint8 else np.uint32
    share = weight[part].astype(wide)[:, None]
    added = given.view(lr.dtype).reshape(-1, length) * share + wide(_FULL // 2)
    for row in range(scale):
        rows[:, row][full] = kept
        levels = rows[:, row][part].view(lr.dtype).reshape(added.shape) * (wide(_FULL) - share)
        levels += added
        levels >>= wide(_FULL.bit_length() - 1)
        rows[:, row][part] = levels.astype(lr.dtype).view(stretch)[:, 0]


def _weights(lr: NDArray[Any]) -> NDArray[np.uint8]:
    """Weight of each pixel's own colour, (h, w), in units of 1 / `_FULL`."""
    pixel = _as_numbers(lr)
    white = 2 ** (8 * lr.itemsize * lr.shape[2]) - 1
    weight = np.zeros(pixel.shape, np.uint8)
    flat = _constant_squares(pixel)
    extreme = (pixel == 0) | (pixel == white)
    for radius in range(1, max(_OTHER) + 1):
        if radius > 1:
            flat = _eroded(_eroded(flat, 0), 1)
        if not flat.any():
            break
        if radius in _EXTREME:
            weight[flat & extreme] = _EXTREME[radius]
        if radius in _OTHER:
            np.maximum(weight, _OTHER[radius], out=weight, where=flat)
    return weight


def _as_numbers(lr: NDArray[Any]) -> NDArray[Any]:
    """Encode colours (h, w, C) as integers (h, w); black is 0."""
    found: NDArray[Any] = lr[:, :, 0].astype(np.uint32 if lr.dtype == np.uint8 else np.uint64)
    for channel in range(1, lr.shape[2]):
        np.left_shift(found, 8 * lr.itemsize, out=found)
        np.bitwise_or(found, lr[:, :, channel], out=found)
    return found


def _constant_squares(pixel: NDArray[Any]) -> NDArray[np.bool_]:
    """Mask (h, w) of pixels whose 3 x 3 neighbourhood, within the image, is of one colour."""
    across, down = pixel[:, 1:] == pixel[:, :-1], pixel[1:] == pixel[:-1]
    rows = np.ones(pixel.shape, np.bool_)
    rows[:, 1:] &= across
    rows[:, :-1] &= across
    flat = _eroded(rows, 0)
    flat[1:] &= down
    flat[:-1] &= down
    return flat


def _eroded(mask: NDArray[np.bool_], axis: int) -> NDArray[np.bool_]:
    """Erode a mask along an axis by one pixel; pixels beyond the image count as set."""
    found = mask.copy()
    mask, moved = (mask, found) if axis == 0 else (mask.T, found.T)
    moved[1:] &= mask[:-1]
    moved[:-1] &= mask[1:]
    return found


def _shift(sr: NDArray[Any], lr: NDArray[Any], full: NDArray[np.bool_], scale: int) -> float:
    """Shift of flat pixels: median, over their centres, of the largest difference of a channel."""
    index = np.flatnonzero(full)
    y, x = np.divmod(index[:: max(1, len(index) // _SAMPLES)], full.shape[1])
    difference = np.abs(sr[y * scale + scale // 2, x * scale + scale // 2].astype(np.int32) - lr[y, x])
    return float(np.median(difference.max(1)))
