"""Text encoders, from texts to a vector and a sequence of words in the space of an image encoder: the protocol, and all
providers by name."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor

from srkit.encoders.semantic import OPEN_CLIP, Embedding
from srkit.errors import UsageError, nearest
from srkit.progress import Progress

_WORDS, _RANDOM = "words", "random"
_FORMS = (_WORDS, _RANDOM, f"{OPEN_CLIP}:MODEL:PRETRAINED_OR_FILE")


@dataclass(frozen=True)
class TextEmbedding:
    """Embeddings of N texts, float32; zeros for a text without characters."""

    sentence: Tensor
    """(N, D), not normalised."""
    words: Tensor
    """(N, L, C), in the order of each text, zeros after its end."""

    @staticmethod
    def none(encoder: TextEncoder, device: torch.device, count: int = 1) -> TextEmbedding:
        """Embedding of texts without characters."""
        return TextEmbedding(
            torch.zeros(count, encoder.dim, device=device),
            torch.zeros(count, encoder.length, encoder.word_channels, device=device),
        )


class TextEncoder(Protocol):
    """Frozen encoder of texts, and of images into the same space; differentiable with respect to the images."""

    name: str
    """Name for `text_encoder`, and in headers of weights trained with it."""
    version: str
    """Identifier of networks and weights; equal versions give equal results."""
    dim: int
    """Length D of the vectors."""
    length: int
    """L: number of tokens to which every text is truncated or padded, for batches."""
    word_channels: int
    """Channels C of the words."""
    by_character: bool
    """True if the words are the text's characters (`srkit.ops.characters`)."""
    map_channels: int
    """Channels of the input of `prompted`."""
    level_channels: tuple[int, ...]
    """Channels of the maps from `levels`."""

    def read(self, texts: Sequence[str]) -> TextEmbedding:
        """Embed N texts; texts are truncated to `length` tokens."""

    def fits(self, text: str) -> bool:
        """Return whether a text is not truncated."""

    def embed(self, images: Tensor) -> Embedding:
        """Embed images (N, 3, H, W) in [0, 1]; their vectors (N, D) have unit length, unlike those of `read`."""

    def levels(self, images: Tensor) -> list[Tensor]:
        """Maps (N, C_i, h_i, w_i) of several depths of the image encoder, for a discriminator."""

    def prompted(self, maps: Tensor, prompts: Tensor) -> Tensor:
        """Pass maps (N, `map_channels`, g, g) as tokens through the encoder's frozen blocks; same shape.

        Each of `prompts` (N, K, `map_channels`) is appended to the tokens of a block, and dropped after it.
        """


def text_encoder(name: str, device: torch.device, *, progress: Progress | None = None) -> TextEncoder:
    """Load an encoder by name on a device.

    Args:
        name: `words` (small, trained by this project, shipped, beside the encoder of images `compact`), `words:FILE`
                (the same with other weights), `open_clip:MODEL:PRETRAINED_OR_FILE` (public weights, downloaded on
                request, or a checkpoint file), or `random` (the networks of `words` and `compact` with random weights
                of a fixed seed, for tests and as a control).

    Raises:
        UsageError: no such encoder, or one without words or prompts.
        ResourceError: the weights are missing, damaged or unavailable, or a required package is.
    """
    kind, _, rest = name.partition(":")
    if kind == OPEN_CLIP:
        model, _, pretrained = rest.partition(":")
        if not model or not pretrained:
            raise UsageError(f"The text encoder '{name}' is not whole; expected {_FORMS[-1]}.")
        from srkit.encoders.open_clip_text import OpenClipText

        return OpenClipText(model, pretrained, device, progress)
    if kind == _WORDS:
        from srkit.encoders.words import Words

        return Words(device, Path(rest) if rest else None)
    if name == _RANDOM:
        from srkit.encoders.words import Words

        return Words(device, random=True)
    raise UsageError(
        f"There is no text encoder '{name}'; known are {', '.join(_FORMS)}.{nearest(name, (*_FORMS, OPEN_CLIP))}"
    )
