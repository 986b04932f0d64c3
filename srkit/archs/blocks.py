"""Building blocks that several networks share."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from functools import lru_cache
from typing import Literal, get_args

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from srkit.errors import UsageError, check_known

Upsampler = Literal["edsr", "single"]
DIV2K_MEAN = (0.4488, 0.4371, 0.4040)
_SLOPE = 0.2  # negative slope of ESRGAN's leaky ReLUs
DEEP_SCALE = 8
"""Smallest scale at which residual blocks may stand between the upsampling stages."""


def check_scale(network: str, scale: int, scales: Collection[int]) -> None:
    """Raise UsageError for a scale that a network is not defined for."""
    if scale not in scales:
        defined = ", ".join(map(str, scales))
        raise UsageError(f"{network} was given scale {scale}; it is defined for {defined}.")


def check_min(network: str, minimum: int, **arguments: int | Sequence[int]) -> None:
    """Raise UsageError for a network's arguments, or elements of them, below a minimum, and for empty ones."""
    for name, value in arguments.items():
        numbers = [value] if isinstance(value, int) else list(value)
        if min(numbers, default=minimum - 1) < minimum:
            shown = value if isinstance(value, int) else numbers
            raise UsageError(f"{network} was given {name} {shown}; nothing may be below {minimum}.")


def centred(x: Tensor) -> Tensor:
    """Subtract the mean colour of DIV2K from images (N, 3, h, w) in [0, 1] (as EDSR's authors do)."""
    return x - mean_colour(x.dtype, x.device)


@lru_cache
@torch.inference_mode(False)
def mean_colour(dtype: torch.dtype, device: torch.device) -> Tensor:
    """Mean colour that `centred` subtracts, (1, 3, 1, 1); shared, so read-only."""
    # Not a buffer: casting the network to bf16 would round the mean and shift every image.
    return torch.tensor(DIV2K_MEAN, dtype=dtype, device=device).view(1, 3, 1, 1)


def conv3x3(cin: int, cout: int) -> nn.Conv2d:
    return nn.Conv2d(cin, cout, 3, padding=1)


def begin_at_zero(*parameters: Tensor | None) -> None:
    """Fill parameters with zeros, so that their branch adds nothing at initialisation; skip None (no bias)."""
    for parameter in parameters:
        if parameter is not None:
            nn.init.zeros_(parameter)


class ResidualBlock(nn.Module):
    """conv - ReLU - conv with a skip connection, no normalisation (EDSR; Lim et al. 2017, Fig. 2c)."""

    def __init__(self, features: int, residual_scale: float = 1.0) -> None:
        super().__init__()
        self.conv1 = conv3x3(features, features)
        self.conv2 = conv3x3(features, features)
        self.residual_scale = residual_scale

    def forward(self, x: Tensor) -> Tensor:
        h: Tensor = self.conv2(F.relu(self.conv1(x)))
        return x + (h if self.residual_scale == 1.0 else h * self.residual_scale)

    def start_as_identity(self) -> None:
        """Zero the second convolution, so that a block inserted into a trained network starts as the identity."""
        begin_at_zero(self.conv2.weight, self.conv2.bias)


