"""What a text says, as one vector and a row of words, in the space of an encoder of images: the protocol, and every
provider by its name."""

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
    """What an encoder gives for N texts, float32; zeros for a text without characters."""

    sentence: Tensor
    """(N, D), not normalised."""
    words: Tensor
    """(N, L, C), in the texts' order, zeros behind the end of each."""

    @staticmethod
    def none(encoder: TextEncoder, device: torch.device, count: int = 1) -> TextEmbedding:
        """The embedding of texts without characters."""
        return TextEmbedding(
            torch.zeros(count, encoder.dim, device=device),
            torch.zeros(count, encoder.length, encoder.word_channels, device=device),
        )


class TextEncoder(Protocol):
    """A frozen encoder of texts, and of images into the same space; differentiable with respect to the images."""

    name: str
    """As `text_encoder` takes it, and as the headers of weights that were trained with it say."""
    version: str
    """Networks and weights, so that equal versions mean equal numbers."""
    dim: int
    """D of the vectors."""
    length: int
    """L: every text is cut or filled to so many tokens, so that images batch."""
    word_channels: int
    """C of the words."""
    by_character: bool
    """Whether the words are the text's characters (`srkit.ops.characters`)."""
    map_channels: int
    """Channels of what `prompted` takes."""
    level_channels: tuple[int, ...]
    """Channels of the maps that `levels` gives."""

    def read(self, texts: Sequence[str]) -> TextEmbedding:
        """The embeddings of N texts; what a text has beyond `length` tokens is cut off."""

    def fits(self, text: str) -> bool:
        """Whether nothing of a text is cut off."""

    def embed(self, images: Tensor) -> Embedding:
        """The embeddings of images (N, 3, H, W) in [0, 1]; their vectors (N, D) are of unit length, `read`'s not."""

    def levels(self, images: Tensor) -> list[Tensor]:
        """Maps (N, C_i, h_i, w_i) of several depths of the encoder of images, for a discriminator."""

    def prompted(self, maps: Tensor, prompts: Tensor) -> Tensor:
        """maps (N, `map_channels`, g, g) as tokens through the encoder's frozen blocks; to the same shape.

        Of `prompts` (N, K, `map_channels`), each stands beside the tokens of a block, and is dropped behind it.
        """


def text_encoder(name: str, device: torch.device, *, progress: Progress | None = None) -> TextEncoder:
    """The encoder of that name, on a device.

    Args:
        name: `words` (small, trained by this project, shipped, beside the encoder of images `compact`), `words:FILE`
            (the same with other weights), `open_clip:MODEL:PRETRAINED_OR_FILE` (public weights, fetched when asked
            for, or a checkpoint file), or `random` (the networks of `words` and `compact` with random weights of a
            fixed seed, for tests and as a control).

    Raises:
        UsageError: no such encoder, or one whose towers give no words or take no prompts.
        ResourceError: its weights are missing, damaged or unavailable, or a package that it needs is.
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
        from srkit.encoders.words import random_words

        return random_words(device)
    raise UsageError(
        f"There is no text encoder '{name}'; known are {', '.join(_FORMS)}.{nearest(name, (*_FORMS, OPEN_CLIP))}"
    )
