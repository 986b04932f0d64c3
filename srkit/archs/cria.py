"""Cria-CL: two heads of one trunk, one led by criteria that agree with the pixels, one by those that do not, and a
mask that says where which of them is shown (Shi et al. 2022, arXiv 2207.12767, Section III and Eq. 10).

The graph `cria_paper`: the heads branch off the trunk at low resolution, and the mask comes from the low-resolution
image.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, NamedTuple, get_args

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from srkit.archs.blocks import (
    NearestReconstruction,
    Reconstruction,
    centred,
    conv3x3,
    receptive_field,
    upsampling_stages,
)
from srkit.archs.info import ArchInfo, View
from srkit.archs.trunks import Trunk, blocks_radius, make_trunk
from srkit.errors import UsageError, nearest
from srkit.ops.resize import upscale

HeadUpsampler = Literal["nearest", "single", "edsr"]
Part = Literal["align", "unif", "mask"]
SCALES = (2, 3, 4, 8)
UNITS = 3
"""Residual units of each head and of the mask's branch."""
_SLOPE = 0.2


class CriaParts(NamedTuple):
    """What the network gives and what it is made of: sr = mask align + (1 - mask) unif."""

    sr: Tensor
    """(N, 3, scale h, scale w)."""
    align: Tensor
    """The same shape: the head of the criteria that agree with the pixels (alignment)."""
    unif: Tensor
    """The same shape: the head of those that do not (uniformity)."""
    mask: Tensor
    """(N, 1, scale h, scale w) in [0, 1]: S, the share of `align`; 1 - S is the other's."""


