"""The kinds of training, by a recipe's key `kind`. A new kind adds a line here and a case in `srkit.tasks.train`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from srkit.errors import UsageError, unknown
from srkit.recipes.clipsr import ClipsrRecipe
from srkit.recipes.diagnose import DiagnoseRecipe
from srkit.recipes.diffusion import DiffusionRecipe
from srkit.recipes.encoder import EncoderRecipe
from srkit.recipes.gan import GanRecipe
from srkit.recipes.kernels import KernelsRecipe
from srkit.recipes.latent import LatentRecipe
from srkit.recipes.load import from_mapping, lay_over, read_table
from srkit.recipes.meta import MetaRecipe
from srkit.recipes.reconstructor import ReconstructorRecipe
from srkit.recipes.stages import StagesRecipe
from srkit.recipes.text import TextRecipe
from srkit.recipes.train import TrainRecipe


class TrainingRecipe(Protocol):
    """Interface of the recipes of all kinds."""

    @property
    def kind(self) -> str: ...

    @property
    def name(self) -> str: ...

    @property
    def sha256(self) -> str:
        """Hash of the resolved recipe, which is recorded in the weights' header."""


_USUAL = {"steps": "optim.steps", "seed": "seed", "dtype": "run.precision"}
_SCALED = {**_USUAL, "scale": "model.arguments.scale", "start": "model.start"}


@dataclass(frozen=True)
class Kind:
    """A kind of training."""

    recipe: type[TrainingRecipe]
    """Dataclass of its recipes; the default of its field `kind` is the kind's name."""
    keys: Mapping[str, str] = field(default_factory=lambda: _USUAL)
    """Key of each setting that the command line, or a recipe of stages, can set for any kind."""


KINDS: Mapping[str, Kind] = {
    "sr": Kind(TrainRecipe, _SCALED),
    "diagnose": Kind(DiagnoseRecipe),
    "encoder": Kind(EncoderRecipe),
    "kernels": Kind(KernelsRecipe, _SCALED),
    "diffusion": Kind(DiffusionRecipe, _SCALED),
    "latent": Kind(LatentRecipe, {**_USUAL, "start": "model.start"}),
    "gan": Kind(GanRecipe, _SCALED),
    "reconstructor": Kind(ReconstructorRecipe, _SCALED),
    "text": Kind(TextRecipe),
    "clipsr": Kind(ClipsrRecipe, _SCALED),
    "meta": Kind(MetaRecipe, {**_USUAL, "steps": "outer.steps", "start": "start"}),
    "stages": Kind(StagesRecipe, {"steps": "steps", "seed": "seed", "dtype": "precision", "scale": "scale"}),
}


def load_training_recipe(
    source: str | Path, settings: Sequence[str] = (), values: Mapping[str, Any] | None = None
) -> TrainingRecipe:
    """Load a recipe of any kind, from a shipped name or a TOML file.

    Args:
        source, settings: as `srkit.recipes.load.read_table` takes them.
        values: as `training_recipe` takes them.

    Raises:
        UsageError: as `read_table` and `training_recipe`.
        ResourceError: no such recipe or file.
    """
    return training_recipe(read_table(source, settings), source, values or {})


def training_recipe(table: dict[str, Any], source: str | Path, values: Mapping[str, Any]) -> TrainingRecipe:
    """Build a recipe of any kind from its plain values.

    Args:
        source: origin of the values, for messages.
        values: settings by their names in `Kind.keys` (`steps`, `seed`, ...), which override the plain values.

    Raises:
        UsageError: an unknown kind or key, a value of a wrong type, or a setting that the kind lacks.
    """
    kind = kind_of(table, source)
    for name, value in values.items():
        if name not in kind.keys:
            raise UsageError(
                f"The recipe '{source}' is of the kind '{table.get('kind', 'sr')}', which has no {name} to be set."
            )
        lay_over(table, kind.keys[name], value)
    return from_mapping(kind.recipe, table)


def kind_of(table: Mapping[str, Any], source: str | Path) -> Kind:
    """Kind named by a recipe's plain values; `sr` by default.

    Raises:
        UsageError: an unknown kind.
    """
    name = table.get("kind", "sr")
    if name not in KINDS:
        raise unknown(f"The recipe '{source}' is of the kind {name!r}", name, KINDS)
    return KINDS[name]
