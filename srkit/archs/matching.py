"""CLIP-SR's discriminator of whether an image is real and matches a text (Hu et al. 2024, after GALIP)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from srkit.archs.blocks import begin_at_zero, conv3x3
from srkit.archs.text_fusion import SLOPE
from srkit.errors import UsageError

GRID = 7
"""Side of the grid that maps are pooled to, as in ViT-B/32."""


class TextDiscriminator(nn.Module):
    """Feature maps of a frozen encoder and sentences to logits (N,), one per pair of image and text.

    Starts from the first depth's map, adds the other depths in turn (D_Block: o + g res(o) + b h, both scalars zero at
    first), narrows the channels in a block, and applies the matching head C to the result and the spread sentence.

    Args:
        levels: channels of each depth's map.
        text: length of the sentence vectors.
        width: channels of the blocks (in the paper 768, as in ViT-B/32).
        narrow: channels of the last block (512 in the paper).
        hidden: hidden channels of the head (128 in the paper).
        with_text: use the sentence (False for ablation).

    Raises:
        UsageError: a number below 1.
    """

    def __init__(
        self,
        levels: Sequence[int],
        text: int,
        width: int = 768,
        narrow: int = 512,
        hidden: int = 128,
        with_text: bool = True,
    ) -> None:
        super().__init__()
        if not levels or min(*levels, text, width, narrow, hidden) < 1:
            raise UsageError(
                f"The text discriminator was given levels {list(levels)}, text {text}, width {width}, narrow {narrow} "
                f"and hidden {hidden}; nothing may be below 1."
            )
        self.with_text = with_text
        # Maps that already have the blocks' width are not projected, as in the paper.
        self.enter = nn.ModuleList(
            nn.Identity() if one == width else nn.Conv2d(one, width, 1) for one in levels
        )
        self.blocks = nn.ModuleList(_Block(width) for _ in levels[1:])
        self.last = _Narrow(width, narrow)
        self.head = nn.Sequential(
            nn.Conv2d(narrow + text, hidden, 4), nn.LeakyReLU(SLOPE), nn.Conv2d(hidden, 1, 4)
        )

    def forward(self, levels: Sequence[Tensor], sentence: Tensor) -> Tensor:
        """Map feature maps (N, C_i, h_i, w_i) and sentences (N, text) to logits (N,)."""
        maps = [
            layer(F.adaptive_avg_pool2d(level, GRID)) for layer, level in zip(self.enter, levels, strict=True)
        ]
        h = maps[0]
        for block, level in zip(self.blocks, maps[1:], strict=True):
            h = block(h, level)
        h = self.last(h)
        spread = (sentence if self.with_text else torch.zeros_like(sentence))[:, :, None, None]
        logits: Tensor = self.head(torch.cat([h, spread.expand(-1, -1, *h.shape[2:])], dim=1))
        return logits.flatten()


class _Block(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.residual = _residual(width, width)
        self.gain, self.share = (nn.Parameter(torch.zeros(())) for _ in range(2))

    def forward(self, h: Tensor, level: Tensor) -> Tensor:
        out: Tensor = h + self.gain * self.residual(h) + self.share * level
        return out


class _Narrow(nn.Module):
    def __init__(self, width: int, narrow: int) -> None:
        super().__init__()
        self.residual, self.shortcut = _residual(width, narrow), nn.Conv2d(width, narrow, 1)
        self.gain = nn.Parameter(torch.empty(()))
        begin_at_zero(self.gain)

    def forward(self, h: Tensor) -> Tensor:
        out: Tensor = self.shortcut(h) + self.gain * self.residual(h)
        return out


def _residual(before: int, after: int) -> nn.Sequential:
    layers = [conv3x3(before, after), nn.LeakyReLU(SLOPE), conv3x3(after, after), nn.LeakyReLU(SLOPE)]
    for layer in layers[::2]:
        layer.register_parameter("bias", None)
    return nn.Sequential(*layers)
