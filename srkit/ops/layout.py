"""Networks and images as all of them run: on one device, their tensors channels_last."""

from __future__ import annotations

from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

N = TypeVar("N", bound=nn.Module)


def channels_last(network: N, device: torch.device, dtype: torch.dtype | None = None) -> N:
    """The network itself, moved to a device with the layout that convolutions are fastest in.

    Args:
        dtype: of its floating-point tensors; None: as they are.
    """
    # What torch declares of a module's `to` does not know its layouts.
    moved: N = network.to(device=device, dtype=dtype, memory_format=torch.channels_last)  # type: ignore[call-overload]
    return moved


def as_tensor(image: NDArray[Any], device: torch.device) -> Tensor:
    """(H, W, C) uint8 or uint16 to (1, C, H, W), float32 in [0, 1], channels_last."""
    pixels = np.ascontiguousarray(image if image.dtype == np.uint8 else image.astype(np.float32))
    x = torch.from_numpy(pixels).to(device).permute(2, 0, 1)[None].float() / np.iinfo(image.dtype).max
    return x.contiguous(memory_format=torch.channels_last)
