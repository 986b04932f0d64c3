"""What an image shows, as one vector and a map of tokens: the protocol, and every provider by its name."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor

from srkit.errors import UsageError, nearest
from srkit.progress import Progress

OPEN_CLIP = "open_clip"
_COMPACT, _RANDOM = "compact", "random"
_FORMS = (_COMPACT, _RANDOM, f"{OPEN_CLIP}:MODEL:PRETRAINED_OR_FILE")


@dataclass(frozen=True)
class Embedding:
    """What an encoder gives for N images, float32."""

    vector: Tensor
    """(N, D), of unit length."""
    tokens: Tensor
    """(N, C, gh, gw): what lies where, over the whole image from edge to edge."""


class SemanticEncoder(Protocol):
    """A frozen encoder of whole images; differentiable with respect to them."""

    name: str
    """As `semantic_encoder` takes it, and as the headers of weights that were trained with it say."""
    version: str
    """Network and weights, so that equal versions mean equal numbers."""
    dim: int
    """D of the vectors."""
    token_channels: int
    """C of the tokens."""

    def embed(self, images: Tensor) -> Embedding:
        """The embeddings of images (N, 3, H, W) in [0, 1], of any size.

        Each whole image is resized to the encoder's square by antialiased bicubic, and normalised.
        """


def semantic_encoder(
    name: str, device: torch.device, *, weights: Path | None = None, progress: Progress | None = None
) -> SemanticEncoder:
    """The encoder of that name, on a device.

    Args:
        name: `compact` (small, trained by this project, shipped), `open_clip:MODEL:PRETRAINED_OR_FILE` (public
            weights, fetched when asked for, or a checkpoint file), or `random` (`compact`'s network with random
            weights of a fixed seed, for tests and as a control).
        weights: file of `compact`'s weights in place of the shipped one.

    Raises:
        UsageError: no such encoder.
        ResourceError: its weights are missing, damaged or unavailable, or a package that it needs is.
    """
    kind, _, rest = name.partition(":")
    if kind == OPEN_CLIP:
        model, _, pretrained = rest.partition(":")
        if not model or not pretrained:
            raise UsageError(f"The encoder '{name}' is not whole; expected {_FORMS[-1]}.")
        from srkit.encoders.open_clip import OpenClip

        return OpenClip(model, pretrained, device, progress)
    if name not in (_COMPACT, _RANDOM):
        raise UsageError(
            f"There is no encoder '{name}'; known are {', '.join(_FORMS)}.{nearest(name, (*_FORMS, OPEN_CLIP))}"
        )
    from srkit.encoders.compact import Compact, random_compact

    return Compact(device, weights) if name == _COMPACT else random_compact(device)
