"""Recipe of training a network that is conditioned on captions."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from srkit.recipes.bounds import bounded
from srkit.recipes.load import Recipe
from srkit.recipes.train import DataPart, ModelPart, OptimPart, ProvidersPart, RunPart


@dataclass(frozen=True)
class CaptionedDataPart(DataPart):
    augment: bool = False
    """Flips and quarter turns; off by default, as they change letters and the meaning of left and right."""
    captions: str = ""
    """Captions of the photographs (`srkit.data.captions.find_captions`); empty: a .txt file beside each photograph."""
    dropout: float = bounded(0.15, min=0, max=1)
    """Probability that a crop's caption is dropped, so that the network also works without captions; 1: always."""


@dataclass(frozen=True)
class ClipsrWeights:
    """Weights of the terms (Hu et al. 2024)."""

    pixel: float = bounded(1.0, min=0)
    """L1 of the result."""
    perceptual: float = bounded(0.0, min=0)
    """L1 of the result in the features of `providers.perceptual`."""
    adversarial: float = bounded(0.0, min=0)
    """-D(y^, t) - 4 cos(E(y^), t); the paper: 0.01. 0: no discriminator."""
    alignment: float = bounded(0.0, min=0)
    """Cross-entropy between the attention over words and the letters at each position of rendered images
    (`srkit.archs.text_fusion.WordAttention.misalignment`); for text encoders whose tokens are characters."""
    boxes: float = bounded(0.0, min=0)
    """Error of the estimated boxes of letters (`srkit.archs.glyphs.box_loss`), for networks with `glyphs`; for the same
    text encoders."""
    ink: float = bounded(0.0, min=0)
    """Square error of the drawn ink of letters (`srkit.archs.glyphs.ink_loss`), for the same networks. With this term,
    `alignment` and `boxes` alone, no image is made, and a step costs a small part of its time."""
    lettering: float = bounded(0.0, min=0)
    """L1 of the pixels that show letters, which are a small share of all; for the same text encoders."""

    @property
    def of_letters(self) -> float:
        """Sum of the weights of the terms that need the positions of letters."""
        return self.alignment + self.boxes + self.ink + self.lettering

    @property
    def of_images(self) -> float:
        """Sum of the weights of the terms that compare images."""
        return self.pixel + self.perceptual + self.adversarial + self.lettering


@dataclass(frozen=True)
class TextDiscriminatorPart:
    width: int = bounded(96, min=1)
    """Channels of its blocks (the paper, on ViT-B/32: 768)."""
    narrow: int = bounded(96, min=1)
    """Channels of the last block (512)."""
    hidden: int = bounded(64, min=1)
    """Channels of the matching head (128)."""
    with_text: bool = True
    penalty: bool = True
    """MAGP, the matching-aware gradient penalty."""
    every: int = bounded(1, min=1)
    """The discriminator learns at every n-th step."""
    factor: float = bounded(4.0, above=0)
    """The discriminator's learning rate, as a factor on the network's."""
    betas: tuple[float, ...] = bounded((0.0, 0.9), min=0, below=1, length=2)


@dataclass(frozen=True)
class ClipsrRecipe(Recipe):
    name: str
    model: ModelPart
    """The network clipsr; `sentence_dim`, `word_channels` and `map_channels` default to those of `providers.text`."""
    kind: Literal["clipsr"] = "clipsr"
    data: CaptionedDataPart = field(default_factory=CaptionedDataPart)
    optim: OptimPart = field(default_factory=OptimPart)
    run: RunPart = field(default_factory=RunPart)
    loss: ClipsrWeights = field(default_factory=ClipsrWeights)
    discriminator: TextDiscriminatorPart = field(default_factory=TextDiscriminatorPart)
    providers: ProvidersPart = field(default_factory=ProvidersPart)
    """`text`: encoder of the captions, and of the images in the discriminator."""
    seed: int = bounded(0, min=0)
