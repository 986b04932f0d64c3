"""Foreign checkpoints: read without execution of code in them, recognised and built by spandrel.

This is the only module that imports spandrel, which imports torchvision; this project's weights do not need it.
"""

from __future__ import annotations

import pickle
import re
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from srkit.archs.info import ArchInfo, Tiling
from srkit.errors import ResourceError
from srkit.zoo.bounded import BoundedBuild
from srkit.zoo.files import check_checkpoint, sha256_of
from srkit.zoo.loaded import LoadedModel
from srkit.zoo.probe import agrees_in, probe_structure, smallest_overlap
from srkit.zoo.released import load_released
from srkit.zoo.weights import read_tensors

SUFFIXES = (".pth", ".pt", ".ckpt", ".safetensors")
_WRAPPERS = ("model_state_dict", "state_dict", "params_ema", "params-ema", "params", "model", "net")
_MAX_REPEATED, _MAX_MAPPINGS = 4, 1000
"""Maximal ratio of the tensors' size, which may share storage, to the file's size; maximal number of nested
dictionaries."""

BLEND_OVERLAP = 32
"""LR pixels over which tiles of an attention network are blended: two windows of the usual 16."""

_OTHER_TASKS = {"FaceSR": "restores faces", "Inpainting": "fills in masked regions"}


class ForeignNetwork(nn.Module):
    """Network built by spandrel, adapted to this project's interface: see `ArchInfo`.

    Images (N, 3, h, w), fp32, in [0, 1] to (N, 3, scale h, scale w), fp32, not clipped. A network for gray images is
    applied to each channel; a network for square images gets the image with its last row or column repeated.
    """

    def __init__(
        self,
        model: nn.Module,
        call: Callable[[nn.Module, Tensor], Tensor],
        info: ArchInfo,
        *,
        gray: bool,
        square: bool,
    ) -> None:
        super().__init__()
        self.model = model
        self.info = info
        self._call = call
        self._gray = gray
        self._square = square
        self.autocast: set[torch.dtype] = set()
        """Dtypes in which this network mixes precisions, so that it needs autocast."""

    def forward(self, x: Tensor) -> Tensor:
        batch, channels, height, width = x.shape
        # A copy, since some networks scale their input in place (RCAN: `x *= rgb_range`).
        dtype = next(self.model.parameters()).dtype
        h = x.to(dtype, copy=True)
        if self._gray:
            h = h.reshape(batch * channels, 1, height, width)
        if self._square:
            side = max(height, width)
            h = F.pad(h, (0, side - width, 0, side - height), mode="replicate")
        scale = self.info.scale
        reconciled = torch.autocast(x.device.type, dtype) if dtype in self.autocast else nullcontext()
        with reconciled:
            y = self._call(self.model, h)[..., : height * scale, : width * scale]
        return y.reshape(batch, channels, height * scale, width * scale).to(x.dtype)


def load_foreign(path: Path, name: str | None = None, sha256: str | None = None) -> LoadedModel:
    """Load a checkpoint of any architecture known to spandrel or `load_released`.

    Args:
        path: a .pth, .pt, .ckpt or .safetensors file with a state dict, bare or under the usual keys
            (`params_ema`, `params`, `state_dict`, ...).
            name: the model's name; by default the file's name without its extension.
            sha256: checksum of the file, if already computed.

    Raises:
            ResourceError: the file is missing, not a checkpoint, contains code, has an unknown architecture, or is a
                network for another task than upscaling or restoring RGB or gray images.
    """
    path = Path(path)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # warnings of third-party code, irrelevant to users
        return _load(path, name, sha256)


