"""Saving of a foreign network's weights, under the names of its original file."""

from __future__ import annotations

import json
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save
from torch import Tensor

from srkit.errors import SrkitError
from srkit.io.atomic import atomic_path
from srkit.zoo.foreign import describe, read_state, unwrapped
from srkit.zoo.loaded import LoadedModel

ADAPTED_KEY = "srkit_adapted"
"""Metadata key of a safetensors file: the base and settings of the adaptation, as JSON."""

_PREFIX = "model."  # of the network within `ForeignNetwork`

State = dict[str, Tensor]


def save_foreign(
    path: Path, base: LoadedModel, state_dict: Mapping[str, Tensor], about: Mapping[str, Any]
) -> None:
    """Write a fine-tuned foreign network as safetensors, with the tensor names and precision of its original file.

    Args:
            path: target file; conventionally `.safetensors`. An existing file is replaced.
            base: the model before fine-tuning; its file is read again.
            state_dict: fine-tuned state of `base.network`.
            about: origin of the weights, for the metadata; JSON values.

    Raises:
            ResourceError: the base's file has changed.
            SrkitError: a file of this network could not be loaded with the fine-tuned weights.
    """
    learned = {n.removeprefix(_PREFIX): t for n, t in state_dict.items() if n.startswith(_PREFIX)}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # warnings of third-party code
        tensors = _in_original_names(base.path, learned)
        if not _loads_as(tensors, learned, base.path):
            tensors = {name: tensor.contiguous().clone() for name, tensor in learned.items()}
            if not _loads_as(tensors, learned, base.path):
                raise SrkitError(
                    f"The network in '{base.path}' ({base.architecture}) changes its weights as it loads them, so what "
                    "was learned cannot be written to a file; choose another model."
                )
    metadata = {ADAPTED_KEY: json.dumps(dict(about), sort_keys=True)}
    with atomic_path(Path(path)) as temporary:
        temporary.write_bytes(save(tensors, metadata=metadata))


def _in_original_names(path: Path, learned: State) -> State:
    original = unwrapped(read_state(path))
    arrived = _arrivals(path, original)
    tensors = {}
    for name, tensor in original.items():
        source = learned.get(arrived.get(name, name))
        fits = source is not None and source.shape == tensor.shape
        kept = source if source is not None and fits else tensor
        tensors[name] = kept.detach().to("cpu", tensor.dtype).contiguous().clone()
    return tensors


def _arrivals(path: Path, original: State) -> dict[str, str]:
    """Names in the network of the file's tensors.

    Loaders rename tensors. So the file is loaded once with every tensor filled with its own index, and the indices are
    searched in the network.
    """
    names = [name for name, tensor in original.items() if tensor.is_floating_point()]
    marked = dict(original)
    for number, name in enumerate(names, 1):
        marked[name] = torch.full_like(original[name], number, dtype=torch.float32)
    try:
        state = describe(path, marked).model.state_dict()
    except SrkitError:  # a loader that reads settings from values
        return {}
    found: dict[str, str] = {}
    for name, tensor in state.items():
        if not tensor.is_floating_point() or not tensor.numel():
            continue
        number = tensor.flatten()[0].item()
        if 1 <= number <= len(names) and number == int(number) and bool((tensor == number).all()):
            found.setdefault(names[int(number) - 1], name)
    return found


def _loads_as(tensors: State, learned: State, path: Path) -> bool:
    """True if a file of these tensors loads as the fine-tuned weights, up to the file's precision."""
    try:
        state = describe(path, dict(tensors)).model.state_dict()
    except SrkitError:
        return False
    if state.keys() != learned.keys():
        return False
    exact = all(t.dtype == torch.float32 for t in tensors.values() if t.is_floating_point())
    tolerance = 0.0 if exact else 1e-2
    return all(
        state[name].shape == tensor.shape
        and torch.allclose(state[name].float(), tensor.float(), rtol=tolerance, atol=tolerance)
        for name, tensor in learned.items()
    )
