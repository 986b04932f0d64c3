"""Small convolutional image encoder: a unit vector, a map of tokens, and perceptual stages.

Plain convolutions without normalisation layers: the output at a pixel depends on its surroundings alone, so the stages
agree between a tile, an image and a batch, and degraded images keep the statistics that distinguish them.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from srkit.archs.blocks import begin_at_zero, check_min
from srkit.archs.info import ArchInfo
from srkit.errors import UsageError
from srkit.ops.layout import in_precision

SLOPE = 0.1  # negative slope of the leaky ReLUs
_STILL = 0.02  # added to deviations before the logarithm: below the rounding of 8 bits


class CompactEncoder(nn.Module):
    """Images (N, 3, H, W) in [0, 1] to `(vector, tokens)`; fully convolutional, so frozen weights accept any size.

    Args:
        widths: channels of the stages, each at half the resolution of the previous; the last are the tokens'.
        blocks: residual blocks of each stage.
        dim: length D of the vector.
        side: side of the square that the caller resizes whole images to, as in training.

    Raises:
        UsageError: different numbers of widths and blocks, or a width, `dim` or `side` below 1.
    """

    def __init__(
        self,
        widths: Sequence[int] = (24, 48, 96, 256),
        blocks: Sequence[int] = (1, 1, 1, 1),
        dim: int = 128,
        side: int = 160,
    ) -> None:
        super().__init__()
        check_min("The compact encoder", 1, widths=widths, dim=dim, side=side)
        check_min("The compact encoder", 0, blocks=blocks)
        if len(widths) != len(blocks):
            raise UsageError(
                f"The compact encoder was given widths {list(widths)} and blocks {list(blocks)}; it takes as many of "
                "one as of the other."
            )
        self.side, self.dim, self.token_channels = side, dim, widths[-1]
        self.widths = tuple(widths)
        self.levels = nn.ModuleList(
            _Level(before, width, count)
            for before, width, count in zip((3, *widths[:-1]), widths, blocks, strict=True)
        )
        self.head = nn.Linear(2 * sum(widths), dim)
        self.scales: Tensor
        self.register_buffer(
            "scales", torch.ones(len(widths))
        )  # root mean square of each stage, once trained
        self.info = ArchInfo(scale=1, receptive_field=_receptive_field(blocks), tiling="none")

    def stages(self, x: Tensor) -> list[Tensor]:
        """Features after each stage: (N, widths[i], ~H / 2^(i+1), ~W / 2^(i+1)), at the image's own size.

        x (N, 3, H, W) is taken in the parameters' dtype (or autocast's); no resizing.
        """
        h = (x * 4 - 2).to(self.head.weight.dtype)  # roughly zero mean and unit variance
        found = []
        for level in self.levels:
            h = level(h)
            found.append(h)
        return found

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Unit vector (N, D) and tokens (N, C, H / 2^stages, W / 2^stages), unit mean square per position; float32.

        The vector is linear in the mean and the log standard deviation of all channels of all stages: the content, and
        the strength of fine texture, which blur, noise and compression change by factors.
        """
        stages = [stage.float() for stage in self.stages(x)]
        tokens = stages[-1] * torch.rsqrt(stages[-1].square().mean(1, keepdim=True) + 1e-4)
        with in_precision(x, None):
            pooled = torch.cat([_statistics(maps) for maps in (*stages[:-1], tokens)], dim=1)
            vector = F.linear(pooled, self.head.weight.float(), self.head.bias.float())
        return F.normalize(vector, dim=1), tokens


def _statistics(maps: Tensor) -> Tensor:
    """(N, C, h, w) to (N, 2 C): mean and logarithm of the standard deviation of each channel."""
    deviation, mean = torch.std_mean(maps, (2, 3), correction=0)
    return torch.cat([mean, torch.log(deviation + _STILL)], dim=1)


class _Level(nn.Module):
    """Convolution of stride 2, then residual blocks."""

    def __init__(self, before: int, width: int, blocks: int) -> None:
        super().__init__()
        self.down = nn.Conv2d(before, width, 3, stride=2, padding=1)
        self.blocks = nn.Sequential(*(_Block(width) for _ in range(blocks)))
        nn.init.kaiming_normal_(self.down.weight, SLOPE)
        begin_at_zero(self.down.bias)

    def forward(self, x: Tensor) -> Tensor:
        h: Tensor = self.blocks(F.leaky_relu(self.down(x), SLOPE))
        return h


class _Block(nn.Module):
    """x + 1x1(leaky ReLU(3x3(x))), initialised as the identity, for depth without norms (Zhang et al. 2019, Fixup)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.spatial = nn.Conv2d(width, width, 3, padding=1)
        self.mix = nn.Conv2d(width, width, 1)
        nn.init.kaiming_normal_(self.spatial.weight, SLOPE)
        begin_at_zero(self.spatial.bias, self.mix.weight, self.mix.bias)

    def forward(self, x: Tensor) -> Tensor:
        h: Tensor = self.mix(F.leaky_relu(self.spatial(x), SLOPE))
        return x + h


def _receptive_field(blocks: Sequence[int]) -> int:
    """Radius in pixels: a convolution of stride 2 at each level, then one 3x3 per block at the level's spacing."""
    radius, spacing = 0, 1
    for count in blocks:
        radius += spacing
        spacing *= 2
        radius += count * spacing
    return radius
