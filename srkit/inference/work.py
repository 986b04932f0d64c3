"""An image on its way through chained networks: what goes in, and what comes out."""

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
"""Extras, image, network and name to the extras with what the network is conditioned on (`KernelExtras`)."""


@dataclass(frozen=True)
class Work(Generic[T]):
    """An image and the size it shall have, or the error that kept it from being read."""

    tag: T
    image: DecodedImage | None
    width: int = 0
    height: int = 0
    error: Exception | None = None
    extras: Extras = NO_EXTRAS
    """What comes with it, for networks that are conditioned on it."""
    name: str | None = None
    """By which depths that come by name are found."""
    diagnosis: Diagnosis | None = None
    """What was found in the image, where the networks are chosen by that."""


@dataclass(frozen=True)
class Pass:
    """How one network of the chain was run."""

    model: str
    tile: int | None
    """Side in input pixels; None: whole images."""
    overlap: int
    dtype: str
    loaded: LoadedModel
    """The network itself."""
    holds_16_bits: bool = True
    """Whether the levels of 16-bit images survive in that precision."""


@dataclass(frozen=True)
class Done(Generic[T]):
    """The result for a `Work`: an image or an error."""

    tag: T
    image: DecodedImage | None
    error: Exception | None
    warnings: tuple[str, ...] = ()
    passes: tuple[Pass, ...] = ()
    parts: Mapping[str, DecodedImage] = field(default_factory=dict)
    """What the network made the image of, by name: images of 8 bit and of the result's size; or further samples, of
    the result's kind, and their spread."""
    diagnosis: Diagnosis | None = None
