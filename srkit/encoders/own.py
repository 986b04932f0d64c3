"""Feature networks that this project trains: from their weights file to a device."""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar

import torch
from torch import nn

from srkit.errors import ResourceError
from srkit.ops.layout import channels_last
from srkit.zoo.load import load_model

N = TypeVar("N", bound=nn.Module)


def own_network(
    kind: type[N], architecture: str, source: str | Path, task: str, device: torch.device
) -> tuple[N, str]:
    """The network, frozen, on a device, channels_last; and the sha256 of its file, shortened.

    Args:
        kind, architecture: what the file must hold, and its name in `srkit.archs.table`.
        source: the name of shipped weights, or a file.
        task: that the file's header must name.

    Raises:
        ResourceError: the weights are missing or damaged, or are not this network's.
    """
    model = load_model(source, task=task)
    if not isinstance(model.network, kind):
        raise ResourceError(
            f"'{model.path}' holds weights of the network '{model.architecture}'; expected '{architecture}'."
        )
    return placed(model.network, device), model.sha256[:12]


def placed(network: N, device: torch.device) -> N:
    """The network, frozen, on a device, channels_last."""
    return channels_last(network.eval().requires_grad_(False), device)
