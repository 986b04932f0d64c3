"""SRVGGNetCompact (Wang et al. 2021, Real-ESRGAN's small network): a stack of 3x3 convolutions at LR resolution.

The tensors map one to one to those of the published network, which spandrel and the tools around it read
(`published_state`). What differs is where training starts: each convolution of the trunk starts near the identity, so
that a deep stack without skips passes its input through at first.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from srkit.archs.blocks import conv3x3
from srkit.archs.info import ArchInfo
from srkit.errors import UsageError


class SRVGG(nn.Module):
    """Images (N, 3, h, w) in [0, 1] to (N, 3, scale h, scale w); not clipped.

    The network predicts what nearest-neighbour upscaling misses; the sum is taken in fp32.

    Args:
        scale: from 2 to 16.
        features: channels of the trunk (64 as published).
        convs: convolutions of the trunk behind its first (16 or 32 as published).
        slope: of the activations below zero, the same for all channels and not learned: on a CPU the backward pass
            of a PReLU takes as long as that of its convolution.

    Raises:
        UsageError: another scale, or a number below 1.
    """

    def __init__(self, scale: int = 4, features: int = 64, convs: int = 16, slope: float = 0.25) -> None:
        super().__init__()
        if not 2 <= scale <= 16:
            raise UsageError(f"SRVGG was given scale {scale}; it is defined from 2 to 16.")
        if min(features, convs) < 1:
            raise UsageError(
                f"SRVGG was given {features} features and {convs} convs; both must be at least 1."
            )
        self.scale, self.features = scale, features
        layers: list[nn.Module] = [conv3x3(3, features), nn.LeakyReLU(slope)]
        for _ in range(convs):
            layers += [_near_identity(features), nn.LeakyReLU(slope)]
        self.trunk = nn.Sequential(*layers)
        self.reconstruction = conv3x3(features, 3 * scale**2)
        self.info = ArchInfo(scale=scale, receptive_field=convs + 2, fp16_ok=True)

    def forward(self, x: Tensor) -> Tensor:
        h = self.trunk(x.to(self.reconstruction.weight.dtype))
        residual = F.pixel_shuffle(self.reconstruction(h), self.scale)
        return F.interpolate(x, scale_factor=float(self.scale), mode="nearest") + residual.to(x.dtype)

    def published_state(self) -> dict[str, Tensor]:
        """The weights under the published names (`body.0.weight` ...), fp32."""
        found: dict[str, Tensor] = {}
        for number, layer in enumerate([*self.trunk, self.reconstruction]):
            if isinstance(layer, nn.LeakyReLU):
                found[f"body.{number}.weight"] = torch.full((self.features,), layer.negative_slope)
            else:
                found |= {
                    f"body.{number}.{name}": value.float() for name, value in layer.state_dict().items()
                }
        return found


def _near_identity(features: int) -> nn.Conv2d:
    convolution = conv3x3(features, features)
    with torch.no_grad():
        convolution.weight.mul_(0.5)
        convolution.weight[:, :, 1, 1] += torch.eye(features)
    return convolution
