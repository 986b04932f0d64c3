"""Feature maps for perceptual losses: the protocol, and all providers by name."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor

from srkit.errors import check_known
from srkit.progress import Progress

_COMPACT, _RANDOM = "compact", "random"
_NAMES = ("vgg19", "vgg16", _COMPACT, _RANDOM)


class PerceptualFeatures(Protocol):
    """Frozen network whose feature maps are compared; differentiable with respect to the images."""

    name: str
    """Name in recipes."""
    version: str
    """Identifier of the weights; equal versions give equal results."""

    def features(self, images: Tensor) -> list[Tensor]:
        """Feature maps (N, C_i, h_i, w_i) of images (N, 3, H, W) in [0, 1], bottom to top, scaled for comparison."""
        ...


def perceptual_features(
    name: str, device: torch.device, *, weights: Path | None = None, progress: Progress | None = None
) -> PerceptualFeatures:
    """Load a provider by name on a device.

    Args:
        name: `vgg19` (public weights, found or downloaded; conv5_4), `vgg19:conv1_2,conv3_4` (selected convolutions),
            `vgg16` (likewise; conv5_3), `compact` (the stages of the shipped encoder), or `random` (the same network
            with random weights of a fixed seed, for tests).
        weights: folder that is searched first for VGG's weights.
        progress: display of downloads.

    Raises:
        UsageError: no such provider or convolution.
        ResourceError: the weights are missing, damaged or unavailable.
    """
    kind, colon, taps = name.partition(":")
    if kind.startswith("vgg") and kind in _NAMES:
        from srkit.encoders.vgg import Vgg

        chosen = [tap.strip() for tap in taps.split(",") if tap.strip()] if colon else None
        return Vgg(device, kind, chosen, weights, progress)
    check_known("provider of perceptual features", name, _NAMES)
    from srkit.encoders.compact import Compact

    return Compact(device, random=name == _RANDOM)
