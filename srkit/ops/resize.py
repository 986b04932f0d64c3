"""Antialiased bicubic resizing that equals MATLAB's `imresize` (Keys' kernel, a = -0.5).

Two modes. `bicubic` is in floating point throughout and is differentiable. `bicubic_uint8` equals MATLAB on
uint8 images: rows first, then columns, each pass clipped and rounded half up to 8 bit. The low-resolution
benchmark images of the literature are made with the latter.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import torch
import torch.nn.functional as F
from torch import Tensor

from srkit.errors import UsageError
from srkit.ops.geometry import mirrored
from srkit.ops.layout import in_precision

_SUPPORT = 4.0  # width of Keys' cubic kernel in samples


def output_size(length: int, scale: float) -> int:
    """Length after resizing by `scale`, rounded up like in MATLAB's `imresize`."""
    # The small slack undoes binary fractions: 100 * 1.1 is 110.00000000000001.
    return max(1, math.ceil(length * scale - 1e-9))


def bicubic(x: Tensor, size: tuple[int, int], *, scale: float | None = None) -> Tensor:
    """Resize with Keys' kernel, widened by 1/scale when shrinking (antialiasing); differentiable.

    Args:
        x: images (N, C, H, W), any floating dtype and range; the arithmetic is done in that dtype.
        size: (height, width) of the result.
        scale: intended factor, if `size` was rounded from it; None: computed from the sizes.

    Returns:
        (N, C, height, width), same dtype. Overshoot is not clipped.
    """
    _check(x)
    x = _resize_dim(x, 2, size[0], scale)
    return _resize_dim(x, 3, size[1], scale)


def bicubic_uint8(x: Tensor, size: tuple[int, int], *, scale: float | None = None) -> Tensor:
    """Resize uint8 images sample for sample as MATLAB's `imresize` does.

    MATLAB resizes the dimension with the smaller factor first (rows if the factors are equal) in double precision,
    and rounds to uint8 after each pass. Args and shapes as in `bicubic`; dtype uint8 in and out. The result is
    channels_last; channels_last input, the layout of decoders, is fastest.
    """
    _check(x)
    if x.dtype != torch.uint8:
        raise UsageError(f"bicubic_uint8 was given {x.dtype}; it takes uint8, use bicubic for other dtypes.")
    passes = [(_rows_uint8, 1, size[0]), (_columns_uint8, 2, size[1])]
    if size[0] * x.shape[3] > size[1] * x.shape[2]:
        passes.reverse()
    x = x.permute(0, 2, 3, 1)
    for resize, dim, length in passes:
        if x.shape[dim] != length or scale not in (None, 1.0):
            x = resize(x, length, scale)
    return x.permute(0, 3, 1, 2)


