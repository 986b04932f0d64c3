"""Bicubic resampling of whole images of any size, in strips that bound memory."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from srkit.engine.memory import allocate
from srkit.ops.resize import taps

_STRIP_BYTES = 64 * 2**20


def resample(pixels: NDArray[Any], height: int, width: int) -> NDArray[Any]:
    """Antialiased bicubic resize, (H, W, C) uint8 or uint16 to (height, width, C) of the same type, rounded once.

    Equals `srkit.ops.resize.bicubic` of the whole image in fp32.
    """
    if pixels.shape[:2] == (height, width):
        return pixels
    top = int(np.iinfo(pixels.dtype).max)
    result = allocate((height, width, pixels.shape[2]), pixels.dtype)
    row_index, row_weight = taps(pixels.shape[0], height, None)
    column_index, column_weight = taps(pixels.shape[1], width, None)
    row_weight, column_weight = row_weight.float(), column_weight.float()
    strip = max(1, _STRIP_BYTES // (4 * pixels.shape[2] * max(width, pixels.shape[1]) * len(row_index)))
    for start in range(0, height, strip):
        index = row_index[:, start : start + strip]
        first, last = int(index.min()), int(index.max())
        slab = torch.from_numpy(pixels[first : last + 1].astype(np.float32))
        wide = sum(slab[:, i] * w[None, :, None] for i, w in zip(column_index, column_weight, strict=True))
        weight = row_weight[:, start : start + strip]
        out = sum(wide[i - first] * w[:, None, None] for i, w in zip(index, weight, strict=True))
        result[start : start + strip] = out.add_(0.5).floor_().clamp_(0, top).numpy().astype(pixels.dtype)
    return result
