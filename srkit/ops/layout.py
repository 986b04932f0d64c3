"""Placement of networks and images: device, channels_last layout, precision, and single-threaded helper threads."""

from __future__ import annotations

import threading
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

N = TypeVar("N", bound=nn.Module)
RGB = NDArray[np.uint8]
"""Type of an image (H, W, 3), uint8."""


def channels_last(network: N, device: torch.device, dtype: torch.dtype | None = None) -> N:
    """Move a network in place to a device, in the memory layout that convolutions are fastest in, and return it.

    Args:
        dtype: dtype of its floating-point tensors; None: unchanged.
    """
    # torch's type hints of `Module.to` lack the memory format.
    moved: N = network.to(device=device, dtype=dtype, memory_format=torch.channels_last)  # type: ignore[call-overload]
    return moved


def as_tensor(image: NDArray[Any], device: torch.device) -> Tensor:
    """(H, W, C) uint8 or uint16 to (1, C, H, W), float32 in [0, 1], channels_last."""
    pixels = np.ascontiguousarray(image if image.dtype == np.uint8 else image.astype(np.float32))
    x = torch.from_numpy(pixels).to(device).permute(2, 0, 1)[None].float() / np.iinfo(image.dtype).max
    return x.contiguous(memory_format=torch.channels_last)


def as_rgb(x: Tensor) -> RGB:
    """(1, 3, H, W) to (H, W, 3): [0, 1], clipped, to the nearest of 255 levels; undoes `as_tensor` of uint8."""
    return (x[0].permute(1, 2, 0).clamp(0, 1) * 255).round().to(torch.uint8).cpu().contiguous().numpy()


def in_precision(place: Tensor | torch.device, dtype: torch.dtype | None) -> torch.autocast:
    """Context of `torch.autocast` to `dtype` on the device of a tensor; None: without autocast, also inside another."""
    device = place.device if isinstance(place, Tensor) else place
    return torch.autocast(device.type, dtype, enabled=dtype is not None)


_mine = threading.local()
_changing = threading.Lock()


def compute_alone() -> None:
    """Run the calling thread's tensor operations single-threaded from now on; other threads keep their thread count.

    Used by the stages that run beside the network: otherwise each would start as many threads as there are cores, and
    on a CPU these thread teams would wait for one another at every operation.
    """
    if getattr(_mine, "alone", False):
        return
    with _changing:  # another thread would read the 1 below as the usual number
        usual = torch.get_num_threads()
        torch.set_num_threads(1)
        # The call above also changed the number for future threads. One of them changes it back.
        restore = threading.Thread(target=torch.set_num_threads, args=(usual,))
        restore.start()
        restore.join()
    _mine.alone = True
