"""Antialiased bicubic resizing that equals MATLAB's `imresize` (Keys' kernel, a = -0.5).

Two modes. `bicubic` keeps floating point from end to end and is differentiable. `bicubic_uint8` does what
MATLAB does to uint8 pictures: rows first, then columns, each pass clipped and rounded half up to 8 bit.
The low-resolution benchmark pictures of the literature come from the latter.
"""

from __future__ import annotations

import math
from functools import lru_cache

import torch
import torch.nn.functional as F
from torch import Tensor

from srkit.errors import UsageError
from srkit.ops.padding import mirrored

_SUPPORT = 4.0  # width of Keys' cubic kernel in samples


def output_size(length: int, scale: float) -> int:
    """Length after resizing by `scale`, as MATLAB's `imresize` rounds it (up)."""
    # The small slack undoes binary fractions: 100 * 1.1 is 110.00000000000001.
    return max(1, math.ceil(length * scale - 1e-9))


def bicubic(x: Tensor, size: tuple[int, int], *, scale: float | None = None) -> Tensor:
    """Resize with Keys' kernel, widened by 1/scale when shrinking (antialiasing); differentiable.

    Args:
        x: pictures (N, C, H, W), any floating dtype and range; the arithmetic is done in that dtype.
        size: (height, width) of the result.
        scale: factor that the caller meant, where `size` was rounded from it; else taken from the sizes.

    Returns:
        (N, C, height, width), same dtype. Overshoot is not clipped.
    """
    _check(x)
    x = _resize_dim(x, 2, size[0], scale)
    return _resize_dim(x, 3, size[1], scale)


def bicubic_uint8(x: Tensor, size: tuple[int, int], *, scale: float | None = None) -> Tensor:
    """Resize uint8 pictures sample for sample as MATLAB's `imresize` does.

    MATLAB works through the dimension with the smaller factor first, rows where they are equal, in double
    precision, and rounds to uint8 after each pass. Args and shapes as in `bicubic`; dtype uint8 in and out.
    """
    _check(x)
    if x.dtype != torch.uint8:
        raise UsageError(f"bicubic_uint8 was given {x.dtype}; it takes uint8, use bicubic for other dtypes.")
    dims = [2, 3]
    if size[0] * x.shape[3] > size[1] * x.shape[2]:
        dims.reverse()
    for dim in dims:
        x = _resize_dim_uint8(x, dim, size[dim - 2], scale)
    return x


