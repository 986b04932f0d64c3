"""Measurement of the overlap that a network's tiles need: usually far less than the receptive field."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from srkit.archs.info import ArchInfo
from srkit.conditioning.values import Conditioner, unconditioned
from srkit.engine.runner import Plane, Runner, RunnerOptions
from srkit.errors import SrkitError

TILE = 64
# Measured in 16 bit, below one 8-bit level: images that are not measured must stay within 1/255 as well.
_TOLERANCE = int(0.6 * 65535 / 255)


def measure_overlap(
    network: nn.Module,
    info: ArchInfo,
    images: Sequence[NDArray[np.uint8]],
    device: torch.device,
    conditioner: Conditioner = unconditioned,
) -> int:
    """Smallest overlap in LR pixels at which tiles of 64 equal the whole image within 0.6/255 everywhere.

    The receptive field, if no image is large enough to be cut into tiles, or no overlap at which one is cut suffices.

    Args:
        network, info: network to be tiled, and its `ArchInfo`; run in fp32.
        images: natural LR images (h, w, 3).
        conditioner: maker of the network's conditions.

    Raises:
        SrkitError: the network fails on an image.
    """
    # Beyond this overlap a single window covers the largest image, and equality is trivial.
    largest = max((max(p.shape[:2]) for p in images), default=0)
    measurable = (largest - TILE - 1) // 2
    if measurable < 0:
        return info.receptive_field
    sources = [Plane(p.astype(np.uint16) * 257, None, conditioner(p)) for p in images]
    whole = [_run(network, info, p, None, 0, device) for p in sources]
    low, high = 0, min(info.receptive_field, measurable + 1)
    while low < high:  # the error falls with the overlap, so halving finds the smallest
        overlap = (low + high) // 2
        tiled = (_run(network, info, p, TILE, overlap, device) for p in sources)
        if all(_difference(a, b) <= _TOLERANCE for a, b in zip(tiled, whole, strict=True)):
            high = overlap
        else:
            low = overlap + 1
    return low if low <= measurable else info.receptive_field


def _difference(a: NDArray[Any], b: NDArray[Any]) -> int:
    return int(np.abs(a.astype(np.int32) - b.astype(np.int32)).max())


def _run(
    network: nn.Module,
    info: ArchInfo,
    image: Plane[None],
    tile: int | None,
    overlap: int,
    device: torch.device,
) -> NDArray[Any]:
    runner = Runner(network, info, RunnerOptions(device, torch.float32, tile, overlap))
    (result,) = (plane for plane in runner.run([image]) if plane is not None)
    if result.error is not None:
        raise SrkitError(
            f"The network failed while its overlap was measured ({result.error}); it cannot be run on tiles."
        ) from result.error
    return result.pixels
