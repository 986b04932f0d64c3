"""Degradation of whole images by known kernels, for tests of kernel estimation.

All 441 taps of the kernels of a million LR pixels would take 1.8 GB, so a `KernelField` makes them from their
parameters (12 MB or less) for some rows at a time.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from srkit.degradation.defocus import defocus, on_lr_grid
from srkit.degradation.kernels import RADIUS, bicubic_kernel, check_scale, gaussian_map, moments
from srkit.degradation.modes import MODES, mode_covariance
from srkit.degradation.pca import encode, sample_covariance, sample_motion
from srkit.degradation.spatially_variant import blur_window
from srkit.errors import UsageError, nearest
from srkit.ops.resize import downscale_uint8

_STRIP = 8192  # LR pixels that are degraded at a time
_ROWS = 4096  # kernels that are encoded at a time


class KernelField(Protocol):
    """The kernels of all LR pixels of an image."""

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of LR."""

    def rows(self, top: int, bottom: int) -> Tensor:
        """Kernels (1, 441, bottom - top, w) of the rows from `top` to `bottom`."""

    def covariance(self) -> Tensor:
        """(1, 3, h, w): xx, xy, yy of every kernel in squared HR pixels, before sampling to 21 x 21 taps."""

    def codes(self, basis: Tensor) -> Tensor:
        """PCA codes (1, K, h, w) in a basis (K, 21, 21) of `srkit.degradation.pca`."""


@dataclass(frozen=True)
class GaussianField:
    """Gaussian kernels from their covariance."""

    scale: int
    covariances: Tensor
    """(1, 3, h, w)."""

    @property
    def size(self) -> tuple[int, int]:
        return self.covariances.shape[2], self.covariances.shape[3]

    def rows(self, top: int, bottom: int) -> Tensor:
        return gaussian_map(self.covariances[:, :, top:bottom], self.scale)

    def covariance(self) -> Tensor:
        return self.covariances

    def codes(self, basis: Tensor) -> Tensor:
        height, width = self.size
        codes = self.covariances.new_empty(1, len(basis), height, width)
        step = max(1, _ROWS // width)
        for top in range(0, height, step):
            bottom = min(height, top + step)
            codes[:, :, top:bottom] = encode(self.rows(top, bottom), basis)
        return codes


@dataclass(frozen=True)
class UniformField:
    """One kernel for all pixels."""

    kernel: Tensor
    """(21, 21)."""
    size: tuple[int, int]

    def rows(self, top: int, bottom: int) -> Tensor:
        return self.kernel.view(1, -1, 1, 1).expand(-1, -1, bottom - top, self.size[1])

    def covariance(self) -> Tensor:
        return moments(self.kernel)[1].view(1, 3, 1, 1).expand(-1, -1, *self.size)

    def codes(self, basis: Tensor) -> Tensor:
        return encode(self.kernel.view(1, -1, 1, 1), basis).expand(-1, -1, *self.size)


@dataclass(frozen=True)
class Degraded:
    """LR and the ground truth of its degradation."""

    lr: NDArray[np.uint8]
    """(h, w, 3)."""
    field: KernelField
    """The kernels of its pixels."""
    depth: Tensor
    """(1, 1, h, w), inverse depth, min-max normalised; zeros where none was given."""


@dataclass(frozen=True)
class _Image:
    """The arguments of a kind of blur."""

    size: tuple[int, int]
    scale: int
    seed: int
    depth: Tensor

    def rng(self) -> torch.Generator:
        return torch.Generator().manual_seed(self.seed)


def _invariant(image: _Image) -> KernelField:
    covariance = sample_covariance(image.scale, 1, image.rng()).float()
    return GaussianField(image.scale, covariance.view(1, 3, 1, 1).expand(-1, -1, *image.size))


def _defocused(image: _Image) -> KernelField:
    # The focal plane is the depth of a random pixel, so that it always contains something.
    place = int(torch.randint(0, image.depth.numel(), (1,), generator=image.rng()))
    return GaussianField(image.scale, defocus(image.depth, float(image.depth.flatten()[place]), image.scale))


def _moved(image: _Image) -> KernelField:
    return UniformField(sample_motion(image.scale, 1, image.rng())[0], image.size)


def _bicubic(image: _Image) -> KernelField:
    return UniformField(bicubic_kernel(image.scale), image.size)


def _mode(name: str) -> Callable[[_Image], KernelField]:
    return lambda image: GaussianField(
        image.scale, mode_covariance(name, *image.size, image.scale, image.seed)
    )


KINDS: Mapping[str, Callable[[_Image], KernelField]] = {
    "invariant": _invariant,
    **{name: _mode(name) for name in MODES},
    "defocus": _defocused,
    "motion": _moved,
    "bicubic": _bicubic,
}
"""The kinds of blur by name."""


def degrade(
    hr: NDArray[np.uint8],
    kind: str,
    scale: int,
    *,
    noise: float = 0.0,
    seed: int = 0,
    depth: NDArray[np.float32] | None = None,
) -> Degraded:
    """Blur, subsample, add noise and round to 8 bit; deterministic in its arguments.

    Kinds: `invariant`, one random Gaussian of MANet's range for the whole image; `mode1` to `mode6`, see
    `srkit.degradation.modes`; `defocus`, a thin lens focused on the depth of a random pixel; `motion`, one segment for
    the whole image; `bicubic`, bit-exact the LR of benchmarks, whose border is mirrored, so that the field holds from
    10 HR pixels inside. Works in strips: 4096 x 4096 pixels take less than 100 MB beside the image and the result.

    Args:
        hr: (s h, s w, 3) RGB.
        kind: one of `KINDS`.
        scale: 2, 3 or 4.
        noise: standard deviation of Gaussian noise, in levels of 8 bit.
        seed: of the kernels and the noise.
        depth: (s h, s w), inverse depth up to an affine map; required by `defocus`, passed through by the others.

    Raises:
        UsageError: an unknown kind, sides that are no multiples of the scale, negative noise, no depth for `defocus`,
            or a depth map of another size.
    """
    check_scale(scale)
    if kind not in KINDS:
        raise UsageError(f"The blur '{kind}' is unknown; known are {', '.join(KINDS)}.{nearest(kind, KINDS)}")
    if hr.ndim != 3 or hr.shape[2] != 3 or hr.shape[0] % scale or hr.shape[1] % scale or not hr.size:
        raise UsageError(
            f"An image of shape {hr.shape} cannot be degraded at scale {scale}; "
            "it must be (H, W, 3) with sides that are multiples of the scale: crop it first."
        )
    if not 0 <= noise < math.inf:
        raise UsageError(f"The noise of {noise} levels is invalid; it is a standard deviation of 0 or more.")
    size = (hr.shape[0] // scale, hr.shape[1] // scale)
    known = _known_depth(hr, depth, kind, scale)
    field = KINDS[kind](_Image(size, scale, seed, known))
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
                "The blur 'defocus' needs a depth map; give one, such as that of a layered scene."
            )
        return torch.zeros(1, 1, hr.shape[0] // scale, hr.shape[1] // scale)
    if depth.shape != hr.shape[:2]:
        raise UsageError(
            f"The depth map has the shape {depth.shape}, but the image is {hr.shape[0]} x {hr.shape[1]}; "
            "give a map of the size of the image."
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
