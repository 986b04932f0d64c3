"""What `srkit train` needs to know to train against a discriminator, and for Cria-CL's two heads."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from srkit.recipes.bounds import bounded
from srkit.recipes.load import Recipe
from srkit.recipes.train import DataPart, ModelPart, OptimPart, ProvidersPart, RunPart, TeacherPart


@dataclass(frozen=True)
class GanWeights:
    """Weights of the terms (Shi et al. 2022, Eq. 11); the defaults are the paper's, which are for VGG19's features."""

    pixel: float = bounded(0.01, min=0)
    """L1 of the result."""
    perceptual: float = bounded(1.0, min=0)
    """L1 of the result in the features of `providers.perceptual`."""
    adversarial: float = bounded(0.005, min=0)
    """Relativistic average GAN of the result."""
    align: float = bounded(0.01, min=0)
    """Alignment of the criteria of the first head (Eq. 8), where the network has two."""
    unif: float = bounded(0.01, min=0)
    """Uniformity of the criteria of the second (Eq. 9)."""
    balance: float = bounded(0.0, min=0)
    """(Mean of the mask - 1/2)^2, where there is one: keeps both heads in use, for the cheapest way to make the terms
    of a head small is not to show it. Not in the paper."""
    checkerboard: float = bounded(0.0, min=0)
    """Patterns of the grid in the result (`srkit.losses.images`). Not in the paper."""
    align_pixel: float = bounded(0.0, min=0)
    """L1 of the image of the head of alignment, not weighted by the mask. This and the next three separate the heads
    ("each sub-branch uses different losses"); of a network with one head they are of the result."""
    align_ssim: float = bounded(0.0, min=0)
    """1 - SSIM of the same image."""
    unif_perceptual: float = bounded(0.0, min=0)
    """L1 of the image of the head of uniformity in the features of `providers.perceptual`."""
    unif_adversarial: float = bounded(0.0, min=0)
    """Relativistic average GAN of the same image. The discriminator learns from the result, as ever."""
    chroma: float = bounded(0.0, min=0)
    """Colours of the result and their steps (`srkit.losses.images.chroma`). Not in the paper."""


@dataclass(frozen=True)
class CriaPart:
    """What is compared within each head; names are of `srkit.losses.criteria.CRITERIA`."""

    anchor: str = "pixel"
    """What the others are compared with, in both heads. `adversarial` diverges in the paper (Table VI)."""
    align: tuple[str, ...] = ("ssim", "bottom")
    """Criteria that agree with the pixels."""
    unif: tuple[str, ...] = ("top", "adversarial")
    """Criteria that do not."""
    eta: float = bounded(2.0, min=1)
    """Exponent of the alignment."""
    t: float = bounded(2.0, above=0)
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
    factor: float = bounded(1.0, above=0)
    """Its learning rate, times the network's."""
    betas: tuple[float, ...] = bounded((0.9, 0.999), min=0, below=1, length=2)
    patience: int = bounded(1000, min=1)
    """Steps for which its logits may show that it trains nothing before the run goes back to its last good state."""


@dataclass(frozen=True)
class GanRecipe(Recipe):
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
    teacher: TeacherPart = field(default_factory=TeacherPart)
    providers: ProvidersPart = field(default_factory=ProvidersPart)
    seed: int = bounded(0, min=0)
