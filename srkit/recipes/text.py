"""Recipe of training a text encoder."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from srkit.recipes.bounds import bounded
from srkit.recipes.encoder import EncoderRunPart
from srkit.recipes.load import Recipe
from srkit.recipes.train import ModelPart, OptimPart, ProvidersPart


@dataclass(frozen=True)
class TextDataPart:
    captions: str = ""
    """Captions of the photographs (`srkit.data.captions.find_captions`); empty: a .txt file beside each photograph."""
    rendered: int = bounded(150, min=1)
    """Images per rendered domain, seeds from 0."""
    rendered_side: int = bounded(128, min=64)
    """Side of a rendered image in pixels."""
    pictures: int = bounded(32, min=2)
    """Captions per step and process that are compared with their images."""
    texts: int = bounded(32, min=0)
    """Captions per step without a rendered image, which train the attributes only."""
    holdout_every: int = bounded(20, min=2)
    """Every n-th photograph, by sorted name, is held out of training to validate on."""


@dataclass(frozen=True)
class TextRecipe(Recipe):
    name: str
    model: ModelPart
    kind: Literal["text"] = "text"
    temperature: float = bounded(0.1, above=0)
    """Temperature of the softmax over similarities of texts and images."""
    attributes: float = bounded(1.0, min=0)
    """Weight of the classification of the attributes that a rendered image's caption names."""
    data: TextDataPart = field(default_factory=TextDataPart)
    optim: OptimPart = field(default_factory=OptimPart)
    run: EncoderRunPart = field(default_factory=EncoderRunPart)
    providers: ProvidersPart = field(default_factory=ProvidersPart)
    """`semantic`: image encoder whose embedding space the texts are trained to match."""
    seed: int = bounded(0, min=0)
