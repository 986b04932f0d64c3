"""Files made from models: exports for other programs, and interpolations of two models."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from srkit.errors import UsageError, nearest
from srkit.io.names import shown
from srkit.progress import Progress
from srkit.zoo.blend import blend, check_share
from srkit.zoo.export import SUFFIXES, export
from srkit.zoo.load import load_model
from srkit.zoo.loaded import LoadedModel
from srkit.zoo.weights import save_weights


def export_model(name: str, target: str, output: Path, *, overwrite: bool) -> LoadedModel:
    """Write a model for other programs and return the model; see `srkit.zoo.export.export`.

    Args:
        name: name of a model, or path of a checkpoint.
        target: `spandrel` or `onnx`.

    Raises:
        UsageError: also if the target is unknown or the output exists.
        ResourceError: also if the model is missing or damaged.
    """
    if target not in SUFFIXES:
        raise UsageError(
            f"The export is for '{target}'; it must be for {' or '.join(SUFFIXES)}.{nearest(target, SUFFIXES)}"
        )
    _check_output(output, overwrite=overwrite)
    model = load_model(name)
    export(model, target, output)
    return model


def blend_models(
    start: str, end: str, alpha: float, output: Path, progress: Progress, *, overwrite: bool
) -> LoadedModel:
    """Write the interpolation of two models and return it; see `srkit.zoo.blend.blend`.

    Args:
        start, end: names of models, or paths of checkpoints.
        alpha: weight of `end`.
        output: .safetensors.

    Raises:
        UsageError: also if the output exists or has another extension.
        ResourceError: also if a model is missing or damaged.
    """
    check_share("alpha", alpha)
    if output.suffix != ".safetensors":
        raise UsageError(
            f"The output {shown(output)} is no .safetensors file, which weights are written as; name one."
        )
    _check_output(output, overwrite=overwrite)
    blended = blend(load_model(start, progress=progress), load_model(end, progress=progress), alpha)
    if blended.header is None:
        raise RuntimeError("a blend has a header")
    save_weights(output, blended.network, blended.header)
    return replace(blended, path=output)


def _check_output(output: Path, *, overwrite: bool) -> None:
    if output.exists() and not overwrite:
        raise UsageError(
            f"{shown(output)} is there already; give another `output`, or `overwrite` to replace it."
        )
