"""Recipe of training kernel estimators, kernel-conditioned networks and depth estimators."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from srkit.recipes.bounds import bounded
from srkit.recipes.load import Recipe
from srkit.recipes.train import ModelPart, OptimPart, RunPart

Target = Literal["kernels", "picture", "depth"]


def _share(default: float) -> Any:
    return bounded(default, min=0, max=1)


@dataclass(frozen=True, kw_only=True)
class BlurPart:
    """Blur, noise and depth of training crops. Shares lie in [0, 1]; those of the five kinds of blur add up to 1."""

    invariant: float = _share(0.3)
    """Share of crops with one Gaussian of MANet's range for all pixels."""
    smooth: float = _share(0.25)
    """Share with Gaussians that vary over the crop: MANet's modes 1 to 6, rotated, patchwork, or smooth gradients."""
    defocus: float = _share(0.3)
    """Share with lens blur from the depth of a layered scene."""
    motion: float = _share(0.05)
    """Share with one motion blur for all pixels."""
    bicubic: float = _share(0.1)
    """Share with the bicubic kernel."""
    modes: float = _share(0.5)
    """Fraction of `smooth` with MANet's modes; mode 6 is three times as frequent as each of the others."""
    patchwork: float = _share(0.0)
    """Fraction of `smooth` whose Gaussians change with every block of 6 to 24 LR pixels: see
    `srkit.degradation.random_maps.patchwork`."""
    noise: tuple[float, float] = bounded((0.0, 15.0), min=0, length=2, ascending=True)
    """Range of the standard deviation of Gaussian noise, in levels of 8 bit."""
    noiseless: float = _share(0.5)
    """Share of crops without noise."""
    compressed: float = _share(0.0)
    """Share of crops that are compressed with JPEG, after the noise."""
    jpeg: tuple[int, int] = bounded((70, 100), min=1, max=100, length=2, ascending=True)
    """Range of the JPEG quality."""
    scenes: int = bounded(96, min=0)
    """Number of layered scenes, which are made once and kept in memory."""
    scene_side: int = bounded(384, min=32)
    """Side of the scenes in HR pixels, enlarged if a crop needs it."""
    elsewhere: float = _share(0.15)
    """Fraction of the crops without defocus that is cut from scenes, so that depth does not imply blur."""
    withheld: float = _share(0.2)
    """Fraction of the crops of scenes whose depth is withheld (zeros)."""
    wrong: float = _share(0.1)
    """Fraction of the crops of scenes with another scene's depth."""
    jittered: float = _share(0.5)
    """Fraction of the true depth maps that is distorted, tilted and smoothed, like an estimated depth."""
    unrelated: float = _share(0.5)
    """Fraction of the photographs with an unrelated depth; the others have none (zeros)."""
    augment: bool = True
    """Augment crops with flips and quarter turns."""


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
