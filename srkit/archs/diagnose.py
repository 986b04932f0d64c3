"""Small network that classifies images as damaged (noise, compression, blur, print) or not."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from srkit.archs.info import ArchInfo
from srkit.ops.colour import TO_YCC
from srkit.ops.layout import in_precision

SMALLEST_SEEN = 64
"""Shortest side of an image that can be classified, in pixels: the crop size in training."""
PATCH, PATCHES = 128, 6
"""Side of the patches of an image that are classified, in pixels, and their maximum number."""
_BLOCK = 8
_BANDS = 2 * _BLOCK - 1
_ZERO = 0.6  # DCT coefficients below this, in levels, count as quantised to 0; rounding to 8 bit leaves 0.29
_INPUTS = 5
_GRID = 10  # numbers that measure how much one 8 x 8 grid stands out
MEASURES = 2 * _BANDS + _GRID


class DiagnoseNetwork(nn.Module):
    """Patches (N, 3, H, W) in [0, 1], sides at least `SMALLEST_SEEN`, to logits (N, 2): damaged, strongly damaged.

    Convolutions run on the high-pass of luma and colour (a binomial filter removed) and are pooled by their mean and by
    their mean over flat regions, where noise shows. They are joined with measures of the sliding 8 x 8 DCT of luma: the
    energy of its frequencies, and how much the number of zero coefficients stands out at one of the 64 possible
    positions of the JPEG grid (as in ZERO; Nikoukhah et al. 2021, IPOL).

    Args:
        widths: channels of the convolutions; the first and every second one after it have stride 2.
        hidden: width of the hidden linear layer.
    """

    def __init__(self, widths: Sequence[int] = (24, 24, 32, 48), hidden: int = 48) -> None:
        super().__init__()
        before = [_INPUTS, *widths[:-1]]
        self.convolutions = nn.ModuleList(
            nn.Conv2d(a, b, 3, stride=2 - i % 2, padding=1)
            for i, (a, b) in enumerate(zip(before, widths, strict=True))
        )
        self.weigh = nn.Linear(2 * widths[-1] + MEASURES, hidden)
        self.decide = nn.Linear(hidden, 2)
        self.mean: Tensor
        self.deviation: Tensor
        self.register_buffer("mean", torch.zeros(MEASURES))
        self.register_buffer("deviation", torch.ones(MEASURES))  # deviation of the measures, once trained
        self.info = ArchInfo(scale=1, receptive_field=64, min_size=SMALLEST_SEEN, tiling="none")

    def forward(self, x: Tensor) -> Tensor:
        """Logits (N, 2), float32."""
        with in_precision(x, None):
            ycc = _ycc(x)
            h, flat = _inputs(ycc)
            found = measures(ycc[:, :1])
        for convolution in self.convolutions.children():
            h = F.relu(convolution(h.to(self.mean.dtype)))
        h = h.float()
        flat = F.adaptive_avg_pool2d(flat, (h.shape[2], h.shape[3]))
        pooled = (h * flat).sum((2, 3)) / flat.sum((2, 3)).clamp(min=1e-6)
        found = ((found - self.mean) / self.deviation).clamp(-8, 8)
        seen = torch.cat([h.mean((2, 3)), pooled, found], dim=1).to(self.mean.dtype)
        logits: Tensor = self.decide(F.relu(self.weigh(seen)))
        return logits.float()


@torch.no_grad()
def logits_of(network: DiagnoseNetwork, seen: Tensor) -> Tensor | None:
    """Logits (2,) of an image from its `patches` (n, 3, h, w) in [0, 1]: the mean over patches of more than one colour.

    None if there are none, or a side is below `SMALLEST_SEEN`.
    """
    varied = (seen != seen[:, :, :1, :1]).flatten(1).any(1)
    if min(seen.shape[2:]) < SMALLEST_SEEN or not varied.any():
        return None
    logits: Tensor = network(seen[varied])
    return logits.mean(0)


def luma_of(x: Tensor) -> Tensor:
    """Luma (N, 1, H, W) of images (N, 3, H, W) in [0, 1], in levels of 8 bit."""
    return _ycc(x)[:, :1]


def _ycc(x: Tensor) -> Tensor:
    """Luma and colour in levels of 8 bit."""
    return torch.einsum("oc,nchw->nohw", torch.tensor(TO_YCC, device=x.device), x.float()) * 255


def _inputs(ycc: Tensor) -> tuple[Tensor, Tensor]:
    """Input of the convolutions (N, `_INPUTS`, H, W), and flatness of each pixel (N, 1, H, W), in (0, 1]."""
    taps = ycc.new_tensor([1.0, 4.0, 6.0, 4.0, 1.0]) / 16
    around = F.pad(ycc, (2, 2, 2, 2), mode="reflect")
    smooth = F.conv2d(around, taps.view(1, 1, 1, 5).expand(3, 1, 1, 5), groups=3)
    smooth = F.conv2d(smooth, taps.view(1, 1, 5, 1).expand(3, 1, 5, 1), groups=3)
    fine = ycc - smooth
    luma = smooth[:, :1]
    slope = F.avg_pool2d(luma, 5, 1, 2, count_include_pad=False) - luma
    flat = 1 / (1 + F.avg_pool2d(slope.square(), 5, 1, 2))
    return torch.cat([torch.asinh(fine), torch.asinh(slope), luma / 64 - 2], dim=1), flat


def measures(luma: Tensor) -> Tensor:
    """Measures (N, `MEASURES`) of luma (N, 1, H, W) in levels of 8 bit."""
    size = sliding_dct(luma).abs()
    bands = _bands(luma.device)
    logs = torch.log(size.mean((2, 3)) + 0.05), torch.log(size + 0.3).mean((2, 3))
    energy = [one[:, 1:] @ bands for one in logs]
    return torch.cat([*energy, *_grid(size), blockiness(luma)], dim=1)


def sliding_dct(luma: Tensor) -> Tensor:
    """(N, 64, H - 7, W - 7): the orthonormal DCT-II of every 8 x 8 block, by rows of frequencies."""
    frequency, place = torch.arange(8.0, device=luma.device)[:, None], torch.arange(8.0, device=luma.device)
    basis = torch.cos(math.pi / 8 * (place + 0.5) * frequency) / 2
    basis[0] /= math.sqrt(2)
    rows = F.conv2d(luma, basis.view(8, 1, 8, 1))
    return F.conv2d(rows, basis.view(8, 1, 1, 8).repeat(8, 1, 1, 1), groups=8)


def _bands(device: torch.device) -> Tensor:
    """Matrix (63, `_BANDS`) of means over AC coefficients of equal frequency sums; the last column is over all."""
    index = torch.arange(64, device=device)
    total = index // 8 + index % 8
    bands = torch.stack([total == band for band in range(1, _BANDS)] + [total > 0], dim=1)[1:].float()
    return bands / bands.sum(0)


def _grid(size: Tensor) -> list[Tensor]:
    """(N, 4) each, for low and high frequencies: the largest share of zero coefficients among the grid positions, its
    excess over the median, the standard deviation between positions, and the median."""
    index = torch.arange(64, device=size.device)
    total = index // 8 + index % 8
    zero = (size < _ZERO).to(size.dtype)
    busy = (size[:, 1:].sum(1, keepdim=True) > 63 * 0.4).to(size.dtype)  # flat blocks carry no information
    found = []
    for low, high in ((1, 6), (6, 15)):
        chosen = zero[:, (total >= low) & (total < high)].mean(1, keepdim=True)
        share = _by_place(chosen * busy) / _by_place(busy).clamp(min=0.02)
        top, middle = share.amax(1), share.median(1).values
        found.append(torch.stack([top, top - middle, share.std(1), middle], dim=1))
    return found


def _by_place(x: Tensor) -> Tensor:
    """Means (N, 64) of (N, 1, h, w) over the pixels that are equal modulo 8."""
    height, width = (side // _BLOCK * _BLOCK for side in x.shape[2:])
    cells = x[:, :, :height, :width].reshape(len(x), height // _BLOCK, _BLOCK, width // _BLOCK, _BLOCK)
    return cells.mean((1, 3)).flatten(1)


def blockiness(luma: Tensor) -> Tensor:
    """(N, 2): excess of steps between rows, and columns, at the grid's position, relative to the mean step."""
    found = []
    for turned in (luma.transpose(2, 3), luma):
        step = (turned[..., 1:] - turned[..., :-1]).abs()
        bend = (step[..., 1:-1] - (step[..., :-2] + step[..., 2:]) / 2).clamp(-20, 20)
        width = bend.shape[3] // _BLOCK * _BLOCK
        by_place = bend[..., :width].mean((1, 2)).view(len(luma), -1, _BLOCK).mean(1)
        usual = step.clamp(max=20).mean((1, 2, 3)) + 0.25
        found.append(by_place.amax(1) / usual)
    return torch.stack(found, dim=1)


def patches(image: NDArray[Any]) -> NDArray[Any]:
    """Cut an image (H, W, C) into patches (n, h, w, C): at most `PATCHES`, spread over it, of at most `PATCH` a side.

    Patches begin at multiples of 8, so that JPEG's grid is at the same position in each.
    """
    height, width = image.shape[:2]
    tall, wide = min(height, PATCH), min(width, PATCH)
    across = min(3 if height > PATCH else PATCHES, -(-width // PATCH))
    down = min(PATCHES // across, -(-height // PATCH))
    tops, lefts = _starts(height, tall, down), _starts(width, wide, across)
    return np.stack([image[y : y + tall, x : x + wide] for y in tops for x in lefts])


def _starts(side: int, patch: int, count: int) -> list[int]:
    """Start positions of at most `count` patches spread over a side, multiples of 8."""
    if count == 1:
        return [(side - patch) // 2 // _BLOCK * _BLOCK]
    return sorted({(side - patch) * i // (count - 1) // _BLOCK * _BLOCK for i in range(count)})
