"""Small text encoder trained and shipped by this project, in the vector space of `compact`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from srkit.archs.words import WordsNetwork
from srkit.encoders.compact import Compact, random_compact
from srkit.encoders.own import own_network, placed
from srkit.encoders.semantic import Embedding
from srkit.encoders.text import TextEmbedding
from srkit.ops.characters import characters, encode

NAME = "words"


class Words:
    """`TextEncoder` trained by contrast against the vectors of `compact` (recipe `words`).

    Args:
        device: device of the network, which runs in fp32.
        weights: weights file in place of the shipped one.

    Raises:
        ResourceError: the weights are missing, damaged, or of another network.
    """

    by_character = True

    def __init__(self, device: torch.device, weights: Path | None = None) -> None:
        network, sha256 = own_network(WordsNetwork, NAME, weights or NAME, "text", device)
        name = NAME if weights is None else f"{NAME}:{weights}"
        self._hold(network, Compact(device), device, name, f"sha256 {sha256}")

    def _hold(
        self, network: WordsNetwork, images: Compact, device: torch.device, name: str, label: str
    ) -> None:
        self._network, self._images, self._device = network, images, device
        self.name, self.version = name, f"{label}, images {images.version}"
        self.dim, self.length, self.word_channels = network.dim, network.length, network.channels
        self.map_channels = network.width
        self.level_channels = images.channels

    def read(self, texts: Sequence[str]) -> TextEmbedding:
        """Embed texts; see `TextEncoder`. Shipped weights: sentences (N, 128), words (N, 160, 264)."""
        with torch.no_grad(), torch.autocast(self._device.type, enabled=False):
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


def random_words(device: torch.device) -> Words:
    """Network with random weights of a fixed seed, with a random encoder of images."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = WordsNetwork()
    encoder = Words.__new__(Words)
    encoder._hold(placed(network, device), random_compact(device), device, "random", "seed 0")
    return encoder
