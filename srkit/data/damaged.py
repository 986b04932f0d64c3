"""Clean and damaged crops of images, for training the classifier of damage."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from srkit.data.batches import Batches
from srkit.data.pairs import shrunk
from srkit.degradation.filters import filtered, gaussian_kernel, with_halo
from srkit.degradation.jpeg import jpegs, rounded
from srkit.degradation.noise import gaussian_noise
from srkit.degradation.second_order import degrade, draw
from srkit.ops.geometry import TURNS, turn
from srkit.ops.layout import RGB
from srkit.ops.resize import bicubic
from srkit.progress import Progress
from srkit.recipes.degradation import SecondOrderPart

_SCALES, _SHARES = (1, 2, 4), (0.25, 0.4, 0.35)
_TOGETHER = 16
"""Number of crops that are degraded at once."""
SPARE = 8
"""Margin in pixels that is degraded beyond the crop, for a random position of JPEG's block grid."""
_SINGLE = 0.3
"""Share of damaged crops with compression or noise only."""


@dataclass(frozen=True)
class Judged:
    """Crops with their labels."""

    pixels: Tensor
    """(B, 3, side, side), float32 in [0, 1]."""
    damaged: Tensor
    """(B,), float32, 1 if damaged, else 0."""
    strong: Tensor
    """(B,), float32, 1 if strongly damaged, else 0."""

    def to(self, device: torch.device) -> Judged:
        return Judged(*(value.to(device, non_blocking=True) for value in vars(self).values()))


@dataclass(frozen=True)
class DamagePlan:
    """Composition of the crops; see `srkit.recipes.diagnose.DiagnoseDataPart`."""

    side: int
    sizes: Sequence[float]
    degradation: SecondOrderPart
    mildest: float
    strong: float
    batch: int
    seed: int
    rank: int = 0


