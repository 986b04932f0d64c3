"""What `srkit train` needs to know to train against a discriminator, and for Cria-CL's two heads."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import Any, Literal

from srkit.recipes.load import to_toml
from srkit.recipes.train import DataPart, ModelPart, OptimPart, ProvidersPart, RunPart


@dataclass(frozen=True)
class GanWeights:
    """Weights of the terms (Shi et al. 2022, Eq. 11); the defaults are the paper's, which are for VGG19's features."""

    pixel: float = 0.01
    """L1 of the result."""
    perceptual: float = 1.0
    """L1 of the result in the features of `providers.perceptual`."""
    adversarial: float = 0.005
    """Relativistic average GAN of the result."""
    align: float = 0.01
    """Alignment of the criteria of the first head (Eq. 8), where the network has two."""
    unif: float = 0.01
    """Uniformity of the criteria of the second (Eq. 9)."""
    balance: float = 0.0
    """(Mean of the mask - 1/2)^2, where there is one: keeps both heads in use, for the cheapest way to make the terms
    of a head small is not to show it. Not in the paper."""
    checkerboard: float = 0.0
    """Patterns of the grid in the result (`srkit.losses.checkerboard`). Not in the paper."""


@dataclass(frozen=True)
class CriaPart:
    """What is compared within each head; names are of `srkit.losses.criteria.CRITERIA`."""

    anchor: str = "pixel"
    """What the others are compared with, in both heads. `adversarial` diverges in the paper (Table VI)."""
    align: tuple[str, ...] = ("ssim", "bottom")
    """Criteria that agree with the pixels."""
    unif: tuple[str, ...] = ("top", "adversarial")
    """Criteria that do not."""
    eta: float = 2.0
    """Exponent of the alignment."""
    t: float = 2.0
    """Temperature of the uniformity."""
    raw: bool = False
    """Criteria as they are, as the paper has them; else each divided by its running mean."""
    stop_anchor: bool = False
    """No gradient to the alignment's anchor, which then is not pulled up where it is the smaller one."""
    bottom: str = ""
    """Provider of the criterion `bottom`, whose lowest map is taken; empty: `providers.perceptual`."""


@dataclass(frozen=True)
class DiscriminatorPart:
    arch: str = "patchgan"
    """A name of `srkit.archs.table.DISCRIMINATORS`."""
    arguments: dict[str, Any] = field(default_factory=dict)
    """Its constructor arguments."""
    factor: float = 1.0
    """Its learning rate, times the network's."""
    betas: tuple[float, ...] = (0.9, 0.999)
    patience: int = 1000
    """Steps for which its logits may say that it teaches nothing before the run goes back to its last good state."""


@dataclass(frozen=True)
class GanRecipe:
    name: str
    model: ModelPart
    """A network of `srkit.archs.table.ARCHS`, and trained weights to start from: trained by its pixels alone."""
    kind: Literal["gan"] = "gan"
    data: DataPart = field(default_factory=DataPart)
    optim: OptimPart = field(default_factory=OptimPart)
    """A constant rate: `lr_final` equal to `lr`."""
    run: RunPart = field(default_factory=RunPart)
    loss: GanWeights = field(default_factory=GanWeights)
    cria: CriaPart = field(default_factory=CriaPart)
    discriminator: DiscriminatorPart = field(default_factory=DiscriminatorPart)
    providers: ProvidersPart = field(default_factory=ProvidersPart)
    seed: int = 0

    @property
    def sha256(self) -> str:
        """Hash of the resolved recipe, recorded in the weights' header."""
        return hashlib.sha256(to_toml(self).encode()).hexdigest()
