"""What a network is told beside the image, and what of it each window is told.

Everything is known from the whole image, so that tiling never changes what the network knows.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor

from srkit.engine.tiling import TilePlan, Window
from srkit.ops.noise_field import noise_field
from srkit.ops.padding import extend, mirrored
from srkit.ops.position import position_grid, positions


@dataclass(frozen=True)
class Condition:
    """A tensor, computed once from the whole image."""

    value: Tensor
    """(1, ...); spatial ones (1, C, k h, k w) for an image of h x w and a whole number k."""
    spatial: bool = False
    """Cut and turned like the image; else shared by all windows."""

    def of_picture(self, height: int, width: int, device: torch.device) -> Condition:
        """For an image of that size as one window."""
        return Condition(self.value.to(device), self.spatial)

    def of_window(self, plan: TilePlan, window: Window, device: torch.device) -> Condition:
        """For one window of an image that is laid out as `plan` says."""
        value = self.value.to(device)
        if self.spatial:
            finer = value.shape[2] // plan.height
            value = cut(extend(value, *(side * finer for side in plan.extended)), window, finer)
        return Condition(value, self.spatial)


@dataclass(frozen=True)
class Coordinates:
    """Where each pixel lies in the whole image: (1, 2, h, w), as `srkit.ops.position` tells it.

    A spatial condition that is made for each window, since a map of a large image would be larger than the image.
    """

    def of_picture(self, height: int, width: int, device: torch.device) -> Condition:
        """For an image of that size as one window."""
        return Condition(position_grid(height, width, device), spatial=True)

    def of_window(self, plan: TilePlan, window: Window, device: torch.device) -> Condition:
        """For one window of an image that is laid out as `plan` says; mirrored where the image is extended."""
        rows, columns = (
            mirrored(torch.arange(span.start, span.start + span.size, device=device), side)
            for span, side in ((window.rows, plan.height), (window.columns, plan.width))
        )
        return Condition(positions(rows, columns, plan.height, plan.width), spatial=True)


@dataclass(frozen=True)
class Noise:
    """Normal numbers on the result's grid: (1, 3, scale h, scale w), as `srkit.ops.noise_field` gives them.

    A function of seed and place, made for each window, so that no window knows of another.
    """

    seed: int
    scale: int

    def of_picture(self, height: int, width: int, device: torch.device) -> Condition:
        """For an image of that size as one window."""
        rows, columns = (torch.arange(side * self.scale, device=device) for side in (height, width))
        return Condition(noise_field(self.seed, rows, columns, 3), spatial=True)

    def of_window(self, plan: TilePlan, window: Window, device: torch.device) -> Condition:
        """For one window of an image that is laid out as `plan` says."""
        rows, columns = (
            torch.arange(span.start * self.scale, (span.start + span.size) * self.scale, device=device)
            for span in (window.rows, window.columns)
        )
        return Condition(noise_field(self.seed, rows, columns, 3), spatial=True)


Conditions = Mapping[str, Condition | Coordinates | Noise]
"""By the name that the network takes them under."""

Describe = Callable[[NDArray[Any]], Conditions]
"""What a network is to be told of a whole image (H, W, 3), uint8 or uint16."""


def nothing(_picture: NDArray[Any]) -> Conditions:
    """For networks without conditions."""
    return {}


def told(conditions: Conditions, height: int, width: int, device: torch.device) -> dict[str, Condition]:
    """What a network is told of a whole image of that size as one window."""
    return {name: one.of_picture(height, width, device) for name, one in conditions.items()}


def cut(x: Tensor, window: Window, finer: int = 1) -> Tensor:
    """The part of (N, C, finer H, finer W) that a window of an image of H x W reads."""
    rows, columns = window.rows, window.columns
    return x[
        :,
        :,
        rows.start * finer : (rows.start + rows.size) * finer,
        columns.start * finer : (columns.start + columns.size) * finer,
    ]
