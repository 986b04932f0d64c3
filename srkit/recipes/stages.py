"""Recipe of training in stages, each of which starts from the weights of the previous one."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from srkit.recipes.bounds import bounded
from srkit.recipes.load import Recipe


@dataclass(frozen=True)
class StagePart:
    recipe: str
    """Name of a shipped recipe, or a TOML file."""
    share: float = bounded(1.0, above=0)
    """Share of `--minutes` and of `steps`, relative to the other stages."""
    set: dict[str, Any] = field(default_factory=dict)
    """Settings laid over the stage's recipe, as nested tables: `set.optim.lr = 1e-4`."""


@dataclass(frozen=True)
class StagesRecipe(Recipe):
    name: str
    stages: dict[str, StagePart]
    """Stages in order; a stage's name is also its folder's."""
    kind: Literal["stages"] = "stages"
    scale: int = 4
    """Scale of every stage with a configurable scale."""
    common: dict[str, Any] = field(default_factory=dict)
    """Settings laid over the recipe of every stage with a configurable scale, before the stage's own settings:
    `common.model.arguments.upsampler = "edsr"`."""
    steps: int | None = bounded(None, min=1)
    """Total number of steps of all `sr` and `gan` stages, divided by share; None: as in each recipe."""
    seed: int = bounded(0, min=0)
    precision: Literal["auto", "bf16", "fp32"] = "auto"
