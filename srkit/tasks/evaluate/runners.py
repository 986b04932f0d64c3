"""Sources of an evaluation's SR images: bicubic, networks, and networks adapted to a set."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

from srkit.engine.device import pick_dtype
from srkit.errors import UsageError
from srkit.inference.chain import Models
from srkit.inference.kernel_extras import completion
from srkit.inference.upscaler import Upscaler
from srkit.progress import Progress
from srkit.recipes.evaluate import EvalRecipe
from srkit.recipes.upscale import UpscaleRecipe
from srkit.tasks.evaluate.job import BICUBIC
from srkit.tasks.evaluate.sets import Bicubic, Model, Network
from srkit.tasks.evaluate.shots import FewShot, Shots, single_model
from srkit.tasks.prompts import prompted_models


@dataclass(frozen=True)
class Runner:
    """Source of SR images, and its name in results."""

    label: str
    sha256: str | None
    model: Model
    dtype: str | None = None
    note: str | None = None
    prepare: Callable[[Progress], None] | None = None
    """Function to call before the model is run; None: none."""


def upscaler_for(recipe: EvalRecipe, model: str, progress: Progress, *, prompted: bool) -> Upscaler:
    """Upscaler of a model; kernels are estimated for networks that are conditioned on them.

    Args:
        prompted: require networks that are conditioned on text.
    """
    wanted = UpscaleRecipe(
        model=model,
        device=recipe.device,
        dtype=recipe.dtype,
        threads=recipe.threads,
        seed=recipe.seed,
        max_pixels=recipe.max_pixels,
    )
    models = prompted_models(model, progress) if prompted else Models(model, progress)
    return Upscaler(wanted, models, progress, complete=completion(wanted, models, progress))


def bicubic_runner() -> Runner:
    """Bicubic interpolation."""
    return Runner(BICUBIC, None, Bicubic())


def network_runner(upscaler: Upscaler, scale: int) -> Runner:
    """Runner of the networks for a scale, loaded, with the names and checksums of all of them."""
    models = upscaler.models
    if (models.scales == [1]) != (scale == 1):
        raise UsageError(
            f"The model '{upscaler.recipe.model}' is for scale {' or '.join(map(str, models.scales))}, and the scale "
            f"is {scale}; a network that keeps the size goes with `scale` 1, and only that."
        )
    chain = models.chain(scale)
    for step in chain:
        upscaler.conditioning(step)  # now: a missing provider is an error before any work
    loaded = list({model.sha256: model for model in map(models.named, chain)}.values())
    label = "+".join(model.name for model in loaded)
    note = None
    scales = [models.named(step).info.scale for step in chain]
    if math.prod(scales) != scale:
        passes = " and ".join(f"x{s}" for s in scales)
        note = f"{label}: no network is for x{scale}; {passes} is resampled to it."
    dtypes = {str(pick_dtype(upscaler.recipe.dtype, upscaler.device, model.info)) for model in loaded}
    return Runner(
        label,
        "+".join(model.sha256 for model in loaded),
        Network(upscaler),
        ", ".join(sorted(dtype.removeprefix("torch.") for dtype in dtypes)),
        note,
    )


def few_shot_runner(runner: Runner, upscaler: Upscaler, shots: Shots, recipe: EvalRecipe) -> Runner:
    """The same network, adapted to the set before it is run; checksum and precision are the base's."""
    scale = shots.plan.scale
    if scale is None:
        raise UsageError("`shots` needs the scale between LR and HR; add `scale` N.")
    model = FewShot(single_model(upscaler.models, scale), upscaler, shots, recipe)
    label = f"{runner.label} {len(shots.names)}-shot"
    return replace(runner, label=label, model=model, note=None, prepare=model.prepare)
