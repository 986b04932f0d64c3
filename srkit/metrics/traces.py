"""Traces that noise, compression and blur leave in images: whether a folder of them looks clean, without references.

Each trace depends on what an image shows as well, so a folder is classified by all of its images together. Those that
were shrunk bicubically from sharp ones stay within the limits, those through `experiments/presets.py` are beyond one
of them; what is only a little blurred counts as clean.
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
"""A folder counts as clean that is below the first two and above the last."""
MIXED = 0.25
"""In a folder of one kind, less than this fraction of the images looks compressed, or all but less than it."""
_GRID = 8  # pixels between the edges of JPEG's blocks, and of those that noise is looked for in
_STILL = 0.05  # share of the blocks that counts as flat
_FLAT = 0.25  # quantile over images: many have no flat place, in which noise would show alone
_MOST = 0.8  # quantile over images: of a folder that is clean, most are
_STRONG = 0.9  # quantile of differences above which they are the image's own edges
_EDGES = 0.95  # quantile of gradients that counts as the strongest edges


@dataclass(frozen=True)
class Traces:
    """Traces of degradation in a folder of images."""

    noise: float
    """Deviation of the finest detail in the flattest places, in levels of 8 bit."""
    blocks: float
    """How much larger steps are every eight pixels than elsewhere; 1: no larger."""
    sharpness: float
    """Strongest gradients over those of the images at half their size; about 0.9 of sharp ones, less if blurred."""
    compressed: float
    """Share of the images whose own `blocks` are beyond the limit."""

    @property
    def clean(self) -> bool:
        return self.noise < NOISE and self.blocks < BLOCKS and self.sharpness > SHARPNESS

    @property
    def mixed(self) -> bool:
        """Whether some of the images were compressed and others were not; of one kind, nearly all are or none is."""
        return MIXED < self.compressed < 1 - MIXED


def traces_of(images: Sequence[RGB]) -> Traces:
    """The traces in a folder's images, one or more, with sides of at least 20 pixels."""
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
    """Traces of one image as numbers whose differences mean the same everywhere: logarithms of the noise of its
    channels and of their differences (none where noise is gray), of `block_edges`, and of `sharpness`."""
    x, light = image.astype(np.float64), _light(image)
    differences = x[:, :, (0, 2, 0)] - x[:, :, (1, 1, 2)]
    found = [noise_floor(x) + 0.1, noise_floor(differences) + 0.1, block_edges(light), sharpness(light)]
    return np.log(np.maximum(found, 1e-3))


def block_edges(light: NDArray[np.float64]) -> float:
    """Largest mean of third differences over the eight places of a grid, over the mean of the others; of both axes."""
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
    """Strongest gradients over those at half the size."""
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
