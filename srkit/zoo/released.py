"""Published checkpoints of networks that this project implements and spandrel does not know."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from srkit.archs.cria_released import from_released, is_released, released_sizes
from srkit.zoo.files import sha256_of
from srkit.zoo.header import Header
from srkit.zoo.loaded import LoadedModel
from srkit.zoo.probe import agrees_in, smallest_overlap

ARCH = "cria_released"
_ORIGIN = "weights that the authors of Cria-CL published: github.com/House-Leo/RealSR-CCL"
_KEEPS_SIZE = "camerasr"
"""Part of the name of the one published file whose network keeps the size; its content does not show this."""


def load_released(
    path: Path, checkpoint: Mapping[str, Any], name: str | None = None, sha256: str | None = None
) -> LoadedModel | None:
    """Model of a checkpoint whose tensors have the names of a known published network.

    Cria-CL: NTIRE.pth and RealSR.pth upscale x4, CameraSR.pth keeps the size. Their tensors have equal shapes, so the
    latter is recognised by its name.

    Args:
            path: the checkpoint's file.
            checkpoint: the checkpoint's content.
            name: the model's name; by default the file's name without its extension.
            sha256: checksum of the file, if already computed.

    Returns:
        The model; None if the names are another network's.

    Raises:
        ResourceError: the names are known, but the tensors do not fit.
    """
    if not is_released(checkpoint):
        return None
    scale = 1 if _KEEPS_SIZE in path.stem.lower() else 4
    where = f"'{path}'"
    arguments = {"scale": scale, **released_sizes(checkpoint, where)}
    network = from_released(checkpoint, scale, where)
    network.float().requires_grad_(False)
    network.info = replace(network.info, bf16_ok=agrees_in(network, torch.bfloat16))
    overlap = smallest_overlap(network, network.info.receptive_field)
    return LoadedModel(
        name=name or path.stem,
        network=network,
        info=network.info,
        overlap=network.info.receptive_field if overlap is None else overlap,
        sha256=sha256 or sha256_of(path),
        # Files derived from it (`srkit adapt`) have a header of this project.
        header=Header(arch=ARCH, arguments=arguments, scale=scale, overlap=overlap, training_data=_ORIGIN),
        path=path,
        source="published",
        task="sr" if scale > 1 else "restoration",
        architecture=ARCH,
    )
