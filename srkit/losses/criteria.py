"""Criteria of Cria-CL: differences between an image and its target, as maps (arXiv 2207.12767, Eq. 5).

Each gives (N, 1, H, W), float32, at least 0, at the images' size, so that criteria are comparable at each pixel
(`srkit.losses.contrast`).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from srkit.errors import UsageError, check_known
from srkit.losses.gan import generator_map
from srkit.ops.layout import in_precision

DECAY = 0.99
"""Decay of the running means, about the last hundred steps."""
_WINDOW = 11
_SIGMA_PX = 1.5
_C1, _C2 = 0.01**2, 0.03**2
_MIN_MEAN = 1e-6  # lower bound of a running mean, for criteria that are 0 everywhere

View = Callable[[Tensor], Tensor]
"""Function from images (N, 3, H, W) in [0, 1] to maps (N, C, h, w) that are compared per pixel."""


@dataclass(frozen=True)
class Views:
    """Views of images that criteria compare; None for those not needed."""

    bottom: View | None = None
    """Low-level features."""
    top: View | None = None
    """High-level features."""
    discriminator: View | None = None
    """Discriminator, from images to logits (N, 1, h, w)."""
    autocast: torch.dtype | None = None
    """Precision of the views; None: fp32. Distances are always computed in fp32."""

    def look(self, name: str, images: Tensor) -> Tensor:
        """Compute the view `name` of images (N, 3, H, W).

        Raises:
            UsageError: there is no view of that name.
        """
        view: View | None = getattr(self, name)
        if view is None:
            raise UsageError(
                f"A criterion looks at images through '{name}', and nothing was given for it; give one, or leave "
                "the criterion out."
            )
        with in_precision(images, self.autocast):
            return view(images)


@dataclass(frozen=True)
class Wanted:
    """Target images, (N, 3, H, W) in [0, 1], and their views, computed once without a gradient."""

    hr: Tensor
    views: Views

    @cached_property
    def bottom(self) -> Tensor:
        return self._look("bottom")

    @cached_property
    def top(self) -> Tensor:
        return self._look("top")

    @cached_property
    def discriminator(self) -> Tensor:
        """Logits by the discriminator in its state at the first access."""
        return self._look("discriminator")

    def _look(self, name: str) -> Tensor:
        with torch.no_grad():
            return self.views.look(name, self.hr)


def pixel_map(sr: Tensor, hr: Tensor) -> Tensor:
    """Mean over the channels of the absolute difference of images (N, 3, H, W); (N, 1, H, W).

    Raises:
        UsageError: mismatched shapes.
    """
    _check(sr, hr)
    return (sr.float() - hr.float()).abs().mean(1, keepdim=True)


def ssim_distance_map(sr: Tensor, hr: Tensor) -> Tensor:
    """1 - SSIM, mean over the channels; (N, 1, H, W) in [0, 2], exactly 0 where the windows are equal.

    Window and constants are those of Wang et al. 2004 (IEEE TIP, Eq. 13; data range 1), 11 x 11 Gaussian, sigma 1.5.
    At the border the window is truncated and its weights renormalised to sum 1. Differentiable, for training; reported
    figures come from `srkit.metrics.ssim`, in float64 and over whole windows.

    Args:
        sr, hr: (N, C, H, W), any size.

    Raises:
        UsageError: mismatched shapes.
    """
    _check(sr, hr)
    x, y = sr.float(), hr.float()
    s, d = x + y, x - y
    # Sum and difference need four blurs instead of five, and equal images give exactly 1:
    # 4 xy = s^2 - d^2 and 2 (x^2 + y^2) = s^2 + d^2, for the means and for the variances.
    mean_s, mean_d, square_s, square_d = _blurred(torch.stack([s, d, s * s, d * d])).unbind(0)
    product, squares = mean_s.square(), mean_d.square()
    spread, error = (square_s - product).clamp_min(0), (square_d - squares).clamp_min(0)
    above = (product - squares + 2 * _C1) * (spread - error + 2 * _C2)
    below = (product + squares + 2 * _C1) * (spread + error + 2 * _C2)
    return ((below - above) / below).clamp_min(0).mean(1, keepdim=True)


def feature_map(sr: Tensor, hr: Tensor, size: tuple[int, int]) -> Tensor:
    """Mean over the channels of the absolute difference of features (N, C, h, w), resized to (N, 1, *size).

    Raises:
        UsageError: mismatched shapes.
    """
    _check(sr, hr)
    return _resized((sr.float() - hr.float()).abs().mean(1, keepdim=True), size)


def _adversarial(sr: Tensor, wanted: Wanted) -> Tensor:
    return _resized(generator_map(wanted.views.look("discriminator", sr), wanted.discriminator), _size(sr))


CRITERIA: Mapping[str, Callable[[Tensor, Wanted], Tensor]] = {
    "pixel": lambda sr, wanted: pixel_map(sr, wanted.hr),
    "ssim": lambda sr, wanted: ssim_distance_map(sr, wanted.hr),
    "bottom": lambda sr, wanted: feature_map(wanted.views.look("bottom", sr), wanted.bottom, _size(sr)),
    "top": lambda sr, wanted: feature_map(wanted.views.look("top", sr), wanted.top, _size(sr)),
    "adversarial": _adversarial,
}
"""Criteria by the name in recipes: functions from an image sr (N, 3, H, W) and its target to a map (N, 1, H, W)."""


class Criteria(nn.Module):
    """Criteria of one head's image, as comparable maps.

    Criteria differ greatly in size (features are 10 to 100 times pixels), so each map is divided by its running mean
    over the steps, unless `raw`; the comparison then concerns the location of the errors. The running means are
    buffers and are saved in checkpoints.

    Args:
        names: names of `CRITERIA`, each once.
        raw: do not normalise the maps, as in the paper.
        decay: decay of the running means, at least 0 and below 1.

    Raises:
        UsageError: no names, an unknown or repeated name, or a decay out of range.
    """

    def __init__(self, names: Sequence[str], *, raw: bool = False, decay: float = DECAY) -> None:
        super().__init__()
        check_criteria(names)
        if not 0 <= decay < 1:
            raise UsageError(f"The running means were given the decay {decay}; it must be in [0, 1).")
        self.names, self.raw, self.decay = tuple(names), raw, decay
        self.means: Tensor
        self.register_buffer("means", torch.zeros(len(names)))  # 0: no value yet

    def forward(self, sr: Tensor, wanted: Wanted) -> dict[str, Tensor]:
        """Maps (N, 1, H, W) of sr (N, 3, H, W) by name; updates the running means in training mode.

        Raises:
            UsageError: as in the criteria: mismatched shapes, or a missing view.
        """
        maps = {name: CRITERIA[name](sr, wanted) for name in self.names}
        if self.raw:
            return maps
        if self.training:
            self._take_in(torch.stack([found.detach().mean() for found in maps.values()]))
        known = torch.where(self.means > 0, self.means, 1.0).clamp_min(_MIN_MEAN)
        return {name: found / mean for (name, found), mean in zip(maps.items(), known, strict=True)}

    @torch.no_grad()
    def _take_in(self, now: Tensor) -> None:
        """Update the running means, initialised with the first value; non-finite values are ignored."""
        self.means = self.means.to(now.device)
        mixed = torch.where(self.means > 0, torch.lerp(now, self.means, self.decay), now)
        self.means = torch.where(now.isfinite(), mixed, self.means)


def check_criteria(names: Sequence[str]) -> None:
    """Check names of criteria, before any work is done.

    Raises:
        UsageError: no name, an unknown name, or a repeated name.
    """
    if not names or len(set(names)) < len(names):
        raise UsageError(f"The criteria {list(names)} were named; name at least one, and none twice.")
    for name in names:
        check_known("criterion", name, CRITERIA)


def _blurred(fields: Tensor) -> Tensor:
    """Blur (F, N, C, H, W) by the Gaussian window.

    Matrix products are fp32 on every device, whereas cuDNN's convolutions are TF32 by default, in which the variances
    would cancel.
    """
    rows = _windows(fields.shape[-2], fields.device)
    columns = _windows(fields.shape[-1], fields.device)
    with in_precision(fields, None):
        return rows @ fields @ columns.T


@lru_cache(maxsize=16)
@torch.inference_mode(False)
def _windows(length: int, device: torch.device) -> Tensor:
    """Matrix (length, length) of truncated windows around each pixel, rows of sum 1. Read-only."""
    at = torch.arange(length, dtype=torch.float64)
    offset = at[:, None] - at[None, :]
    taps = torch.exp(-offset.square() / (2 * _SIGMA_PX**2)) * (offset.abs() <= _WINDOW // 2)
    return (taps / taps.sum(1, keepdim=True)).float().to(device)


def _resized(maps: Tensor, size: tuple[int, int]) -> Tensor:
    if maps.shape[2:] == size:
        return maps
    return F.interpolate(maps, size=size, mode="bilinear", align_corners=False)


def _size(images: Tensor) -> tuple[int, int]:
    return images.shape[2], images.shape[3]


def _check(sr: Tensor, hr: Tensor) -> None:
    if sr.shape != hr.shape or sr.ndim != 4 or math.prod(sr.shape) == 0:
        raise UsageError(
            f"A criterion was given the shapes {tuple(sr.shape)} and {tuple(hr.shape)}; they must be the same, "
            "(N, C, H, W)."
        )
