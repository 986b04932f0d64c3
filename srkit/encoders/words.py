"""Small text encoder trained and shipped by this project, in the vector space of `compact`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from srkit.archs.words import WordsNetwork
from srkit.encoders.compact import Compact
from srkit.encoders.own import own_network, random_network
from srkit.encoders.semantic import Embedding
from srkit.encoders.text import TextEmbedding
from srkit.ops.characters import characters, encode
from srkit.ops.layout import in_precision

NAME = "words"


class Words:
    """`TextEncoder` trained by contrast against the vectors of `compact` (recipe `words`).

    Args:
        device: device of the network, which runs in fp32.
        weights: weights file in place of the shipped one.
        random: random weights of a fixed seed instead, here and of the encoder of images.

    Raises:
        ResourceError: the weights are missing, damaged, or of another network.
    """

    by_character = True

    def __init__(self, device: torch.device, weights: Path | None = None, *, random: bool = False) -> None:
        self._device, self._images = device, Compact(device, random=random)
        if random:
            network, label = random_network(WordsNetwork, device), "seed 0"
            self.name = "random"
        else:
            network, sha256 = own_network(WordsNetwork, NAME, weights or NAME, "text", device)
            self.name, label = NAME if weights is None else f"{NAME}:{weights}", f"sha256 {sha256}"
        self._network, self.version = network, f"{label}, images {self._images.version}"
        self.dim, self.length, self.word_channels = network.dim, network.length, network.channels
        self.map_channels = network.width
        self.level_channels = self._images.channels

    def read(self, texts: Sequence[str]) -> TextEmbedding:
        """Embed texts; see `TextEncoder`. Shipped weights: sentences (N, 128), words (N, 160, 264)."""
        with torch.no_grad(), in_precision(self._device, None):
            sentence, words = self._network(encode(texts, self.length).to(self._device))
        return TextEmbedding(sentence, words)

    def fits(self, text: str) -> bool:
        """Return whether a text fits; see `TextEncoder`. Spaces do not count."""
        return characters(text) <= self.length

    def embed(self, images: Tensor) -> Embedding:
        """Embed images by `compact`; see `TextEncoder`."""
        return self._images.embed(images)

    def levels(self, images: Tensor) -> list[Tensor]:
        """Stages of `compact`, at the images' own size; see `TextEncoder`."""
        return self._images.features(images)

    def prompted(self, maps: Tensor, prompts: Tensor) -> Tensor:
        """Pass maps through the text layers, since `compact` has no layers for tokens; see `TextEncoder`."""
        return self._network.prompted(maps, prompts)
