"""Positions of pixels, mirrored extension, and the dihedral transforms.

Positions are (x, y) of pixel centres; -1 and 1 are the image's edges, as with `align_corners=False` in
`torch.nn.functional.grid_sample`. Windows, transformed images and crops keep the positions of their source image.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from srkit.ops.layout import in_precision


def position_grid(height: int, width: int, device: torch.device | None = None) -> Tensor:
    """Positions of all pixels of an image: (1, 2, height, width), float32, x before y, each in (-1, 1)."""
    rows, columns = (torch.arange(side, device=device) for side in (height, width))
    return positions(rows, columns, height, width)


def positions(rows: Tensor, columns: Tensor, height: int, width: int) -> Tensor:
    """Positions of the pixels at `rows` (h,) and `columns` (w,) of an image of `height` x `width`: (1, 2, h, w)."""
    y, x = ((2 * i + 1).float() / side - 1 for i, side in ((rows, height), (columns, width)))
    shape = (len(rows), len(columns))
    return torch.stack([x[None, :].expand(shape), y[:, None].expand(shape)])[None]


def sample(maps: Tensor, position: Tensor) -> Tensor:
    """Bilinear samples of maps over whole images at given positions, constant beyond the outermost cells' centres.

    If a gradient is needed, this is a matrix product instead of `grid_sample`, whose derivative is not differentiable
    and, on CUDA, not deterministic.

    Args:
        maps: (N, C, gh, gw) of few cells; a cell's value belongs to its centre.
        position: (N, 2, h, w), any positions; sets the dtype of the arithmetic.

    Returns:
        (N, C, h, w), of the dtype of `position`.
    """
    with in_precision(maps, None):
        maps = maps.to(position.dtype)
        if torch.is_grad_enabled() and maps.requires_grad:
            return _product(maps, position)
        grid = position.permute(0, 2, 3, 1)
        return F.grid_sample(maps, grid, mode="bilinear", padding_mode="border", align_corners=False)


def _product(maps: Tensor, position: Tensor) -> Tensor:
    across, down = (_cell_weights(position[:, i], maps.shape[3 - i]) for i in (0, 1))
    weights = (down[..., :, None] * across[..., None, :]).flatten(-2).flatten(1, 2)
    sampled = weights @ maps.flatten(2).transpose(1, 2)
    return sampled.transpose(1, 2).reshape(*maps.shape[:2], *position.shape[2:])


def _cell_weights(position: Tensor, cells: int) -> Tensor:
    """Bilinear weights of the cells along one side at positions (N, h, w): (N, h, w, cells)."""
    at = ((position + 1) * (cells / 2) - 0.5).clamp(0, cells - 1)
    return (1 - (at[..., None] - torch.arange(cells, device=at.device)).abs()).clamp_min(0)


def rounded_up(side: int, multiple: int) -> int:
    """Smallest multiple of `multiple` that is at least `side`."""
    return -(-side // multiple) * multiple


def mirrored(position: Tensor, length: int) -> Tensor:
    """Positions of any sign and size, folded into [0, length) by mirrors at the edges; the edge pixel is repeated."""
    # The divisor is a tensor: the export to ONNX has no remainder by a size known only at run time.
    folded = torch.remainder(position, torch.full_like(position, 2 * length))
    return torch.where(folded < length, folded, 2 * length - 1 - folded)


def extend(x: Tensor, height: int, width: int) -> Tensor:
    """Extend (N, C, h, w) at the bottom and right to (N, C, height, width) by mirroring; x itself if it fits."""
    for dim, side in ((2, height), (3, width)):
        if x.shape[dim] < side:
            x = x.index_select(dim, mirrored(torch.arange(side, device=x.device), x.shape[dim]))
    return x


TURNS = 8
"""Number of dihedral transforms, 0..7: bit 0 transposes, then bit 1 flips rows and bit 2 columns."""


def turn(x: Tensor, kind: int) -> Tensor:
    """Dihedral transform `kind` of (N, C, H, W), as a view; bit 0 swaps H and W."""
    if kind & 1:
        x = x.transpose(2, 3)
    flips = [dim for dim, bit in ((2, 2), (3, 4)) if kind & bit]
    return x.flip(flips) if flips else x


def turn_back(x: Tensor, kind: int) -> Tensor:
    """The inverse of `turn`."""
    flips = [dim for dim, bit in ((2, 2), (3, 4)) if kind & bit]
    if flips:
        x = x.flip(flips)
    return x.transpose(2, 3) if kind & 1 else x
