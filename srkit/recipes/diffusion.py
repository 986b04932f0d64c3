"""What `srkit train` needs to know to train a diffusion model of what NBSR missed."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from srkit.recipes.bounds import bounded
from srkit.recipes.gan import DiscriminatorPart
from srkit.recipes.kernels import KernelsDataPart
from srkit.recipes.load import Recipe
from srkit.recipes.train import ModelPart, OptimPart, RunPart

Learned = Literal["prior", "fusion", "all"]


@dataclass(frozen=True)
class DiffusionDataPart(KernelsDataPart):
    cache: int = bounded(0, min=0)
    """Batches that are drawn, with codes and base, and kept in memory (1.1 MB each at x4 with 8 crops of 32); steps
    take them in a shuffled order, again and again. 0: every step draws its own."""


@dataclass(frozen=True)
class DiffusionWeights:
    """Weights of the terms."""

    residual: float = bounded(1.0, min=0)
    """Mean square of the error of the estimated residual, in units of `srkit.archs.diffusion.SIGMA`."""
    features: float = bounded(1e-4, min=0)
    """Mean absolute value of the conditions' maps (Lin et al. 2024, Eq. 5). Large weights take the conditions away."""
    pixel: float = bounded(0.0, min=0)
    """L1 of the image, beside a discriminator."""
    adversarial: float = bounded(0.0, min=0)
    """Relativistic average GAN of the image; 0: no discriminator, and then only the two first terms."""
    checkerboard: float = bounded(0.0, min=0)
    """Patterns of the grid in the image, beside a discriminator."""


@dataclass(frozen=True)
class DiffusionRecipe(Recipe):
    name: str
    learned: Learned
    """prior: the U-Net, which sees no conditions; fusion: what fuses the conditions into it, and nothing of it; all:
    both. NBSR is frozen always."""
    model: ModelPart
    """A network `diffusion`; `start` may be a diffusion model of an earlier stage."""
    kind: Literal["diffusion"] = "diffusion"
    nbsr: str = ""
    """Weights (a model's name or file) of the NBSR that the model holds; empty: that of `model.start`, or, without, an
    untrained one."""
    estimator: str = ""
    """Weights of a network for `kernels`; what it estimates takes the place of the true kernels."""
    levels: tuple[float, float] = bounded((0.0, 1.0), min=0, max=1, length=2)
    """Range of the levels of noise that are drawn, 1 being noise alone."""
    data: DiffusionDataPart = field(default_factory=DiffusionDataPart)
    optim: OptimPart = field(default_factory=OptimPart)
    run: RunPart = field(default_factory=RunPart)
    loss: DiffusionWeights = field(default_factory=DiffusionWeights)
    discriminator: DiscriminatorPart = field(default_factory=DiscriminatorPart)
    seed: int = bounded(0, min=0)
