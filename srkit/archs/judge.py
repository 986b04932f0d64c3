"""VGG-like network whose stages give a perceptual distance between images; not used in training losses."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from srkit.archs.blocks import begin_at_zero, check_min
from srkit.archs.info import ArchInfo


class JudgeNetwork(nn.Module):
    """Images (N, 3, H, W) in [0, 1] to a vector (N, widths[-1]); its `stages` are compared between images.

    Two 3x3 convolutions with ReLU per stage, max pooling between (VGG; Simonyan and Zisserman 2015, Section 2.1).

    Args:
        widths: channels of the stages.

    Raises:
        UsageError: no widths, or one below 1.
    """

    def __init__(self, widths: Sequence[int] = (24, 48, 96, 160)) -> None:
        super().__init__()
        check_min("The judge", 1, widths=widths)
        self.dim = widths[-1]
        self.convolutions = nn.ModuleList()
        for before, width in zip((3, *widths[:-1]), widths, strict=True):
            pair = nn.ModuleList([_conv(before, width), _conv(width, width)])
            self.convolutions.append(pair)
        self.scales: Tensor
        self.register_buffer(
            "scales", torch.ones(len(widths))
        )  # root mean square of each stage, once trained
        self.info = ArchInfo(scale=1, receptive_field=_receptive_field(len(widths)), tiling="none")

    def stages(self, x: Tensor) -> list[Tensor]:
        """Features of each stage, (N, widths[i], H / 2^i, W / 2^i), after ReLU; both sides at least 2^(stages - 1)."""
        h = (x * 4 - 2).to(self.scales.dtype)  # roughly zero mean and unit variance
        found = []
        for i, pair in enumerate(self.convolutions):
            if i:
                h = F.max_pool2d(h, 2)
            for convolution in pair.children():
                h = F.relu(convolution(h))
            found.append(h)
        return found

    def forward(self, x: Tensor) -> Tensor:
        """Mean of the last stage over the image, (N, widths[-1]), float32."""
        return self.stages(x)[-1].float().mean((2, 3))


def _conv(before: int, width: int) -> nn.Conv2d:
    convolution = nn.Conv2d(before, width, 3, padding=1)
    nn.init.kaiming_normal_(convolution.weight, nonlinearity="relu")
    begin_at_zero(convolution.bias)
    return convolution


def _receptive_field(stages: int) -> int:
    """Radius in pixels: two 3x3 convolutions per stage at its spacing; pooling adds its window less one sample."""
    radius = 0
    for i in range(stages):
        radius += 2 * 2**i + (2 ** (i - 1) if i else 0)
    return radius
