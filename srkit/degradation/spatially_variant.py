"""Spatially variant blur with a kernel per LR pixel, evaluated only at the sampled positions; its adjoint; codes.

For the kernel convention see `srkit.degradation.kernels`. The computation is organised by sampling phase: with HR
split into its s x s phases, each on the LR grid, each of the 441 taps is a multiply-add of two contiguous maps, without
441-fold copies of windows.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

from srkit.degradation.kernels import RADIUS, SIZE, TAPS, check_scale
from srkit.errors import UsageError
from srkit.ops.code_blur import CodeBlur, folded

_STRIP = 16_384  # LR pixels per strip: the data of a tap then fits in a core's cache


def blur(hr: Tensor, kernels: Tensor, scale: int) -> Tensor:
    """Blur and subsample: LR[i, j] = sum over u, v of K_ij[u, v] HR[s i + u - 10, s j + v - 10], the edge repeated.

    Exact, and differentiable (once) in both. The computation runs in strips of rows, so that memory beyond the
    arguments and the result is bounded for any size.

    Args:
        hr: images (N, C, s h, s w), float.
        kernels: (N, 441, h, w); N may be 1 for all images.
        scale: 2, 3 or 4.

    Returns:
        (N, C, h, w), of the wider of both dtypes; neither clipped nor rounded.

    Raises:
        UsageError: mismatched shapes, or unsupported scale.
    """
    _check(hr.shape, kernels.shape, TAPS, scale)
    dtype = torch.promote_types(hr.dtype, kernels.dtype)
    blurred: Tensor = _Blur.apply(hr.to(dtype), kernels.to(dtype).expand(len(hr), -1, -1, -1), scale)
    return blurred


def blur_codes(hr: Tensor, codes: Tensor, basis: Tensor, scale: int) -> Tensor:
    """`blur` with kernels given as codes, without decoding them: HR is blurred with each kernel of the basis.

    Blur is linear in the kernel, so the codes weight the K blurred images instead of the K kernels. As in `decode`,
    the result is divided by the sum of the decoded taps.

    Args:
        hr: images (N, C, s h, s w), float.
        codes: (N, K, h, w); N may be 1 for all images.
        basis: (K, 21, 21): see `srkit.degradation.pca`.
        scale: 2, 3 or 4.

    Returns:
        (N, C, h, w); differentiable in all three.

    Raises:
        UsageError: mismatched shapes, or unsupported scale.
    """
    _check(hr.shape, codes.shape, len(basis), scale)
    height, width = codes.shape[2:]
    strips = []
    for top, bottom in _strips(len(hr), height, width):
        part = CodeBlur(codes[:, :, top:bottom], basis.to(codes.dtype), scale)
        strips.append(part.of_surroundings(_surroundings(hr, top, bottom, width, scale)))
    return torch.cat(strips, dim=2)


def blur_window(hr: Tensor, kernels: Tensor, scale: int, margin: int) -> Tensor:
    """`blur` of a part of an image, cut with its surroundings; not differentiable.

    Args:
        hr: (N, C, s h + 2 margin, s w + 2 margin): `margin` pixels more than LR covers on each side.
        kernels: (N, 441, h, w), or (N, 21, 21): one for all pixels of an image, which is ten times as fast.
        scale: 2, 3 or 4.
        margin: at least 10, the radius of the kernels.

    Returns:
        (N, C, h, w): the same values as `blur` of the whole image.

    Raises:
        UsageError: mismatched shapes, too small a margin, or unsupported scale.
    """
    if margin < RADIUS:
        raise UsageError(
            f"A part with a margin of {margin} pixels was to be blurred; at least {RADIUS} are needed."
        )
    if kernels.ndim == 3:
        _check_same(hr, kernels, scale)
        ends = (margin - RADIUS, RADIUS - margin)
        inside = hr[:, :, slice(ends[0], ends[1] or None), slice(ends[0], ends[1] or None)]
        return _convolved(inside, kernels, scale)
    inner = (*hr.shape[:2], *(side - 2 * margin for side in hr.shape[2:]))
    _check(inner, kernels.shape, TAPS, scale)
    return _blur(hr, kernels.expand(len(hr), -1, -1, -1), scale, margin)


def blur_same(hr: Tensor, kernels: Tensor, scale: int) -> Tensor:
    """`blur` with one kernel for all pixels of an image: a strided convolution, ten times as fast.

    Args:
        hr: images (N, C, s h, s w), float.
        kernels: (N, 21, 21), of the same dtype.

    Returns:
        (N, C, h, w); differentiable in both.
    """
    _check_same(hr, kernels, scale)
    return _convolved(F.pad(hr, (RADIUS, RADIUS, RADIUS, RADIUS), mode="replicate"), kernels, scale)


def _convolved(around: Tensor, kernels: Tensor, scale: int) -> Tensor:
    weight = kernels[:, None].repeat_interleave(around.shape[1], dim=0)
    blurred = F.conv2d(around.flatten(0, 1)[None], weight, stride=scale, groups=len(weight))[0]
    return blurred.view(*around.shape[:2], *blurred.shape[1:])


def _check_same(hr: Tensor, kernels: Tensor, scale: int) -> None:
    check_scale(scale)
    if hr.ndim != 4 or kernels.shape != (len(hr), SIZE, SIZE):
        raise UsageError(
            f"Images of shape {tuple(hr.shape)} were to be blurred with kernels of shape {tuple(kernels.shape)}; "
            f"one of 21 x 21 for each is needed."
        )


def _check(hr: tuple[int, ...], kernels: tuple[int, ...], channels: int, scale: int) -> None:
    check_scale(scale)
    height, width = kernels[2:]
    fits = len(hr) == 4 and kernels[1] == channels and kernels[0] in (1, hr[0])
    if not fits or tuple(hr[2:]) != (height * scale, width * scale):
        raise UsageError(
            f"Images of shape {tuple(hr)} were to be blurred with a map of shape {tuple(kernels)} at x{scale}; "
            f"the map must be (N or 1, {channels}, H / {scale}, W / {scale})."
        )


class _Blur(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, hr: Tensor, kernels: Tensor, scale: int) -> Tensor:
        ctx.save_for_backward(hr, kernels)
        ctx.scale = scale
        return _blur(hr, kernels, scale)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        hr, kernels = ctx.saved_tensors
        of_hr = _adjoint(grad, kernels, ctx.scale) if ctx.needs_input_grad[0] else None
        of_kernels = None
        if ctx.needs_input_grad[1]:
            of_kernels = torch.empty_like(kernels, memory_format=torch.contiguous_format)
            height, width = kernels.shape[2:]
            for top, bottom in _strips(len(hr), height, width):
                phases, part = _phases(hr, top, bottom, width, ctx.scale), grad[:, :, top:bottom]
                for tap, seen in enumerate(_seen(phases, bottom - top, width, ctx.scale)):
                    torch.sum(seen * part, dim=1, out=of_kernels[:, tap, top:bottom])
        return of_hr, of_kernels, None


def _blur(hr: Tensor, kernels: Tensor, scale: int, margin: int = 0) -> Tensor:
    """Implementation of `blur`, with the margin of `blur_window`."""
    height, width = kernels.shape[2:]
    out = hr.new_zeros(*hr.shape[:2], height, width)
    for top, bottom in _strips(len(hr), height, width):
        part = out[:, :, top:bottom]
        phases = _phases(hr, top, bottom, width, scale, margin)
        for tap, seen in enumerate(_seen(phases, bottom - top, width, scale)):
            part.addcmul_(seen, kernels[:, tap, None, top:bottom])
    return out


def _adjoint(lr: Tensor, kernels: Tensor, scale: int) -> Tensor:
    """Adjoint of `blur` in the image: <blur(x, K), y> = <x, _adjoint(y, K)> for every x and y."""
    count, channels, height, width = lr.shape
    around = lr.new_zeros(count, channels, height * scale + 2 * RADIUS, width * scale + 2 * RADIUS)
    for top, bottom in _strips(count, height, width):
        part = lr[:, :, top:bottom]
        rows, columns = _reach(bottom - top, scale), _reach(width, scale)
        phases = lr.new_zeros(count, scale, scale, channels, rows, columns)
        for tap, seen in enumerate(_seen(phases, bottom - top, width, scale)):
            seen.addcmul_(part, kernels[:, tap, None, top:bottom])
        together = phases.permute(0, 3, 4, 1, 5, 2).reshape(count, channels, rows * scale, columns * scale)
        place = around[:, :, top * scale : (bottom - 1) * scale + SIZE, : (width - 1) * scale + SIZE]
        place += together[:, :, : place.shape[2], : place.shape[3]]
    return folded(folded(around, 2, RADIUS, height * scale), 3, RADIUS, width * scale)


def _strips(count: int, height: int, width: int) -> Iterator[tuple[int, int]]:
    """Yield the LR rows of every strip as (first, last + 1)."""
    rows = max(1, _STRIP // (count * width))
    for top in range(0, height, rows):
        yield top, min(height, top + rows)


def _reach(length: int, scale: int) -> int:
    """Number of LR pixels of a phase that `length` windows cover."""
    return length + (SIZE - 1) // scale


def _surroundings(hr: Tensor, top: int, bottom: int, width: int, scale: int, margin: int = 0) -> Tensor:
    """HR under the windows of LR rows top..bottom, from 10 before the first, in whole phases; the edge repeated."""
    places = []
    for start, end, side in ((top, bottom, hr.shape[2]), (0, width, hr.shape[3])):
        reach = torch.arange(_reach(end - start, scale) * scale, device=hr.device)
        places.append((reach + start * scale + margin - RADIUS).clamp(0, side - 1))
    return hr.index_select(2, places[0]).index_select(3, places[1])


def _phases(hr: Tensor, top: int, bottom: int, width: int, scale: int, margin: int = 0) -> Tensor:
    """Surroundings by phase, (N, s, s, C, rows, columns), each on the LR grid and contiguous."""
    around = _surroundings(hr, top, bottom, width, scale, margin)
    count, channels, rows, columns = around.shape
    split = around.reshape(count, channels, rows // scale, scale, columns // scale, scale)
    return split.permute(0, 3, 5, 1, 2, 4).contiguous()


def _seen(phases: Tensor, height: int, width: int, scale: int) -> Iterator[Tensor]:
    """Yield the HR values at each tap in order, (N, C, height, width), as views."""
    for u in range(SIZE):
        for v in range(SIZE):
            top, left = u // scale, v // scale
            yield phases[:, u % scale, v % scale, :, top : top + height, left : left + width]
