"""Networks as all of them run: on one device, their tensors channels_last."""

from __future__ import annotations

from typing import TypeVar

import torch
from torch import nn

N = TypeVar("N", bound=nn.Module)


def channels_last(network: N, device: torch.device, dtype: torch.dtype | None = None) -> N:
    """The network itself, moved to a device with the layout that convolutions are fastest in.

    Args:
        dtype: of its floating-point tensors; None: as they are.
    """
    # What torch declares of a module's `to` does not know its layouts.
    moved: N = network.to(device=device, dtype=dtype, memory_format=torch.channels_last)  # type: ignore[call-overload]
    return moved
