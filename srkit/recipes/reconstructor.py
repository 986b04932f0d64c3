"""What `srkit train` needs to know to train the reconstructor of self-supervised adaptation."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from srkit.recipes.bounds import bounded
from srkit.recipes.load import Recipe
from srkit.recipes.train import DataPart, ModelPart, OptimPart, RunPart


@dataclass(frozen=True)
class FarPart:
    """The regulariser that aligns E_img's features with those of a frozen encoder."""

    encoder: str = "compact"
    """As `srkit.encoders.stages.encoder_stage` takes it."""
    stage: str = "stage2"
    """Of that encoder, from `stage1`, the finest, to `stage4`."""
    weight: float = bounded(1.0, min=0)
    """lambda_pt: of the regulariser in the loss."""
    contrast: float = bounded(1.0, min=0)
    """Weight, times lambda_pt, of the wrong prediction for images with a flaw (`srkit.losses.reconstruction`). 0 is the
    paper's, which learns from images without flaws alone."""


@dataclass(frozen=True)
class ControllerPart:
    """What the embedding of the degradation is multiplied by."""

    use: bool = True
    """Else by 1, as in LWay: for comparison."""
    noise_std: float = bounded(0.05, min=0)
    """Deviation of the factor's noise; 1 in the paper."""
    quantile: float = bounded(0.8, above=0, below=1)
    """Of l, given LR, which the estimated l* is. Above the middle, since errors weigh unlike: where l* is too low, a
    image that is blurred or noisy can be made into LR best, and a network is led towards its own input."""


@dataclass(frozen=True)
class ReconstructorRecipe(Recipe):
    name: str
    model: ModelPart
    """The network `reconstructor`; what it must know of the encoder is added to its arguments."""
    kind: Literal["reconstructor"] = "reconstructor"
    distance: str = "auto"
    """Perceptual distance of the loss and of the controller (`srkit.encoders.distance`): auto, lpips or compact. The
    resolved recipe has what auto was."""
    perceptual: float = bounded(0.1, min=0)
    """Weight of the distance in the loss, beside L1."""
    flawed: float = bounded(1.0, min=0, max=1)
    """Share of a step's images that are shown once more with a flaw (`srkit.degradation.flaws`)."""
    enlarged: float = bounded(0.5, min=0, max=1)
    """Share of these whose flaw is LR, enlarged."""
    margin: float = bounded(2.0, min=0)
    """Weight of making LR less well from these (`srkit.losses.reconstruction.flaw_margin`). 0 is the paper's."""
    expected: float = bounded(1.0, min=0)
    """Weight of estimating how far the true image looks from enlarged LR
    (`srkit.archs.reconstructor.DegradationEstimate`)."""
    far: FarPart = field(default_factory=FarPart)
    controller: ControllerPart = field(default_factory=ControllerPart)
    data: DataPart = field(default_factory=lambda: DataPart(batch=8, degradation="mild"))
    """With a degradation: it is what the reconstructor is to estimate and to apply."""
    judged: int = bounded(8, min=1)
    """Batches of the held-out images that validate."""
    optim: OptimPart = field(default_factory=OptimPart)
    run: RunPart = field(default_factory=RunPart)
    seed: int = bounded(0, min=0)
