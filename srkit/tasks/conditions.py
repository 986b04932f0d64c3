"""What networks are told of images, by the encoders that their weights name or by what comes with the images."""

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
from srkit.io.kernel_map import KernelMap
from srkit.progress import Progress
from srkit.zoo.loaded import LoadedModel

EMBEDDED = frozenset({"semantic", "tokens"})
"""The conditions that a semantic encoder gives: its vector, and its map of tokens."""
POSITION = "position"
"""Where each pixel lies in the whole image."""
CODES = "codes"
"""The blur kernel of each pixel, which comes with the image as a kernel map."""


class Conditioner:
    """What a network is told of an image; the `Describe` of `srkit.engine.conditions`.

    Args:
        names: the network's `ArchInfo.conditioning`.
        encoder: gives those of `EMBEDDED`; not needed where there are none.
        device: where images are given to the encoder.
        basis: (K, 21, 21), what the network's `CODES` are codes by; None: no kernels come with the images.

    Raises:
        UsageError: a condition that nothing here gives, or no encoder for one that needs it.
    """

    def __init__(
        self,
        names: Iterable[str],
        encoder: SemanticEncoder | None,
        device: torch.device,
        basis: Tensor | None = None,
    ) -> None:
        self._names = tuple(names)
        self._encoder = encoder if EMBEDDED.intersection(self._names) else None
        self._device = device
        self._basis = basis
        given = {POSITION} | (EMBEDDED if self._encoder is not None else set())
        for name in self._names:
            if name == CODES and basis is None:
                raise UsageError(
                    "The network is told the blur of each pixel, which it needs a kernel map for; give the one of "
                    "`srkit estimate-kernel` to `srkit upscale --kernel-map`, or choose another model."
                )
            if name not in given | {CODES}:
                raise UsageError(
                    f"The network is told '{name}', which this command cannot give; choose another model."
                )

    def __call__(self, picture: NDArray[Any], kernels: KernelMap | None = None) -> Conditions:
        """Of a whole image (H, W, 3), uint8 or uint16; the encoder sees all of it.

        Raises:
            UsageError: no kernels for a network that is told of them, or those of another image size.
        """
        codes: Tensor | None = None
        if CODES in self._names and self._basis is not None:
            codes = _codes(kernels, picture, self._basis)
        return self._conditions(picture, codes)

    def blank(self, picture: NDArray[Any]) -> Conditions:
        """The same with zeros for what comes with an image: to measure what a network costs."""
        codes: Tensor | None = None
        if self._basis is not None:
            codes = torch.zeros(1, len(self._basis), *picture.shape[:2])
        return self._conditions(picture, codes)

    def _conditions(self, picture: NDArray[Any], codes: Tensor | None) -> Conditions:
        known: dict[str, Condition | Coordinates] = {POSITION: Coordinates()}
        if codes is not None:
            known[CODES] = Condition(codes, spatial=True)
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


def _codes(kernels: KernelMap | None, picture: NDArray[Any], basis: Tensor) -> Tensor:
    """(1, K, h, w), float32: the map's kernels by another basis than its own."""
    height, width = picture.shape[:2]
    if kernels is None:
        raise UsageError(
            "The network is told the blur of each pixel, and no kernel map came with the image; give one."
        )
    if (kernels.height, kernels.width) != (height, width):
        raise UsageError(
            f"The kernel map is for an image of {kernels.width} x {kernels.height} pixels, and this one has "
            f"{width} x {height}; estimate its own."
        )
    codes, own = torch.from_numpy(kernels.codes), torch.from_numpy(kernels.basis)
    basis = basis.float().cpu()
    if own.shape != basis.shape or not torch.equal(own, basis):
        change = basis.flatten(1) @ own.flatten(1).T
        codes = torch.einsum("jk,khw->jhw", change, codes)
    return codes[None]


def basis_of(model: LoadedModel) -> Tensor:
    """The basis (K, 21, 21) that a network's codes of kernels are by.

    Raises:
        ResourceError: the weights hold none.
    """
    basis = getattr(model.network, "basis", None)
    if not isinstance(basis, Tensor) or not bool(basis.any()):
        raise ResourceError(
            f"The weights '{model.path}' hold no basis of blur kernels; choose an NBSR, or train it anew."
        )
    return basis


class Encoders:
    """The encoders that models were trained with, each loaded once.

    Args:
        device: where they run.
        progress: told of downloads.
    """

    def __init__(self, device: torch.device, progress: Progress | None = None) -> None:
        self._device, self._progress = device, progress
        self._loaded: dict[str, SemanticEncoder] = {}

    def conditioner(self, model: LoadedModel, *, with_kernels: bool = False) -> Conditioner:
        """What tells the model's network of images.

        Args:
            with_kernels: a kernel map comes with each image.

        Raises:
            UsageError: the network is told what nothing here gives; of kernels, say, without `with_kernels`.
            ResourceError: the weights do not name their encoder, or it is unavailable, or not the one that they
                were trained with.
        """
        names = model.info.conditioning
        encoder = self.of(model) if EMBEDDED.intersection(names) else None
        basis = basis_of(model) if with_kernels and CODES in names else None
        return Conditioner(names, encoder, self._device, basis)

    def of(self, model: LoadedModel) -> SemanticEncoder:
        """The encoder that a model was trained with.

        Raises:
            ResourceError: as `conditioner`.
        """
        providers = model.header.providers if model.header is not None else {}
        name, version = providers.get("semantic", ""), providers.get("semantic version", "")
        if not name or not version:
            raise ResourceError(
                f"The weights '{model.path}' need an encoder of images and do not say which; train them anew."
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
                f"The weights '{model.path}' name an encoder that is unavailable: {error}"
            ) from error
