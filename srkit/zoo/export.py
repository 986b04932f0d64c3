"""Export of weights for other programs: checkpoints for spandrel, and ONNX."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol, runtime_checkable

import torch
from safetensors.torch import save
from torch import Tensor

from srkit.archs.table import ARCHS
from srkit.errors import ResourceError, UsageError
from srkit.io.atomic import atomic_path
from srkit.zoo.files import check_checkpoint
from srkit.zoo.foreign import ForeignNetwork, describe, read_state
from srkit.zoo.loaded import LoadedModel

SUFFIXES: Mapping[str, tuple[str, ...]] = {"spandrel": (".safetensors", ".pth"), "onnx": (".onnx",)}
"""Extensions of the files, by target."""
OPSET = 18
_EXAMPLE = 32  # side of the tracing input; the graph's sizes are dynamic


@runtime_checkable
class Published(Protocol):
    """Network that has a published form, with other names of the tensors."""

    def published_state(self) -> dict[str, Tensor] | None:
        """Weights under the published names, fp32; None if the network's arguments have no published form."""


def export(model: LoadedModel, target: str, path: Path) -> None:
    """Write a model's weights for other programs, in fp32. An existing file is replaced.

    Args:
            model: an upscaling model of this project, or one loaded through spandrel.
            target: `spandrel` writes a state dict with the published names, for chaiNNer and ComfyUI, and checks that
                it loads. `onnx` writes a graph from `lr` (N, 3, h, w) to `sr` (N, 3, scale h, scale w), values in [0,
                1], for any N, h and w that the network accepts.
            path: file whose suffix is one of the target's `SUFFIXES`.

    Raises:
            UsageError: the suffix or the network is not supported by the target.
            ResourceError: ONNX's exporter is not installed.
            SrkitError: the file cannot be written.
    """
    if path.suffix.lower() not in SUFFIXES[target]:
        raise UsageError(
            f"'{path}' ends in '{path.suffix}'; an export for {target} ends in {' or '.join(SUFFIXES[target])}."
        )
    if target == "onnx":
        _export_onnx(model, path)
    else:
        _export_state(model, path)


def exportable() -> list[str]:
    """Names of this project's networks that have a published form for spandrel."""
    return [name for name, arch in ARCHS.items() if hasattr(arch, "published_state")]


def _export_state(model: LoadedModel, path: Path) -> None:
    network = model.network
    if isinstance(network, ForeignNetwork):
        state = {name: value.float() for name, value in network.model.state_dict().items()}
    else:
        found = network.published_state() if isinstance(network, Published) else None
        if found is None:
            raise UsageError(
                f"spandrel knows no network like '{model.name}' ({model.architecture}); of those built here it knows "
                f"{', '.join(exportable())} as published: choose one of these, or export for onnx."
            )
        state = found
    state = {name: value.contiguous().clone() for name, value in state.items()}
    with atomic_path(path) as temporary:
        if path.suffix.lower() == ".pth":
            torch.save({"params": state}, temporary)
        else:
            temporary.write_bytes(save(state, metadata={"format": "pt", "srkit_model": model.name}))
        named = temporary.with_name(f"{temporary.name}{path.suffix}")
        temporary.rename(named)  # readers use the suffix
        try:
            check_checkpoint(named)
            describe(named, read_state(named))
        finally:
            named.rename(temporary)


def _export_onnx(model: LoadedModel, path: Path) -> None:
    info = model.info
    if info.conditioning:
        raise UsageError(
            f"'{model.name}' is conditioned on {', '.join(info.conditioning)}, which a graph of one image does not "
            "take; choose a model without conditions (`srkit models show NAME`)."
        )
    try:
        import onnx  # noqa: F401 - the exporter needs both
        import onnxscript  # noqa: F401
    except ImportError as error:
        raise ResourceError(
            f"The export to ONNX needs the package '{error.name}', which is not installed; run `pip install "
            "'srkit[onnx]'`."
        ) from error
    network = model.network.float().eval()
    side = max(_EXAMPLE, 2 * info.multiple_of * -(-info.min_size // info.multiple_of))
    image = torch.rand(1, info.channels, side, side)
    with torch.no_grad():
        network(image)  # fill the network's caches before the exporter traces
    free = dict.fromkeys((0, 2, 3), torch.export.Dim.DYNAMIC)
    with atomic_path(path) as temporary, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the exporter, about itself
        logging.getLogger("torch.onnx").setLevel(logging.ERROR)
        program = torch.onnx.export(
            network,
            (image,),
            dynamo=True,
            input_names=["lr"],
            output_names=["sr"],
            opset_version=OPSET,
            dynamic_shapes=(free,),
            verbose=False,
        )
        if program is None:
            raise ResourceError(f"PyTorch {torch.__version__} made no ONNX graph; install a newer one.")
        program.save(temporary)
