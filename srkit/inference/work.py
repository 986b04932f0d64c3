"""Input and output of chained networks for an image."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from srkit.conditioning.makers import NO_EXTRAS, Extras
from srkit.inference.diagnosis import Diagnosis
from srkit.io.image import DecodedImage
from srkit.zoo.loaded import LoadedModel

T = TypeVar("T")

Complete = Callable[[Extras, DecodedImage, LoadedModel, str | None], Extras]
"""Function from extras, image, network and name to the extras with its conditions (`KernelExtras`)."""


@dataclass(frozen=True)
class Work(Generic[T]):
    """Image and its target size, or the error that prevented its reading."""

    tag: T
    image: DecodedImage | None
    width: int = 0
    height: int = 0
    error: Exception | None = None
    extras: Extras = NO_EXTRAS
    """Data for the conditions of networks."""
    name: str | None = None
    """Name of the image, for depths by name."""
    diagnosis: Diagnosis | None = None
    """Diagnosis of the image, if it chooses the networks."""


@dataclass(frozen=True)
class Pass:
    """Settings with which a network of the chain was run."""

    model: str
    tile: int | None
    """Side of a tile in input pixels; None for whole images."""
    overlap: int
    dtype: str
    loaded: LoadedModel
    """Network."""
    holds_16_bits: bool = True
    """True if the levels of 16-bit images are preserved in this precision."""


@dataclass(frozen=True)
class Done(Generic[T]):
    """Result for a `Work`: an image or an error."""

    tag: T
    image: DecodedImage | None
    error: Exception | None
    warnings: tuple[str, ...] = ()
    passes: tuple[Pass, ...] = ()
    parts: Mapping[str, DecodedImage] = field(default_factory=dict)
    """Views of the network by name, images of 8 bit at the result's size; or further samples, of the result's format,
    and their spread."""
    diagnosis: Diagnosis | None = None
