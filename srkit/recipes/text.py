"""What `srkit train` needs to know to train an encoder of texts."""

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
    """Captions of the photographs (`srkit.data.captions.find_captions`); empty: a .txt beside each."""
    rendered: int = bounded(150, min=1)
    """Images of each rendered domain, seeds from 0."""
    rendered_side: int = bounded(128, min=64)
    """Pixels of a side of a rendered image."""
    pictures: int = bounded(32, min=2)
    """Captions in a step, for each process, that are compared with their images."""
    texts: int = bounded(32, min=0)
    """Captions in a step of images that are not drawn: their attributes alone are learned from."""
    holdout_every: int = bounded(20, min=2)
    """Every n-th photograph, by sorted name, is held out of training to validate on."""


@dataclass(frozen=True)
class TextRecipe(Recipe):
    name: str
    model: ModelPart
    kind: Literal["text"] = "text"
    temperature: float = bounded(0.1, above=0)
    """Of the softmax over similarities of texts and images."""
    attributes: float = bounded(1.0, min=0)
    """Weight of naming what a caption says of a rendered image."""
    data: TextDataPart = field(default_factory=TextDataPart)
    optim: OptimPart = field(default_factory=OptimPart)
    run: EncoderRunPart = field(default_factory=EncoderRunPart)
    providers: ProvidersPart = field(default_factory=ProvidersPart)
    """`semantic`: the encoder of images whose space the texts' vectors are to lie in."""
    seed: int = bounded(0, min=0)