def _load(path: Path, name: str | None, sha256: str | None) -> LoadedModel:
    state = read_state(path)
    for candidate in (state, *without_prefixes(state)):
        if known := load_released(path, candidate, name, sha256):
            return known
    descriptor = describe(path, state)
    _check_task(path, descriptor)
    requirements = descriptor.size_requirements
    network = ForeignNetwork(
        descriptor.model,
        # The public call clips in place and forbids gradients, which `adapt` needs; the wrapped function does not.
        descriptor._call_fn,
        ArchInfo(
            scale=descriptor.scale,
            receptive_field=BLEND_OVERLAP,
            multiple_of=requirements.multiple_of,
            min_size=max(1, requirements.minimum),
            tiling="blend",
            fp16_ok=False,
            bf16_ok=False,
        ),
        gray=descriptor.input_channels == 1,
        square=requirements.square,
    )
    network.float().eval().requires_grad_(False).to(memory_format=torch.channels_last)
    overlap = _add_tiling(path, network, descriptor.tiling.name)
    network.info = replace(
        network.info,
        fp16_ok=descriptor.supports_half and _runs_in(network, torch.float16),
        bf16_ok=descriptor.supports_bfloat16 and _runs_in(network, torch.bfloat16),
    )
    return LoadedModel(
        name=name or path.stem,
        network=network,
        info=network.info,
        overlap=overlap,
        sha256=sha256 or sha256_of(path),
        header=None,
        path=path,
        source="spandrel",
        task="restoration" if descriptor.purpose == "Restoration" else "sr",
        architecture=descriptor.architecture.name,
        tags=tuple(descriptor.tags),
    )


def read_state(path: Path) -> dict[str, Any]:
    """Content of a checkpoint: tensors and plain values, on the CPU. Nothing in the file is executed.

    Raises:
        ResourceError: the file is missing, not a checkpoint, or holds more than tensors and plain values.
    """
    check_checkpoint(path)
    if path.suffix.lower() not in SUFFIXES:
        raise ResourceError(
            f"'{path}' is no file of weights by its name; expected one that ends in {', '.join(SUFFIXES)}."
        )
    state = read_tensors(path) if path.suffix.lower() == ".safetensors" else _unpickle(path)
    if not isinstance(state, dict) or not state or not all(isinstance(key, str) for key in state):
        raise ResourceError(
            f"'{path}' holds a {type(state).__name__} without named tensors; expected a state dict, as "
            "`torch.save(model.state_dict(), path)` writes it."
        )
    size = path.stat().st_size
    if (
        sum(tensor.numel() * tensor.element_size() for tensor in tensors_in(state))
        > _MAX_REPEATED * size + 2**20
    ):
        raise ResourceError(
            f"'{path}' has {size} bytes and holds tensors of many times that, which repeat a few values; it may be "
            "made to harm: fetch it from where it was published."
        )
    return state


def tensors_in(state: Mapping[str, Any]) -> Iterator[Tensor]:
    """Tensors of a checkpoint, including those in nested dictionaries."""
    waiting = [state]
    for mapping in waiting:
        for value in mapping.values():
            if isinstance(value, Tensor):
                yield value
            elif isinstance(value, dict) and len(waiting) < _MAX_MAPPINGS:
                waiting.append(value)


def _unpickle(path: Path) -> Any:
    """`torch.load`, restricted to tensors and plain values (NumPy's scalars among them)."""
    try:
        with torch.serialization.safe_globals(_numpy_scalars()), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the errors that they announce are handled
            return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        if found := re.search(r"GLOBAL (\S+)", str(error)):
            raise ResourceError(
                f"'{path}' holds the Python object {found[1]}, which could run code, so nothing of it was "
                "loaded; expected tensors and plain values only: get the weights as .safetensors, or save "
                "the bare state dict again."
            ) from error
        raise _no_checkpoint(path) from error
    except Exception as error:  # a damaged pickle can raise any exception
        if "TorchScript" in str(error):
            raise ResourceError(
                f"'{path}' is a TorchScript archive, which is a program; expected its weights: save the "
                "model's state_dict() instead."
            ) from error
        raise _no_checkpoint(path) from error


def _numpy_scalars() -> list[Any]:
    """NumPy scalar types that training loops store in checkpoints (best scores); they are safe to unpickle."""
    scalar = np.float64(0).__reduce__()[0]
    spelled = [(scalar, f"numpy.{core}.multiarray.scalar") for core in ("core", "_core")]
    kinds = (np.float64, np.float32, np.float16, np.int64, np.int32, np.bool_)
    return [*spelled, np.dtype, *(type(np.dtype(kind)) for kind in kinds)]


def describe(path: Path, state: dict[str, Any]) -> Any:
    """Spandrel's descriptor of the network with these weights; `path` is for messages.

    Raises:
        ResourceError: the architecture is unknown, or the weights do not fit it.
    """
    first: ResourceError | None = None
    for candidate in (state, *without_prefixes(state)):
        try:
            return _described(path, candidate)
        except ResourceError as error:
            first = first or error  # the error of the unmodified file is the most informative
    raise first or _unknown(path)


