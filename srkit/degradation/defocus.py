"""Depth-dependent blur of a thin lens.

A point at distance S, seen through a lens of aperture A and focal length f focused at S_f, spreads over a circle of
diameter A f / (S_f - f) * |S - S_f| / S = c |1 / S_f - 1 / S|: linear in the difference of the inverse depths. Its
squared width adds to that of the lens and the sensor.
"""

from __future__ import annotations

import math
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from srkit.degradation.kernels import check_scale, covariance_of, largest_width, smallest_width
from srkit.errors import UsageError

Law = Literal["thin-lens", "linear"]


def defocus(
    depth: Tensor,
    focus: Tensor | float,
    scale: int,
    *,
    widest: Tensor | float | None = None,
    aspect: Tensor | float = 1.0,
    theta: Tensor | float = 0.0,
    law: Law = "thin-lens",
) -> Tensor:
    """Blur covariance of every LR pixel from its depth.

    With t = |d - d_f| / max(d_f, 1 - d_f), which is 1 at the depth farthest from the focus, lam1 is
    narrowest + (widest - narrowest) t^2 under the law "thin-lens" (widths grow linearly, so their squares add), or
    narrowest + (widest - narrowest) t under "linear", which blurs more of an image clearly. lam2 has the same form with
    `aspect` times the growth; narrowest = 0.175 s.

    Args:
        depth: (N, 1, h, w), inverse depth in [0, 1].
        focus: inverse depth in [0, 1] that is sharp.
        scale: 2, 3 or 4.
        widest: lam1 at the depth farthest from the focus, in squared HR pixels; 2.5 s if None.
        aspect: in [0, 1]; 1 is a round lens.
        theta: direction of lam1 in radians, where aspect is not 1. This and all before: numbers, or (N,) tensors.

    Returns:
        (N, 3, h, w): xx, xy, yy in squared HR pixels.

    Raises:
        UsageError: a depth outside [0, 1] or of another shape, an unknown law, or another scale.
    """
    check_scale(scale)
    if depth.ndim != 4 or depth.shape[1] != 1 or not bool(((depth >= 0) & (depth <= 1)).all()):
        raise UsageError(
            f"A depth map of shape {tuple(depth.shape)} was given for defocus; "
            "it takes (N, 1, h, w) with inverse depth in [0, 1]."
        )
    if law not in ("thin-lens", "linear"):
        raise UsageError(f"There is no law of defocus '{law}'; known are thin-lens and linear.")
    narrowest = smallest_width(scale)
    widest = largest_width(scale) if widest is None else widest
    focus, widest, aspect, theta = (
        torch.as_tensor(t, dtype=depth.dtype, device=depth.device).view(-1, 1, 1)
        for t in (focus, widest, aspect, theta)
    )
    away = (depth[:, 0] - focus).abs() / torch.maximum(focus, 1 - focus)
    grown = (widest - narrowest) * (away.square() if law == "thin-lens" else away)
    return (
        covariance_of(narrowest + grown, narrowest + aspect * grown, theta).permute(0, 3, 1, 2).contiguous()
    )


def on_lr_grid(depth: Tensor, scale: int) -> Tensor:
    """Depth on the HR grid to the LR grid: the mean over s x s, then min-max normalised; zeros if it is constant.

    Args:
        depth: (N, 1, s h, s w), inverse depth up to an affine map.

    Returns:
        (N, 1, h, w) in [0, 1], 1 the nearest.
    """
    small = F.avg_pool2d(depth, scale)
    low, high = small.amin((2, 3), keepdim=True), small.amax((2, 3), keepdim=True)
    return (small - low) / (high - low).clamp(min=1e-12)


def sample_defocus(depth: Tensor, scale: int, rng: torch.Generator) -> Tensor:
    """Sample covariances of thin lenses for depth maps, half of them focused on a depth that occurs in the map.

    Args:
        depth: (N, 1, h, w), inverse depth in [0, 1].

    Returns:
        (N, 3, h, w), as `defocus`.
    """
    count = len(depth)
    uniform = torch.rand(6, count, generator=rng)
    pixel = torch.randint(depth[0].numel(), (count, 1), generator=rng).to(depth.device)
    focus = torch.where(uniform[0] < 0.5, depth.flatten(1).gather(1, pixel)[:, 0].cpu(), uniform[1])
    narrowest, widest = smallest_width(scale), largest_width(scale)
    drawn = narrowest + (widest - narrowest) * (0.3 + 0.7 * uniform[2])
    aspect = torch.where(uniform[3] < 0.6, 1.0, 0.2 + 0.8 * uniform[4])
    laws: tuple[Law, Law] = ("thin-lens", "linear")
    law = laws[int(torch.randint(2, (1,), generator=rng))]
    theta = math.pi * uniform[5]
    return defocus(depth, focus, scale, widest=drawn, aspect=aspect, theta=theta, law=law)
