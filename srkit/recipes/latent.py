"""Recipe of training the fusion of conditions into a frozen latent diffusion model."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from srkit.recipes.bounds import bounded
from srkit.recipes.kernels import KernelsDataPart
from srkit.recipes.load import Recipe
from srkit.recipes.train import ModelPart, OptimPart, RunPart


@dataclass(frozen=True)
class LatentRecipe(Recipe):
    name: str
    model: ModelPart
    """The network `latent_fusion`."""
    prior: str
    """Frozen model: a folder in the format of diffusers, or a repository of the Hugging Face Hub."""
    kind: Literal["latent"] = "latent"
    estimator: str = ""
    """Weights of a network for `kernels`, whose estimates replace the true kernels; empty: the true kernels."""
    features: float = bounded(1e-4, min=0)
    """Weight of the mean absolute value of the conditions' maps (Lin et al. 2024, Eq. 5)."""
    data: KernelsDataPart = field(default_factory=KernelsDataPart)
    optim: OptimPart = field(default_factory=OptimPart)
    run: RunPart = field(default_factory=RunPart)
    seed: int = bounded(0, min=0)
