"""Depth provider `compact`: small, trained on layered scenes, shipped; it works offline."""

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
    """`DepthProvider` with 0.7 million parameters.

    Trained only on layered scenes of flat objects, sharp or out of focus: it uses occlusion and blur, but has no
    semantic knowledge of streets or faces, unlike MiDaS.

    Args:
        device: device of the network, which runs in fp32, or in the dtype of a surrounding autocast.
        weights: weights file in place of the shipped one.

    Raises:
        ResourceError: the weights are missing, damaged, or of another network.
    """

    sees_images = True

    def __init__(self, device: torch.device, weights: Path | None = None) -> None:
        self._network, sha256 = own_network(CompactDepth, "depth", weights or MODEL, TASK, device)
        self.name, self.version = COMPACT, f"sha256 {sha256}"
        self._side, self._device = self._network.side, device

    @torch.no_grad()
    def estimate(self, image: Tensor, name: str | None = None) -> Tensor:
        """Estimate depth; see `DepthProvider`. Images are resized to a longer side of 256 pixels."""
        height, width = image.shape[2:]
        factor = self._side / max(height, width)
        size = (max(_MIN_SIDE, round(height * factor)), max(_MIN_SIDE, round(width * factor)))
        seen = bicubic(image.to(self._device).float(), size).clamp(0, 1)
        found: Tensor = self._network(seen.contiguous(memory_format=torch.channels_last))
        return normalised(resized(found, (height, width)))
