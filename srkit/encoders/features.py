"""Feature maps that perceptual losses compare: the protocol, and every provider by its name."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor

from srkit.errors import UsageError, nearest
from srkit.progress import Progress

_COMPACT, _RANDOM = "compact", "random"
_NAMES = ("vgg19", "vgg16", _COMPACT, _RANDOM)


class PerceptualFeatures(Protocol):
    """A frozen network whose feature maps are compared; differentiable with respect to the images."""

    name: str
    """As recipes spell it."""
    version: str
    """Names the weights, so that equal versions mean equal numbers."""

    def features(self, images: Tensor) -> list[Tensor]:
        """(N, 3, H, W) in [0, 1] to maps (N, C_i, h_i, w_i), from bottom to top, as they are to be compared."""
        ...


def perceptual_features(
    name: str, device: torch.device, *, weights: Path | None = None, progress: Progress | None = None
) -> PerceptualFeatures:
    """The provider of that name, on a device.

    Args:
        name: `vgg19` (public weights, found or fetched; conv5_4), `vgg19:conv1_2,conv3_4` (these of its convolutions),
            `vgg16` (likewise; conv5_3), `compact` (the stages of the shipped encoder), or `random` (the same network
            with random weights of a fixed seed, for tests).
        weights: a folder that may hold VGG's weights, before the usual places.
        progress: shows a download.

    Raises:
        UsageError: no such provider or convolution.
        ResourceError: its weights are missing, damaged or unavailable.
    """
    kind, colon, taps = name.partition(":")
    if kind.startswith("vgg") and kind in _NAMES:
        from srkit.encoders.vgg import Vgg

        chosen = [tap.strip() for tap in taps.split(",") if tap.strip()] if colon else None
        return Vgg(device, kind, chosen, weights, progress)
    if name not in _NAMES:
        raise UsageError(
            f"There is no provider of perceptual features '{name}'; known are {', '.join(_NAMES)}."
            f"{nearest(name, _NAMES)}"
        )
    from srkit.encoders.compact import Compact, random_compact

    return Compact(device) if name == _COMPACT else random_compact(device)
