"""Tile size for the available memory, detection of out-of-memory errors, and allocation of large results."""

from __future__ import annotations

import math
import os
import tempfile
from typing import Any

import numpy as np
import torch
from numpy.typing import DTypeLike, NDArray
from torch import Tensor, nn

from srkit.archs.info import ArchInfo
from srkit.conditioning.values import Conditioner, unconditioned, whole
from srkit.errors import SrkitError
from srkit.io.names import shown
from srkit.ops.geometry import rounded_up

TILES = (1024, 768, 512, 384, 256, 192, 128, 96, 64, 48, 32)
"""Tile sides that `auto` and out-of-memory halving choose from."""
SMALLEST_TILE = 32

# Beyond this side the CPU's caches no longer hold a layer, and larger windows only cost memory (measured: 256 is
# up to 1.4 times faster than 1024 for a 64-channel network).
_LARGEST_CPU_TILE = 256
_PROBE_SIDE = 48


def total_memory() -> int:
    """Total memory of the machine in bytes."""
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def available_memory() -> int:
    """Currently free memory in bytes."""
    return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def bytes_per_pixel(network: nn.Module, info: ArchInfo, conditioner: Conditioner = unconditioned) -> float:
    """Peak bytes of activations per input pixel, from the largest layer of one small forward pass.

    Three times the input and output of the largest layer, since skips and dense connections keep some layers alive.
    `conditioner` makes the network's conditions.
    """
    largest = 0

    def measure(_module: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
        nonlocal largest
        tensors = [t for t in (*inputs, output) if isinstance(t, Tensor)]
        largest = max(largest, sum(t.numel() * t.element_size() for t in tensors))

    hooks = [m.register_forward_hook(measure) for m in network.modules() if not list(m.children())]
    side = rounded_up(max(_PROBE_SIDE, info.min_size), info.multiple_of)
    device = next(network.parameters()).device
    conditions = whole(conditioner(np.zeros((side, side, 3), np.uint8)), (side, side), device)
    try:
        with torch.inference_mode():
            lr = torch.zeros(1, info.channels, side, side, device=device)
            network(lr, **conditions)
    finally:
        for hook in hooks:
            hook.remove()
    in_and_out = 4 * info.channels * (1 + info.scale**2)
    return 3 * (largest / side**2 + in_and_out)


def auto_tile(
    network: nn.Module,
    info: ArchInfo,
    overlap: int,
    device: torch.device,
    conditioner: Conditioner = unconditioned,
) -> int:
    """Side of the largest useful tile.

    On CUDA from the free memory of the device; on a CPU from the network and the machine's total memory alone, so that
    runs are reproducible to the byte. `conditioner` makes the network's conditions.
    """
    if device.type == "cuda":
        budget, limit = torch.cuda.mem_get_info(device)[0] // 2, TILES[0]
    else:
        budget, limit = total_memory() // 16, _LARGEST_CPU_TILE
    need = bytes_per_pixel(network, info, conditioner)
    fitting = (t for t in TILES if t <= limit and (t + 2 * overlap) ** 2 * need <= budget)
    return next(fitting, SMALLEST_TILE)


def auto_batch(tile: int, overlap: int, device: torch.device) -> int:
    """Number of windows per forward pass: enough to keep the device busy on CUDA; one on a CPU, where batches are no
    faster and would make an image's bytes depend on its neighbours."""
    if device.type != "cuda":
        return 1
    return max(1, min(64, 512**2 // (tile + 2 * overlap) ** 2))


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether an error means that memory ran out, on a device or in the CPU allocator."""
    if isinstance(error, torch.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and "can't allocate memory" in str(error)


def release_cached(device: torch.device) -> None:
    """Return cached blocks to the device, so that a smaller tile fits."""
    if device.type == "cuda":
        torch.cuda.empty_cache()


def allocate(shape: tuple[int, ...], dtype: DTypeLike) -> NDArray[Any]:
    """Allocate a result array: in memory, or if it is very large in a temporary file that the system pages out.

    Raises:
        SrkitError: the disk has no room for that file.
    """
    size = math.prod(shape) * np.dtype(dtype).itemsize
    if size <= total_memory() // 4:
        return np.empty(shape, dtype)
    try:
        with tempfile.TemporaryFile(prefix="srkit-") as file:
            # Not a sparse file: if the disk filled up under a memory map, the process would be killed without an error.
            os.posix_fallocate(file.fileno(), 0, size)
            return np.memmap(file, dtype=dtype, mode="r+", shape=shape)
    except OSError as error:
        raise SrkitError(
            f"The result takes {size / 1e9:.1f} GB, which {shown(tempfile.gettempdir())} has no room for "
            f"({error.strerror}); free some space there, or set TMPDIR to another folder."
        ) from error
