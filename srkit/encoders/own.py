"""Loading of feature networks that this project trains."""

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
    """Load a network, frozen, on a device, channels_last; also return the shortened sha256 of its file.

    Args:
        kind, architecture: class of the network, and its name in `srkit.archs.table`.
        source: name of shipped weights, or a file.
        task: required task in the file's header.

    Raises:
        ResourceError: the weights are missing, damaged, or of another network.
    """
    model = load_model(source, task=task)
    if not isinstance(model.network, kind):
        raise ResourceError(
            f"'{model.path}' holds weights of the network '{model.architecture}'; expected '{architecture}'."
        )
    return placed(model.network, device), model.sha256[:12]


def random_network(kind: type[N], device: torch.device) -> N:
    """Network with random weights of a fixed seed, for tests and as a control; placed as by `own_network`."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return placed(kind(), device)


def placed(network: N, device: torch.device) -> N:
    """Freeze a network and move it to a device, channels_last."""
    return channels_last(network.eval().requires_grad_(False), device)
