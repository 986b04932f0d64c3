"""How networks and images run: on one device, channels_last, and beside them threads that compute alone."""

from __future__ import annotations

import threading
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

N = TypeVar("N", bound=nn.Module)
RGB = NDArray[np.uint8]
"""An image (H, W, 3), uint8."""


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


_mine = threading.local()
_changing = threading.Lock()


def compute_alone() -> None:
    """Let the calling thread's tensor operations run in it alone, once and for all; other threads keep their number.

    For the stages beside the network: each would otherwise bring a team of as many threads as there are cores, and on
    a CPU the teams wait for one another at every operation.
    """
    if getattr(_mine, "alone", False):
        return
    with _changing:  # another thread would take the 1 below for the usual number
        usual = torch.get_num_threads()
        torch.set_num_threads(1)
        # This has changed the number for threads to come as well. One of them changes it back.
        restore = threading.Thread(target=torch.set_num_threads, args=(usual,))
        restore.start()
        restore.join()
    _mine.alone = True
