"""Base network, supervision and output file of an adaptation."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Generic, TypeVar

import torch
from torch import nn

from srkit.data.examples import Example, Split
from srkit.data.unlabelled import UnpairedImage
from srkit.errors import SrkitError, UsageError
from srkit.inference.chain import ADAPTED_FAMILIES, Models
from srkit.io.names import folder_name, shown
from srkit.progress import Progress
from srkit.tasks.adapt.fit import Fitted
from srkit.tasks.adapt.loop import Findings
from srkit.tasks.adapt.score import Scores
from srkit.tasks.places import name_error
from srkit.training.adapt import Adapted
from srkit.zoo.loaded import LoadedModel
from srkit.zoo.weights import read_tensors, save_weights

SUFFIX = ".safetensors"
F = TypeVar("F", bound=Fitted)


class Supervision(ABC, Generic[F]):
    """Training and validation data of an adaptation; everything is checked at construction."""

    split: Split[Example] | Split[UnpairedImage]

    @property
    @abstractmethod
    def notes(self) -> list[str]:
        """Messages for the user before the work."""

    def prepare(self) -> None:
        """Run steps that must succeed before the network is fitted."""

    @abstractmethod
    def fit(self) -> F:
        """Fit a copy of the base."""

    def about(self, fitted: F) -> dict[str, Any]:
        """Additional entries of the header's record of the adaptation."""
        return {}

    def findings(self, fitted: F) -> Findings | None:
        """Findings beside the weights; None if there are none."""
        return None

    @abstractmethod
    def scores(self, fitted: F, written: LoadedModel) -> Scores:
        """Scores of the base and of the written weights, which are the base's if adaptation did not help."""

    @abstractmethod
    def verdict(self, fitted: F, scores: Scores) -> str:
        """Outcome in one sentence, without claims beyond the measurements."""

    @property
    def validated(self) -> str:
        """Validation data in words: `the 3 images that it did not learn from`."""
        count, what = len(self.split.validation), "strip" if self.split.strips else "image"
        return f"the {what if count == 1 else f'{count} {what}s'} that it did not learn from"

    @abstractmethod
    def remarks(self, fitted: F) -> tuple[str, ...]:
        """Remarks for the report."""


def base_and_output(
    model: str, scale: int | None, domain: Path, output: Path | None, progress: Progress, *, overwrite: bool
) -> tuple[LoadedModel, Path]:
    """Base network and output file, both checked before any work.

    Args:
        model: as in `Models`.
        scale: None: the model's own.
        domain: the folder of images.
        output: None: `FOLDER-MODEL.safetensors` in the working folder, named after the domain's folder and the base.
        progress: receives downloads.
        overwrite: replace an existing file.

    Raises:
        UsageError: the model is for another scale, or the output exists or is the base's own file.
        ResourceError: the model is missing, damaged, or for another task.
        SrkitError: the output's folder is not writable.
    """
    if output is not None:
        _check_output(output, overwrite)
    base = _base_model(model, scale, progress)
    if output is None:
        output = Path(f"{folder_name(domain)}-{base.name}{SUFFIX}")
        _check_output(output, overwrite)
    if output.resolve() == base.path.resolve():
        raise UsageError(
            f"`output` is the base model's own file {shown(base.path)}; choose another `output`."
        )
    return base, output


def _check_output(output: Path, overwrite: bool) -> None:
    if output.suffix.lower() != SUFFIX:
        raise UsageError(f"`output` is '{output}'; expected a file that ends in {SUFFIX}.")
    if error := name_error(output, output.name, "choose a shorter `output`"):
        raise UsageError(error)
    if os.path.isdir(output):  # noqa: PTH112 - Path's own raises for a path that is too long
        raise UsageError(f"{shown(output)} is a folder; expected a file: choose another `output`.")
    if os.path.lexists(output) and not overwrite:
        raise UsageError(
            f"{shown(output)} exists already; use `overwrite` to replace it, or choose another `output`."
        )
    if not output.parent.is_dir():
        raise UsageError(f"The folder of {shown(output)} is not there; make it or choose another `output`.")
    if not os.access(output.parent, os.W_OK | os.X_OK):
        raise SrkitError(f"The folder of {shown(output)} cannot be written to; choose another `output`.")


def _base_model(name: str, scale: int | None, progress: Progress) -> LoadedModel:
    """The network to adapt. Errors as in `base_and_output`."""
    models = Models(name, progress, ADAPTED_FAMILIES)
    scale = scale or models.own_scale
    if scale not in models.scales:
        known = " or ".join(map(str, models.scales))
        raise UsageError(
            f"The model '{name}' is for scale {known}, and `scale` is {scale}; adapting takes one network, so "
            "choose a model of that scale or leave `scale` out."
        )
    return models.get(scale)


def origin(
    base: LoadedModel, domain: Path, adapted: Adapted, recipe: Mapping[str, Any], recipe_sha256: str
) -> dict[str, Any]:
    """Origin of adapted weights for the file's header, for any method.

    Args:
        recipe: plain values.
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
    """The recipe's entries that name files, reduced to file names, since headers must not contain local paths."""
    return {
        name: Path(str(recipe[name])).name for name in ("model", "reconstructor", "clean") if name in recipe
    }


def write_adapted(
    output: Path, base: LoadedModel, network: nn.Module, adapted: Adapted, about: Mapping[str, Any]
) -> None:
    """Write the adapted weights, or the base's if adaptation did not help.

    Args:
        network: holds the weights.
        about: `origin`, with additions of the method.

    Raises:
        SrkitError: the file cannot be written.
    """
    if base.header is None:
        from srkit.zoo.foreign_save import save_foreign  # imports spandrel

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
    """Precision of the base's file, so that unchanged weights remain bit-identical."""
    if base.source != "srkit":
        return torch.float32
    own = base.network.state_dict()
    kinds = {t.dtype for name, t in read_tensors(base.path).items() if name in own and t.is_floating_point()}
    return torch.float16 if kinds == {torch.float16} else torch.float32