class SFT(nn.Module):
    """Spatial feature transform: features scaled and shifted per pixel by a condition.

    With z = [h; c] the output is h * 2 sigmoid(scale(z)) + shift(z), where scale and shift are two convolutions with a
    leaky ReLU between (Wang et al. 2018, CVPR, Section 3.2; with the features in z: IKC, Gu et al. 2019, CVPR,
    Section 3.3). The factor 2 makes zero weights the identity.

    Args:
        features: channels of h.
        condition: channels of c.
        hidden: channels between the two convolutions.
        size: side of the convolutions' kernels; 1 or 3. The receptive field's radius is `size` - 1.
    """

    def __init__(self, features: int, condition: int, hidden: int = 32, size: int = 3) -> None:
        super().__init__()
        self.hidden = nn.Conv2d(features + condition, 2 * hidden, size, padding=size // 2)
        self.scale = nn.Conv2d(hidden, features, size, padding=size // 2)
        self.shift = nn.Conv2d(hidden, features, size, padding=size // 2)

    def forward(self, h: Tensor, condition: Tensor) -> Tensor:
        """Map h (N, features, h, w) and condition (N, condition, h, w), both of the weights' dtype, to h's shape."""
        between = F.leaky_relu(self.hidden(torch.cat([h, condition], dim=1)), 0.2)
        scale, shift = between.chunk(2, dim=1)
        return torch.addcmul(self.shift(shift), h, 2 * torch.sigmoid(self.scale(scale)))

    def start_as_identity(self) -> None:
        """Zero the last layers, so that the transform starts as the identity in a trained network."""
        for layer in (self.scale, self.shift):
            begin_at_zero(layer.weight, layer.bias)


class ResidualTrunk(nn.Module):
    """RGB to features: conv, residual blocks, conv, long skip (the EDSR-baseline body)."""

    def __init__(self, features: int, blocks: int, residual_scale: float = 1.0) -> None:
        super().__init__()
        self.head = conv3x3(3, features)
        self.blocks = nn.Sequential(*(ResidualBlock(features, residual_scale) for _ in range(blocks)))
        self.tail = conv3x3(features, features)

    def forward(self, x: Tensor) -> Tensor:
        """x (N, 3, h, w) to (N, features, h, w)."""
        shallow: Tensor = self.head(x)
        deep: Tensor = self.tail(self.blocks(shallow))
        return shallow + deep


class Reconstruction(nn.Module):
    """Features to an RGB residual at `scale` times the size.

    `edsr`: convolution and PixelShuffle for each prime factor of the scale, then a convolution to RGB
    (Lim et al. 2017). `blocks_between` residual blocks stand between the stages (for x8 and x16).
    `single`: one convolution to 3 scale^2 channels and one PixelShuffle (ESPCN; Shi et al. 2016): the
    computation stays at the input's resolution, about five times faster at x4 for a whole network.

    Raises:
        UsageError: unknown upsampler.
    """

    def __init__(self, features: int, scale: int, upsampler: Upsampler, blocks_between: int = 0) -> None:
        super().__init__()
        check_known("upsampler", upsampler, get_args(Upsampler))
        if upsampler == "single":
            self.layers = nn.Sequential(
                _even(conv3x3(features, 3 * scale * scale), 3), nn.PixelShuffle(scale)
            )
            return
        layers: list[nn.Module] = []
        stages = upsampling_stages(scale)
        for i, factor in enumerate(stages):
            layers += [conv3x3(features, features * factor * factor), nn.PixelShuffle(factor)]
            if i + 1 < len(stages):
                layers += [ResidualBlock(features) for _ in range(blocks_between)]
        self.layers = nn.Sequential(*layers, conv3x3(features, 3))

    def forward(self, x: Tensor) -> Tensor:
        """x (N, features, h, w) to (N, 3, scale h, scale w)."""
        out: Tensor = self.layers(x)
        return out


class NearestReconstruction(nn.Module):
    """Features to RGB at a multiple of the size, without PixelShuffle (ESRGAN's; after Odena et al. 2016, Distill).

    Nearest neighbour, convolution and leaky ReLU for each factor; then convolution, leaky ReLU, and a convolution to
    RGB. All pixels of the result share the same weights, so there is no checkerboard pattern; in return most of the
    computation runs at the result's resolution.

    Args:
        features: channels of the input and of the stages.
        factors: upsampling factors of the stages, as from `upsampling_stages`.
    """

    def __init__(self, features: int, factors: tuple[int, ...]) -> None:
        super().__init__()
        self.factors = factors
        self.stages = nn.ModuleList(conv3x3(features, features) for _ in factors)
        self.full = conv3x3(features, features)
        self.last = conv3x3(features, 3)

    def forward(self, x: Tensor) -> Tensor:
        """x (N, features, h, w) to (N, 3, s h, s w), s the product of the factors."""
        for factor, stage in zip(self.factors, self.stages, strict=True):
            larger = F.interpolate(x, scale_factor=float(factor), mode="nearest")
            x = F.leaky_relu(stage(larger), _SLOPE)
        out: Tensor = self.last(F.leaky_relu(self.full(x), _SLOPE))
        return out

    @property
    def radius(self) -> int:
        """Receptive field in input pixels to each side, for the output pixels of one input pixel."""
        return nearest_radius(self.factors, 2)


def nearest_radius(factors: tuple[int, ...], after: int) -> int:
    """Receptive field in input pixels to each side, for the output pixels of one input pixel.

    Args:
        factors: factors of the nearest-neighbour stages, each followed by one 3x3 convolution.
        after: number of 3x3 convolutions that follow at the result's resolution.
    """
    low, high = -after, math.prod(factors) - 1 + after
    for factor in reversed(factors):
        low, high = (low - 1) // factor, (high + 1) // factor
    return max(-low, high)


def _even(convolution: nn.Conv2d, colours: int) -> nn.Conv2d:
    """Initialise the convolution before a PixelShuffle equally for all subpixels (Aitken et al. 2017, ICNR).

    Otherwise the different initial values of the subpixels (256 at x16) stay visible as a pattern.
    """
    with torch.no_grad():
        for parameter in (convolution.weight, convolution.bias):
            if parameter is not None:
                pixels = parameter.view(colours, -1, *parameter.shape[1:])
                pixels.copy_(pixels[:, :1].clone().expand_as(pixels))
    return convolution


def upsampling_stages(scale: int) -> tuple[int, ...]:
    """Factors of the PixelShuffle stages: 2 repeated for powers of two, one stage for other scales."""
    exponent = int(math.log2(scale))
    return (2,) * exponent if 2**exponent == scale else (scale,)


def built_between(scale: int, upsampler: Upsampler, blocks_between: int) -> int:
    """Number of `blocks_between` that a `Reconstruction` uses: all of them for `edsr` at x8 and x16, else 0."""
    return blocks_between if upsampler == "edsr" and scale >= DEEP_SCALE else 0


def receptive_field(scale: int, blocks: int, upsampler: Upsampler, blocks_between: int = 0) -> int:
    """Radius in LR pixels of a `ResidualTrunk` and its `Reconstruction` (an upper bound)."""
    at_lr = 1 + 2 * blocks + 1
    if upsampler == "single":
        return at_lr + 1
    finer, radius = 1, 1.0
    for factor in upsampling_stages(scale)[:-1]:
        finer *= factor
        radius += (2 * blocks_between + 1) / finer
    return at_lr + int(radius + 1)  # the last convolution, at full resolution, rounds up within the + 1
