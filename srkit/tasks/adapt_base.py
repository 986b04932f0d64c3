"""The network that is adapted, and the file that it is written to: what all ways of adapting share."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from srkit.errors import UsageError
from srkit.io.names import shown
from srkit.progress import Progress
from srkit.tasks.chain import Models
from srkit.training.adapt import Adapted
from srkit.zoo.loaded import LoadedModel
from srkit.zoo.weights import read_tensors, save_weights

SUFFIX = ".safetensors"


def check_output(output: Path) -> None:
    """Raises UsageError for a file that cannot be written there, or must not be."""
    if output.suffix.lower() != SUFFIX:
        raise UsageError(f"-o is '{output}'; expected a file that ends in {SUFFIX}.")
    if os.path.lexists(output):
        raise UsageError(f"{shown(output)} exists already; remove it or choose another -o.")
    if not output.parent.is_dir():
        raise UsageError(f"The folder of {shown(output)} is not there; make it or choose another -o.")


def base_model(name: str, scale: int | None, output: Path, progress: Progress) -> LoadedModel:
    """The one network to be adapted.

    Args:
        name: as `Models` takes it.
        scale: None: the model's own.
        output: what is written must not be the base's own file.
        progress: told of what is fetched.

    Raises:
        UsageError: it is for another scale, or its file is the output.
        ResourceError: it is not to be had, or is for another task.
    """
    models = Models(name, progress)
    scale = scale or models.own_scale
    if scale not in models.scales:
        known = " or ".join(map(str, models.scales))
        raise UsageError(
            f"The model '{name}' is for scale {known}, and --scale is {scale}; adapting takes one network, so "
            "choose a model of that scale or leave --scale out."
        )
    base = models.get(scale)
    if output.resolve() == base.path.resolve():
        raise UsageError(f"-o is the base model's own file {shown(base.path)}; choose another -o.")
    return base


def origin(
    base: LoadedModel, domain: Path, adapted: Adapted, recipe: Mapping[str, Any], recipe_sha256: str
) -> dict[str, Any]:
    """What a file says of where its weights come from, whatever the way.

    Args:
        recipe: as plain values.
    """
    return {
        "model": base.name,
        "sha256": base.sha256,
        "domain": domain.resolve().name,
        "kept": adapted.kept,
        "steps": adapted.steps,
        "best_step": adapted.best_step,
        "best_blend": adapted.best_blend,
        "recipe": {**recipe, **_without_paths(recipe)},
        "recipe_sha256": recipe_sha256,
    }


def _without_paths(recipe: Mapping[str, Any]) -> dict[str, Any]:
    """What a file that is handed on should hold: no path of this machine."""
    return {name: Path(str(recipe[name])).name for name in ("model", "reconstructor") if name in recipe}


def write_adapted(
    output: Path, base: LoadedModel, network: nn.Module, adapted: Adapted, about: Mapping[str, Any]
) -> None:
    """Write the weights that came of adapting; the base's where it did not help.

    Args:
        network: with these weights.
        about: `origin`, and what the way adds to it.

    Raises:
        SrkitError: they cannot be written.
    """
    if base.header is None:
        from srkit.zoo.foreign_save import save_foreign  # brings spandrel

        save_foreign(output, base, network.state_dict(), about)
        return
    header = replace(
        base.header,
        adapted=dict(about),
        steps=(base.header.steps or 0) + adapted.best_step if adapted.kept else base.header.steps,
        scores={} if adapted.kept else base.header.scores,
    )
    save_weights(output, network, header, _stored_dtype(base), rates=base.rates)


def _stored_dtype(base: LoadedModel) -> torch.dtype:
    """The precision that the base's file keeps, so that weights that were not changed stay the same bits."""
    if base.source != "srkit":
        return torch.float32
    own = base.network.state_dict()
    kinds = {t.dtype for name, t in read_tensors(base.path).items() if name in own and t.is_floating_point()}
    return torch.float16 if kinds == {torch.float16} else torch.float32
