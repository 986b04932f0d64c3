"""Conditions of a whole image, and their parts for its windows and crops.

They are computed from the whole image, so that tiling never changes a network's conditions.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor

from srkit.ops.geometry import extend, mirrored, positions
from srkit.ops.noise_field import noise_field


@dataclass(frozen=True)
class Condition:
    """Tensor computed once from the whole image."""

    value: Tensor
    """(1, ...); for spatial conditions (1, C, k h, k w) with an image of h x w and an integer k."""
    spatial: bool = False
    """If True, cut, flipped and rotated with the image; else shared by all windows."""

    def part(self, size: tuple[int, int], rows: slice, columns: slice, device: torch.device) -> Condition:
        """Part for a window of an image of `size` (h, w); mirrored where the window exceeds the image."""
        value = self.value.to(device)
        if self.spatial:
            k = value.shape[2] // size[0]
            rows, columns = (slice(side.start * k, side.stop * k) for side in (rows, columns))
            value = extend(value, rows.stop, columns.stop)[:, :, rows, columns]
        return Condition(value, self.spatial)


@dataclass(frozen=True)
class Coordinates:
    """Position of each pixel in the whole image: (1, 2, h, w), see `srkit.ops.geometry`.

    A spatial condition computed per window: a map of a large image would be larger than the image.
    """

    def part(self, size: tuple[int, int], rows: slice, columns: slice, device: torch.device) -> Condition:
        """Same arguments and result as `Condition.part`."""
        y, x = (
            mirrored(torch.arange(part.start, part.stop, device=device), side)
            for part, side in zip((rows, columns), size, strict=True)
        )
        return Condition(positions(y, x, *size), spatial=True)


@dataclass(frozen=True)
class Noise:
    """Normal noise on the result's grid: (1, 3, k h, k w), see `srkit.ops.noise_field`.

    A function of seed and position, computed per window, so that windows agree; mirrored like the image.
    """

    seed: int
    scale: int
    """k, result pixels per image pixel."""
    silent: bool = False
    """Zeros instead of noise: the network then returns its base image instead of a sample."""

    def part(self, size: tuple[int, int], rows: slice, columns: slice, device: torch.device) -> Condition:
        """Same arguments and result as `Condition.part`."""
        y, x = (
            mirrored(
                torch.arange(part.start * self.scale, part.stop * self.scale, device=device),
                side * self.scale,
            )
            for part, side in zip((rows, columns), size, strict=True)
        )
        if self.silent:
            return Condition(torch.zeros(1, 3, len(y), len(x), device=device), spatial=True)
        return Condition(noise_field(self.seed, y, x, 3), spatial=True)


Conditions = Mapping[str, Condition | Coordinates | Noise]
"""Conditions by the names of the network's arguments."""

Conditioner = Callable[[NDArray[Any]], Conditions]
"""Function that makes the conditions of a whole image (H, W, 3), uint8 or uint16."""


def unconditioned(_image: NDArray[Any]) -> Conditions:
    """`Conditioner` of networks without conditions."""
    return {}


def part_of(
    conditions: Conditions, size: tuple[int, int], rows: slice, columns: slice, device: torch.device
) -> dict[str, Tensor]:
    """Tensors that a network takes with a window of an image of `size` (h, w)."""
    return {name: one.part(size, rows, columns, device).value for name, one in conditions.items()}


def whole(conditions: Conditions, size: tuple[int, int], device: torch.device) -> dict[str, Tensor]:
    """Tensors that a network takes with a whole image of `size` (h, w)."""
    return part_of(conditions, size, slice(0, size[0]), slice(0, size[1]), device)
