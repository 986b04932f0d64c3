"""Many images of different sizes in one uint8 tensor, so that a batch of crops is one gather on the device."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


@dataclass(frozen=True)
class Crops:
    """Where the crops of a batch lie: (B,) int64 tensors on the CPU, in pixels of the low-resolution images.

    `turn` in 0..7 names one of the eight flips and quarter turns, as in `srkit.ops.geometry`.
    """

    image: Tensor
    top: Tensor
    left: Tensor
    turn: Tensor


class PackedImages:
    """Images end to end in one (pixels, C) uint8 tensor.

    Args:
        images: (H, W, C) uint8 arrays; C is 3 for RGB, and the same for all.
        device: where the tensor lives.
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
        """(B, C, scale patch, scale patch) float32 in [0, 1], channels_last; places are multiplied by `scale`."""
        device = self.pixels.device
        offset, width = (t[crops.image].to(device)[:, None, None] for t in (self.offsets, self.widths))
        rows, columns = _places(crops, patch, scale, device)
        index = offset + rows * width + columns
        return self.pixels[index].permute(0, 3, 1, 2).to(torch.float32) / 255

    def sampled(self, crops: Crops, patch: int, scale: int, channel: int) -> Tensor:
        """(B, patch, patch) float32 in [0, 1]: one channel of the crops at every `scale`-th pixel."""
        device = self.pixels.device
        offset, width = (t[crops.image].to(device)[:, None, None] for t in (self.offsets, self.widths))
        rows, columns = (places * scale for places in _places(crops, patch, 1, device))
        return self.pixels[offset + rows * width + columns, channel].to(torch.float32) / 255

    def sizes_of(self, crops: Crops) -> tuple[Tensor, Tensor]:
        """Heights and widths (B,) of the images that the crops are cut from."""
        return self.heights[crops.image], self.widths[crops.image]


def _places(crops: Crops, patch: int, scale: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Row and column of every pixel of the turned crops in their images: (B, scale patch, scale patch) each."""
    side = torch.arange(patch * scale, device=device)
    top, left, turn = (t.to(device) for t in (crops.top * scale, crops.left * scale, crops.turn))
    # Turning the grid of places instead of the pixels costs nothing: the gather does it.
    down = torch.where((turn & 2 > 0)[:, None], side.flip(0), side)
    right = torch.where((turn & 4 > 0)[:, None], side.flip(0), side)
    down, right = down[:, :, None], right[:, None, :]
    transposed = (turn & 1 > 0)[:, None, None]
    rows, columns = torch.where(transposed, right, down), torch.where(transposed, down, right)
    return rows + top[:, None, None], columns + left[:, None, None]


def crop_positions(crops: Crops, patch: int, sizes: tuple[Tensor, Tensor], device: torch.device) -> Tensor:
    """Where the pixels of the turned crops lie in their whole images: (B, 2, patch, patch), float32, x before y.

    The same numbers as cutting and turning `srkit.ops.geometry.position_grid` of each image gives.

    Args:
        sizes: heights and widths (B,) of the crops' low-resolution images.
    """
    rows, columns = _places(crops, patch, 1, device)
    heights, widths = (side.to(device)[:, None, None] for side in sizes)
    x, y = ((2 * i + 1).float() / side - 1 for i, side in ((columns, widths), (rows, heights)))
    return torch.stack([x, y], dim=1)


def choose_crops(packed: PackedImages, crops: Crops, patch: int, best_of: int, scale: int = 1) -> Crops:
    """The most detailed of each `best_of` crops in a row: that with the largest mean gradient of its green.

    Args:
        crops: `best_of` times as many as are wanted.
        scale: of the packed images against LR; detail is measured on every `scale`-th pixel.
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
    """Random crops, a function of (seed, step) alone: runs repeat, resume exactly, and split over processes.

    Args:
        sizes: heights and widths of the low-resolution images, (P,) int64; each at least `patch`.
        patch: side of a crop in LR pixels.
        count: crops to draw; images are drawn in proportion to their area.
    """
    heights, widths = sizes
    rng = torch.Generator().manual_seed((seed * 1_000_003 + step) % 2**63)
    image = torch.multinomial((heights * widths).double(), count, replacement=True, generator=rng)
    place = torch.rand(2, count, generator=rng, dtype=torch.float64)
    turn = torch.randint(0, 8, (count,), generator=rng)
    top = (place[0] * (heights[image] - patch + 1)).long()
    left = (place[1] * (widths[image] - patch + 1)).long()
    return Crops(image, top, left, turn if augment else torch.zeros_like(turn))
