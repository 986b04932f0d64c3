"""Views of images, clean and degraded, for training feature networks without labels."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from srkit.data.batches import Batches
from srkit.io.codecs import through_jpeg
from srkit.ops.colour import LUMA
from srkit.ops.geometry import TURNS, turn
from srkit.ops.resize import bicubic_uint8

DEGRADATIONS = ("blur", "noise", "jpeg")
CLEAN = len(DEGRADATIONS)
"""`Views.kind` of a clean view."""
SMALLEST = 64
"""Shortest side of an image for cutting views, in pixels."""

_LEVELS = (1.0, 0.5, 0.25)  # scales of every image: as HR, and as LR of x2 and x4
_REACH = (0.5, 2.5)  # range of a view's side in its image, relative to the network's input
_JITTER = 1.33  # maximum ratio of the sides of an instance's two views
_ASPECT = 1.25
_WHOLE = 0.15  # share of views that show the whole image
_OFFSET = 0.4  # maximum offset of a view's centre from its instance's, in sides
_SHARES = (0.25, 0.25, 0.5)  # of the degradations: compression is the hardest to learn
_COLOURS = 6  # random numbers per colour change


@dataclass(frozen=True)
class Views:
    """Two views of each of I instances: the first views of all, then the second views of all (V = 2 I)."""

    pixels: Tensor
    """(V, 3, side, side) float32 in [0, 1], channels_last."""
    image: Tensor
    """(V,) int64: index of the image that a view was cut from."""
    kind: Tensor
    """(V,) int64: the degradation, an index of `DEGRADATIONS`, or `CLEAN`."""
    strength: Tensor
    """(V,) float32 in [0, 1]: strength of the degradation, on a logarithmic scale; 0 for clean views."""

    def to(self, device: torch.device) -> Views:
        return Views(*(value.to(device, non_blocking=True) for value in vars(self).values()))


@dataclass(frozen=True)
class ViewPlan:
    """Composition of a step; see `srkit.recipes.encoder.EncoderDataPart`."""

    images: int
    degraded: int
    sides: Sequence[int]
    seed: int
    rank: int = 0


@dataclass(frozen=True)
class _Instance:
    """Positions of an instance's two views, and the changes common to both."""

    image: int
    level: int
    turn: int
    side: float
    """Side of a view, in pixels of the level."""
    centre: tuple[float, float]
    kind: int = CLEAN
    strength: float = 0.0


class ViewSource(Batches[Views]):
    """Random views of images in memory at several sizes.

    Two views of an instance differ in position, scale, aspect, orientation and colour, never in blur, noise or
    compression. A degraded twin is an instance of its own: the same views as its clean one, both equally degraded.

    Args:
        photographs: (H, W, 3) uint8, both sides at least `SMALLEST`.
        domains: images of each of several domains; each step uses one domain.
    """

    def __init__(
        self,
        photographs: Sequence[NDArray[np.uint8]],
        domains: Sequence[Sequence[NDArray[np.uint8]]],
        plan: ViewPlan,
    ) -> None:
        self.plan = plan
        images = [*photographs, *(image for domain in domains for image in domain)]
        self._levels = [_levels(image) for image in images]
        ends = np.cumsum([len(photographs), *(len(domain) for domain in domains)]).tolist()
        self._photographs = len(photographs)
        self._domains = list(itertools.pairwise(ends))

    def draw(self, step: int) -> Views:
        """Views of one step."""
        plan = self.plan
        rng = np.random.default_rng((plan.seed, step, plan.rank))
        side = int(rng.choice(np.asarray(plan.sides)))
        of_domains = [int(rng.integers(*ends)) for ends in self._domains]
        of_photographs = rng.permutation(self._photographs)[: plan.images - len(of_domains)]
        chosen = rng.permutation([*of_domains[: plan.images], *of_photographs]).tolist()
        clean = [self._instance(image, side, rng) for image in chosen]
        twins = [_degraded(instance, rng) for instance in clean[: plan.degraded]]
        pixels = []
        for _ in range(2):
            cuts = [self._cut(instance, rng) for instance in clean]
            pixels += [_seen(cut, side) for cut in cuts]
            pixels += [
                _seen(cut.degraded(twin, side, rng), side) for cut, twin in zip(cuts, twins, strict=False)
            ]
        draws = rng.random((2, len(clean), _COLOURS), dtype=np.float32)
        draws = np.concatenate([draws, draws[:, : len(twins)]], axis=1).reshape(-1, _COLOURS)
        coloured = _recoloured(torch.cat(pixels).float() / 255, torch.from_numpy(draws))
        instances = (clean + twins) * 2
        return Views(
            coloured.contiguous(memory_format=torch.channels_last),
            torch.tensor([i.image for i in instances]),
            torch.tensor([i.kind for i in instances]),
            torch.tensor([i.strength for i in instances], dtype=torch.float32),
        )

    def _instance(self, image: int, side: int, rng: np.random.Generator) -> _Instance:
        levels = self._levels[image]
        level = int(rng.integers(len(levels)))
        height, width = levels[level].shape[2:]
        wanted = side * math.exp(rng.uniform(*np.log(_REACH)))
        centre = (float(rng.uniform(0, height)), float(rng.uniform(0, width)))
        return _Instance(image, level, int(rng.integers(TURNS)), min(wanted, height, width), centre)

    def _cut(self, instance: _Instance, rng: np.random.Generator) -> _Cut:
        whole = self._levels[instance.image][instance.level]
        size, centre = np.asarray(whole.shape[2:]), np.asarray(instance.centre)
        if rng.random() < _WHOLE:
            extent = size
        else:
            aspect = math.exp(rng.uniform(-0.5, 0.5) * math.log(_ASPECT))
            scale = instance.side * math.exp(rng.uniform(-1, 1) * math.log(_JITTER))
            extent = np.clip(np.rint([scale * aspect, scale / aspect]), min(32, *size), size).astype(int)
        place = centre + rng.uniform(-_OFFSET, _OFFSET, 2) * extent - extent / 2
        top, left = np.clip(np.rint(place), 0, size - extent).astype(int)
        pixels = whole[:, :, top : top + extent[0], left : left + extent[1]]
        return _Cut(pixels, instance.turn ^ (4 if rng.random() < 0.5 else 0))