def downscale_uint8(x: Tensor, scale: int) -> Tensor:
    """Downscale uint8 images, whose sides are multiples of `scale`, to the LR of benchmarks."""
    return bicubic_uint8(x, (x.shape[2] // scale, x.shape[3] // scale), scale=1 / scale)


def upscale(x: Tensor, scale: int) -> Tensor:
    """Bicubic upscaling by an integer factor; equals `bicubic` up to rounding, some eight times faster.

    An integer factor has one set of taps per phase, so this is one convolution to scale^2 channels and a
    PixelShuffle. It keeps x's dtype under autocast, and channels_last.
    """
    _check(x)
    weight = _phase_kernels(scale, x.shape[1], x.dtype, x.device)
    for dim in (2, 3):
        length = x.shape[dim]
        around = torch.arange(-_REACH, length + _REACH, device=x.device)
        x = x.index_select(dim, mirrored(around, length))
    with in_precision(x, None):
        return F.pixel_shuffle(F.conv2d(x, weight), scale)


_REACH = 2  # radius of the kernel in LR pixels when enlarging


@lru_cache(maxsize=32)
@torch.inference_mode(False)  # tensors made in inference mode could not be used for training later
def _phase_kernels(scale: int, channels: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    """Taps of every phase, (channels scale^2, channels, 5, 5); channels do not mix."""
    phase = (torch.arange(scale, dtype=torch.float64) + 0.5) / scale - 0.5
    tap = torch.arange(-_REACH, _REACH + 1, dtype=torch.float64)
    one = keys_cubic(phase[:, None] - tap[None, :])
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


# Number of result rows, and of samples of result columns, in one matrix product; multiplied by the factor when
# images grow. More would make the matrices mostly zeros, fewer would make the products slow.
_ROWS = 12
_COLUMNS = 24
_STRIP = 128  # rows that are processed at a time when columns are resized


def _rows_uint8(x: Tensor, height: int, scale: float | None) -> Tensor:
    """Resize rows, (N, H, W, C) to (N, height, W, C), rounded; by products of small matrices, faster than by taps."""
    block = _ROWS * max(1, height // x.shape[1])
    bands = _bands(x.shape[1], height, scale, block, 1, _float32_is_whole(x.device), x.device)
    samples = x.flatten(2)
    out = samples.new_empty(len(x), height, samples.shape[2])
    start = 0
    for first, matrix in bands.matrices:
        made, needed = matrix.shape
        part = samples[:, first : first + needed].to(matrix.dtype)
        y = torch.bmm(matrix.expand(len(x), -1, -1), part)
        _round_half_up(y, bands.unit, out[:, start : start + made])
        start += made
    return out.view(len(x), height, *x.shape[2:])


def _columns_uint8(x: Tensor, width: int, scale: float | None) -> Tensor:
    """Resize columns, (N, H, W, C) to (N, H, width, C), rounded."""
    count, height, before, channels = x.shape
    block = max(1, _COLUMNS // channels) * max(1, width // before)
    bands = _bands(before, width, scale, block, channels, _float32_is_whole(x.device), x.device)
    samples = x.flatten(2).flatten(0, 1)
    out = samples.new_empty(count * height, width * channels)
    for top in range(0, len(samples), _STRIP):
        part, result = samples[top : top + _STRIP].to(bands.dtype), out[top : top + _STRIP]
        y = torch.empty_like(result, dtype=bands.dtype)
        start = 0
        for first, matrix in bands.matrices:
            made, needed = matrix.shape
            torch.mm(part[:, first : first + needed], matrix.T, out=y[:, start : start + made])
            start += made
        _round_half_up(y, bands.unit, result)
    return out.view(count, height, width, channels)


def _round_half_up(y: Tensor, unit: int, out: Tensor) -> None:
    """Write y / unit to uint8 `out`, rounded half up and not half to even; overwrites y."""
    if unit > 1:
        # y / unit + 0.5 is a whole number or at least 1 / 2 unit from one, 2^-14; float32 errs by 2^-16 at most.
        y.div_(unit).add_(0.5 + 0.25 / unit)
    else:
        y.add_(0.5 + 1e-9)  # the slack absorbs the order of summation
    y.clamp_(0, 255.5)
    out.copy_(y.to(torch.int32))  # truncates; a direct conversion to uint8 takes three times as long


def _float32_is_whole(device: torch.device) -> bool:
    """True if float32 products have full float32 precision: torch settings and autocast can reduce it."""
    if device.type != "cpu" or torch.is_autocast_enabled("cpu"):
        return False
    try:
        return torch.get_float32_matmul_precision() == "highest"
    except RuntimeError:  # set through torch.backends to another value than the default
        return False


@dataclass(frozen=True)
class _Bands:
    """Taps of one dimension as matrices (result samples, input samples), each with its first input sample."""

    matrices: list[tuple[int, Tensor]]
    dtype: torch.dtype
    unit: int
    """Divisor of the matrices' products: see `_unit`."""


@lru_cache(maxsize=16)
@torch.inference_mode(False)
def _bands(
    length: int,
    out_length: int,
    scale: float | None,
    block: int,
    channels: int,
    float32: bool,
    device: torch.device,
) -> _Bands:
    """Matrices of `block` results each; with interleaved channels, a result is one sample of each channel."""
    index, weight = taps(length, out_length, scale)
    unit = _unit(weight, scale if scale is not None else out_length / length) if float32 else 1
    if unit > 1:
        weight = (weight * unit).round()
    missing = -out_length % block  # the last matrix is padded, and its result is cropped below
    index, weight = (torch.cat([t, t[:, -1:].expand(-1, missing)], 1) for t in (index, weight))
    index, weight = (t.view(len(t), -1, block).permute(1, 2, 0) for t in (index, weight))
    first = index.amin((1, 2))
    needed = int((index.amax((1, 2)) - first).max()) + 1
    first = first.clamp(max=length - needed)
    matrix = torch.zeros(len(first), block, needed, dtype=torch.float64)
    # At a border one sample may occur several times.
    matrix.scatter_add_(2, index - first[:, None, None], weight)
    each = torch.eye(channels, dtype=torch.float64)[:, None]
    matrix = (matrix[:, :, None, :, None] * each).flatten(3).flatten(1, 2)
    dtype = torch.float32 if unit > 1 else torch.float64
    matrices = list(matrix.to(device, dtype))
    matrices[-1] = matrices[-1][: (block - missing) * channels]
    return _Bands(list(zip((first * channels).tolist(), matrices, strict=True)), dtype, unit)


_LARGEST_UNIT = 2**13


def _unit(weight: Tensor, factor: float) -> int:
    """Factor that makes the taps integers, if their products with 8-bit samples are then exact in float32; else 1.

    A whole factor s, or 1 / s, samples Keys' cubic at multiples of 1 / s where s is odd, of 1 / 2s where it is even.
    Its values there are multiples of 1 / s^3 and 1 / 16 s^3; shrinking divides them by s once more. Sums of products
    stay below 255 * 1.25 * 2^13, since taps in absolute value sum to 1.25 at most: well within float32's 2^24.
    """
    whole = round(max(factor, 1 / factor))
    unit = (16 if whole % 2 == 0 else 1) * whole ** (3 if factor >= 1 else 4)
    scaled = weight * unit
    exact = unit <= _LARGEST_UNIT and bool((scaled - scaled.round()).abs().max() < 1e-6)
    return unit if exact else 1


@lru_cache(maxsize=64)
@torch.inference_mode(False)
def taps(length: int, out_length: int, scale: float | None) -> tuple[Tensor, Tensor]:
    """Sample indices (K, out) and float64 weights (K, out) of one dimension; borders are mirrored (edge repeated).

    Each output sample is the sum over K of weight times the input sample at index. Read-only, since it is cached.
    """
    factor = scale if scale is not None else out_length / length
    stretch = min(factor, 1.0)
    support = _SUPPORT / stretch
    out = torch.arange(1, out_length + 1, dtype=torch.float64)
    centre = out / factor + 0.5 * (1 - 1 / factor)
    left = torch.floor(centre - support / 2)
    taps = math.ceil(support) + 2
    position = left[None, :] + torch.arange(taps, dtype=torch.float64)[:, None]
    weight = stretch * keys_cubic(stretch * (centre[None, :] - position))
    weight /= weight.sum(0, keepdim=True)
    index = mirrored(position.to(torch.int64) - 1, length)
    used = (weight != 0).any(1)
    return index[used].contiguous(), weight[used].contiguous()


def keys_cubic(x: Tensor) -> Tensor:
    """Keys' cubic convolution kernel with a = -0.5 (Keys 1981, Eq. 15)."""
    a = x.abs()
    near = (1.5 * a - 2.5) * a * a + 1
    far = ((-0.5 * a + 2.5) * a - 4) * a + 2
    return torch.where(a <= 1, near, torch.where(a <= 2, far, torch.zeros_like(a)))
