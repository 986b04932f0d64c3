"""Recipe of training a diffusion model of NBSR's residual."""

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
    """Number of batches that are drawn once, with codes and base, and kept in memory (1.1 MB each at x4 with 8 crops of
    32); steps iterate over them in shuffled order. 0: every step draws a new batch."""


@dataclass(frozen=True)
class DiffusionWeights:
    """Weights of the terms."""

    residual: float = bounded(1.0, min=0)
    """Mean square of the error of the estimated residual, in units of `srkit.archs.diffusion.SIGMA`."""
    features: float = bounded(1e-4, min=0)
    """Mean absolute value of the conditions' maps (Lin et al. 2024, Eq. 5). Large weights suppress the conditions."""
    pixel: float = bounded(0.0, min=0)
    """L1 of the image, used together with a discriminator."""
    adversarial: float = bounded(0.0, min=0)
    """Relativistic average GAN of the image; 0: no discriminator, and only the first two terms."""
    checkerboard: float = bounded(0.0, min=0)
    """Checkerboard patterns in the image, used together with a discriminator."""


@dataclass(frozen=True)
class DiffusionRecipe(Recipe):
    name: str
    learned: Learned
    """Trained part. prior: the U-Net without conditions; fusion: the fusion of the conditions, with the U-Net frozen;
    all: both. NBSR is always frozen."""
    model: ModelPart
    """The network `diffusion`; `start` may be a diffusion model of an earlier stage."""
    kind: Literal["diffusion"] = "diffusion"
    nbsr: str = ""
    """Weights (a model's name or file) of the NBSR inside the model; empty: that of `model.start`, or an untrained
    one."""
    estimator: str = ""
    """Weights of a network for `kernels`, whose estimates replace the true kernels; empty: the true kernels."""
    levels: tuple[float, float] = bounded((0.0, 1.0), min=0, max=1, length=2)
    """Range of the noise levels that are drawn; 1 is pure noise."""
    data: DiffusionDataPart = field(default_factory=DiffusionDataPart)
    optim: OptimPart = field(default_factory=OptimPart)
    run: RunPart = field(default_factory=RunPart)
    loss: DiffusionWeights = field(default_factory=DiffusionWeights)
    discriminator: DiscriminatorPart = field(default_factory=DiscriminatorPart)
    seed: int = bounded(0, min=0)
