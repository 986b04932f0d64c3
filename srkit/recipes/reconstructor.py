"""Recipe of training the reconstructor of self-supervised adaptation."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from srkit.recipes.bounds import bounded
from srkit.recipes.load import Recipe
from srkit.recipes.train import DataPart, ModelPart, OptimPart, RunPart


@dataclass(frozen=True)
class FarPart:
    """Regulariser that aligns E_img's features with those of a frozen encoder."""

    encoder: str = "compact"
    """Name of the encoder, as in `srkit.encoders.stages.encoder_stage`."""
    stage: str = "stage2"
    """Stage of the encoder, from `stage1`, the finest, to `stage4`."""
    weight: float = bounded(1.0, min=0)
    """lambda_pt: weight of the regulariser in the loss."""
    contrast: float = bounded(1.0, min=0)
    """Weight, times lambda_pt, of the term that makes the prediction wrong for flawed images
    (`srkit.losses.reconstruction`). The paper has 0 and trains on images without flaws only."""


@dataclass(frozen=True)
class ControllerPart:
    """Factor on the embedding of the degradation."""

    use: bool = True
    """Use the controller; else the factor is 1, as in LWay, for comparison."""
    noise_std: float = bounded(0.05, min=0)
    """Standard deviation of the factor's noise; 1 in the paper."""
    quantile: float = bounded(0.8, above=0, below=1)
    """Quantile of the conditional distribution of l, given LR, that l* estimates. It is above the median, since errors
    are asymmetric: with l* too low, blurred or noisy images reconstruct LR best, and a network is drawn to its own
    input."""


@dataclass(frozen=True)
class ReconstructorRecipe(Recipe):
    name: str
    model: ModelPart
    """The network `reconstructor`; arguments that depend on the encoder are added."""
    kind: Literal["reconstructor"] = "reconstructor"
    distance: str = "auto"
    """Perceptual distance of the loss and of the controller (`srkit.encoders.distance`): auto, lpips or compact. The
    resolved recipe replaces auto by the chosen one."""
    perceptual: float = bounded(0.1, min=0)
    """Weight of the distance in the loss, beside L1."""
    flawed: float = bounded(1.0, min=0, max=1)
    """Share of a step's images that are repeated with a flaw (`srkit.degradation.flaws`)."""
    enlarged: float = bounded(0.5, min=0, max=1)
    """Share of the flawed images that are enlarged LR."""
    margin: float = bounded(2.0, min=0)
    """Weight of the margin by which flawed images must reconstruct LR worse
    (`srkit.losses.reconstruction.flaw_margin`). 0 in the paper."""
    expected: float = bounded(1.0, min=0)
    """Weight of the estimate of the perceptual distance between the true image and enlarged LR
    (`srkit.archs.reconstructor.DegradationEstimate`)."""
    far: FarPart = field(default_factory=FarPart)
    controller: ControllerPart = field(default_factory=ControllerPart)
    data: DataPart = field(default_factory=lambda: DataPart(batch=8, degradation="mild"))
    """Data, with the degradation that the reconstructor is to estimate and apply."""
    judged: int = bounded(8, min=1)
    """Number of validation batches, of held-out images."""
    optim: OptimPart = field(default_factory=OptimPart)
    run: RunPart = field(default_factory=RunPart)
    seed: int = bounded(0, min=0)