def downscale_uint8(x: Tensor, scale: int) -> Tensor:
    """Low-resolution version of uint8 pictures whose sides are multiples of `scale` (the LR of benchmarks)."""
    return bicubic_uint8(x, (x.shape[2] // scale, x.shape[3] // scale), scale=1 / scale)


def upscale(x: Tensor, scale: int) -> Tensor:
    """Bicubic upscaling by an integer factor; equals `bicubic` up to rounding, some eight times faster.

    An integer factor has as many sets of taps as it has phases, so the whole is one convolution to scale^2
    channels and a PixelShuffle. It stays in x's dtype under autocast, and keeps channels_last.
    """
    _check(x)
    weight = _phase_kernels(scale, x.shape[1], x.dtype, x.device)
    for dim in (2, 3):
        length = x.shape[dim]
        around = torch.arange(-_REACH, length + _REACH, device=x.device)
        x = x.index_select(dim, mirrored(around, length))
    with torch.autocast(x.device.type, enabled=False):
        return F.pixel_shuffle(F.conv2d(x, weight), scale)


_REACH = 2  # LR pixels that the kernel reaches to each side when enlarging


@lru_cache(maxsize=32)
@torch.inference_mode(False)  # what inference mode makes could not serve training later
def _phase_kernels(scale: int, channels: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    """(channels scale^2, channels, 5, 5): the taps of every phase, each channel by itself."""
    phase = (torch.arange(scale, dtype=torch.float64) + 0.5) / scale - 0.5
    tap = torch.arange(-_REACH, _REACH + 1, dtype=torch.float64)
    one = _keys_cubic(phase[:, None] - tap[None, :])
    both = (one[:, None, :, None] * one[None, :, None, :]).flatten(0, 1)
    weight = torch.zeros(channels, scale * scale, channels, *both.shape[1:], dtype=torch.float64)
    for c in range(channels):
        weight[c, :, c] = both
    return weight.flatten(0, 1).to(device, dtype, memory_format=torch.channels_last)


def _check(x: Tensor) -> None:
    if x.ndim != 4 or 0 in x.shape:
        raise UsageError(
            f"resize was given a tensor of shape {tuple(x.shape)}; it takes (N, C, H, W), none of them 0."
        )


def _resize_dim(x: Tensor, dim: int, length: int, scale: float | None) -> Tensor:
    if x.shape[dim] == length and (scale is None or scale == 1.0):
        return x
    index, weight = taps(x.shape[dim], length, scale)
    index = index.to(x.device)
    weight = weight.to(x.device, x.dtype)
    shape = [1, 1, 1, 1]
    shape[dim] = length
    out = x.index_select(dim, index[0]) * weight[0].view(shape)
    for k in range(1, index.shape[0]):
        out = torch.addcmul(out, x.index_select(dim, index[k]), weight[k].view(shape))
    return out


def _resize_dim_uint8(x: Tensor, dim: int, length: int, scale: float | None) -> Tensor:
    """One pass in float64, rounded; as products of small matrices, which is five times as fast as tap by tap."""
    if x.shape[dim] == length and (scale is None or scale == 1.0):
        return x
    shape = list(x.shape)
    shape[dim] = length
    out = x.new_empty(shape)
    start = 0
    for first, matrix in _blocks(x.shape[dim], length, scale, x.device):
        rows = x.narrow(dim, first, matrix.shape[1]).to(torch.float64)
        y = matrix @ rows if dim == 2 else rows @ matrix.T
        # Half up, not half to even; the slack absorbs the order of summation. Conversion to uint8 cuts off.
        out.narrow(dim, start, matrix.shape[0]).copy_(y.add_(0.5 + 1e-9).clamp_(0, 255.5))
        start += matrix.shape[0]
    return out


_BLOCK = 16  # output samples to a matrix: more would be mostly zeros, fewer would be slow to multiply


@lru_cache(maxsize=32)
@torch.inference_mode(False)
def _blocks(
    length: int, out_length: int, scale: float | None, device: torch.device
) -> list[tuple[int, Tensor]]:
    """The taps as matrices (<= _BLOCK, input samples), each with the index of its first input sample."""
    index, weight = taps(length, out_length, scale)
    blocks = []
    for start in range(0, out_length, _BLOCK):
        part, values = index[:, start : start + _BLOCK], weight[:, start : start + _BLOCK]
        first, last = int(part.min()), int(part.max())
        matrix = torch.zeros(part.shape[1], last - first + 1, dtype=torch.float64)
        matrix.scatter_add_(1, (part - first).T, values.T)  # at a border one sample may stand for several
        blocks.append((first, matrix.to(device)))
    return blocks


@lru_cache(maxsize=64)
@torch.inference_mode(False)
def taps(length: int, out_length: int, scale: float | None) -> tuple[Tensor, Tensor]:
    """Sample indices (K, out) and float64 weights (K, out) of one dimension, borders mirrored (edge repeated).

    Each output sample is the sum over K of weight times the input sample at index. Not to be written to: cached.
    """
    factor = scale if scale is not None else out_length / length
    stretch = min(factor, 1.0)
    support = _SUPPORT / stretch
    out = torch.arange(1, out_length + 1, dtype=torch.float64)
    centre = out / factor + 0.5 * (1 - 1 / factor)
    left = torch.floor(centre - support / 2)
    taps = math.ceil(support) + 2
    position = left[None, :] + torch.arange(taps, dtype=torch.float64)[:, None]
    weight = stretch * _keys_cubic(stretch * (centre[None, :] - position))
    weight /= weight.sum(0, keepdim=True)
    index = mirrored(position.to(torch.int64) - 1, length)
    used = (weight != 0).any(1)
    return index[used].contiguous(), weight[used].contiguous()


def _keys_cubic(x: Tensor) -> Tensor:
    """Keys' cubic convolution kernel with a = -0.5 (Keys 1981, Eq. 15)."""
    a = x.abs()
    near = (1.5 * a - 2.5) * a * a + 1
    far = ((-0.5 * a + 2.5) * a - 4) * a + 2
    return torch.where(a <= 1, near, torch.where(a <= 2, far, torch.zeros_like(a)))
