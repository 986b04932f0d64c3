"""Semantic encoders, from images to a vector and a map of tokens: the protocol, and all providers by name."""

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
    """Embeddings of N images, float32."""

    vector: Tensor
    """Unit vectors (N, D)."""
    tokens: Tensor
    """Local features (N, C, gh, gw) that cover the whole image from edge to edge."""


class SemanticEncoder(Protocol):
    """Frozen encoder of whole images; differentiable with respect to them."""

    name: str
    """Name for `semantic_encoder`, and in headers of weights trained with it."""
    version: str
    """Identifier of network and weights; equal versions give equal results."""
    dim: int
    """Length D of the vectors."""
    token_channels: int
    """Channels C of the tokens."""

    def embed(self, images: Tensor) -> Embedding:
        """Embed images (N, 3, H, W) in [0, 1], of any size.

        Each whole image is resized to the encoder's square by antialiased bicubic, and normalised.
        """


def semantic_encoder(
    name: str, device: torch.device, *, weights: Path | None = None, progress: Progress | None = None
) -> SemanticEncoder:
    """Load an encoder by name on a device.

    Args:
        name: `compact` (small, trained by this project, shipped), `open_clip:MODEL:PRETRAINED_OR_FILE` (public
                weights, downloaded on request, or a checkpoint file), or `random` (`compact`'s network with random
            weights of a fixed seed, for tests and as a control).
        weights: file of `compact`'s weights in place of the shipped one.

    Raises:
        UsageError: no such encoder.
        ResourceError: the weights are missing, damaged or unavailable, or a required package is.
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
    from srkit.encoders.compact import Compact

    return Compact(device, weights, random=name == _RANDOM)
