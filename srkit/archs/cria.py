"""Cria-CL: two heads on one trunk, one trained with criteria that agree with the pixels, one with those that do not,
and a mask that blends them per pixel (Shi et al. 2022, arXiv 2207.12767, Section III and Eq. 10).

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
    check_min,
    check_scale,
    conv3x3,
    receptive_field,
    upsampling_stages,
)
from srkit.archs.info import ArchInfo, View
from srkit.archs.trunks import Trunk, blocks_radius, make_trunk
from srkit.errors import UsageError, check_known
from srkit.ops.resize import upscale

HeadUpsampler = Literal["nearest", "single", "edsr"]
Part = Literal["align", "unif", "mask"]
SCALES = (2, 3, 4, 8)
UNITS = 3
"""Residual units of each head and of the mask's branch."""
_SLOPE = 0.2


class CriaParts(NamedTuple):
    """Output of the network and its parts: sr = mask align + (1 - mask) unif."""

    sr: Tensor
    """(N, 3, scale h, scale w)."""
    align: Tensor
    """Output of the head trained with criteria that agree with the pixels (alignment); shape of `sr`."""
    unif: Tensor
    """Output of the head trained with the other criteria (uniformity); shape of `sr`."""
    mask: Tensor
    """(N, 1, scale h, scale w) in [0, 1]: S, the weight of `align`; `unif` has 1 - S."""


class Cria(nn.Module):
    """Images (N, 3, h, w) in [0, 1] to (N, 3, scale h, scale w); not clipped.

    Both heads predict the residual over bicubic upscaling; sums are taken in fp32. The paper adds no bicubic image;
    since the two weights add to 1, it is added once here.

    Args:
        scale: 2, 3, 4 or 8.
        features: channels of the trunk.
        blocks: blocks of the trunk.
        growth: channels that each convolution of a dense block adds (`rrdb`).
        width: channels of each head.
        mask_width: channels of the mask's branch.
        upsampler: upsampler of each head; `nearest` is the paper's (see `NearestReconstruction`), the others are
            cheaper (see `Reconstruction`).
        trunk: `rrdb` is the paper's; `edsr` has the names and shapes of `srkit.archs.edsr.EDSR`'s tensors.
        heads: 2; or 1: the alignment head alone, without a mask (the paper's baseline).
        keep_colour: radius in LR pixels of the squares whose mean colour is kept (`colour_lost`); 0 disables it. It has
            no weights. Not in the paper.

    Raises:
        UsageError: unsupported scale, number, upsampler, radius or trunk.
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
        check_scale("Cria-CL", scale, SCALES)
        check_min(
            "Cria-CL", 1, features=features, blocks=blocks, growth=growth, width=width, mask_width=mask_width
        )
        check_min("Cria-CL", 0, keep_colour=keep_colour)
        check_known("upsampler of Cria-CL", upsampler, get_args(HeadUpsampler))
        self.scale, self.keep_colour, self.heads = scale, keep_colour, heads
        self.trunk = make_trunk(trunk, features, blocks, growth)
        self.align = _Head(features, width, scale, upsampler)
        if heads == 2:
            self.unif = _Head(features, width, scale, upsampler)
            self.mask = nn.Sequential(*units(3, mask_width), conv3x3(mask_width, 2))
        deep = blocks_radius(trunk, blocks) + 2 * UNITS + _reconstruction_radius(scale, upsampler)
        # The means of the squares are interpolated between pixels, which adds one pixel to the radius.
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
        """Map x (N, 3, h, w) in [0, 1] to the result, both heads' images and the mask, of x's dtype; two heads only."""
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
        """Return a network that gives one of the parts instead of the result, usable wherever this network is."""
        return CriaView(self, part)

    def views(self) -> dict[str, View]:
        """Views of all parts by name; empty for a network with one head."""
        return {part: self.view(part) for part in get_args(Part)} if self.heads == 2 else {}

    def begun_by(self, source: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Initial values that make both heads the reconstruction of a network with one head.

        The heads' units become identities, so that with the same network's trunk the result equals that network's,
        for any mask.

        Args:
            source: the tensors of an `EDSR`, or of an `RRDBNet` with its skip.

        Returns:
            tensors by their names and in the shapes of this network; empty if the reconstruction differs or the heads
            are not as wide as the trunk.
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
    """Difference between the local mean colours of an image and of its super-resolved version, at each pixel.

    A network that restores images is uncertain about colour and drifts; over many pixels the mean colour of a degraded
    image is close to the original's.

    Args:
        sr: (N, 3, s h, s w).
        x: (N, 3, h, w).
        radius: radius of the squares in pixels of x; at the border, only the part inside the image counts.

    Returns:
        the shape of sr, smooth.
    """
    difference = x - F.avg_pool2d(sr, sr.shape[2] // x.shape[2])
    mean = F.avg_pool2d(difference, 2 * radius + 1, 1, radius, count_include_pad=False)
    return F.interpolate(mean, size=sr.shape[2:], mode="bilinear", align_corners=False)


class CriaView(View):
    """Network that gives one part of a `Cria`'s output, (N, 3, scale h, scale w); the mask as a gray image."""

    def __init__(self, network: Cria, part: Part) -> None:
        super().__init__()
        self.network, self.part = network, part
        self.info = network.info
        self.gray = part == "mask"

    def forward(self, x: Tensor) -> Tensor:
        found: Tensor = getattr(self.network.parts(x), self.part)
        return found.expand(-1, 3, -1, -1)


class Unit(nn.Module):
    """Two convolutions, each followed by a leaky ReLU, and a 1x1 convolution as the skip (RB)."""

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
        """Values of the last convolution and the skip that make a unit of equal widths the identity."""
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
    """Units of one branch, from `before` channels to `width`."""
    return [Unit(before if i == 0 else width, width) for i in range(UNITS)]


def _reconstruction_radius(scale: int, upsampler: HeadUpsampler) -> int:
    """Radius in LR pixels of the trunk's outer convolutions and a head's upsampler."""
    if upsampler == "nearest":
        return 2 + NearestReconstruction(1, upsampling_stages(scale)).radius
    return receptive_field(scale, 0, upsampler)
