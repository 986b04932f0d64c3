"""Small encoder trained and shipped by this project, for embeddings and perceptual features."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from srkit.archs.compact import CompactEncoder
from srkit.encoders.own import own_network, random_network
from srkit.encoders.semantic import Embedding
from srkit.ops.resize import bicubic

NAME = "compact"


class Compact:
    """`SemanticEncoder`, and by `features` a provider of perceptual features.

    Trained by instance discrimination without labels (recipe `compact`): views of one image have close vectors, images
    of one kind have closer vectors than images of different kinds, and a blurred, noisy or compressed image is distant
    from the clean one.

    Args:
        device: device of the network, which runs in fp32, or in the dtype of a surrounding autocast.
        weights: weights file in place of the shipped one.
        random: random weights of a fixed seed instead, for tests and as a control.

    Raises:
        ResourceError: the weights are missing, damaged, or of another network.
    """

    def __init__(self, device: torch.device, weights: Path | None = None, *, random: bool = False) -> None:
        if random:
            self.name, self.version = "random", "compact, seed 0"
            self._network = random_network(CompactEncoder, device)
        else:
            self._network, sha256 = own_network(CompactEncoder, NAME, weights or NAME, "encoder", device)
            self.name, self.version = NAME, f"sha256 {sha256}"
        self._device, network = device, self._network
        self.dim, self.token_channels = network.dim, network.token_channels
        self.channels = network.widths
        """Channels of the maps from `features`."""

    def embed(self, images: Tensor) -> Embedding:
        """Embed images; see `SemanticEncoder`. Shipped weights: vectors (N, 128), tokens (N, 256, 10, 10)."""
        side = self._network.side
        vector, tokens = self._network(self._laid_out(bicubic(images.float(), (side, side))))
        return Embedding(vector, tokens)

    def features(self, images: Tensor) -> list[Tensor]:
        """Maps of the four stages (N, C_i, ~H / 2^i, ~W / 2^i) of images (N, 3, H, W) at their own size.

        Each is divided by its root mean square over training images, so that their scales are comparable.
        """
        stages = self._network.stages(self._laid_out(images))
        return [stage / scale for stage, scale in zip(stages, self._network.scales, strict=True)]

    def _laid_out(self, images: Tensor) -> Tensor:
        return images.to(self._device, memory_format=torch.channels_last)
