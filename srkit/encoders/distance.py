"""Differentiable perceptual distances of images, as a number and as a map: all providers by name."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from srkit.encoders.features import PerceptualFeatures
from srkit.errors import UsageError, check_known
from srkit.progress import Progress

_NAMES = _AUTO, _LPIPS, _COMPACT, _RANDOM = "auto", "lpips", "compact", "random"
COMPACT_SMALLEST = 16
"""Shortest side at which the last stage has more than one position."""
_FLOOR = 0.1  # activity below this fraction of the stage's usual is damped


@dataclass(frozen=True)
class PerceptualDistance:
    """Distance of images that is differentiable with respect to both; see `perceptual_distance`."""

    name: str
    """Name in recipes, and in headers of weights trained with it."""
    version: str
    """Identifier of the weights; equal versions give equal results."""
    smallest: int
    """Shortest side of an image."""
    layers: Callable[[Tensor, Tensor], Sequence[Tensor]]
    """Function from two batches of images (N, 3, H, W) in [0, 1] to the layers' maps (N, 1, h_i, w_i), float32, at
    least 0, whose means sum to the distance."""

    def distance(self, a: Tensor, b: Tensor) -> Tensor:
        """Distances of images (N, 3, H, W) in [0, 1], of the same shape; (N,), 0 for identical images.

        Raises:
            UsageError: mismatched shapes, or sides below `smallest`.
        """
        return torch.stack([layer.mean((1, 2, 3)) for layer in self._layers(a, b)]).sum(0)

    def map(self, a: Tensor, b: Tensor) -> Tensor:
        """Map of the distance, (N, 1, H, W), with each layer upscaled bilinearly, as with LPIPS' `spatial`.

        Raises:
            UsageError: as in `distance`.
        """
        size = (a.shape[2], a.shape[3])
        found = [
            F.interpolate(layer, size=size, mode="bilinear", align_corners=False)
            for layer in self._layers(a, b)
        ]
        return torch.stack(found).sum(0)

    def _layers(self, a: Tensor, b: Tensor) -> Sequence[Tensor]:
        if a.shape != b.shape or a.ndim != 4 or a.shape[1] != 3 or min(a.shape[2:]) < self.smallest:
            raise UsageError(
                f"Images of the shapes {tuple(a.shape)} and {tuple(b.shape)} were to be compared by '{self.name}'; "
                f"they must be the same, (N, 3, H, W), with sides of at least {self.smallest}."
            )
        return self.layers(a, b)


def perceptual_distance(
    name: str, device: torch.device, *, weights: Path | None = None, progress: Progress | None = None
) -> PerceptualDistance:
    """Load a distance by name on a device, in fp32 or in the dtype of a surrounding autocast.

    Args:
        name: `lpips` (net alex, version 0.1), `compact` (`unit_layers` of the shipped encoder's stages), `random` (the
                same with random weights of a fixed seed, for tests), or `auto`: `lpips` if its trunk is already on this
                machine, else `compact`.
            weights: folder that is searched first for LPIPS' trunk.
            progress: display of downloads.

    Raises:
        UsageError: no such distance.
        ResourceError: the weights are missing, damaged or unavailable.
    """
    check_known("perceptual distance", name, _NAMES)
    if name == _AUTO:
        from srkit.encoders.perceptual import lpips_is_here

        name = _LPIPS if lpips_is_here(weights) else _COMPACT
    if name == _LPIPS:
        from srkit.encoders.perceptual import LPIPS_SMALLEST, Lpips

        network = Lpips(device, weights, progress)
        return PerceptualDistance(name, network.version, LPIPS_SMALLEST, network.layers)
    from srkit.encoders.compact import Compact

    provider = Compact(device, random=name == _RANDOM)
    return PerceptualDistance(
        name, provider.version, COMPACT_SMALLEST, lambda a, b: unit_layers(provider, a, b)
    )


def unit_layers(provider: PerceptualFeatures, a: Tensor, b: Tensor) -> list[Tensor]:
    """1 - cos of the angle between two images' features, at every position of every stage, divided by their number.

    LPIPS without learned weights (Zhang et al. 2018, CVPR, Eq. 1): half the squared difference of normalised channels.
    The sum of the means is therefore 0 for identical images, 1 for orthogonal features and 2 for opposite ones. Where
    the activity is less than a tenth of the stage's usual, that tenth is the norm, so that noise in a flat area does
    not count as another direction.
    """
    stages = [[_units(stage) for stage in provider.features(images)] for images in (a, b)]
    return [
        (x - y).square().sum(1, keepdim=True) / (2 * len(stages[0])) for x, y in zip(*stages, strict=True)
    ]


def _units(stage: Tensor) -> Tensor:
    stage = stage.float()
    return stage * torch.rsqrt(stage.square().sum(1, keepdim=True) + stage.shape[1] * _FLOOR**2)