class DamagePool(Batches[Judged]):
    """Precomputed crops, half of them damaged, and batches of them.

    Clean crops are cut from the images at several sizes and after antialiased bicubic downscaling by 2 and 4; some are
    slightly sharpened, compressed at a quality of 95 or more, or have noise of at most 3 levels, and still count as
    clean. Damaged crops are degraded, or only compressed or noisy; crops that differ from their clean versions by less
    than `mildest` dB are discarded.

    Args:
        photographs, rendered: images (H, W, 3) uint8; three fifths of the crops are of photographs.
        count: number of crops of either class.
    """

    def __init__(
        self,
        photographs: Sequence[RGB],
        rendered: Sequence[RGB],
        count: int,
        plan: DamagePlan,
        progress: Progress,
    ) -> None:
        self.plan = plan
        self._rng = np.random.default_rng((plan.seed, count))
        self._torch = torch.Generator().manual_seed(int(self._rng.integers(2**62)))
        self._levels = [
            [shrunk(image, factor) for image in images for factor in plan.sizes]
            for images in (photographs, rendered)
        ]
        clean: list[Tensor] = []
        damaged: list[Tensor] = []
        differ: list[Tensor] = []
        progress.start("degrading", count)
        while sum(map(len, damaged)) < count:
            some, unlike = self._damaged()
            damaged.append(_bytes(some))
            differ.append(unlike)
            clean.append(_bytes(self._clean()))
            for _ in range(len(some)):
                progress.advance()
        progress.finish()
        self.clean, self.damaged = torch.cat(clean), torch.cat(damaged)
        self._strong = (torch.cat(differ) < plan.strong).float()

    def draw(self, step: int) -> Judged:
        """Batch of one step, half of it damaged, with one dihedral transform for all."""
        rng = np.random.default_rng((self.plan.seed, step, self.plan.rank))
        half = self.plan.batch // 2
        mine, others = (
            torch.from_numpy(rng.integers(0, len(pool), half)) for pool in (self.clean, self.damaged)
        )
        pixels = torch.cat([self.clean[mine], self.damaged[others]])
        is_damaged = torch.cat([torch.zeros(half), torch.ones(half)])
        strong = torch.cat([torch.zeros(half), self._strong[others]])
        return Judged(turn(pixels, int(rng.integers(TURNS))).float() / 255, is_damaged, strong)

    def _crops(self, side: int) -> Tensor:
        """Crops (`_TOGETHER`, 3, side, side) in [0, 1] of images that are large enough."""
        found: list[RGB] = []
        while len(found) < _TOGETHER:
            levels = self._levels[int(self._rng.random() < 0.4 and bool(self._levels[1]))]
            image = levels[int(self._rng.integers(len(levels)))]
            spare = [length - side for length in image.shape[:2]]
            if min(spare) >= 0:
                top, left = (int(self._rng.integers(one + 1)) for one in spare)
                found.append(np.ascontiguousarray(image[top : top + side, left : left + side]))
        return torch.from_numpy(np.stack(found)).permute(0, 3, 1, 2).float() / 255

    def _low(self, side: int) -> tuple[Tensor, Tensor, int]:
        """HR crops, their bicubic LR of side `side` in integer levels, and the scale."""
        scale = int(self._rng.choice(_SCALES, p=_SHARES))
        if not any(min(i.shape[:2]) >= scale * side for levels in self._levels for i in levels):
            scale = 1
        hr = self._crops(side * scale)
        lr = bicubic(hr, (side, side)) if scale > 1 else hr
        return hr, (lr.clamp(0, 1) * 255).round() / 255, scale

    def _clean(self) -> Tensor:
        """Clean crops, some of them with harmless changes."""
        _, lr, _ = self._low(self.plan.side)
        made = []
        for one in torch.split(lr, 1):
            what = self._rng.random()
            if what < 0.15:
                one = with_halo(one, float(self._rng.uniform(0.5, 1.0)), float(self._rng.uniform(0.1, 0.5)))
            elif what < 0.3:
                one = self._compressed(one, 95, 100)
            elif what < 0.4:
                one = self._noisy(one, 0.5, 3.0)
            made.append(one)
        return torch.cat(made)

    def _damaged(self) -> tuple[Tensor, Tensor]:
        """Damaged crops, and the PSNR of each against its clean version."""
        plan = self.plan
        hr, clean, scale = self._low(plan.side + SPARE)
        if self._rng.random() < _SINGLE:
            low = torch.cat([self._singly(one) for one in torch.split(clean, 1)])
        else:
            drawn = draw(replace(plan.degradation, clean=0.0), len(hr), self._torch)
            low, _ = degrade(hr, scale, drawn, sharpen=False)
        top, left = (int(of) for of in self._rng.integers(0, SPARE + 1, 2))
        low, clean = (x[:, :, top : top + plan.side, left : left + plan.side] for x in (low, clean))
        psnr = -10 * torch.log10((low - clean).square().mean((1, 2, 3)).clamp(min=1e-10))
        kept = psnr < plan.mildest
        return low[kept], psnr[kept]

    def _singly(self, x: Tensor) -> Tensor:
        if self._rng.random() < 0.5:
            return self._compressed(x, 15, 88)
        noisy = self._noisy(x, 5.0, 35.0)
        if self._rng.random() < 0.5:
            noisy = x + filtered(noisy - x, gaussian_kernel(float(self._rng.uniform(0.4, 0.9)))) * 1.5
        return (
            rounded(noisy.clamp(0, 1) * 255) / 255
            if self._rng.random() < 0.5
            else self._compressed(noisy, 60, 92)
        )

    def _compressed(self, x: Tensor, low: int, high: int) -> Tensor:
        quality, full = int(self._rng.integers(low, high + 1)), bool(self._rng.random() < 0.4)
        return jpegs([x], [quality], full_colour=[full])[0]

    def _noisy(self, x: Tensor, low: float, high: float) -> Tensor:
        sigma, gray = float(np.exp(self._rng.uniform(np.log(low), np.log(high)))), self._rng.random() < 0.4
        return rounded(gaussian_noise(x, sigma, bool(gray), self._torch) * 255) / 255


def _bytes(x: Tensor) -> Tensor:
    return (x.clamp(0, 1) * 255).round().to(torch.uint8).contiguous()
