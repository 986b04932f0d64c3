"""Images of different sizes packed in one uint8 tensor, so that a batch of crops is one gather on the device."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


@dataclass(frozen=True)
class Crops:
    """Positions of the crops of a batch: (B,) int64 tensors on the CPU, in pixels of the LR images.

    `turn` in 0..7 is one of the eight dihedral transforms of `srkit.ops.geometry`.
    """

    image: Tensor
    top: Tensor
    left: Tensor
    turn: Tensor


class PackedImages:
    """Images concatenated in one (pixels, C) uint8 tensor.

    Args:
        images: (H, W, C) uint8 arrays with the same C, 3 for RGB.
        device: device of the tensor.
    """

    def __init__(self, images: Sequence[NDArray[np.uint8]], device: torch.device) -> None:
        sizes = [p.shape[:2] for p in images]
        self.heights = torch.tensor([h for h, _ in sizes], dtype=torch.int64)
        self.widths = torch.tensor([w for _, w in sizes], dtype=torch.int64)
        areas = self.heights * self.widths
        self.offsets = torch.cumsum(areas, 0) - areas
        channels = images[0].shape[2] if images else 3
        pixels = torch.empty(int(areas.sum()), channels, dtype=torch.uint8)
        for image, offset, area in zip(images, self.offsets.tolist(), areas.tolist(), strict=True):
            pixels[offset : offset + area] = torch.from_numpy(image.reshape(-1, channels))
        self.pixels = pixels.to(device)

    def cut(self, crops: Crops, patch: int, scale: int = 1) -> Tensor:
        """Cut crops (B, C, scale patch, scale patch), float32 in [0, 1], channels_last; positions times `scale`."""
        device = self.pixels.device
        offset, width = (t[crops.image].to(device)[:, None, None] for t in (self.offsets, self.widths))
        rows, columns = _places(crops, patch, scale, device)
        index = offset + rows * width + columns
        return self.pixels[index].permute(0, 3, 1, 2).to(torch.float32) / 255

    def sampled(self, crops: Crops, patch: int, scale: int, channel: int) -> Tensor:
        """One channel of the crops at every `scale`-th pixel, (B, patch, patch), float32 in [0, 1]."""
        device = self.pixels.device
        offset, width = (t[crops.image].to(device)[:, None, None] for t in (self.offsets, self.widths))
        rows, columns = (places * scale for places in _places(crops, patch, 1, device))
        return self.pixels[offset + rows * width + columns, channel].to(torch.float32) / 255

    def sizes_of(self, crops: Crops) -> tuple[Tensor, Tensor]:
        """Heights and widths (B,) of the crops' images."""
        return self.heights[crops.image], self.widths[crops.image]


def _places(crops: Crops, patch: int, scale: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Row and column of each crop pixel in its image, after the transform: (B, scale patch, scale patch) each."""
    side = torch.arange(patch * scale, device=device)
    top, left, turn = (t.to(device) for t in (crops.top * scale, crops.left * scale, crops.turn))
    # Transforming the grid of positions instead of the pixels costs nothing: the gather applies it.
    down = torch.where((turn & 2 > 0)[:, None], side.flip(0), side)
    right = torch.where((turn & 4 > 0)[:, None], side.flip(0), side)
    down, right = down[:, :, None], right[:, None, :]
    transposed = (turn & 1 > 0)[:, None, None]
    rows, columns = torch.where(transposed, right, down), torch.where(transposed, down, right)
    return rows + top[:, None, None], columns + left[:, None, None]


def crop_positions(crops: Crops, patch: int, sizes: tuple[Tensor, Tensor], device: torch.device) -> Tensor:
    """Positions of the crops' pixels in their whole images: (B, 2, patch, patch), float32, x before y.

    Equal to cutting and transforming `srkit.ops.geometry.position_grid` of each image.

    Args:
        sizes: heights and widths (B,) of the crops' LR images.
    """
    rows, columns = _places(crops, patch, 1, device)
    heights, widths = (side.to(device)[:, None, None] for side in sizes)
    x, y = ((2 * i + 1).float() / side - 1 for i, side in ((columns, widths), (rows, heights)))
    return torch.stack([x, y], dim=1)


def choose_crops(packed: PackedImages, crops: Crops, patch: int, best_of: int, scale: int = 1) -> Crops:
    """Choose the most detailed of every `best_of` consecutive crops, by the mean gradient of the green channel.

    Args:
        crops: `best_of` times as many crops as are returned.
        scale: scale of the packed images relative to LR; detail is measured on every `scale`-th pixel.
    """
    if best_of == 1:
        return crops
    green = packed.sampled(crops, patch, scale, channel=1)
    detail = green.diff(dim=1).abs().mean((1, 2)) + green.diff(dim=2).abs().mean((1, 2))
    best = detail.view(-1, best_of).argmax(1).cpu()
    chosen = best + torch.arange(len(best)) * best_of
    return Crops(*(t[chosen] for t in vars(crops).values()))


def draw_crops(
    sizes: tuple[Tensor, Tensor], patch: int, count: int, *, seed: int, step: int, augment: bool = True
) -> Crops:
    """Draw random crops, a function of (seed, step) alone: runs are reproducible, resumable and distributable.

    Args:
        sizes: heights and widths of the LR images, (P,) int64; each at least `patch`.
        patch: side of a crop in LR pixels.
        count: number of crops; images are drawn in proportion to their area.
    """
    heights, widths = sizes
    rng = torch.Generator().manual_seed((seed * 1_000_003 + step) % 2**63)
    image = torch.multinomial((heights * widths).double(), count, replacement=True, generator=rng)
    place = torch.rand(2, count, generator=rng, dtype=torch.float64)
    turn = torch.randint(0, 8, (count,), generator=rng)
    top = (place[0] * (heights[image] - patch + 1)).long()
    left = (place[1] * (widths[image] - patch + 1)).long()
    return Crops(image, top, left, turn if augment else torch.zeros_like(turn))
