"""Training data of the depth network: images with exact depth, sharp and out of focus."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from srkit.data.pairs import Batch
from srkit.data.scenes import layered_scene

_FOCUSED = 0.35  # share of images that are sharp everywhere
_WIDEST = (0.6, 3.0)  # range in pixels of the largest blur's deviation
_LEVELS = 5  # blur levels, between which images are blended
_NOISE = 8 / 255  # maximum deviation
_RADIUS = 8  # pixels


@dataclass(frozen=True)
class DepthPlan:
    """Size and seed of the batches: squares of `side` pixels, `batch` per step."""

    side: int
    batch: int
    seed: int


class DepthPairs:
    """Layered scenes from images (H, W, 3) uint8; a function of the seed and the step alone."""

    def __init__(self, images: Sequence[NDArray[np.uint8]], plan: DepthPlan) -> None:
        self._images, self.plan = images, plan

    def draw(self, step: int) -> Batch:
        """Images (B, 3, side, side) as `lr`, and inverse depth (B, 1, side, side) in [0, 1] as `hr`."""
        plan = self.plan
        rng = np.random.default_rng((plan.seed, step))
        seeds = rng.integers(0, 2**31, plan.batch)
        drawn = [_draw(self._images, plan.side, int(seed)) for seed in seeds]
        images, depths = (torch.stack(parts) for parts in zip(*drawn, strict=True))
        return Batch(images.contiguous(memory_format=torch.channels_last), depths)


def _draw(images: Sequence[NDArray[np.uint8]], side: int, seed: int) -> tuple[Tensor, Tensor]:
    """Image (3, side, side), rounded to 8 bit, and its depth (1, side, side)."""
    rng = np.random.default_rng(seed)
    scene = layered_scene(images, side, side, seed)
    image = torch.from_numpy(np.ascontiguousarray(scene.image)).permute(2, 0, 1).float() / 255
    depth = torch.from_numpy(np.ascontiguousarray(scene.depth))[None]
    if rng.random() >= _FOCUSED:
        image = out_of_focus(image, depth, float(rng.random()), float(rng.uniform(*_WIDEST)))
    noise = torch.from_numpy(rng.standard_normal(tuple(image.shape), dtype=np.float32))
    image = image + float(rng.uniform(0, _NOISE)) * noise
    if rng.random() < 0.5:
        image, depth = image.flip(2), depth.flip(2)
    return (image.clamp(0, 1) * 255).round() / 255, depth


def out_of_focus(image: Tensor, depth: Tensor, focus: float, widest: float) -> Tensor:
    """Blur an image (3, H, W) away from the focus, as a thin lens does; blended, not exact.

    The depth network does not need exact optics; `srkit.degradation.spatially_variant.blur` is exact.

    Args:
        depth: inverse depth (1, H, W) in [0, 1].
        focus: inverse depth in focus.
        widest: deviation in pixels of the blur at the depth furthest from the focus.
    """
    steps = torch.linspace(0, widest, _LEVELS).tolist()
    levels = torch.stack([image, *(_gaussian(image, sigma) for sigma in steps[1:])])
    place = (depth - focus).abs() / max(focus, 1 - focus) * (_LEVELS - 1)
    weights = (1 - (place - torch.arange(_LEVELS).view(-1, 1, 1)).abs()).clamp_min(0)
    return (levels * weights[:, None]).sum(0)


def _gaussian(image: Tensor, sigma: float) -> Tensor:
    offsets = torch.arange(-_RADIUS, _RADIUS + 1, dtype=image.dtype)
    taps = (-offsets.square() / (2 * sigma**2)).softmax(0).view(1, 1, -1)
    padded = F.pad(image[None], (_RADIUS,) * 4, mode="replicate")[0][:, None]
    across = F.conv2d(padded, taps[:, :, None])
    return F.conv2d(across, taps[..., None])[:, 0]
