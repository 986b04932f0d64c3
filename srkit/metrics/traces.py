"""Traces of noise, compression and blur in images, which show without references whether a folder is clean.

Each trace also depends on the image content, so a folder is classified by all of its images together. Images
downscaled bicubically from sharp ones stay within the limits, those degraded by `experiments/presets.py` exceed one of
them; slightly blurred images count as clean.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from srkit.ops.colour import LUMA
from srkit.ops.layout import RGB
from srkit.ops.resize import bicubic

NOISE, BLOCKS, SHARPNESS = 1.4, 1.2, 0.75
"""Limits of a clean folder: below the first two and above the last."""
MIXED = 0.25
"""Limit of mixed folders: in a uniform one, less than this fraction of the images is compressed, or not compressed."""
_GRID = 8  # side in pixels of JPEG's blocks, and of the blocks for noise measurement
_STILL = 0.05  # fraction of the blocks that counts as flat
_FLAT = 0.25  # quantile over images: many have no flat area, in which noise alone would show
_MOST = 0.8  # quantile over images: in a clean folder, most are clean
_STRONG = 0.9  # quantile of differences above which they count as edges of the content
_EDGES = 0.95  # quantile of gradients that counts as the strongest edges


@dataclass(frozen=True)
class Traces:
    """Traces of degradation in a folder of images."""

    noise: float
    """Deviation of the finest detail in the flattest areas, in levels of 8 bit."""
    blocks: float
    """Ratio of steps at every eighth pixel to those elsewhere; 1 for no blocks."""
    sharpness: float
    """Ratio of the strongest gradients to those at half size; about 0.9 for sharp images, less for blurred ones."""
    compressed: float
    """Fraction of the images whose own `blocks` exceeds the limit."""

    @property
    def clean(self) -> bool:
        return self.noise < NOISE and self.blocks < BLOCKS and self.sharpness > SHARPNESS

    @property
    def mixed(self) -> bool:
        """True if some of the images were compressed and others were not."""
        return MIXED < self.compressed < 1 - MIXED


def traces_of(images: Sequence[RGB]) -> Traces:
    """Traces of a folder's images, one or more, with sides of at least 20 pixels."""
    noise = np.quantile([noise_floor(one) for one in images], _FLAT)
    lights = [_light(one) for one in images]
    blocks = np.array([block_edges(light) for light in lights])
    return Traces(
        noise=float(noise),
        blocks=float(np.quantile(blocks, _MOST)),
        sharpness=float(np.median([sharpness(light) for light in lights])),
        compressed=float((blocks >= BLOCKS).mean()),
    )


def noise_floor(image: RGB | NDArray[np.float64]) -> float:
    """Deviation of the diagonal second difference in the flattest blocks, mean over the channels (levels of 8 bit)."""
    x = image.astype(np.float64)
    diagonal = (x[:-1, :-1] - x[1:, :-1] - x[:-1, 1:] + x[1:, 1:]) / 2
    rows, columns = (side // _GRID for side in diagonal.shape[:2])
    blocks = diagonal[: rows * _GRID, : columns * _GRID].reshape(rows, _GRID, columns, _GRID, 3)
    deviations = np.sqrt((blocks**2).mean(axis=(1, 3))).reshape(-1, 3)
    return float(np.quantile(deviations, _STILL, axis=0).mean())


def of_patch(image: RGB) -> NDArray[np.float64]:
    """Traces of an image as features of uniform scale: logarithms of the noise of its channels and of their differences
    (which vanishes for gray noise), of `block_edges`, and of `sharpness`."""
    x, light = image.astype(np.float64), _light(image)
    differences = x[:, :, (0, 2, 0)] - x[:, :, (1, 1, 2)]
    found = [noise_floor(x) + 0.1, noise_floor(differences) + 0.1, block_edges(light), sharpness(light)]
    return np.log(np.maximum(found, 1e-3))


def block_edges(light: NDArray[np.float64]) -> float:
    """Largest mean of third differences over the eight grid offsets, relative to the others' mean; for both axes."""
    found = []
    for x in (light, light.T):
        step = np.abs(x[:, :-3] - 3 * x[:, 1:-2] + 3 * x[:, 2:-1] - x[:, 3:])
        step = np.minimum(step, np.quantile(step, _STRONG))
        means = np.array([step[:, place::_GRID].mean() for place in range(_GRID)])
        largest = means.argmax()
        others = np.delete(means, largest).mean()
        found.append(means[largest] / others if others > 0 else 1.0)
    return float(np.mean(found))


def sharpness(light: NDArray[np.float64]) -> float:
    """Ratio of the strongest gradients to those at half size."""
    height, width = light.shape
    small = bicubic(torch.from_numpy(light)[None, None].float(), (height // 2, width // 2))
    own, other = (_strongest(x) for x in (light, small[0, 0].double().numpy()))
    return own / other if other > 0 else 1.0


def _strongest(x: NDArray[np.float64]) -> float:
    gradient = np.hypot(x[1:-1, 2:] - x[1:-1, :-2], x[2:, 1:-1] - x[:-2, 1:-1])
    return float(np.quantile(gradient, _EDGES))


def _light(image: RGB) -> NDArray[np.float64]:
    weights = np.array(LUMA)
    light: NDArray[np.float64] = image.astype(np.float64) @ weights
    return light
