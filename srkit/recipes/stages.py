"""What `srkit train` needs to know to train in stages, each of which starts from the one before."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from srkit.recipes.bounds import bounded
from srkit.recipes.load import Recipe


@dataclass(frozen=True)
class StagePart:
    recipe: str
    """A shipped recipe's name or a TOML file."""
    share: float = bounded(1.0, above=0)
    """Of `--minutes`, and of `steps`, relative to the other stages'."""
    set: dict[str, Any] = field(default_factory=dict)
    """Settings laid over the recipe, in its own tables: `set.optim.lr = 1e-4`."""


@dataclass(frozen=True)
class StagesRecipe(Recipe):
    name: str
    stages: dict[str, StagePart]
    """In their order; a stage's name is that of its folder."""
    kind: Literal["stages"] = "stages"
    scale: int = 4
    """Of every stage that has a scale to be set."""
    common: dict[str, Any] = field(default_factory=dict)
    """Settings laid over the recipe of every stage that has a scale to be set, before the stage's own:
    `common.model.arguments.upsampler = "edsr"`."""
    steps: int | None = bounded(None, min=1)
    """Steps of all stages of the kinds `sr` and `gan` together, shared out; None: as many as each recipe says."""
    seed: int = bounded(0, min=0)
    precision: Literal["auto", "bf16", "fp32"] = "auto"
