"""Whole images made small with known kernels: what kernel estimation is tested on."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from srkit.degradation.defocus import defocus, on_lr_grid
from srkit.degradation.fields import GaussianField, KernelField, UniformField
from srkit.degradation.kernels import RADIUS, bicubic_kernel, check_scale
from srkit.degradation.modes import MODES, mode_covariance
from srkit.degradation.pca import sample_covariance, sample_motion
from srkit.degradation.spatially_variant import blur_window
from srkit.errors import UsageError, nearest
from srkit.ops.resize import downscale_uint8

_STRIP = 8192  # LR pixels that are worked on at a time


@dataclass(frozen=True)
class Degraded:
    """A low-resolution image and what is known of its making."""

    lr: NDArray[np.uint8]
    """(h, w, 3)."""
    field: KernelField
    """The kernels of its pixels; what all of them would take for a large image does not fit into memory."""
    depth: Tensor
    """(1, 1, h, w), inverse depth, min-max normalised; zeros where none was given."""


@dataclass(frozen=True)
class _Picture:
    """What a kind of blur may depend on."""

    size: tuple[int, int]
    scale: int
    seed: int
    depth: Tensor

    def rng(self) -> torch.Generator:
        return torch.Generator().manual_seed(self.seed)


def _invariant(picture: _Picture) -> KernelField:
    covariance = sample_covariance(picture.scale, 1, picture.rng()).float()
    return GaussianField(picture.scale, covariance.view(1, 3, 1, 1).expand(-1, -1, *picture.size))


def _defocused(picture: _Picture) -> KernelField:
    rng = picture.rng()
    # The focus lies where something is, away from the middle as often as in it.
    place = int(torch.randint(0, picture.depth.numel(), (1,), generator=rng))
    return GaussianField(
        picture.scale, defocus(picture.depth, float(picture.depth.flatten()[place]), picture.scale)
    )


def _moved(picture: _Picture) -> KernelField:
    return UniformField(sample_motion(picture.scale, 1, picture.rng())[0], picture.size)


def _bicubic(picture: _Picture) -> KernelField:
    return UniformField(bicubic_kernel(picture.scale), picture.size)


def _mode(name: str) -> Callable[[_Picture], KernelField]:
    return lambda picture: GaussianField(
        picture.scale, mode_covariance(name, *picture.size, picture.scale, picture.seed)
    )


KINDS: Mapping[str, Callable[[_Picture], KernelField]] = {
    "invariant": _invariant,
    **{name: _mode(name) for name in MODES},
    "defocus": _defocused,
    "motion": _moved,
    "bicubic": _bicubic,
}
"""The kinds of blur by name. A new one is a function here, and a line."""


def degrade(
    hr: NDArray[np.uint8],
    kind: str,
    scale: int,
    *,
    noise: float = 0.0,
    seed: int = 0,
    depth: NDArray[np.float32] | None = None,
) -> Degraded:
    """Blur, subsample, add noise, round to 8 bit: the same for the same arguments.

    Kinds: `invariant`, one Gaussian of MANet's range for the whole image, drawn from the seed; `mode1` to `mode6`,
    see `srkit.degradation.modes`; `defocus`, a thin lens focused on the depth of a pixel that is drawn; `motion`, one
    segment for the whole image; `bicubic`, the LR of benchmarks to the bit, whose border is mirrored and whose kernel
    is the field's only 10 HR pixels from it. Works in strips: 4096 x 4096
    pixels take less than 100 MB beside the image and the result.

    Args:
        hr: (s h, s w, 3) RGB.
        kind: one of `KINDS`.
        scale: 2, 3 or 4.
        noise: standard deviation of Gaussian noise, in levels of 8 bit.
        seed: of the kernels and the noise.
        depth: (s h, s w), inverse depth up to an affine map; `defocus` needs it, others tell it only.

    Raises:
        UsageError: an unknown kind, sides that are no multiples of the scale, negative noise, no depth for `defocus`,
            or one of another size.
    """
    check_scale(scale)
    if kind not in KINDS:
        raise UsageError(f"There is no blur '{kind}'; known are {', '.join(KINDS)}.{nearest(kind, KINDS)}")
    if hr.ndim != 3 or hr.shape[2] != 3 or hr.shape[0] % scale or hr.shape[1] % scale or not hr.size:
        raise UsageError(
            f"An image of shape {hr.shape} was to be made smaller by {scale}; "
            "it takes (H, W, 3) with sides that are multiples of the scale: crop it first."
        )
    if not 0 <= noise < math.inf:
        raise UsageError(f"Noise of {noise} levels was asked for; it is a standard deviation of 0 or more.")
    size = (hr.shape[0] // scale, hr.shape[1] // scale)
    known = _known_depth(hr, depth, kind, scale)
    field = KINDS[kind](_Picture(size, scale, seed, known))
    pixels = torch.from_numpy(np.ascontiguousarray(hr)).permute(2, 0, 1)[None]
    rng = torch.Generator().manual_seed(seed + 1)
    lr = torch.empty(1, 3, *size, dtype=torch.uint8)
    if kind == "bicubic":
        lr.copy_(_noisy(downscale_uint8(pixels, scale).float(), noise, rng))
    else:
        step = max(1, _STRIP // size[1])
        for top in range(0, size[0], step):
            bottom = min(size[0], top + step)
            lr[:, :, top:bottom] = _noisy(_blurred(pixels, field, scale, top, bottom), noise, rng)
    return Degraded(lr[0].permute(1, 2, 0).contiguous().numpy(), field, known)


def _known_depth(hr: NDArray[np.uint8], depth: NDArray[np.float32] | None, kind: str, scale: int) -> Tensor:
    """(1, 1, h, w)."""
    if depth is None:
        if kind == "defocus":
            raise UsageError(
                "Blur by defocus was asked for without a depth map; give one, such as a layered scene's."
            )
        return torch.zeros(1, 1, hr.shape[0] // scale, hr.shape[1] // scale)
    if depth.shape != hr.shape[:2]:
        raise UsageError(
            f"A depth map of shape {depth.shape} was given for an image of {hr.shape[0]} x {hr.shape[1]}; "
            "it must have the image's size."
        )
    return on_lr_grid(torch.from_numpy(np.ascontiguousarray(depth, dtype=np.float32))[None, None], scale)


def _blurred(hr: Tensor, field: KernelField, scale: int, top: int, bottom: int) -> Tensor:
    """LR rows top..bottom (1, 3, rows, w), in levels of 8 bit; the edge of HR is repeated."""
    rows = torch.arange(top * scale - RADIUS, bottom * scale + RADIUS).clamp(0, hr.shape[2] - 1)
    columns = torch.arange(-RADIUS, hr.shape[3] + RADIUS).clamp(0, hr.shape[3] - 1)
    around = hr.index_select(2, rows).index_select(3, columns).float()
    return blur_window(around, field.rows(top, bottom), scale, RADIUS)


def _noisy(levels: Tensor, noise: float, rng: torch.Generator) -> Tensor:
    if noise > 0:
        levels = levels + noise * torch.randn(levels.shape, generator=rng)
    return levels.round().clamp(0, 255).to(torch.uint8)
