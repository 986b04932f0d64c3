"""Recipe of training kernel estimators, kernel-conditioned networks and depth estimators."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from srkit.recipes.bounds import bounded
from srkit.recipes.load import Recipe
from srkit.recipes.train import ModelPart, OptimPart, RunPart

Target = Literal["kernels", "picture", "depth"]


@dataclass(frozen=True)
class BlurPart:
    """Blur, noise and depth of training crops; see `srkit.data.blurred.BlurPlan`."""

    invariant: float = 0.3
    smooth: float = 0.25
    defocus: float = 0.3
    motion: float = 0.05
    bicubic: float = 0.1
    """Shares of the five kinds of blur; they add up to 1."""
    modes: float = 0.5
    patchwork: float = 0.0
    noise: tuple[float, float] = bounded((0.0, 15.0), min=0, length=2)
    """Range of the standard deviation of the noise, in levels of 8 bit."""
    noiseless: float = 0.5
    compressed: float = 0.0
    """Share of crops that are compressed with JPEG, after the noise."""
    jpeg: tuple[int, int] = bounded((70, 100), min=1, max=100, length=2)
    """Range of the JPEG quality."""
    scenes: int = 96
    scene_side: int = 384
    elsewhere: float = 0.15
    withheld: float = 0.2
    wrong: float = 0.1
    jittered: float = 0.5
    unrelated: float = 0.5
    augment: bool = True


@dataclass(frozen=True)
class KernelsDataPart:
    patch: int = bounded(32, min=4)
    """Side of a training crop in LR pixels; for `depth`: side of the network's square input."""
    batch: int = bounded(8, min=1)
    """Crops per step and process."""
    every: int = bounded(1, min=1)
    """For `kernels`: the loss compares every n-th pixel in both directions, with an offset drawn at each step."""
    holdout_every: int = bounded(20, min=1)
    """Every n-th photograph, by sorted name, is held out of training to validate on."""
    judged: int = bounded(8, min=1)
    """Number of validation batches, of held-out photographs."""
    blur: BlurPart = field(default_factory=BlurPart)
    """Blur of the crops; for `kernels` and `picture`."""


@dataclass(frozen=True)
class KernelsRecipe(Recipe):
    name: str
    target: Target
    """Target of training: `kernels` from an image and its depth; `picture`, the image from the blurred one and its
    kernels; or `depth` from an image."""
    model: ModelPart
    kind: Literal["kernels"] = "kernels"
    estimator: str = ""
    """For `picture`: weights (a model's name or file) of a network for `kernels`, whose estimates replace the true
    kernels; empty: the true kernels."""
    data: KernelsDataPart = field(default_factory=KernelsDataPart)
    optim: OptimPart = field(default_factory=OptimPart)
    run: RunPart = field(default_factory=RunPart)
    loss: dict[str, float] = field(default_factory=dict)
    """Weights of the loss terms, by name (`srkit.losses.table`)."""
    seed: int = bounded(0, min=0)
