"""What `srkit train` needs to know to train a feature network without labels."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from srkit.recipes.bounds import bounded
from srkit.recipes.load import Recipe
from srkit.recipes.train import ModelPart, OptimPart

Objective = Literal["contrast", "exemplar"]


@dataclass(frozen=True)
class EncoderDataPart:
    domains: tuple[str, ...] = (
        "street",
        "manga",
        "screen",
        "drawing",
        "halftone",
        "textile",
        "texture",
        "night",
    )
    """Rendered domains (`srkit.rendered`) that are learned from beside the photographs."""
    rendered: int = bounded(24, min=1)
    """Images of each domain, seeds from 0."""
    rendered_side: int = 512
    """Pixels of a side of a rendered image."""
    pictures: int = bounded(32, min=2)
    """Different images in a step, for each process: one of each domain, the others photographs.

    Images of one domain never meet, so nothing drives them apart."""
    degraded: int = bounded(16, min=0)
    """How many of these appear a second time, degraded: another instance, not another view."""
    sides: tuple[int, ...] = bounded((96, 128, 160), min=32)
    """Sides of the squares that the network sees; one is drawn for each step."""
    holdout_every: int = bounded(20, min=2)
    """Every n-th photograph, by sorted name, is held out of training to validate on."""


@dataclass(frozen=True)
class EncoderRunPart:
    validate_every: int = bounded(100, min=1)
    """Steps between validations."""
    checkpoint_minutes: float = bounded(3.0, min=0)
    precision: Literal["auto", "bf16", "fp32"] = "auto"


@dataclass(frozen=True)
class EncoderRecipe(Recipe):
    name: str
    model: ModelPart
    kind: Literal["encoder"] = "encoder"
    objective: Objective = "contrast"
    """contrast: two views of an instance find each other among all others (InfoNCE); exemplar: classify which
    image a view is of, and what it was degraded with and how strongly."""
    temperature: float = 0.1
    """Of the softmax over similarities (contrast only)."""
    quality: float = 1.0
    """Weight of estimating how strongly a view was degraded, and with what."""
    data: EncoderDataPart = field(default_factory=EncoderDataPart)
    optim: OptimPart = field(default_factory=OptimPart)
    run: EncoderRunPart = field(default_factory=EncoderRunPart)
    seed: int = bounded(0, min=0)
