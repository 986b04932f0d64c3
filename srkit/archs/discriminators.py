"""Discriminators between real and generated images that output a map of logits."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from srkit.archs.blocks import begin_at_zero, check_min, conv3x3
from srkit.errors import UsageError

_SLOPE = 0.2  # negative slope of the leaky ReLUs
_WIDEST = 8  # maximum width as a multiple of the first layer's channels
_DEVIATION = 0.02  # standard deviation of PatchGAN's initial weights


class PatchGAN(nn.Module):
    """Images (N, 3, H, W) in [0, 1] to logits (N, 1, ~H/8 - 2, ~W/8 - 2), one per patch of 70 x 70 pixels.

    4 x 4 convolutions with batch normalisation (Isola et al. 2017, CVPR, Section 6.1.2; its code's
    `NLayerDiscriminator`): in training mode the images of a batch influence each other.

    Args:
        features: channels of the first layer; doubled per layer up to a factor of eight.
        layers: layers of stride 2 (3 as published); determines the size of the patches and the map.

    Raises:
        UsageError: a number below 1.
    """

    def __init__(self, features: int = 64, layers: int = 3) -> None:
        super().__init__()
        check_min("PatchGAN", 1, features=features, layers=layers)
        widths = [features * min(2**i, _WIDEST) for i in range(layers + 1)]
        self.min_side = 3 * 2**layers
        """Smallest side of an image."""
        parts: list[nn.Module] = [nn.Conv2d(3, features, 4, 2, 1), nn.LeakyReLU(_SLOPE)]
        for i in range(layers):
            stride = 2 if i + 1 < layers else 1
            parts += [
                nn.Conv2d(widths[i], widths[i + 1], 4, stride, 1, bias=False),
                nn.BatchNorm2d(widths[i + 1]),
                nn.LeakyReLU(_SLOPE),
            ]
        self.layers = nn.Sequential(*parts, nn.Conv2d(widths[-1], 1, 4, 1, 1))
        self.apply(_start)

    def forward(self, x: Tensor) -> Tensor:
        """Map x (N, 3, H, W) in [0, 1] to logits.

        Raises:
            UsageError: a side below `min_side`.
        """
        _check_size("PatchGAN", x, self.min_side)
        logits: Tensor = self.layers(x.to(next(self.parameters()).dtype))
        return logits


class UNetSN(nn.Module):
    """Images (N, 3, H, W) in [0, 1] to logits (N, 1, H, W), one per pixel.

    A U-Net with spectral normalisation (Real-ESRGAN, Wang et al. 2021, ICCVW, Section 3.3 and Fig. 6). The images of a
    batch do not influence each other.

    Args:
        features: channels at the image's resolution; doubled at each of the three downsamplings.

    Raises:
        UsageError: features below 1.
    """

    min_side = 8
    """Smallest side of an image."""

    def __init__(self, features: int = 64) -> None:
        super().__init__()
        check_min("UNetSN", 1, features=features)
        n = features
        self.first = conv3x3(3, n)
        self.down = nn.ModuleList(
            _normalised(nn.Conv2d(n * 2**i, n * 2 ** (i + 1), 4, 2, 1, bias=False)) for i in range(3)
        )
        self.up = nn.ModuleList(
            _normalised(nn.Conv2d(n * 2 ** (i + 1), n * 2**i, 3, padding=1, bias=False))
            for i in reversed(range(3))
        )
        self.full = nn.ModuleList(_normalised(nn.Conv2d(n, n, 3, padding=1, bias=False)) for _ in range(2))
        self.last = conv3x3(n, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Map x (N, 3, H, W) in [0, 1] to logits.

        Raises:
            UsageError: a side below `min_side`.
        """
        _check_size("UNetSN", x, self.min_side)
        h = F.leaky_relu(self.first(x.to(self.first.weight.dtype)), _SLOPE)
        skips = [h]
        for layer in self.down:
            h = F.leaky_relu(layer(h), _SLOPE)
            skips.append(h)
        skips.pop()
        for layer in self.up:
            skip = skips.pop()
            larger = F.interpolate(h, size=skip.shape[2:], mode="bilinear", align_corners=False)
            h = F.leaky_relu(layer(larger), _SLOPE) + skip
        for layer in self.full:
            h = F.leaky_relu(layer(h), _SLOPE)
        logits: Tensor = self.last(h)
        return logits


def _normalised(convolution: nn.Conv2d) -> nn.Module:
    return spectral_norm(convolution)


def _start(module: nn.Module) -> None:
    """Initialise a layer as pix2pix's code does."""
    if isinstance(module, nn.Conv2d):
        nn.init.normal_(module.weight, 0.0, _DEVIATION)
        begin_at_zero(module.bias)
    elif isinstance(module, nn.BatchNorm2d):
        nn.init.normal_(module.weight, 1.0, _DEVIATION)


def _check_size(name: str, x: Tensor, min_side: int) -> None:
    if x.ndim != 4 or x.shape[1] != 3 or min(x.shape[2:]) < min_side:
        raise UsageError(
            f"{name} was given a tensor of shape {tuple(x.shape)}; it takes (N, 3, H, W), H and W at least {min_side}: "
            "use larger crops."
        )
