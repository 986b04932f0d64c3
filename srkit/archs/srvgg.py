"""SRVGGNetCompact (Wang et al. 2021, Real-ESRGAN's small network): a stack of 3x3 convolutions at LR resolution.

The tensors map one to one to those of the published network, which spandrel and related tools read
(`published_state`). Only the initialisation differs: each convolution of the trunk starts near the identity, so that a
deep stack without skips initially passes its input through, and four channels carry colours (`carry_colours`).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from srkit.archs.blocks import check_min, conv3x3
from srkit.archs.info import ArchInfo
from srkit.errors import UsageError
from srkit.ops.colour import LUMA

COLOUR_CHANNELS = 4
_RAISED = 0.25
"""Offset on colour slopes in [-1, 1]; the activations change only slopes below its negative, at hard edges."""


class SRVGG(nn.Module):
    """Images (N, 3, h, w) in [0, 1] to (N, 3, scale h, scale w); not clipped.

    The network predicts the residual over nearest-neighbour upscaling; the sum is taken in fp32.

    Args:
        scale: from 2 to 16.
        features: channels of the trunk (64 as published).
        convs: convolutions of the trunk after the first (16 or 32 as published).
        slope: negative slope of the activations, the same for all channels and not learned: on a CPU the backward
            pass of a PReLU takes as long as that of its convolution.

    Raises:
        UsageError: unsupported scale, or a number below 1.
    """

    def __init__(self, scale: int = 4, features: int = 64, convs: int = 16, slope: float = 0.25) -> None:
        super().__init__()
        if not 2 <= scale <= 16:
            raise UsageError(f"SRVGG was given scale {scale}; it is defined from 2 to 16.")
        check_min("SRVGG", 1, features=features, convs=convs)
        self.scale, self.features = scale, features
        layers: list[nn.Module] = [conv3x3(3, features), nn.LeakyReLU(slope)]
        for _ in range(convs):
            layers += [_near_identity(features), nn.LeakyReLU(slope)]
        self.trunk = nn.Sequential(*layers)
        self.reconstruction = conv3x3(features, 3 * scale**2)
        if features > COLOUR_CHANNELS:
            self.carry_colours(range(COLOUR_CHANNELS))
        self.info = ArchInfo(scale=scale, receptive_field=convs + 2, fp16_ok=True)

    def forward(self, x: Tensor) -> Tensor:
        h = self.trunk(x.to(self.reconstruction.weight.dtype))
        residual = F.pixel_shuffle(self.reconstruction(h), self.scale)
        return F.interpolate(x, scale_factor=float(self.scale), mode="nearest") + residual.to(x.dtype)

    @torch.no_grad()
    def carry_colours(self, channels: Sequence[int]) -> None:
        """Dedicate channels of the trunk to the slopes of the colours, in place.

        Nearest-neighbour upscaling shows LR pixels as blocks. Training removes those of the luma at once; photographs
        hold so few strong colours that those of the chroma would stay. Each of four channels carries the slope of one
        colour difference (B - Y and R - Y, central differences along x and y) unchanged through all layers, with an
        offset that keeps it above zero, and the last convolution turns it into a linear ramp within each LR pixel.
        All of these weights remain trainable.

        Args:
            channels: indices of `COLOUR_CHANNELS` channels; their connections with other channels are lost.
        """
        first, *hidden = (layer for layer in self.trunk if isinstance(layer, nn.Conv2d))
        last = self.reconstruction
        luma = torch.tensor(LUMA)
        differences = torch.eye(3)[[2, 0]] - luma  # B - Y, R - Y
        # R - Y, G - Y and B - Y in terms of the two differences: the weighted sum of the three is 0.
        mixed = torch.tensor([[0.0, 1.0], [-LUMA[2] / LUMA[1], -LUMA[0] / LUMA[1]], [1.0, 0.0]])
        place = (torch.arange(self.scale) + 0.5) / self.scale - 0.5
        for channel, (of, along_x) in zip(
            channels, ((0, True), (0, False), (1, True), (1, False)), strict=True
        ):
            for layer in (first, *hidden):
                _biases(layer)[channel] = 0
                layer.weight[channel] = 0
            _biases(first)[channel] = _RAISED
            ends = first.weight[channel]
            before, after = (ends[:, 1, 0], ends[:, 1, 2]) if along_x else (ends[:, 0, 1], ends[:, 2, 1])
            before.copy_(-differences[of] / 2)
            after.copy_(differences[of] / 2)
            for layer in hidden:
                layer.weight[:, channel] = 0
                layer.weight[channel, channel, 1, 1] = 1
            grid = (place[None] if along_x else place[:, None]).expand(self.scale, self.scale)
            slopes = (mixed[:, of, None, None] * grid).flatten()
            last.weight[:, channel] = 0
            last.weight[:, channel, 1, 1] = slopes
            _biases(last).sub_(_RAISED * slopes)

    def published_state(self) -> dict[str, Tensor]:
        """Weights under the published names (`body.0.weight` ...), fp32."""
        found: dict[str, Tensor] = {}
        for number, layer in enumerate([*self.trunk, self.reconstruction]):
            if isinstance(layer, nn.LeakyReLU):
                found[f"body.{number}.weight"] = torch.full((self.features,), layer.negative_slope)
            else:
                found |= {
                    f"body.{number}.{name}": value.float() for name, value in layer.state_dict().items()
                }
        return found


def _biases(layer: nn.Conv2d) -> Tensor:
    assert layer.bias is not None
    return layer.bias


def _near_identity(features: int) -> nn.Conv2d:
    convolution = conv3x3(features, features)
    with torch.no_grad():
        convolution.weight.mul_(0.5)
        convolution.weight[:, :, 1, 1] += torch.eye(features)
    return convolution
