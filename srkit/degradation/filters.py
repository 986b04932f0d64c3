"""Filters and resizes of images: by OpenCV on the CPU, several times as fast as PyTorch; otherwise by PyTorch.

Both give the same result up to rounding: borders are mirrored with the edge repeated, and pixels are areas whose outer
edges stay in place, so resizing causes no shift. Only PyTorch's are differentiable.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from srkit.ops.geometry import mirrored

Library = Literal["auto", "opencv", "torch"]
"""Implementation; auto: OpenCV for images on the CPU, PyTorch for others."""
Mode = Literal["area", "bilinear", "bicubic"]
MODES: tuple[Mode, ...] = ("area", "bilinear", "bicubic")

_USM_SIDE = 51  # taps; Real-ESRGAN's radius of 50
_USM_SIGMA = 0.3 * ((_USM_SIDE - 1) * 0.5 - 1) + 0.8  # as OpenCV derives it from the taps
_USM_WEIGHT = 0.5
_USM_THRESHOLD = 10 / 255
_COARSE = 4
_ALIKE = 1e-6  # maximum difference between the taps of separable kernels and their outer products
_LITTLE = 1e-5  # rings of taps of a smaller sum have no effect at 8 bit


def uses_opencv(x: Tensor, library: Library) -> bool:
    """Return whether OpenCV is used for x."""
    return library == "opencv" or (library == "auto" and x.device.type == "cpu")


def as_array(x: Tensor) -> NDArray[np.float32]:
    """Convert (1, 3, h, w) float32 on the CPU to (h, w, 3); a view if channels_last."""
    return np.ascontiguousarray(x.detach()[0].permute(1, 2, 0).numpy())


def from_array(array: NDArray[np.float32]) -> Tensor:
    """Convert (h, w, 3) to (1, 3, h, w), channels_last; a view."""
    return torch.from_numpy(array).permute(2, 0, 1)[None]


def filtered(x: Tensor, kernel: Tensor, library: Library = "auto") -> Tensor:
    """Correlate an image with a kernel.

    Args:
        x: (1, 3, h, w) float32.
        kernel: (k, k) float32 on the CPU, k odd.

    Returns:
        (1, 3, h, w).
    """
    kernel = _trimmed(kernel)
    if kernel.numel() == 1:
        return x * float(kernel)
    if not uses_opencv(x, library):
        radius = len(kernel) // 2
        around = _extended(_extended(x, 2, radius), 3, radius)
        return F.conv2d(around.transpose(0, 1), kernel.to(x)[None, None]).transpose(0, 1)
    import cv2

    taps, image = kernel.numpy(), as_array(x)
    column, row = taps.sum(1), taps.sum(0) / taps.sum()
    if abs(taps - np.outer(column, row)).max() < _ALIKE:
        return from_array(cv2.sepFilter2D(image, -1, row, column, borderType=cv2.BORDER_REFLECT))
    return from_array(cv2.filter2D(image, -1, taps, borderType=cv2.BORDER_REFLECT))


def resized(x: Tensor, size: tuple[int, int], mode: Mode, library: Library = "auto") -> Tensor:
    """Resize without antialiasing, as careless software does; `area` is the mean over a pixel's area.

    Args:
        x: (1, 3, h, w) float32.
        size: (height, width) of the result.

    Returns:
        (1, 3, height, width); bicubic (a = -0.75) overshoots and is not clipped.
    """
    if x.shape[2:] == size:
        return x
    if uses_opencv(x, library):
        import cv2

        codes = {"area": cv2.INTER_AREA, "bilinear": cv2.INTER_LINEAR, "bicubic": cv2.INTER_CUBIC}
        return from_array(cv2.resize(as_array(x), (size[1], size[0]), interpolation=codes[mode]))
    if mode == "area":
        rows, columns = _coverage(x.shape[2], size[0], x.device), _coverage(x.shape[3], size[1], x.device)
        return rows @ x @ columns.T
    return F.interpolate(x, size, mode=mode, align_corners=False)


def gaussian_kernel(sigma: float) -> Tensor:
    """Gaussian kernel (k, k) float32 of sum 1, k = 2 ceil(3 sigma) + 1; sigma > 0 in pixels."""
    radius = math.ceil(3 * sigma)
    offset = torch.arange(-radius, radius + 1, dtype=torch.float64)
    taps = (-0.5 * (offset / sigma).square()).softmax(0)
    return torch.outer(taps, taps).float()


def with_halo(x: Tensor, sigma: float, amount: float, library: Library = "auto") -> Tensor:
    """Sharpen with visible halos: add `amount` times the difference from a Gaussian blur, and clip.

    Args:
        x: (1, 3, h, w) float32.
        sigma: sigma of the Gaussian, in pixels.
        amount: at least 0.
    """
    return torch.add(x, x - filtered(x, gaussian_kernel(sigma), library), alpha=amount).clamp(0, 1)


def sharpened(x: Tensor, library: Library = "auto") -> Tensor:
    """Unsharp masking of edges alone: Real-ESRGAN's `USMSharp` with its weight and threshold.

    Adds half of the image's difference from its blur (51 taps, sigma 8), weighted by the blurred mask of differences
    above 10 levels of 8 bit. The blur is computed on a grid four times as coarse, which changes the result by less
    than a level.

    Args:
        x: (B, 3, h, w) float32 in [0, 1].

    Returns:
        (B, 3, h, w) in [0, 1], channels_last.
    """
    made = torch.cat([_sharpened(one, library) for one in torch.split(x, 1)])
    return made.contiguous(memory_format=torch.channels_last)


def _sharpened(x: Tensor, library: Library) -> Tensor:
    residual = x - _soft(x, library)
    mask = _soft((residual.abs() > _USM_THRESHOLD).to(x.dtype), library)
    return torch.lerp(x, (x + _USM_WEIGHT * residual).clamp_(0, 1), mask)


def _soft(x: Tensor, library: Library) -> Tensor:
    """Blur (1, 3, h, w) by a Gaussian of `_USM_SIGMA`."""
    height, width = x.shape[2:]
    coarse = resized(x, (-(-height // _COARSE), -(-width // _COARSE)), "area", library)
    return resized(filtered(coarse, _coarse_gaussian(), library), (height, width), "bilinear", library)


@lru_cache(maxsize=1)
@torch.inference_mode(False)
def _coarse_gaussian() -> Tensor:
    """Kernel of the coarse grid, narrowed by the blur of area averaging and bilinear interpolation."""
    variance = _USM_SIGMA**2 / _COARSE**2 - 1 / 12 - 1 / 6
    offset = torch.arange(-(_USM_SIDE // 2 // _COARSE), _USM_SIDE // 2 // _COARSE + 1, dtype=torch.float64)
    taps = (-0.5 * offset.square() / variance).softmax(0)
    return torch.outer(taps, taps).float()


def _trimmed(kernel: Tensor) -> Tensor:
    """Kernel without outer rings that have no effect."""
    radius = len(kernel) // 2
    offset = (torch.arange(len(kernel)) - radius).abs()
    ring = torch.maximum(offset[:, None], offset[None, :])
    mass = torch.zeros(radius + 1).index_add_(0, ring.flatten(), kernel.flatten().abs())
    outside = mass.flip(0).cumsum(0).flip(0)
    needed = max(0, int((outside >= _LITTLE).sum()) - 1)
    return kernel[radius - needed : radius + needed + 1, radius - needed : radius + needed + 1]


def _extended(x: Tensor, dim: int, radius: int) -> Tensor:
    around = torch.arange(-radius, x.shape[dim] + radius, device=x.device)
    return x.index_select(dim, mirrored(around, x.shape[dim]))


@lru_cache(maxsize=256)
@torch.inference_mode(False)
def _coverage(length: int, out_length: int, device: torch.device) -> Tensor:
    """Fraction of each output sample that each input sample covers, (out_length, length) float32."""
    ratio = length / out_length
    start = torch.arange(out_length, dtype=torch.float64)[:, None] * ratio
    sample = torch.arange(length, dtype=torch.float64)[None]
    shared = torch.minimum(start + ratio, sample + 1) - torch.maximum(start, sample)
    return (shared.clamp(min=0) / ratio).float().to(device)