@dataclass(frozen=True)
class _Cut:
    """Part of an image before it is resized."""

    pixels: Tensor
    """(1, 3, h, w) uint8."""
    turn: int

    def degraded(self, twin: _Instance, side: int, rng: np.random.Generator) -> _Cut:
        return _Cut(_degrade(self.pixels, twin, max(self.pixels.shape[2:]) / side, rng), self.turn)


def _seen(cut: _Cut, side: int) -> Tensor:
    """Resize and transform a cut to (1, 3, side, side) uint8."""
    # PyTorch's resize of uint8 is several times as fast as srkit's; values at a view's border may differ.
    resized = F.interpolate(cut.pixels, (side, side), mode="bicubic", antialias=True)
    return turn(resized, cut.turn)


def _levels(image: NDArray[np.uint8]) -> list[Tensor]:
    """Image as (1, 3, H, W) uint8 at every scale that leaves it large enough."""
    whole = torch.from_numpy(np.ascontiguousarray(image)).permute(2, 0, 1)[None]
    found = []
    for factor in _LEVELS:
        size = (round(whole.shape[2] * factor), round(whole.shape[3] * factor))
        if factor == 1.0 or min(size) >= SMALLEST:
            resized = whole if factor == 1.0 else bicubic_uint8(whole, size)
            found.append(resized.contiguous(memory_format=torch.channels_last))
    return found


def _degraded(instance: _Instance, rng: np.random.Generator) -> _Instance:
    """Copy of an instance with a random degradation."""
    kind, strength = int(rng.choice(len(DEGRADATIONS), p=_SHARES)), float(rng.random())
    return _Instance(
        instance.image, instance.level, instance.turn, instance.side, instance.centre, kind, strength
    )


def _degrade(cut: Tensor, instance: _Instance, reach: float, rng: np.random.Generator) -> Tensor:
    """Blur, add noise to, or compress (1, 3, h, w) uint8; `reach` is the factor by which the view is then downscaled.

    The strength is defined at the network's resolution, so cuts that are downscaled are degraded more.
    """
    if instance.kind == CLEAN:
        return cut
    reach, strength = max(1.0, reach), instance.strength
    if DEGRADATIONS[instance.kind] == "jpeg":
        quality = _between(60.0, 4.0, strength) / math.sqrt(reach)
        pixels = through_jpeg(cut[0].permute(1, 2, 0).contiguous().numpy(), max(2, round(quality)))
        return torch.from_numpy(pixels).permute(2, 0, 1)[None]
    if DEGRADATIONS[instance.kind] == "blur":
        return _blurred(cut, reach * _between(0.6, 3.0, strength))
    sigma = min(90.0, reach * _between(4.0, 40.0, strength))
    noise = torch.from_numpy(rng.standard_normal(tuple(cut.shape), dtype=np.float32)) * sigma
    return (cut.float() + noise).round_().clamp_(0, 255).to(torch.uint8)


def _blurred(cut: Tensor, sigma: float) -> Tensor:
    """Gaussian blur of (1, 3, h, w) uint8 with mirrored borders."""
    radius = min(math.ceil(3 * sigma), min(cut.shape[2:]) - 1)
    taps = torch.exp(-0.5 * (torch.arange(-radius, radius + 1) / sigma).square())
    taps = (taps / taps.sum()).view(1, 1, -1, 1)
    planes = F.pad(cut.float().transpose(0, 1), (radius,) * 4, mode="reflect")
    planes = F.conv2d(F.conv2d(planes, taps), taps.transpose(2, 3))
    return planes.transpose(0, 1).round_().clamp_(0, 255).to(torch.uint8)


def _between(weak: float, strong: float, strength: float) -> float:
    """Interpolate geometrically from `weak` to `strong`."""
    return weak * math.exp(strength * math.log(strong / weak))


def _recoloured(pixels: Tensor, draws: Tensor) -> Tensor:
    """Change brightness, contrast, saturation and channel balance of each view, (V, 3, s, s).

    `draws` (V, `_COLOURS`) in [0, 1) determine the amounts.
    """
    bright, contrast = 0.7 + 0.45 * draws[:, 0], 0.75 + 0.5 * draws[:, 1]
    saturation = torch.where(draws[:, 2] < 0.1, torch.zeros(()), 0.4 + 1.2 * draws[:, 2])
    balance = 0.85 + 0.3 * draws[:, 3:6]
    gray = torch.tensor(LUMA).expand(3, 3)
    mixing = saturation.view(-1, 1, 1) * torch.eye(3) + (1 - saturation).view(-1, 1, 1) * gray
    mixing = mixing * (bright * contrast)[:, None, None] * balance[:, :, None]
    mean = torch.einsum("vij,vj->vi", mixing, pixels.mean((2, 3)))
    lift = mean / contrast[:, None] - mean  # offset that keeps the mean unchanged by contrast
    mixed = torch.einsum("vij,vjhw->vihw", mixing, pixels) + lift[:, :, None, None]
    return mixed.clamp_(0, 1)
