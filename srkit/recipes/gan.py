"""Recipe of training against a discriminator, and of Cria-CL's two heads."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from srkit.recipes.bounds import bounded
from srkit.recipes.load import Recipe
from srkit.recipes.train import DataPart, ModelPart, OptimPart, ProvidersPart, RunPart, TeacherPart


@dataclass(frozen=True)
class GanWeights:
    """Weights of the terms (Shi et al. 2022, Eq. 11); the defaults are the paper's, which are for VGG19 features."""

    pixel: float = bounded(0.01, min=0)
    """L1 of the result."""
    perceptual: float = bounded(1.0, min=0)
    """L1 of the result in the features of `providers.perceptual`."""
    adversarial: float = bounded(0.005, min=0)
    """Relativistic average GAN of the result."""
    align: float = bounded(0.01, min=0)
    """Alignment of the criteria of the first head (Eq. 8), for networks with two heads."""
    unif: float = bounded(0.01, min=0)
    """Uniformity of the criteria of the second head (Eq. 9)."""
    balance: float = bounded(0.0, min=0)
    """(Mean of the mask - 1/2)^2, for networks with a mask: keeps both heads in use, since a head's terms are smallest
    if the mask excludes it. Not in the paper."""
    checkerboard: float = bounded(0.0, min=0)
    """Checkerboard patterns in the result (`srkit.losses.images`). Not in the paper."""
    align_pixel: float = bounded(0.0, min=0)
    """L1 of the alignment head's image, not weighted by the mask. This and the next three terms separate the heads
    ("each sub-branch uses different losses"); for a network with one head they apply to the result."""
    align_ssim: float = bounded(0.0, min=0)
    """1 - SSIM of the alignment head's image."""
    unif_perceptual: float = bounded(0.0, min=0)
    """L1 of the uniformity head's image in the features of `providers.perceptual`."""
    unif_adversarial: float = bounded(0.0, min=0)
    """Relativistic average GAN of the uniformity head's image. The discriminator is trained on the result."""
    chroma: float = bounded(0.0, min=0)
    """L1 of the chroma of the result and of its gradients (`srkit.losses.images.chroma`). Not in the paper."""


@dataclass(frozen=True)
class CriaPart:
    """Criteria that are compared within each head; names of `srkit.losses.criteria.CRITERIA`."""

    anchor: str = "pixel"
    """Anchor that the other criteria are compared with, in both heads. `adversarial` diverges in the paper (Table
    VI)."""
    align: tuple[str, ...] = ("ssim", "bottom")
    """Criteria that agree with the pixels."""
    unif: tuple[str, ...] = ("top", "adversarial")
    """Criteria that conflict with the pixels."""
    eta: float = bounded(2.0, min=1)
    """Exponent of the alignment."""
    t: float = bounded(2.0, above=0)
    """Temperature of the uniformity."""
    raw: bool = False
    """Use criteria unnormalised, as in the paper; else each is divided by its running mean."""
    stop_anchor: bool = False
    """Stop the alignment's gradient to the anchor, which is then not increased where it is the smaller criterion."""
    bottom: str = ""
    """Provider whose lowest feature map the criterion `bottom` uses; empty: `providers.perceptual`."""


@dataclass(frozen=True)
class DiscriminatorPart:
    arch: str = "patchgan"
    """Name of a discriminator of `srkit.archs.table.DISCRIMINATORS`."""
    arguments: dict[str, Any] = field(default_factory=dict)
    """Constructor arguments of the discriminator."""
    factor: float = bounded(1.0, above=0)
    """The discriminator's learning rate, as a factor on the network's."""
    betas: tuple[float, ...] = bounded((0.9, 0.999), min=0, below=1, length=2)
    patience: int = bounded(1000, min=1)
    """Steps of degenerate logits after which the run returns to its last good state."""


@dataclass(frozen=True)
class GanRecipe(Recipe):
    name: str
    model: ModelPart
    """A network of `srkit.archs.table.ARCHS`, and the weights to start from, which were trained by pixel loss alone."""
    kind: Literal["gan"] = "gan"
    data: DataPart = field(default_factory=DataPart)
    optim: OptimPart = field(default_factory=OptimPart)
    """Optimiser, with a constant learning rate: `lr_final` equals `lr`."""
    run: RunPart = field(default_factory=RunPart)
    loss: GanWeights = field(default_factory=GanWeights)
    cria: CriaPart = field(default_factory=CriaPart)
    discriminator: DiscriminatorPart = field(default_factory=DiscriminatorPart)
    teacher: TeacherPart = field(default_factory=TeacherPart)
    providers: ProvidersPart = field(default_factory=ProvidersPart)
    seed: int = bounded(0, min=0)
