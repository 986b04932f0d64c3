"""Training pairs with known blur: LR crops, the kernel of each of their pixels, and their depth."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from srkit.data.batches import Batches
from srkit.data.packed import Crops, PackedImages, draw_crops
from srkit.data.pairs import crop_to_multiple
from srkit.data.scenes import layered_scene
from srkit.degradation.defocus import on_lr_grid, sample_defocus
from srkit.degradation.jpeg import jpegs
from srkit.degradation.kernels import (
    RADIUS,
    TAPS,
    bicubic_kernel,
    check_scale,
    gaussian,
    gaussian_map,
)
from srkit.degradation.modes import BLOCK, MODES, mode_covariance
from srkit.degradation.pca import sample_covariance, sample_motion
from srkit.degradation.random_maps import patchwork, random_gradients, turned
from srkit.degradation.spatially_variant import blur_window
from srkit.errors import UsageError
from srkit.progress import Progress, Silent
from srkit.recipes.bounds import Bounded, bounded
from srkit.recipes.kernels import BlurPart

KINDS = ("invariant", "motion", "bicubic", "smooth", "defocus")
"""Kinds of blur; those with one kernel for all pixels of a crop come first."""
# With equal probabilities dkenet-x4 did not learn mode 6's diagonals: see experiments/RESULTS.md.
_DRAWN = (*MODES, "mode6", "mode6")
_JPEG_UNIT = 16  # side in pixels of JPEG's coding unit at half colour resolution
_INVARIANT, _MOTION, _BICUBIC, _SMOOTH, _DEFOCUS = range(len(KINDS))


@dataclass(frozen=True)
class BlurPlan(BlurPart, Bounded):
    """Composition of the batches.

    Raises:
        UsageError: a value out of range, or shares of kinds that do not add up to 1.
    """

    scale: int
    """2, 3 or 4."""
    patch: int = bounded(min=4)
    """Side of a crop in LR pixels."""
    batch: int = bounded(min=1)
    seed: int = bounded(min=0)
    rank: int = 0

    def __post_init__(self) -> None:
        check_scale(self.scale)
        super().__post_init__()
        if abs(sum(self.shares) - 1) > 1e-6:
            raise UsageError(
                f"The shares of {', '.join(KINDS)} add up to {sum(self.shares):g}; they must add up to 1."
            )
        for one, other in (("withheld", "wrong"), ("modes", "patchwork")):
            both = getattr(self, one) + getattr(self, other)
            if both > 1:
                raise UsageError(f"The shares {one} and {other} add up to {both:g}; at most 1 is possible.")
        if self.defocus > 0 and not self.scenes:
            raise UsageError("Crops blurred by depth need layered scenes; ask for some, or set defocus to 0.")

    @property
    def shares(self) -> tuple[float, ...]:
        """Probabilities of `KINDS`, in their order."""
        return (self.invariant, self.motion, self.bicubic, self.smooth, self.defocus)

    @property
    def border(self) -> int:
        """Margin in LR pixels around a crop that its kernels cover."""
        return math.ceil(RADIUS / self.scale)

    @property
    def smallest_side(self) -> int:
        """Shortest side of an image for cutting crops, in HR pixels."""
        return (self.patch + 2 * self.border) * self.scale


@dataclass(frozen=True)
class BlurredBatch:
    """B crops of side p on the LR grid, with the parameters of their degradation."""

    lr: Tensor
    """(B, 3, p, p), float32 in [0, 1], integer levels of 8 bit, channels_last."""
    hr: Tensor
    """(B, 3, s p, s p), in the same format."""
    kernels: Tensor
    """(B, 441, p, p): see `srkit.degradation.kernels`. Bicubic kernels have negative taps."""
    depth: Tensor
    """(B, 1, p, p), inverse depth in [0, 1] as given to the network: possibly none (zeros), distorted or wrong."""
    true_depth: Tensor
    """(B, 1, p, p), true depth, normalised over whole scenes; zeros for photographs."""
    kind: Tensor
    """(B,) int64: indices of `KINDS`, ascending, so that crops of a kind are adjacent."""


class BlurredPairs(Batches[BlurredBatch]):
    """Images and layered scenes in memory as uint8; crops are cut and blurred on the device.

    Crops are cut with the surroundings that their kernels cover, so the blur of a crop equals that of its image.

    Args:
        images: (H, W, 3) uint8; images with a side below `plan.smallest_side` are used only for scenes.

    Raises:
        UsageError: no image is large enough.
    """

    def __init__(
        self,
        images: Sequence[NDArray[np.uint8]],
        plan: BlurPlan,
        device: torch.device,
        progress: Progress | None = None,
    ) -> None:
        self.plan, self._device = plan, device
        large = [p for p in images if min(p.shape[:2]) >= plan.smallest_side]
        if not large:
            raise UsageError(
                f"None of {len(images)} images has both sides of {plan.smallest_side} pixels or more, which crops "
                f"of {plan.patch} LR pixels at x{plan.scale} with their surroundings need."
            )
        self._photographs = _Source([crop_to_multiple(p, plan.scale) for p in large], plan.scale, device)
        side = -(-max(plan.scene_side, plan.smallest_side) // plan.scale) * plan.scale
        scenes, depths = _make_scenes(images, side, plan, progress or Silent())
        self._scenes = _Source(scenes, plan.scale, device)
        self._depths = PackedImages(depths, device)
        self._bicubic = bicubic_kernel(plan.scale)

    def draw(self, step: int) -> BlurredBatch:
        """Batch of one step."""
        plan = self.plan
        draws = np.random.default_rng((plan.seed, step, plan.rank))
        rng = torch.Generator().manual_seed(int(draws.integers(2**62)))
        # Sorted, so that crops of a kind are one block of memory.
        kind = torch.from_numpy(np.sort(draws.choice(len(KINDS), plan.batch, p=np.asarray(plan.shares))))
        in_scene = (kind == _DEFOCUS) | (torch.rand(plan.batch, generator=rng) < plan.elsewhere)
        in_scene &= plan.scenes > 0
        around, depth = self._cut(in_scene, rng)
        kernels, lr = self._blurred(around, depth, kind, rng)
        margin = plan.border * plan.scale
        hr = around[:, :, margin:-margin, margin:-margin].contiguous(memory_format=torch.channels_last)
        given = self._given(depth, in_scene, rng)
        lr = self._compressed(self._noisy(lr, rng), rng).contiguous(memory_format=torch.channels_last)
        return BlurredBatch(lr, hr, kernels, given, depth, kind)

    def _cut(self, in_scene: Tensor, rng: torch.Generator) -> tuple[Tensor, Tensor]:
        """Cut HR with surroundings (B, 3, ., .) and depth (B, 1, p, p)."""
        plan = self.plan
        patch = plan.patch + 2 * plan.border
        around = torch.empty(plan.batch, 3, patch * plan.scale, patch * plan.scale, device=self._device)
        depth = torch.zeros(plan.batch, 1, plan.patch, plan.patch, device=self._device)
        for source, where in ((self._photographs, ~in_scene), (self._scenes, in_scene)):
            if bool(where.any()):
                crops = self._draw_crops(source, int(where.sum()), rng)
                around[where] = source.hr.cut(crops, patch, plan.scale)
                if source is self._scenes:
                    depth[where] = self._cut_depth(crops)
        return around, depth

    def _draw_crops(self, source: _Source, count: int, rng: torch.Generator) -> Crops:
        plan = self.plan
        seed = int(torch.randint(2**31, (1,), generator=rng))
        patch = plan.patch + 2 * plan.border
        return draw_crops(source.sizes, patch, count, seed=seed, step=0, augment=plan.augment)

    def _cut_depth(self, crops: Crops) -> Tensor:
        border, patch = self.plan.border, self.plan.patch
        return self._depths.cut(crops, patch + 2 * border)[:, :, border:-border, border:-border]

    def _blurred(
        self, around: Tensor, depth: Tensor, kind: Tensor, rng: torch.Generator
    ) -> tuple[Tensor, Tensor]:
        """Kernels (B, 441, p, p) and LR (B, 3, p, p), neither noisy nor rounded."""
        plan, device = self.plan, self._device
        margin = plan.border * plan.scale
        kernels = torch.empty(plan.batch, TAPS, plan.patch, plan.patch, device=device)
        lr = torch.empty(plan.batch, 3, plan.patch, plan.patch, device=device)
        first = int((kind < _SMOOTH).sum())  # number of crops with a single kernel
        if first:
            same = self._same(kind[:first], rng).to(device)
            kernels[:first] = same.flatten(1)[:, :, None, None]
            lr[:first] = blur_window(around[:first], same, plan.scale, margin)
        if first < plan.batch:
            defocused = int((kind == _DEFOCUS).sum())
            covariance = self._smooth(plan.batch - first - defocused, rng).to(device)
            if defocused:
                covariance = torch.cat([covariance, sample_defocus(depth[-defocused:], plan.scale, rng)])
            kernels[first:] = gaussian_map(covariance, plan.scale)
            lr[first:] = blur_window(around[first:], kernels[first:], plan.scale, margin)
        return kernels, lr

    def _same(self, kind: Tensor, rng: torch.Generator) -> Tensor:
        """Kernels (n, 21, 21) that are the same for all pixels of a crop."""
        scale = self.plan.scale
        kernels = self._bicubic.repeat(len(kind), 1, 1)
        invariant, moved = kind == _INVARIANT, kind == _MOTION
        covariance = sample_covariance(scale, int(invariant.sum()), rng)
        kernels[invariant] = gaussian(covariance, scale).float()
        kernels[moved] = sample_motion(scale, int(moved.sum()), rng)
        return kernels

    def _smooth(self, count: int, rng: torch.Generator) -> Tensor:
        """Covariances (count, 3, p, p): MANet's modes, cropped and rotated at random, patchwork, or random gradients.

        In the original modes blur grows downwards and kernels lie along the rows, which a network would memorise.
        """
        scale, patch = self.plan.scale, self.plan.patch
        found = random_gradients(count, patch, scale, rng)
        dice = torch.rand(count, generator=rng)
        for at in torch.nonzero(dice >= 1 - self.plan.patchwork).flatten().tolist():
            found[at] = patchwork(patch, scale, rng)
        for at in torch.nonzero(dice < self.plan.modes).flatten().tolist():
            mode, seed = (int(torch.randint(high, (1,), generator=rng)) for high in (len(_DRAWN), 2**31))
            # Part of an image of one to four times the crop, so that blocks start at any position.
            side = round(patch * float(1 + 3 * torch.rand(1, generator=rng))) + BLOCK // scale
            top, left = torch.randint(side - patch + 1, (2,), generator=rng).tolist()
            whole = mode_covariance(_DRAWN[mode], side, side, scale, seed)
            found[at] = turned(whole[0, :, top : top + patch, left : left + patch], rng)
        return found

    def _given(self, depth: Tensor, in_scene: Tensor, rng: torch.Generator) -> Tensor:
        """Depth given to the network: true, distorted, wrong, invented, or zeros."""
        plan = self.plan
        count, where = len(depth), in_scene.to(depth.device)[:, None, None, None]
        dice = torch.rand(3, count, 1, 1, 1, generator=rng).to(depth.device)
        bent = torch.where(dice[1] < plan.jittered, jittered(depth, rng), depth)
        other = random_smooth(count, plan.patch, rng).to(depth.device)
        if plan.scenes:
            elsewhere = self._cut_depth(self._draw_crops(self._scenes, count, rng))
            # Photographs get either kind of unrelated depth; scenes get that of another scene.
            other = torch.where(where | (dice[1] < 0.5), elsewhere, other)
        nothing = torch.zeros_like(depth)
        right = torch.where(dice[0] < plan.wrong, other, bent)
        right = torch.where(dice[0] >= 1 - plan.withheld, nothing, right)
        return torch.where(where, right, torch.where(dice[2] < plan.unrelated, other, nothing))

    def _noisy(self, lr: Tensor, rng: torch.Generator) -> Tensor:
        """Add noise and round to integer levels of 8 bit, in [0, 1]."""
        plan = self.plan
        sigma = plan.noise[0] + (plan.noise[1] - plan.noise[0]) * torch.rand(len(lr), generator=rng)
        sigma = torch.where(torch.rand(len(lr), generator=rng) < plan.noiseless, 0.0, sigma)
        noise = torch.randn(lr.shape, generator=rng) * sigma[:, None, None, None]
        return (lr * 255 + noise.to(lr.device)).round().clamp(0, 255) / 255

    def _compressed(self, lr: Tensor, rng: torch.Generator) -> Tensor:
        """Compress some of the crops (B, 3, p, p) by JPEG, with a random position of the block grid."""
        plan = self.plan
        if not plan.compressed:
            return lr
        where = torch.nonzero(torch.rand(len(lr), generator=rng) < plan.compressed).flatten().tolist()
        quality = torch.randint(plan.jpeg[0], plan.jpeg[1] + 1, (len(where),), generator=rng).tolist()
        corners = torch.randint(_JPEG_UNIT, (len(where), 2), generator=rng).tolist()
        around = [
            F.pad(lr[at : at + 1], (left, 0, top, 0), mode="replicate")
            for at, (top, left) in zip(where, corners, strict=True)
        ]
        made = jpegs(around, quality)
        for at, (top, left), one in zip(where, corners, made, strict=True):
            lr[at] = one[0, :, top:, left:]
        return lr


class _Source:
    """Images that crops are cut from, with their sizes on the LR grid."""

    def __init__(self, images: Sequence[NDArray[np.uint8]], scale: int, device: torch.device) -> None:
        self.hr = PackedImages(images, device)
        self.sizes = (self.hr.heights // scale, self.hr.widths // scale)


def _make_scenes(
    images: Sequence[NDArray[np.uint8]], side: int, plan: BlurPlan, progress: Progress
) -> tuple[list[NDArray[np.uint8]], list[NDArray[np.uint8]]]:
    """Make layered scenes (side, side, 3), and their depth on the LR grid (h, w, 1) in 256 levels."""
    scenes, depths = [], []
    if plan.scenes:
        progress.start("layering scenes", plan.scenes)
    for number in range(plan.scenes):
        scene = layered_scene(images, side, side, plan.seed * 1_000_003 + number)
        depth = on_lr_grid(torch.from_numpy(scene.depth)[None, None], plan.scale)
        scenes.append(scene.image)
        depths.append((depth[0, 0, :, :, None] * 255).round().to(torch.uint8).numpy())
        progress.advance()
    if plan.scenes:
        progress.finish()
    return scenes, depths


def random_smooth(count: int, patch: int, rng: torch.Generator) -> Tensor:
    """Smooth random maps in [0, 1], (count, 1, patch, patch)."""
    coarse = torch.rand(count, 1, 4, 4, generator=rng)
    return F.interpolate(coarse, (patch, patch), mode="bicubic", align_corners=True).clamp(0, 1)


def jittered(depth: Tensor, rng: torch.Generator) -> Tensor:
    """Simulate estimated depth from (N, 1, p, p): a power, smooth errors of up to 0.1, and smoothing."""
    count = len(depth)
    uniform = torch.rand(3, count, 1, 1, 1, generator=rng).to(depth.device)
    bent = depth ** torch.exp(uniform[0] - 0.5)
    hills = random_smooth(count, depth.shape[-1], rng).to(depth.device) - 0.5
    soft = F.avg_pool2d(F.pad(bent, (1, 1, 1, 1), mode="replicate"), 3, stride=1)
    soft = torch.where(uniform[1] < 0.5, soft, bent)
    return (soft + 0.2 * uniform[2] * hills).clamp(0, 1)
