"""MANet's six modes of spatially variant Gaussian blur, as maps of covariance.

They follow `stable_batch_kernel_SV_mode` in `codes/utils/util.py` of JingyunLiang/MANet at commit eaf8265: kernels
are constant in blocks of 40 x 40 HR pixels, and the eigenvalues range from narrow = 0.175 s to wide = 2.5 s. With y
(downwards) and x (to the right) from 0 at the first block towards 1 after the last, and lam1 along theta (0: to the
right):

    1   lam1 = wide              lam2 grows with y      theta = 0
    2   lam1 grows with x        lam2 grows with y      theta = 0
    3   lam1 = wide              lam2 = narrow           theta = pi y
    4   lam1 grows with x        lam2 grows with y      theta = pi y
    5   all three are drawn for every block, lam1 and lam2 from [narrow, wide], theta from [0, pi)
    6   lam1 = wide              lam2 = narrow           theta = pi / 4 or 3 pi / 4 in a checkerboard
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from srkit.degradation.kernels import check_scale, covariance_of, largest_width, smallest_width
from srkit.errors import check_known

BLOCK = 40
"""Side of a block of constant kernels, in HR pixels."""


@dataclass(frozen=True)
class _Grid:
    """Blocks of an image: y (rows, 1) and x (1, columns) in [0, 1), and the range of the eigenvalues."""

    y: Tensor
    x: Tensor
    narrow: float
    wide: float
    rng: torch.Generator

    def grown(self, along: Tensor) -> Tensor:
        return self.narrow + (self.wide - self.narrow) * along

    def chessboard(self) -> Tensor:
        rows, columns = (torch.arange(t.numel()).view(t.shape) for t in (self.y, self.x))
        return (rows + columns) % 2


_Axes = tuple[Tensor | float, Tensor | float, Tensor | float]


def _drawn(grid: _Grid) -> _Axes:
    uniform = torch.rand(3, grid.y.numel(), grid.x.numel(), generator=grid.rng)
    return grid.grown(uniform[0]), grid.grown(uniform[1]), math.pi * uniform[2]


MODES: Mapping[str, Callable[[_Grid], _Axes]] = {
    "mode1": lambda grid: (grid.wide, grid.grown(grid.y), 0.0),
    "mode2": lambda grid: (grid.grown(grid.x), grid.grown(grid.y), 0.0),
    "mode3": lambda grid: (grid.wide, grid.narrow, math.pi * grid.y),
    "mode4": lambda grid: (grid.grown(grid.x), grid.grown(grid.y), math.pi * grid.y),
    "mode5": _drawn,
    "mode6": lambda grid: (grid.wide, grid.narrow, math.pi / 4 * (1 + 2 * grid.chessboard())),
}
"""Functions of lam1, lam2 and theta of every block, by the mode's name."""


def mode_covariance(mode: str, height: int, width: int, scale: int, seed: int = 0) -> Tensor:
    """Covariance of the kernel of every LR pixel in one of `MODES`.

    An LR pixel belongs to the block of its top left HR pixel, as in MANet's code.

    Args:
        height, width: size of the LR image.
        seed: seed of mode 5; the other modes are deterministic.

    Returns:
        (1, 3, height, width): xx, xy, yy in squared HR pixels.

    Raises:
        UsageError: unknown mode, or a scale other than 2, 3 and 4.
    """
    check_scale(scale)
    check_known("mode", mode, MODES)
    blocks = [math.ceil(side * scale / BLOCK) for side in (height, width)]
    y, x = (torch.arange(count) / count for count in blocks)
    rng = torch.Generator().manual_seed(seed)
    grid = _Grid(y[:, None], x[None, :], smallest_width(scale), largest_width(scale), rng)
    covariance = covariance_of(*MODES[mode](grid)).expand(*blocks, 3)
    rows, columns = (torch.arange(side) * scale // BLOCK for side in (height, width))
    return covariance[rows][:, columns].permute(2, 0, 1)[None].contiguous()
