"""Weights files of this project: safetensors with a `Header`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from srkit.archs import table
from srkit.errors import ResourceError, UsageError
from srkit.io.atomic import atomic_path
from srkit.zoo.bounded import BoundedBuild, check_arguments
from srkit.zoo.files import check_checkpoint, sha256_of, unreadable
from srkit.zoo.header import Header, broken_file, has_header, read_header
from srkit.zoo.loaded import LoadedModel

__all__ = [
    "copy_weights",
    "encode_weights",
    "has_header",
    "load_weights",
    "read_header",
    "read_tensors",
    "save_weights",
]


MAX_SCALE, MAX_OVERLAP = 32, 4096
_RATES = "rates."
"""Prefix of the learned rates' names, beside the network's own tensors."""


def save_weights(
    path: Path,
    network: nn.Module,
    header: Header,
    dtype: torch.dtype = torch.float16,
    rates: Mapping[str, Tensor] | None = None,
) -> None:
    """Write a network's state and its header, atomically.

    Args:
            path: target file; conventionally `.safetensors`. An existing file is replaced.
            network: its floating-point tensors are stored as `dtype`, others unchanged.
            header: header of the file; its arguments are replaced by those of the network (`built_arguments`).
            dtype: fp16 halves the file and costs a trained network no visible quality.
            rates: as `LoadedModel.rates`; stored as float32.

    Raises:
            ResourceError: a tensor is not finite in `dtype`, rates do not fit the network's parameters, or the
                header cannot be written.
    """
    _check_rates(rates or {}, network, f"The rates for '{path}'")
    content = encode_weights(network, header, dtype, rates)
    with atomic_path(Path(path)) as temporary:
        # Not by safetensors' own writer, which makes a file that only its owner may read.
        temporary.write_bytes(content)


def encode_weights(
    network: nn.Module,
    header: Header,
    dtype: torch.dtype = torch.float16,
    rates: Mapping[str, Tensor] | None = None,
) -> bytes:
    """Content of the file that `save_weights` writes.

    Raises:
        ResourceError: as in `save_weights`, except for rates that do not fit.
    """
    tensors = {name: _stored(name, tensor, dtype) for name, tensor in network.state_dict().items()}
    tensors |= {_RATES + name: _stored(name, rate, torch.float32) for name, rate in (rates or {}).items()}
    header = replace(header, arguments=table.built_arguments(network, header.arguments))
    return save(tensors, metadata=header.to_metadata())


def _stored(name: str, tensor: Tensor, dtype: torch.dtype) -> Tensor:
    if not tensor.is_floating_point():
        return tensor.detach().cpu().clone()
    stored = tensor.detach().to("cpu", dtype, memory_format=torch.contiguous_format, copy=True)
    if not bool(stored.isfinite().all()):
        raise ResourceError(
            f"The tensor '{name}' holds values that are not finite in {dtype}; the training diverged, or the "
            "weights must be saved as float32."
        )
    return stored.contiguous()


def copy_weights(source: Path, path: Path, header: Header) -> None:
    """Write all tensors of a weights file unchanged under another header.

    Raises:
        ResourceError: the file is missing or damaged, or the header cannot be written.
    """
    tensors = read_tensors(source)
    with atomic_path(Path(path)) as temporary:
        temporary.write_bytes(save(tensors, metadata=header.to_metadata()))


def read_tensors(path: Path) -> dict[str, Tensor]:
    """Tensors of a safetensors file, on the CPU, as stored.

    Raises:
        ResourceError: the file is missing or damaged.
    """
    check_checkpoint(path)
    try:
        with safe_open(path, framework="pt") as file:
            return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (no iterator)
    except SafetensorError as error:
        raise broken_file(path, error) from error
    except OSError as error:
        raise unreadable(path, error) from error


def load_weights(path: Path, name: str | None = None, sha256: str | None = None) -> LoadedModel:
    """Rebuild the network of a file's header and load its weights.

    Args:
            path: a file written by `save_weights`.
            name: the model's name; by default the file's name without its extension.
            sha256: checksum of the file, if already computed.

    Raises:
        ResourceError: the file is missing or damaged, or does not fit its network.
    """
    path = Path(path)
    header = read_header(path)
    network, rates = _rebuild(header, path)
    network.float().eval().requires_grad_(False)
    info = table.info_of(network)
    if info.scale != header.scale:
        raise ResourceError(
            f"The header of '{path}' says scale {header.scale}, but its network has {info.scale}; "
            "fetch or train the weights anew."
        )
    return LoadedModel(
        name=name or path.stem,
        network=network,
        info=info,
        overlap=info.receptive_field if header.overlap is None else header.overlap,
        sha256=sha256 or sha256_of(path),
        header=header,
        path=path,
        source="srkit",
        task=header.task,
        architecture=header.arch,
        rates=rates,
    )


def _rebuild(header: Header, path: Path) -> tuple[nn.Module, dict[str, Tensor]]:
    """The network with its weights, and the learned rates of the file."""
    tensors = read_tensors(path)
    network = _built(header, path, tensors)
    rates = {n.removeprefix(_RATES): tensors.pop(n).float() for n in list(tensors) if n.startswith(_RATES)}
    _check_rates(rates, network, f"The rates in '{path}'")
    try:
        network.load_state_dict(tensors)
    except RuntimeError as error:
        raise ResourceError(
            f"The tensors of '{path}' do not fit the network '{header.arch}' that its header describes "
            f"({_first_line(error)}); fetch or train the weights anew."
        ) from error
    return network, rates


def _built(header: Header, path: Path, tensors: Mapping[str, Tensor]) -> nn.Module:
    """The network before its weights are loaded; the tensors limit its size."""
    check_arguments(header.arguments, str(path))
    if not 1 <= header.scale <= MAX_SCALE or not 0 <= (header.overlap or 0) <= MAX_OVERLAP:
        raise ResourceError(
            f"The header of '{path}' says scale {header.scale} and overlap {header.overlap}; expected 1 to {MAX_SCALE} "
            f"and 0 to {MAX_OVERLAP}: fetch or train the weights anew."
        )
    elements = sum(tensor.numel() for tensor in tensors.values())
    try:
        # Construction draws random weights; loading must not change the caller's random state.
        with torch.random.fork_rng(devices=[]), BoundedBuild(str(path), elements, len(tensors)):
            return table.build(header.arch, header.arguments)
    except ResourceError:
        raise
    except Exception as error:  # a constructor can raise any exception for invalid arguments
        reason = str(error) if isinstance(error, UsageError) else f"{_first_line(error)}."
        raise ResourceError(f"'{path}' cannot be rebuilt from its header: {reason}") from error


def _check_rates(rates: Mapping[str, Tensor], network: nn.Module, where: str) -> None:
    """Refuse rates that are neither scalar nor of the parameter's shape, or not finite."""
    shapes = {name: parameter.shape for name, parameter in network.named_parameters()}
    for name, rate in rates.items():
        if name not in shapes:
            raise ResourceError(
                f"{where} name a parameter '{name}', which the network has not; learn them anew."
            )
        if rate.shape not in (torch.Size(), shapes[name]) or not bool(rate.isfinite().all()):
            raise ResourceError(
                f"{where} hold {tuple(rate.shape)} values for '{name}' of {tuple(shapes[name])}, or not all are "
                "finite; expected one for all or one for each: learn them anew."
            )


def _first_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()] or [type(error).__name__]
    return (lines[1] if len(lines) > 1 else lines[0]).rstrip(". ")[:200]
