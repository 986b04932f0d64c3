"""Structural similarity (Wang, Bovik, Sheikh, Simoncelli 2004, IEEE TIP 13(4))."""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import lru_cache

import torch
from torch import Tensor

from srkit.errors import UsageError

WINDOW = 11
"""Side of the Gaussian window in pixels."""
_SIGMA_PX = 1.5
_C1 = 0.01**2  # (K1 L)^2 with data range L = 1, which equals L = 255 on images in [0, 255]
_C2 = 0.03**2
# Rows of the result that are processed at a time. On a CPU the temporaries of a strip fit in a core's cache; a GPU
# needs fewer and larger strips.
_STRIP = {"cpu": 16}
_LARGE_STRIP = 128
_BLOCK = 12  # columns of the result per product: more would be mostly zeros, fewer are slow to multiply


def ssim(sr: Tensor, hr: Tensor) -> Tensor:
    """Mean SSIM over the valid region and the channels, in float64, for images in [0, 1].

    11 x 11 Gaussian window with sigma 1.5, K1 = 0.01, K2 = 0.03, population covariance: Eq. 13 of the paper and
    its `ssim_index.m`, without that file's downsampling.

    Args:
        sr, hr: (N, C, H, W), same shape, H and W at least 11; colour space, border and rounding are left to the
            protocol.

    Returns:
        (N,); 1 for identical images. An image's value does not depend on the others in the batch.

    Raises:
        UsageError: mismatched shapes, or a side below 11.
    """
    _check(sr, hr)
    totals = [torch.stack([strip.sum() for strip in _strips(x, y)]).sum() for x, y in _planes(sr, hr)]
    count = sr.shape[1] * (sr.shape[2] - WINDOW + 1) * (sr.shape[3] - WINDOW + 1)
    return torch.stack(totals).view(sr.shape[:2]).sum(1) / count


def _check(sr: Tensor, hr: Tensor) -> None:
    if sr.shape != hr.shape or sr.ndim != 4 or 0 in sr.shape[:2]:
        raise UsageError(
            f"SSIM was given shapes {tuple(sr.shape)} and {tuple(hr.shape)}; they must be the same, (N, C, H, W)."
        )
    if min(sr.shape[2:]) < WINDOW:
        raise UsageError(
            f"SSIM was given images of {sr.shape[3]} x {sr.shape[2]} pixels; both sides must be at least {WINDOW}."
        )


def _planes(sr: Tensor, hr: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    """Channels of all images, (H, W) each."""
    return zip(sr.flatten(0, 1), hr.flatten(0, 1), strict=True)


def _strips(x: Tensor, y: Tensor) -> Iterator[Tensor]:
    """Yield the map of a plane (H, W) in strips of rows, from `_Strip.map`; each is valid until the next."""
    rows, columns = (side - WINDOW + 1 for side in x.shape)
    at_a_time = min(_STRIP.get(x.device.type, _LARGE_STRIP), rows)
    work = _Strip(at_a_time, columns, x.device)
    for top in range(0, rows, at_a_time):
        if top + at_a_time > rows:
            work = _Strip(rows - top, columns, x.device)
        part = slice(top, top + at_a_time + WINDOW - 1)
        yield work.map(x[part].to(torch.float64), y[part].to(torch.float64))


class _Strip:
    """SSIM at `rows` x `columns` positions, with buffers that are reused for every strip.

    Computed from sum s and difference d of the images, which takes four blurs instead of the definition's five:
    4 xy = s^2 - d^2 and 2 (x^2 + y^2) = s^2 + d^2, for the means and for the means of products. The constants include
    the common factors. The result is exactly symmetric in x and y, and exactly 1 for identical images.

    The window is symmetric and separable. Both directions are products with banded matrices: one for all columns, then
    one per block of columns, of which the last is zero-padded.
    """

    def __init__(self, rows: int, columns: int, device: torch.device) -> None:
        blocks = -(-columns // _BLOCK)
        needed, width = _BLOCK + WINDOW - 1, blocks * _BLOCK + WINDOW - 1
        self.fields = torch.zeros(4, rows + WINDOW - 1, width, dtype=torch.float64, device=device)
        self.down = self.fields.new_empty(4, rows, width)
        self.down_in_blocks = self.down.as_strided((blocks, 4 * rows, needed), (_BLOCK, width, 1))
        self.blurred = self.fields.new_empty(blocks, 4 * rows, _BLOCK)
        self.by_field = self.blurred.view(blocks, 4, rows, _BLOCK).unbind(1)
        self.below = self.fields.new_empty(blocks, rows, _BLOCK)
        self.row_windows = _windows(rows, device).expand(4, -1, -1)
        self.column_windows = _windows(_BLOCK, device).T.expand(blocks, -1, -1)
        self.c1, self.c1_c2 = (self.fields.new_tensor(c) for c in (2 * _C1, 2 * _C1 + 2 * _C2))
        self.inside = (..., slice(columns + WINDOW - 1))
        self.filled_from = columns - (blocks - 1) * _BLOCK

    def map(self, x: Tensor, y: Tensor) -> Tensor:
        """Map both images (rows + 10, columns + 10) to SSIM (blocks, rows, columns of a block); 0 in the padding."""
        s, d, p, q = self.fields[self.inside]
        torch.add(x, y, out=s)
        torch.sub(x, y, out=d)
        torch.addcmul(self.c1_c2, s, s, out=q)  # the window sums to one, so constants may be added here
        torch.addcmul(q, d, d, out=p)
        q.addcmul_(d, d, value=-1)

        torch.bmm(self.row_windows, self.fields, out=self.down)
        torch.bmm(self.down_in_blocks, self.column_windows, out=self.blurred)

        s, d, p, q = self.by_field
        above = torch.addcmul(self.c1, s, s, out=s)
        below = torch.addcmul(above, d, d, out=self.below)
        above.addcmul_(d, d, value=-1)
        # 2 covariance + C2 = q - above, the sum of the variances + C2 = p - below
        above.mul_(q.sub_(above)).div_(below.mul_(p.sub_(below)))
        above[-1, :, self.filled_from :] = 0
        return above


@lru_cache
def _taps() -> tuple[float, ...]:
    """One-dimensional window of sum 1."""
    values = [math.exp(-((k - WINDOW // 2) ** 2) / (2 * _SIGMA_PX**2)) for k in range(WINDOW)]
    return tuple(value / sum(values) for value in values)


@lru_cache
@torch.inference_mode(False)
def _windows(rows: int, device: torch.device) -> Tensor:
    """Band matrix (rows, rows + 10) with the window in every row. Cached, so read-only."""
    matrix = torch.zeros(rows, rows + WINDOW - 1, dtype=torch.float64)
    for k, tap in enumerate(_taps()):
        matrix.diagonal(k).fill_(tap)
    return matrix.to(device)
