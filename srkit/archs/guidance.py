"""The guide of CLIP-SR: the graph of the paper's figure, from a thumbnail of LR and a text to features (Hu et al. 2024,
CLIP-SR: Collaborative Linguistic and Image Processing for Super-Resolution)."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor, nn

from srkit.archs.blocks import conv3x3
from srkit.archs.info import PromptedBlocks
from srkit.archs.text_fusion import SLOPE, TIF, Refine
from srkit.errors import UsageError


class Guidance(nn.Module):
    """The paper's graph between the thumbnail and its reconstruction.

    E_I gives features at 64, 32, 16 and 8 pixels; TIFs fuse the text into the three smaller ones; P makes prompts from
    the text, which pass through the encoder's frozen blocks together with the smallest features (Map); R refines the
    output from size to size, with the fused features as skips.
    """

    def __init__(
        self,
        text: int,
        map_channels: int,
        widths: Sequence[int],
        prompts: int,
        features: int,
        side: int,
        fused_skips: bool,
        mapped: bool,
    ) -> None:
        super().__init__()
        self.side, self.mapped = side, mapped
        self.first = conv3x3(3, widths[0])
        self.down = nn.ModuleList(
            nn.Conv2d(a, b, 3, stride=2, padding=1) for a, b in itertools.pairwise(widths)
        )
        self.tifs = nn.ModuleList(TIF(width, text) for width in widths[1:]) if fused_skips else None
        self.map = Map(text, map_channels, widths[-1], prompts) if mapped else conv3x3(widths[-1], widths[-1])
        channels = [widths[-1], *reversed(widths)]
        self.refine = nn.ModuleList(Refine(a, b, text) for a, b in itertools.pairwise(channels))
        self.out = nn.Conv2d(widths[0], features, 1)

    def forward(self, x: Tensor, z: Tensor, blocks: PromptedBlocks | None) -> Tensor:
        """Map x (N, 3, side, side), centred, and z (N, text) to (N, features, side, side)."""
        levels = [self.first(x)]
        for layer in self.down:
            levels.append(layer(F.leaky_relu(levels[-1], SLOPE)))
        if self.tifs is not None:
            levels[1:] = [tif(level, z) for tif, level in zip(self.tifs, levels[1:], strict=True)]
        h: Tensor = self.map(levels[-1], z, blocks) if self.mapped else self.map(levels[-1])
        for block, skip in zip(self.refine, reversed(levels), strict=True):
            h = block(h, z, skip.shape[2]) + skip
        out: Tensor = self.out(F.leaky_relu(h, SLOPE))
        return out


class Map(nn.Module):
    """Features and text prompts passed through the encoder's frozen blocks: F_U = conv(f + 0.1 Map(f, P(z)))."""

    def __init__(self, text: int, channels: int, features: int, prompts: int) -> None:
        super().__init__()
        self.predictor = PromptPredictor(text, channels, prompts)
        self.enter = nn.Conv2d(features, channels, 2)
        self.leave = nn.Conv2d(channels, features, 5, padding=2)

    def forward(self, h: Tensor, z: Tensor, blocks: PromptedBlocks | None) -> Tensor:
        """Map h (N, features, a, a) and z (N, text) to (N, features, a - 1, a - 1)."""
        if blocks is None:
            raise UsageError("CLIPSR was given no blocks of its encoder, which its guide goes through.")
        entered: Tensor = self.enter(h)
        mapped = blocks(entered, self.predictor(z)).to(entered.dtype)
        out: Tensor = self.leave(entered + 0.1 * mapped)
        return out


class PromptPredictor(nn.Module):
    """P: z (N, text) to prompts (N, K, C): a linear layer, then self-attention among the prompts (pre-LN, residual)."""

    def __init__(self, text: int, channels: int, prompts: int) -> None:
        super().__init__()
        self.first = nn.Linear(text, prompts * channels)
        self.norm = nn.LayerNorm(channels)
        self.attention = nn.MultiheadAttention(channels, math.gcd(8, channels), batch_first=True)
        self.prompts = prompts

    def forward(self, z: Tensor) -> Tensor:
        """Map z (N, text) to prompts (N, K, C)."""
        prompts = self.first(z).unflatten(1, (self.prompts, -1))
        normed = self.norm(prompts)
        attended, _ = self.attention(normed, normed, normed, need_weights=False)
        out: Tensor = prompts + attended
        return out
