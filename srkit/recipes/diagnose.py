"""What `srkit train` needs to know to train a network that tells damaged images from clean ones."""

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
    """Of a crop, in pixels."""
    batch: int = bounded(48, min=2)
    """Crops in a step, for each process; half of them damaged."""
    crops: int = bounded(6000, min=16)
    """Crops of either kind, made once before the first step."""
    sizes: tuple[float, ...] = bounded((1.0, 0.75, 0.5, 0.25), above=0, max=1)
    """Factors at which every image is used."""
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
    """Rendered domains (`srkit.rendered`) that are clean, beside the photographs."""
    judged: tuple[str, ...] = ("sign", "manga", "screen", "drawing", "night")
    """Those whose held-out images fix the threshold, with the photographs; woven patterns are too like print."""
    rendered: int = bounded(10, min=1)
    """Images of each domain, seeds from 0; as many more, in a ratio of `holdout_every`, validate."""
    rendered_side: int = bounded(512, min=64)
    """Pixels of a side of a rendered image."""
    degradation: str = "wide"
    """What damages: settings by name (`srkit.recipes.degradation.SETTINGS`), without their clean part."""
    mildest: float = bounded(36.0, min=20)
    """PSNR in dB against its clean one above which a crop is left out as neither clean nor damaged."""
    strong: float = bounded(27.0, above=0)
    """The same, below which a crop is strongly damaged."""
    false_alarms: float = bounded(0.0025, min=0, below=1)
    """Share of held-out clean images that the threshold lets be called damaged."""
    holdout_every: int = bounded(8, min=2)
    """Every n-th photograph, by sorted name, is held out of training: it validates, and fixes the threshold."""


@dataclass(frozen=True)
class DiagnoseRecipe(Recipe):
    name: str
    model: ModelPart
    kind: Literal["diagnose"] = "diagnose"
    data: DiagnoseDataPart = field(default_factory=DiagnoseDataPart)
    optim: OptimPart = field(default_factory=OptimPart)
    run: EncoderRunPart = field(default_factory=EncoderRunPart)
    seed: int = bounded(0, min=0)
