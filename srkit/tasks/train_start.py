"""Where a network's training begins: at other weights, or at its own checkpoint."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from srkit.archs.blocks import ResidualBlock
from srkit.archs.cria import Cria
from srkit.archs.esrgan import RRDBNet, centred_trunk, own_names
from srkit.errors import UsageError
from srkit.progress import Progress
from srkit.recipes.kinds import TrainingRecipe
from srkit.recipes.load import to_mapping
from srkit.recipes.train import ModelPart
from srkit.tasks.train_job import TrainJob
from srkit.training.state import TrainState, read_checkpoint, restore
from srkit.zoo.load import load_model
from srkit.zoo.loaded import LoadedModel

_HEAD = "trunk.head.weight"  # of ESRGAN, by our names


class _HasModel(TrainingRecipe, Protocol):
    @property
    def model(self) -> ModelPart: ...


def copy_start(network: nn.Module, start: str, progress: Progress, task: str = "sr") -> LoadedModel:
    """Copy every tensor that fits; a trained trunk serves another scale, whose reconstruction starts afresh.

    Args:
        start: a model's name or file, of weights for `task`. Of published files (ESRGAN, Real-ESRGAN, Cria-CL) the
            trunk is taken, and all of ESRGAN's where the network predicts whole pictures as theirs does.

    Returns:
        the model that they are from.

    Raises:
        UsageError: none fits.
        ResourceError: weights that cannot be used.
    """
    model = load_model(start, task=task, progress=progress)
    source = _tensors(model, network)
    if isinstance(network, Cria):
        source |= network.begun_by(source)
    target = network.state_dict()
    fitting = {k: v for k, v in source.items() if k in target and v.shape == target[k].shape}
    if not fitting:
        raise UsageError(f"The weights '{start}' share no tensor with this network; leave model.start empty.")
    network.load_state_dict(fitting, strict=False)
    for name, module in network.named_modules():
        if isinstance(module, ResidualBlock) and f"{name}.conv2.weight" not in fitting:
            module.start_as_identity()
    progress.info(f"{len(fitting)} of {len(target)} tensors start from '{start}'")
    return model


def _tensors(model: LoadedModel, network: nn.Module) -> dict[str, Tensor]:
    """By the names that our networks give them; of published ones, what serves this network."""
    if model.source == "published":  # Cria-CL's, whose trunk is ESRGAN's
        return centred_trunk(model.network.state_dict())
    if model.source == "spandrel" and model.architecture == "ESRGAN":
        from srkit.zoo.foreign import read_state, without_prefixes

        state = read_state(model.path)
        named = (own_names(candidate) for candidate in (state, *without_prefixes(state)))
        published = next((names for names in named if _HEAD in names), state)
        whole = isinstance(network, RRDBNet) and not network.skip
        return own_names(published) if whole else centred_trunk(published)
    return dict(model.network.state_dict())


def resume(state: TrainState, job: TrainJob[_HasModel], device: torch.device) -> dict[str, Any]:
    """Go on from the checkpoint in the job's folder; the plain values of the recipe that it was made with.

    Raises:
        UsageError: it is of another network.
        ResourceError: there is none, or it cannot be read.
    """
    saved = read_checkpoint(job.output, device)
    before, now = saved["recipe"]["model"], to_mapping(job.recipe)["model"]
    if any(before[key] != now[key] for key in ("arch", "arguments")):
        raise UsageError(
            f"'{job.output}' holds a run of another network ({_network_words(before)}) than this recipe's "
            f"({_network_words(now)}); choose another -o."
        )
    restore(state, saved)
    found: dict[str, Any] = saved["recipe"]
    return found


def _network_words(model: Mapping[str, Any]) -> str:
    return ", ".join([model["arch"], *(f"{name}={value}" for name, value in model["arguments"].items())])
