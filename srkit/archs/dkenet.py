"""DKENet: per-pixel blur kernel estimation with depth (SSR, Lin et al. 2024, ECCV; arXiv 2403.05808).

The paper draws the network and names MANet (Liang et al. 2021, ICCV) as its origin; details missing from the paper
follow MANet.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from srkit.archs.blocks import SFT, begin_at_zero, check_min, check_scale, conv3x3
from srkit.archs.detail import (
    DETAIL_RADIUS,
    detail_energies,
    energies_count,
    energies_radius,
    normalised_detail,
)
from srkit.archs.info import ArchInfo
from srkit.archs.maconv import MAConv
from srkit.errors import UsageError
from srkit.ops.layout import in_precision

SIZE = 21
"""Side of a kernel in HR pixels."""
TAPS = SIZE * SIZE
SCALES = (2, 3, 4)
MAX_LEVELS = 5
_WEAK = 0.1  # initial gain of layers whose result is added to, or multiplies, earlier features
_STRIP = 65536  # kernels computed at a time by `codes`: 116 MB


class DKENet(nn.Module):
    """Images (N, 3, h, w) in [0, 1] and their depth to kernels (N, 441, h, w), each of sum 1.

    Kernels lie on the HR grid, one per LR pixel, with tap u * 21 + v at row u and column v. The network works at
    `levels` resolutions, so windows of an image give the same kernels as the whole image if they begin at multiples of
    2^(levels - 1).

    Args:
        scale: scale of the kernels' HR grid; 2, 3 or 4. It changes no layer, but weights are for one scale.
        features: channels of the image branch (128 in the paper; 32 suits CPUs); a multiple of 4.
        depth_features: channels of the depth branch.
        contrast: also input the image's detail divided by its local strength (`normalised_detail`), which shows blur
            independently of contrast. Not in the paper.
        levels: number of resolutions, each half of the previous: the paper's 2, or more, which add context. Added
            levels contribute nothing at initialisation.
        energies: radii of the squares over which the strength of the image's differences is also input
            (`detail_energies`). Not in the paper. They contribute nothing at initialisation.

    Raises:
        UsageError: unsupported scale or number of channels.
    """

    def __init__(
        self,
        scale: int = 4,
        features: int = 128,
        depth_features: int = 32,
        contrast: bool = False,
        levels: int = 2,
        energies: Sequence[int] = (),
    ) -> None:
        super().__init__()
        check_scale("DKENet", scale, SCALES)
        check_min("DKENet", 1, features=features, depth_features=depth_features)
        if features % 4:
            raise UsageError(f"DKENet was given {features} features; it takes a multiple of 4.")
        if not 2 <= levels <= MAX_LEVELS:
            raise UsageError(f"DKENet was given {levels} levels; it takes from 2 to {MAX_LEVELS}.")
        if energies:
            check_min("DKENet", 1, energies=energies)
        self._contrast, self._energies, self._multiple = contrast, tuple(energies), 1 << (levels - 1)
        self.head = conv3x3(6 if contrast else 3, features)
        self.energy_head = conv3x3(energies_count(energies), features) if energies else None
        self.depth_head = conv3x3(1, depth_features)
        self.depth_down = nn.Conv2d(depth_features, depth_features, 3, stride=2, padding=1)
        self.down_block = _DepthAffineBlock(features, depth_features)
        self.down = nn.Conv2d(features, 2 * features, 2, stride=2)
        self.body = _DepthAffineBlock(2 * features, depth_features)
        self.deeper = _Deeper(2 * features, depth_features, levels - 2) if levels > 2 else None
        self.up = nn.ConvTranspose2d(2 * features, features, 2, stride=2)
        self.up_block = _DepthAffineBlock(features, depth_features)
        self.tail = conv3x3(features, TAPS)
        self._initialise()
        self.info = ArchInfo(
            scale=scale,
            receptive_field=_receptive_field(levels)
            + max(DETAIL_RADIUS if contrast else 0, energies_radius(energies) if energies else 0),
            multiple_of=self._multiple,
            conditioning=("depth",),
        )

    def _initialise(self) -> None:
        """Initialise with stable signal strength through skips and shifts, and nearly uniform kernels."""
        for module in self.modules():
            if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
                nn.init.kaiming_normal_(module.weight, 0.2)
                begin_at_zero(module.bias)
        weak: list[nn.Module] = [self.tail]
        for block in (module for module in self.modules() if isinstance(module, _DepthAffineBlock)):
            weak += [block.sft.scale, block.sft.shift, *block.conv2.convs]
            for conv in (block.conv1, block.conv2):
                weak += [affine.get_submodule("expand") for affine in conv.affine]
        with torch.no_grad():
            for layer in weak:
                layer.get_parameter("weight").mul_(_WEAK)
            for deeper in (module for module in self.modules() if isinstance(module, _Deeper)):
                deeper.up.weight.zero_()
            if self.energy_head is not None:
                self.energy_head.weight.zero_()

    def forward(self, x: Tensor, depth: Tensor | None = None, lattice: Tensor | None = None) -> Tensor:
        """Estimate kernels (N, 441, h, w), float32; the softmax is taken in fp32 in any precision.

        Sides that are no multiples of `info.multiple_of` are padded internally by repeating the last row or column.

        Args:
            x: (N, 3, h, w) in [0, 1].
            depth: (N, 1, h, w), inverse depth in [0, 1], 1 nearest; zeros or None if unknown.
            lattice: three integers r, c, n: estimate only the kernels of rows r, r + n, ... and columns c, c + n, ...,
                which halves the time of training at little loss, since neighbouring kernels are similar.
        """
        h = self.features(x, depth)
        if lattice is None:
            return _softmax(self.tail(h))
        row, column, distance = lattice.tolist()
        around = F.pad(h, (1, 1, 1, 1))[:, :, row:, column:]
        return _softmax(F.conv2d(around, self.tail.weight, self.tail.bias, stride=distance))

    def codes(self, x: Tensor, depth: Tensor | None, basis: Tensor) -> Tensor:
        """Codes (N, K, h, w), float32, of the kernels that `forward` estimates, computed in strips to save memory.

        Args:
            x, depth: as in `forward`.
            basis: (K, 21, 21), orthonormal; a code is its inner product with a kernel.
        """
        h = self.features(x, depth)
        taps = basis.reshape(len(basis), TAPS, 1, 1).to(device=h.device, dtype=torch.float32)
        return torch.cat([_project(_softmax(part), taps) for part in self._tail_in_strips(h)], dim=2)

    def features(self, x: Tensor, depth: Tensor | None) -> Tensor:
        """Features before the last convolution: (N, features, h, w)."""
        dtype = self.head.weight.dtype
        height, width = x.shape[2:]
        if depth is None:
            depth = x.new_zeros(len(x), 1, height, width)
        # Roughly zero mean and unit variance; computed before the cast, which would merge the brightest levels.
        shown = x.float() * 4 - 2
        if self._contrast:
            shown = torch.cat([shown, normalised_detail(x)], dim=1)
        image, depth = (_extended(x, self._multiple).to(dtype) for x in (shown, depth))
        near = F.relu(self.depth_head(depth))
        near_half = F.relu(self.depth_down(near))
        head: Tensor = self.head(image)
        if self.energy_head is not None:
            energies = _extended(detail_energies(x, self._energies), self._multiple)
            head = head + self.energy_head(energies.to(dtype))
        down: Tensor = self.down(self.down_block(head, near))
        body: Tensor = self.body(down, near_half)
        if self.deeper is not None:
            body = body + self.deeper(body, near_half)
        up: Tensor = self.up_block(self.up(body + down), near)
        return (up + head)[:, :, :height, :width]

    def _tail_in_strips(self, h: Tensor) -> Iterator[Tensor]:
        """Yield the last convolution's result in strips of rows, (N, 441, rows, w)."""
        rows = max(1, _STRIP // (len(h) * h.shape[3]))
        padded = F.pad(h, (1, 1, 1, 1))
        for top in range(0, h.shape[2], rows):
            part = padded[:, :, top : min(top + rows, h.shape[2]) + 2]
            yield F.conv2d(part, self.tail.weight, self.tail.bias)


def _receptive_field(levels: int) -> int:
    """Radius in LR pixels: head 1, two blocks of 4 (SFT 2, MAConvs 2), tail 1; per lower resolution a block and its
    strides. The depth branch has a smaller radius."""
    lower = sum((4 << level) + (1 << (level - 1)) for level in range(1, levels))
    return 1 + 4 + 4 + 1 + lower


class _DepthAffineBlock(nn.Module):
    """DAB: SFT by depth features, then MAConv - ReLU - MAConv, and a skip around all."""

    def __init__(self, features: int, depth_features: int) -> None:
        super().__init__()
        self.sft = SFT(features, depth_features)
        self.conv1 = MAConv(features)
        self.conv2 = MAConv(features)

    def forward(self, h: Tensor, depth: Tensor) -> Tensor:
        change: Tensor = self.conv2(F.relu(self.conv1(self.sft(h, depth))))
        return h + change


class _Deeper(nn.Module):
    """Residual of features (N, features, h, w) and their depth features, computed at half the resolution and,
    recursively, at lower ones."""

    def __init__(self, features: int, depth_features: int, levels: int) -> None:
        super().__init__()
        self.down = nn.Conv2d(features, features, 2, stride=2)
        self.depth_down = nn.Conv2d(depth_features, depth_features, 3, stride=2, padding=1)
        self.block = _DepthAffineBlock(features, depth_features)
        self.deeper = _Deeper(features, depth_features, levels - 1) if levels > 1 else None
        self.up = nn.ConvTranspose2d(features, features, 2, stride=2)

    def forward(self, h: Tensor, depth: Tensor) -> Tensor:
        near = F.relu(self.depth_down(depth))
        found: Tensor = self.block(self.down(h), near)
        if self.deeper is not None:
            found = found + self.deeper(found, near)
        up: Tensor = self.up(found)
        return up


def _extended(x: Tensor, multiple: int) -> Tensor:
    """Pad (N, C, h, w) by repeating the last row and column until the sides are multiples of `multiple`."""
    bottom, right = -x.shape[2] % multiple, -x.shape[3] % multiple
    return F.pad(x, (0, right, 0, bottom), mode="replicate") if bottom or right else x


def _softmax(logits: Tensor) -> Tensor:
    """Softmax over the channels in fp32, computed with channels last: other dimensions are several times slower."""
    with in_precision(logits, None):
        taps_last = logits.permute(0, 2, 3, 1).to(torch.float32, memory_format=torch.contiguous_format)
        return taps_last.softmax(dim=3).permute(0, 3, 1, 2)


def _project(kernels: Tensor, taps: Tensor) -> Tensor:
    with in_precision(kernels, None):
        return F.conv2d(kernels, taps)
