"""Recipe of training a network that classifies images as damaged or clean."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from srkit.recipes.bounds import bounded
from srkit.recipes.encoder import EncoderRunPart
from srkit.recipes.load import Recipe
from srkit.recipes.train import ModelPart, OptimPart


@dataclass(frozen=True)
class DiagnoseDataPart:
    side: int = bounded(64, min=32)
    """Side of a crop in pixels."""
    batch: int = bounded(48, min=2)
    """Crops per step and process; half of them damaged."""
    crops: int = bounded(6000, min=16)
    """Number of clean and of damaged crops, which are made once before the first step."""
    sizes: tuple[float, ...] = bounded((1.0, 0.75, 0.5, 0.25), above=0, max=1)
    """Factors by which every image is resized."""
    domains: tuple[str, ...] = (
        "street",
        "sign",
        "portrait",
        "manga",
        "screen",
        "drawing",
        "textile",
        "texture",
        "night",
    )
    """Rendered domains (`srkit.rendered`) that are clean images beside the photographs."""
    judged: tuple[str, ...] = ("sign", "manga", "screen", "drawing", "night")
    """Domains whose held-out images, with those of the photographs, determine the threshold; woven patterns are
    excluded as they resemble print."""
    rendered: int = bounded(10, min=1)
    """Images per domain, seeds from 0; further ones, in a ratio of `holdout_every`, are for validation."""
    rendered_side: int = bounded(512, min=64)
    """Side of a rendered image in pixels."""
    degradation: str = "wide"
    """Name of the degradation's settings (`srkit.recipes.degradation.SETTINGS`), used without their clean share."""
    mildest: float = bounded(36.0, min=20)
    """Maximal PSNR in dB between a damaged crop and its clean one; crops above are neither clean nor damaged and
    unused."""
    strong: float = bounded(27.0, above=0)
    """PSNR in dB below which a crop is strongly damaged."""
    false_alarms: float = bounded(0.0025, min=0, below=1)
    """Share of held-out clean images that the threshold may classify as damaged."""
    holdout_every: int = bounded(8, min=2)
    """Every n-th photograph, by sorted name, is held out of training, for validation and the threshold."""


@dataclass(frozen=True)
class DiagnoseRecipe(Recipe):
    name: str
    model: ModelPart
    kind: Literal["diagnose"] = "diagnose"
    data: DiagnoseDataPart = field(default_factory=DiagnoseDataPart)
    optim: OptimPart = field(default_factory=OptimPart)
    run: EncoderRunPart = field(default_factory=EncoderRunPart)
    seed: int = bounded(0, min=0)