class Cria(nn.Module):
    """Images (N, 3, h, w) in [0, 1] to (N, 3, scale h, scale w); not clipped.

    Both heads predict what bicubic upscaling misses; sums are taken in fp32. The paper adds no bicubic image; since
    the two shares add to 1, it is added once all the same.

    Args:
        scale: 2, 3, 4 or 8.
        features: channels of the trunk.
        blocks: blocks of the trunk.
        growth: channels that a convolution adds in the dense blocks of `rrdb`.
        width: channels of each head.
        mask_width: channels of the mask's branch.
        upsampler: of each head; `nearest` is the paper's (see `NearestReconstruction`), the others are cheaper (see
            `Reconstruction`).
        trunk: `rrdb` is the paper's; `edsr` has the names and shapes of `srkit.archs.edsr.EDSR`'s tensors.
        heads: 2; 1: the head of alignment alone, without a mask, which the paper's main effect is held against.
        keep_colour: radius in LR pixels of the squares whose mean colour is kept (`colour_lost`); 0: whatever the
            heads make of it. It has no weights. Not in the paper.

    Raises:
        UsageError: a scale, number, upsampler, radius or trunk that the network is not defined for.
    """

    def __init__(
        self,
        scale: int = 4,
        features: int = 64,
        blocks: int = 8,
        growth: int = 32,
        width: int = 64,
        mask_width: int = 64,
        upsampler: HeadUpsampler = "nearest",
        trunk: Trunk = "rrdb",
        keep_colour: int = 0,
        heads: int = 2,
    ) -> None:
        super().__init__()
        if heads not in (1, 2):
            raise UsageError(f"Cria-CL was given {heads} heads; it is defined for 1 and 2.")
        _check(scale, (features, blocks, growth, width, mask_width), upsampler, keep_colour)
        self.scale, self.keep_colour, self.heads = scale, keep_colour, heads
        self.trunk = make_trunk(trunk, features, blocks, growth)
        self.align = _Head(features, width, scale, upsampler)
        if heads == 2:
            self.unif = _Head(features, width, scale, upsampler)
            self.mask = nn.Sequential(*units(3, mask_width), conv3x3(mask_width, 2))
        deep = blocks_radius(trunk, blocks) + 2 * UNITS + _reconstruction_radius(scale, upsampler)
        # Beyond the squares, the pixels between which their means are interpolated.
        self.info = ArchInfo(
            scale=scale,
            receptive_field=deep + (keep_colour + 1 if keep_colour else 0),
            fp16_ok=True,
            fp32_sum=True,
        )

    def forward(self, x: Tensor) -> Tensor:
        if self.heads == 2:
            return self.parts(x).sr
        h = centred(x).to(self.trunk.head.weight.dtype)
        sr: Tensor = upscale(x, self.scale) + self.align(self.trunk(h)).to(x.dtype)
        return sr + colour_lost(sr, x, self.keep_colour) if self.keep_colour else sr

    def parts(self, x: Tensor) -> CriaParts:
        """x (N, 3, h, w) in [0, 1] to the result, both heads' images and the mask, all of x's dtype; of two heads."""
        h = centred(x).to(self.trunk.head.weight.dtype)
        features = self.trunk(h)
        base = upscale(x, self.scale)
        align = base + self.align(features).to(x.dtype)
        unif = base + self.unif(features).to(x.dtype)
        logits = F.interpolate(
            self.mask(h).to(x.dtype), scale_factor=float(self.scale), mode="bilinear", align_corners=False
        )
        mask = logits.softmax(1)[:, :1]
        sr = torch.lerp(unif, align, mask)
        if self.keep_colour:
            lost = colour_lost(sr, x, self.keep_colour)
            sr, align, unif = sr + lost, align + lost, unif + lost
        return CriaParts(sr, align, unif, mask)

    def view(self, part: Part) -> CriaView:
        """A network that gives one of the parts in place of the result, and runs wherever this one does."""
        return CriaView(self, part)

    def views(self) -> dict[str, View]:
        """All of them, by the parts' names; none where there is one head."""
        return {part: self.view(part) for part in get_args(Part)} if self.heads == 2 else {}

    def begun_by(self, source: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Values with which both heads begin as the reconstruction of a network with one head.

        The heads' units become identities, so that with the trunk of the same network this one gives what that one
        gives, whatever the mask is.

        Args:
            source: the tensors of an `EDSR`, or of an `RRDBNet` with its skip.

        Returns:
            tensors by their names here, of this network's shapes; none where the reconstruction is another, or the
            heads are not as wide as the trunk.
        """
        own = self.state_dict()
        found: dict[str, Tensor] = {}
        for head in ("align", "unif")[: self.heads]:
            for name in own:
                if name.startswith(f"{head}.reconstruction."):
                    tensor = source.get(name.removeprefix(f"{head}."))
                    if tensor is None or tensor.shape != own[name].shape:
                        return {}
                    found[name] = tensor
            for number, unit in enumerate(getattr(self, head).units):
                if unit.skip.in_channels != unit.skip.out_channels:
                    return {}
                found |= {f"{head}.units.{number}.{k}": v for k, v in unit.identity().items()}
        return found


def colour_lost(sr: Tensor, x: Tensor, radius: int) -> Tensor:
    """What the mean colours of an image, over squares, have more than those of what was made of it, at each pixel.

    A network that repairs images is not sure what colour they had, and drifts; over many pixels the mean of what is
    damaged is nearly that of what it was.

    Args:
        sr: (N, 3, s h, s w).
        x: (N, 3, h, w).
        radius: of the squares, in pixels of x; at the border over the part that lies inside.

    Returns:
        the shape of sr, smooth.
    """
    difference = x - F.avg_pool2d(sr, sr.shape[2] // x.shape[2])
    mean = F.avg_pool2d(difference, 2 * radius + 1, 1, radius, count_include_pad=False)
    return F.interpolate(mean, size=sr.shape[2:], mode="bilinear", align_corners=False)


class CriaView(View):
    """Images to one part of what a `Cria` makes of them, (N, 3, scale h, scale w); the mask as a gray image."""

    def __init__(self, network: Cria, part: Part) -> None:
        super().__init__()
        self.network, self.part = network, part
        self.info = network.info
        self.gray = part == "mask"

    def forward(self, x: Tensor) -> Tensor:
        found: Tensor = getattr(self.network.parts(x), self.part)
        return found.expand(-1, 3, -1, -1)


class Unit(nn.Module):
    """Two convolutions, a leaky ReLU after each, and a 1x1 convolution as the skip (RB)."""

    def __init__(self, before: int, width: int) -> None:
        super().__init__()
        self.conv1 = conv3x3(before, width)
        self.conv2 = conv3x3(width, width)
        self.skip = nn.Conv2d(before, width, 1)

    def forward(self, x: Tensor) -> Tensor:
        h = F.leaky_relu(self.conv2(F.leaky_relu(self.conv1(x), _SLOPE)), _SLOPE)
        skipped: Tensor = self.skip(x)
        return h + skipped

    def identity(self) -> dict[str, Tensor]:
        """Values of the last convolution and of the skip with which a unit of equal widths changes nothing."""
        values = {name: torch.zeros_like(p) for name, p in self.named_parameters() if "conv1" not in name}
        nn.init.dirac_(values["skip.weight"])
        return values


class _Head(nn.Module):
    """Features (N, features, h, w) to an RGB residual (N, 3, scale h, scale w)."""

    def __init__(self, features: int, width: int, scale: int, upsampler: HeadUpsampler) -> None:
        super().__init__()
        self.units = nn.Sequential(*units(features, width))
        self.reconstruction: NearestReconstruction | Reconstruction
        if upsampler == "nearest":
            self.reconstruction = NearestReconstruction(width, upsampling_stages(scale))
        else:
            self.reconstruction = Reconstruction(width, scale, upsampler)

    def forward(self, features: Tensor) -> Tensor:
        out: Tensor = self.reconstruction(self.units(features))
        return out


def units(before: int, width: int) -> list[Unit]:
    """The units of one branch: from `before` channels to `width`."""
    return [Unit(before if i == 0 else width, width) for i in range(UNITS)]


def _reconstruction_radius(scale: int, upsampler: HeadUpsampler) -> int:
    """LR pixels to each side of the trunk's outer convolutions and a head's upsampler."""
    if upsampler == "nearest":
        return 2 + NearestReconstruction(1, upsampling_stages(scale)).radius
    return receptive_field(scale, 0, upsampler)


def _check(scale: int, counts: tuple[int, ...], upsampler: str, radius: int) -> None:
    if scale not in SCALES:
        raise UsageError(f"Cria-CL was given scale {scale}; it is defined for 2, 3, 4 and 8.")
    if min(counts) < 1:
        raise UsageError(
            f"Cria-CL was given {min(counts)} as the least of its numbers; all must be at least 1."
        )
    if radius < 0:
        raise UsageError(f"Cria-CL was given the radius {radius} for keep_colour; it must be at least 0.")
    known = get_args(HeadUpsampler)
    if upsampler not in known:
        raise UsageError(
            f"Cria-CL has no upsampler '{upsampler}'; known are {', '.join(known)}.{nearest(str(upsampler), known)}"
        )