def without_prefixes(state: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """A checkpoint with prefixes that wrappers add to all tensors' names removed, one prefix after another.

    `torch.compile` adds `_orig_mod.`, data-parallel training `module.`, Lightning `model.` or another attribute's name.
    A network's own names may share a prefix too (`body.`), so a result counts only if it is recognised.
    """
    tensors = unwrapped(state)
    while tensors:
        prefix, dot, _ = next(iter(tensors)).partition(".")
        if not dot or not all(name.startswith(prefix + dot) for name in tensors):
            return
        tensors = {name.removeprefix(prefix + dot): tensor for name, tensor in tensors.items()}
        yield tensors


def unwrapped(state: Mapping[str, Any]) -> dict[str, Tensor]:
    """State dict of a checkpoint, which is often nested under a key beside other training state."""
    for name in _WRAPPERS:
        if isinstance(state.get(name), dict):
            state = state[name]
            break
    if len(state) == 1 and isinstance(only := next(iter(state.values())), dict):
        state = only
    return {str(name): tensor for name, tensor in state.items() if isinstance(tensor, Tensor)}


def _unknown(path: Path) -> ResourceError:
    return ResourceError(
        f"'{path}' holds weights of no architecture that is known here; expected one that spandrel supports, or "
        "weights of `srkit train`."
    )


def _described(path: Path, state: dict[str, Any]) -> Any:
    from spandrel import MAIN_REGISTRY, UnsupportedModelError

    tensors = list(tensors_in(state))
    elements = sum(tensor.numel() for tensor in tensors)
    try:
        with torch.random.fork_rng(devices=[]), BoundedBuild(str(path), elements, len(tensors), foreign=True):
            return MAIN_REGISTRY.load(state)
    except ResourceError:
        raise
    except UnsupportedModelError as error:
        raise _unknown(path) from error
    except Exception as error:  # spandrel guesses shapes from keys; a near miss can fail anywhere in its code
        lines = [line.strip() for line in str(error).splitlines() if line.strip()] or [type(error).__name__]
        raise ResourceError(
            f"'{path}' looks like a known architecture but does not fit it ({lines[-1].rstrip('.')[:200]}); "
            "the file is damaged or of a variant that spandrel does not support."
        ) from error


def _check_task(path: Path, descriptor: Any) -> None:
    """Check that a network maps RGB to RGB or gray to gray, for general images."""
    what = _OTHER_TASKS.get(descriptor.purpose)
    channels = (descriptor.input_channels, descriptor.output_channels)
    if what is None and channels not in ((3, 3), (1, 1)):
        what = f"takes {channels[0]} channels to {channels[1]}"
    if what is not None:
        raise ResourceError(
            f"'{path}' holds a network ({descriptor.architecture.name}) that {what}; expected one that "
            "upscales or restores RGB or gray images: choose another model."
        )


def _add_tiling(path: Path, network: ForeignNetwork, tiling: str) -> int:
    """Complete `network.info` with the facts for tiling; return the required overlap in LR pixels."""
    try:
        structure = probe_structure(network)
    except Exception as error:  # third-party code on its first image
        raise ResourceError(
            f"The network in '{path}' does not run ({str(error).splitlines()[0]}); choose another model."
        ) from error
    kind: Tiling = "none" if tiling == "INTERNAL" else "blend"
    radius = overlap = BLEND_OVERLAP
    if tiling == "SUPPORTED" and not structure.mixing:
        measured = smallest_overlap(network, limit=structure.radius)
        if measured is not None:
            kind, radius, overlap = "exact", structure.radius, measured
    network.info = replace(network.info, tiling=kind, receptive_field=radius)
    return overlap


def _runs_in(network: ForeignNetwork, dtype: torch.dtype) -> bool:
    """True if the network is accurate in a lower precision, by itself or under autocast, which is then set."""
    if agrees_in(network, dtype):
        return True
    network.autocast.add(dtype)
    if agrees_in(network, dtype):
        return True
    network.autocast.discard(dtype)
    return False


def _no_checkpoint(path: Path) -> ResourceError:
    return ResourceError(f"'{path}' is no checkpoint of PyTorch, or is cut short; fetch it again.")
