"""Extending images beyond their edges."""

from __future__ import annotations

import torch
from torch import Tensor


def mirrored(position: Tensor, length: int) -> Tensor:
    """Positions of any sign and size folded into [0, length) by mirrors at the edges, the edge pixel repeated."""
    # A tensor for the divisor: the export to ONNX has no remainder by a size that is known at run time alone.
    folded = torch.remainder(position, torch.full_like(position, 2 * length))
    return torch.where(folded < length, folded, 2 * length - 1 - folded)


def extend(x: Tensor, height: int, width: int) -> Tensor:
    """Extend (N, C, h, w) at the bottom and the right to (N, C, height, width), mirrored; as it is if it fits."""
    for dim, side in ((2, height), (3, width)):
        if x.shape[dim] < side:
            x = x.index_select(dim, mirrored(torch.arange(side, device=x.device), x.shape[dim]))
    return x
