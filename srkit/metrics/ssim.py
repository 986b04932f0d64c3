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
_C1 = 0.01**2  # (K1 L)^2 with data range L = 1, which equals L = 255 on pictures in [0, 255]
_C2 = 0.03**2
# Rows of the result that are worked on at a time. On a CPU the temporaries of a strip stay in a core's cache; a GPU
# wants fewer and larger pieces.
_STRIP = {"cpu": 32}
_LARGE_STRIP = 128


def ssim(sr: Tensor, hr: Tensor) -> Tensor:
    """Mean SSIM over the valid region and the channels, in float64, for pictures in [0, 1].

    11 x 11 Gaussian window with sigma 1.5, K1 = 0.01, K2 = 0.03, population covariance: Eq. 13 of the paper and
    its `ssim_index.m`, without that file's downsampling.

    Args:
        sr, hr: (N, C, H, W), same shape, H and W at least 11; colour, border and rounding are the protocol's matter.

    Returns:
        (N,); 1 where the two are identical. A picture's value does not depend on the others in the batch.

    Raises:
        UsageError: shapes that differ, or a side below 11.
    """
    _check(sr, hr)
    count = sr.shape[1] * (sr.shape[2] - WINDOW + 1) * (sr.shape[3] - WINDOW + 1)
    totals = []
    for x, y in zip(sr, hr, strict=True):
        total = torch.zeros((), dtype=torch.float64, device=sr.device)
        for strip in _strips(x, y):
            total += strip.sum()
        totals.append(total / count)
    return torch.stack(totals)


def ssim_map(sr: Tensor, hr: Tensor) -> Tensor:
    """SSIM at every position where the window lies inside the picture: see `ssim`.

    Args:
        sr, hr: (N, C, H, W) in [0, 1].

    Returns:
        (N, C, H - 10, W - 10), float64; its mean is `ssim`.

    Raises:
        UsageError: as `ssim`.
    """
    _check(sr, hr)
    return torch.stack([torch.cat(list(_strips(x, y)), dim=1) for x, y in zip(sr, hr, strict=True)])


def _check(sr: Tensor, hr: Tensor) -> None:
    if sr.shape != hr.shape or sr.ndim != 4 or 0 in sr.shape[:2]:
        raise UsageError(
            f"SSIM was given shapes {tuple(sr.shape)} and {tuple(hr.shape)}; they must be the same, (N, C, H, W)."
        )
    if min(sr.shape[2:]) < WINDOW:
        raise UsageError(
            f"SSIM was given pictures of {sr.shape[3]} x {sr.shape[2]} pixels; both sides must be at least {WINDOW}."
        )


def _strips(x: Tensor, y: Tensor) -> Iterator[Tensor]:
    """The map of one picture (C, H, W) in strips of rows (C, rows, W - 10)."""
    rows = x.shape[1] - WINDOW + 1
    strip = _STRIP.get(x.device.type, _LARGE_STRIP)
    for top in range(0, rows, strip):
        part = slice(top, min(top + strip, rows) + WINDOW - 1)
        yield _map(x[:, part].to(torch.float64), y[:, part].to(torch.float64))


def _map(x: Tensor, y: Tensor) -> Tensor:
    """SSIM of x and y through their sum and difference, which takes four blurs where the definition takes five.

    With s = x + y and d = x - y: 4 E[xy] = E[s^2] - E[d^2] and 2 E[x^2 + y^2] = E[s^2] + E[d^2]; the same holds for
    products of means. The common factors are taken up by the constants.
    """
    moments = x.new_empty((4, *x.shape))
    torch.add(x, y, out=moments[0])
    torch.sub(x, y, out=moments[1])
    torch.square(moments[:2], out=moments[2:])
    mean_s, mean_d, var_s, var_d = _blur(moments)
    mean_s.square_()
    mean_d.square_()
    var_s -= mean_s
    var_d -= mean_d
    above: Tensor = (mean_s - mean_d).add_(2 * _C1).mul_((var_s - var_d).add_(2 * _C2))
    below = mean_s.add_(mean_d).add_(2 * _C1).mul_(var_s.add_(var_d).add_(2 * _C2))
    return above.div_(below)


def _blur(x: Tensor) -> Tensor:
    """Gaussian window over the last two dimensions of a strip, valid region; it is symmetric and separable.

    Down the few rows of a strip the product with a banded matrix is fastest, along them adding shifted copies.
    """
    x = _rows_matrix(x.shape[-2] - WINDOW + 1, x.device) @ x
    half, taps = WINDOW // 2, _taps()
    length = x.shape[-1] - WINDOW + 1
    out = x[..., half : half + length] * taps[half]
    for k in range(half):
        mirrored = WINDOW - 1 - k
        out.add_(x[..., k : k + length] + x[..., mirrored : mirrored + length], alpha=taps[k])
    return out


@lru_cache
def _taps() -> tuple[float, ...]:
    """The window in one dimension; sums to one."""
    values = [math.exp(-((k - WINDOW // 2) ** 2) / (2 * _SIGMA_PX**2)) for k in range(WINDOW)]
    return tuple(value / sum(values) for value in values)


@lru_cache
@torch.inference_mode(False)
def _rows_matrix(rows: int, device: torch.device) -> Tensor:
    """(rows, rows + 10): the window at every row. Not to be written to: cached."""
    matrix = torch.zeros(rows, rows + WINDOW - 1, dtype=torch.float64)
    for k, tap in enumerate(_taps()):
        matrix.diagonal(k).fill_(tap)
    return matrix.to(device)
