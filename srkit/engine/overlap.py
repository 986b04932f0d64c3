"""How far tiles of a network must overlap: measured, since a receptive field is mostly empty at its rim."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from srkit.archs.info import ArchInfo
from srkit.engine.runner import Plane, Runner, RunnerOptions
from srkit.errors import SrkitError

TILE = 64
# Measured in 16 bit, to see below one 8-bit level: pictures not measured must stay within 1/255 as well.
_TOLERANCE = int(0.6 * 65535 / 255)


def measure_overlap(
    network: nn.Module, info: ArchInfo, pictures: Sequence[NDArray[np.uint8]], device: torch.device
) -> int:
    """The least overlap in LR pixels at which tiles of 64 equal the whole picture within 0.6/255 everywhere.

    Args:
        network, info: what is to be tiled; in fp32.
        pictures: natural LR pictures (h, w, 3), larger than a tile.

    Raises:
        SrkitError: the network fails on a picture.
    """
    sources = [p.astype(np.uint16) * 257 for p in pictures]
    whole = [_run(network, info, p, None, 0, device) for p in sources]
    low, high = 0, info.receptive_field
    while low < high:  # the error falls with the overlap, so halving finds the least
        overlap = (low + high) // 2
        tiled = (_run(network, info, p, TILE, overlap, device) for p in sources)
        if all(_difference(a, b) <= _TOLERANCE for a, b in zip(tiled, whole, strict=True)):
            high = overlap
        else:
            low = overlap + 1
    return low


def _difference(a: NDArray[Any], b: NDArray[Any]) -> int:
    return int(np.abs(a.astype(np.int32) - b.astype(np.int32)).max())


def _run(
    network: nn.Module,
    info: ArchInfo,
    picture: NDArray[Any],
    tile: int | None,
    overlap: int,
    device: torch.device,
) -> NDArray[Any]:
    runner = Runner(network, info, RunnerOptions(device, torch.float32, tile, overlap))
    (result,) = (plane for plane in runner.run([Plane(picture, None)]) if plane is not None)
    if result.error is not None:
        raise SrkitError(
            f"The network failed while its overlap was measured: {result.error}"
        ) from result.error
    return result.pixels
