"""The depth provider `compact`: small, trained by layered scenes, shipped; it needs no network."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from srkit.archs.depth import CompactDepth
from srkit.encoders.depth import COMPACT, normalised, resized
from srkit.encoders.own import own_network
from srkit.ops.resize import bicubic

MODEL = "depth-compact"
"""Name of the shipped weights."""
TASK = "depth"
_MIN_SIDE = 16


class Compact:
    """A `DepthProvider` of 0.7 million parameters.

    It has seen layered scenes alone: flat things that stand before one another, sharp or out of focus. It knows what
    hides what, and what blur says of depth; it has not learned what a street or a face is, as MiDaS has.

    Args:
        device: where it runs; in fp32, or in the dtype of an autocast around the call.
        weights: a weights file in place of the shipped one.

    Raises:
        ResourceError: the weights are missing or damaged, or are not this network's.
    """

    sees_images = True

    def __init__(self, device: torch.device, weights: Path | None = None) -> None:
        self._network, sha256 = own_network(CompactDepth, "depth", weights or MODEL, TASK, device)
        self.name, self.version = COMPACT, f"sha256 {sha256}"
        self._side, self._device = self._network.side, device

    @torch.no_grad()
    def estimate(self, image: Tensor, name: str | None = None) -> Tensor:
        """See `DepthProvider`; the image is seen with its longer side at 256 pixels, whatever its size."""
        height, width = image.shape[2:]
        factor = self._side / max(height, width)
        size = (max(_MIN_SIDE, round(height * factor)), max(_MIN_SIDE, round(width * factor)))
        seen = bicubic(image.to(self._device).float(), size).clamp(0, 1)
        found: Tensor = self._network(seen.contiguous(memory_format=torch.channels_last))
        return normalised(resized(found, (height, width)))
