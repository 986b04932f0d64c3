"""Recipe of training a feature network without labels."""

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
    """Rendered domains (`srkit.rendered`) to train on, beside the photographs."""
    rendered: int = bounded(24, min=1)
    """Images per domain, seeds from 0."""
    rendered_side: int = 512
    """Side of a rendered image in pixels."""
    pictures: int = bounded(32, min=2)
    """Different images per step and process: one of each domain, the rest photographs.

    Images of the same domain never share a step, so the loss does not separate them."""
    degraded: int = bounded(16, min=0)
    """Number of these that appear a second time, degraded: as another instance, not as another view."""
    sides: tuple[int, ...] = bounded((96, 128, 160), min=32)
    """Sides in pixels of the network's square inputs; one is drawn for each step."""
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
    """contrast: InfoNCE between the two views of each instance; exemplar: classification of the source image of a view,
    and of the kind and strength of its degradation."""
    temperature: float = bounded(0.1, above=0)
    """Temperature of the softmax over similarities (contrast only)."""
    quality: float = bounded(1.0, min=0)
    """Weight of the loss for the kind and strength of a view's degradation."""
    data: EncoderDataPart = field(default_factory=EncoderDataPart)
    optim: OptimPart = field(default_factory=OptimPart)
    run: EncoderRunPart = field(default_factory=EncoderRunPart)
    seed: int = bounded(0, min=0)
