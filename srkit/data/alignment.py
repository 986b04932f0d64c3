"""Check that an LR image and its HR image show the same content at the same position."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from srkit.ops.colour import LUMA

_REACH = 8
"""Largest shift that is searched for, in LR pixels."""
_ROUNDS = 4
_FLAT = 1.0  # deviation of luma (0 to 255) below which an image is too flat to align
_MIN_SIDE = 12  # LR pixels

Gray = NDArray[np.float64]


@dataclass(frozen=True)
class Match:
    """Alignment of an LR image with the downscaled HR image."""

    down: float
    """Downward shift of the LR content against the HR content, in LR pixels; negative: upward."""
    right: float
    correlation: float
    """Correlation of the two over their common area after alignment, in [-1, 1]."""


def match(lr: NDArray[np.uint8], expected: NDArray[np.uint8]) -> Match | None:
    """Estimate the shift of an LR image against its downscaled HR image.

    The peak of the phase correlation gives whole pixels (Kuglin and Hines 1975), then least squares on the gradient
    the fraction (Lucas and Kanade 1981). Accurate to a tenth of an LR pixel under blur, noise and JPEG.

    Args:
        lr: (h, w, 3) uint8.
        expected: (h, w, 3) uint8: the downscaled HR image.

    Returns:
        None if an image is too small or too flat.
    """
    one, other = _luma(lr), _luma(expected)
    if min(one.shape) < _MIN_SIDE or one.std() < _FLAT or other.std() < _FLAT:
        return None
    down, right = _whole_pixels(one, other)
    fraction = np.zeros(2)
    a, b = _overlap(one, other, down, right)
    for _ in range(_ROUNDS):
        step = _fraction(_moved(a, fraction), b)
        fraction = np.clip(fraction + step, -1, 1)
    return Match(down + float(fraction[0]), right + float(fraction[1]), _correlation(_moved(a, fraction), b))


def _luma(image: NDArray[np.uint8]) -> Gray:
    luma: Gray = image.astype(np.float64) @ np.array(LUMA)
    return luma


def _whole_pixels(one: Gray, other: Gray) -> tuple[int, int]:
    """Shift of `one` against `other` in whole pixels, down and right."""
    window = np.outer(np.hanning(one.shape[0]), np.hanning(one.shape[1]))
    spectra = [np.fft.rfft2((x - x.mean()) * window) for x in (one, other)]
    cross = spectra[0] * spectra[1].conj()
    # Half whitened: full phase correlation would amplify the noise at frequencies that blur removed.
    surface = np.fft.irfft2(cross / np.sqrt(np.abs(cross) + 1e-12), s=one.shape)
    reach = [min(_REACH, side // 3) for side in one.shape]
    shifts = [np.r_[0 : r + 1, -r:0] for r in reach]
    near = surface[np.ix_(*shifts)]
    row, column = np.unravel_index(int(near.argmax()), near.shape)
    return int(shifts[0][row]), int(shifts[1][column])


def _overlap(one: Gray, other: Gray, down: int, right: int) -> tuple[Gray, Gray]:
    """Common areas of the two after shifting `one` back by whole pixels."""
    height, width = one.shape
    rows = slice(max(0, down), height + min(0, down))
    columns = slice(max(0, right), width + min(0, right))
    back_rows = slice(max(0, -down), height + min(0, -down))
    back_columns = slice(max(0, -right), width + min(0, -right))
    return one[rows, columns], other[back_rows, back_columns]


def _moved(x: Gray, by: NDArray[np.float64]) -> Gray:
    """Resample `x` at positions shifted by `by` (down, right) pixels, |by| <= 1, bilinear, edges repeated."""
    padded = np.pad(x, 1, mode="edge")
    for axis in (0, 1):
        distance = float(by[axis])
        whole = math.floor(distance)
        part = distance - whole
        a = np.roll(padded, -whole, axis)
        padded = (1 - part) * a + part * np.roll(a, -1, axis)
    return padded[1:-1, 1:-1]


def _fraction(moved: Gray, other: Gray) -> NDArray[np.float64]:
    """Additional shift at which `moved` best equals `other`, up to brightness and contrast."""
    inner = (slice(2, -2), slice(2, -2))
    slopes: list[Gray] = list(np.gradient(moved))
    columns = [*(slope[inner].ravel() for slope in slopes), moved[inner].ravel(), np.ones(moved[inner].size)]
    found: Gray = np.asarray(np.linalg.lstsq(np.stack(columns, axis=1), other[inner].ravel(), rcond=None)[0])
    contrast = found[2] if abs(found[2]) > 0.1 else 1.0
    step: NDArray[np.float64] = np.clip(found[:2] / contrast, -0.5, 0.5)
    return step


def _correlation(one: Gray, other: Gray) -> float:
    deviations = one.std() * other.std()
    if deviations == 0:
        return 0.0
    return float(((one - one.mean()) * (other - other.mean())).mean() / deviations)
