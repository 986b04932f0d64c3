"""What networks are told of pictures, by the encoders that their weights name."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from srkit.encoders.semantic import SemanticEncoder, semantic_encoder
from srkit.engine.conditions import Condition, Conditions, Coordinates
from srkit.errors import ResourceError, UsageError
from srkit.progress import Progress
from srkit.zoo.loaded import LoadedModel

EMBEDDED = frozenset({"semantic", "tokens"})
"""The conditions that a semantic encoder gives: its vector, and its map of tokens."""
POSITION = "position"
"""Where each pixel lies in the whole picture."""


class Conditioner:
    """What a network is told of a picture; the `Describe` of `srkit.engine.conditions`.

    Args:
        names: the network's `ArchInfo.conditioning`.
        encoder: gives those of `EMBEDDED`; not needed where there are none.
        device: where pictures are given to the encoder.

    Raises:
        UsageError: a condition that nothing here gives, or no encoder for one that needs it.
    """

    def __init__(self, names: Iterable[str], encoder: SemanticEncoder | None, device: torch.device) -> None:
        self._names = tuple(names)
        self._encoder = encoder if EMBEDDED.intersection(self._names) else None
        self._device = device
        for name in self._names:
            if name != POSITION and (name not in EMBEDDED or self._encoder is None):
                raise UsageError(
                    f"The network is told '{name}', which this command cannot give; choose another model."
                )

    def __call__(self, picture: NDArray[Any]) -> Conditions:
        """Of a whole picture (H, W, 3), uint8 or uint16; the encoder sees all of it."""
        known: dict[str, Condition | Coordinates] = {POSITION: Coordinates()}
        if self._encoder is not None:
            with torch.inference_mode():
                embedding = self._encoder.embed(self._tensor(picture))
            known |= {"semantic": Condition(embedding.vector), "tokens": Condition(embedding.tokens)}
        return {name: known[name] for name in self._names}

    def _tensor(self, picture: NDArray[Any]) -> Tensor:
        """(1, 3, H, W) in [0, 1]."""
        pixels = np.ascontiguousarray(picture if picture.dtype == np.uint8 else picture.astype(np.float32))
        x = torch.from_numpy(pixels).to(self._device).permute(2, 0, 1)[None].float()
        return x.div_(np.iinfo(picture.dtype).max)


class Encoders:
    """The encoders that models were trained with, each loaded once.

    Args:
        device: where they run.
        progress: told of downloads.
    """

    def __init__(self, device: torch.device, progress: Progress | None = None) -> None:
        self._device, self._progress = device, progress
        self._loaded: dict[str, SemanticEncoder] = {}

    def conditioner(self, model: LoadedModel) -> Conditioner:
        """What tells the model's network of pictures.

        Raises:
            ResourceError: the weights do not name their encoder, or it is not to be had, or not the one that they
                were trained with.
        """
        needed = EMBEDDED.intersection(model.info.conditioning)
        return Conditioner(model.info.conditioning, self.of(model) if needed else None, self._device)

    def of(self, model: LoadedModel) -> SemanticEncoder:
        """The encoder that a model was trained with.

        Raises:
            ResourceError: as `conditioner`.
        """
        providers = model.header.providers if model.header is not None else {}
        name, version = providers.get("semantic", ""), providers.get("semantic version", "")
        if not name or not version:
            raise ResourceError(
                f"The weights '{model.path}' need an encoder of pictures and do not say which; train them anew."
            )
        if name not in self._loaded:
            self._loaded[name] = self._load(name, model)
        encoder = self._loaded[name]
        if encoder.version != version:
            raise ResourceError(
                f"The weights '{model.path}' were trained with the encoder '{name}' ({version}), and here it is "
                f"another ({encoder.version}); use the version of srkit and the encoder's weights that they came "
                "with, or train them anew."
            )
        return encoder

    def _load(self, name: str, model: LoadedModel) -> SemanticEncoder:
        try:
            return semantic_encoder(name, self._device, progress=self._progress)
        except UsageError as error:
            raise ResourceError(
                f"The weights '{model.path}' name an encoder that is not to be had: {error}"
            ) from error
