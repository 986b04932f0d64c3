"""Fusion of text and image features in CLIP-SR (Hu et al. 2024, Fig. b): Affine, DFBLK, TIF, and attention to words.

All branches added to image features are zero at initialisation: a network with these blocks inserted gives its own
images until training changes them.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from srkit.archs.blocks import begin_at_zero, conv3x3

SLOPE = 0.2  # negative slope of the leaky ReLUs


class Affine(nn.Module):
    """Features h scaled and shifted per channel by a vector: (1 + MLP_1(z)) h + MLP_2(z).

    Each MLP is Linear - ReLU - Linear, with the last layer zero at initialisation, so that the block is the identity.
    """

    def __init__(self, features: int, text: int) -> None:
        super().__init__()
        self.scale, self.shift = _mlp(text, features), _mlp(text, features)

    def forward(self, h: Tensor, z: Tensor) -> Tensor:
        """Map h (N, features, h, w) and z (N, text) to the shape of h."""
        scale, shift = (mlp(z)[:, :, None, None] for mlp in (self.scale, self.shift))
        return torch.addcmul(shift, h, 1 + scale)


class DFBlock(nn.Module):
    """DFBLK: Affine - leaky ReLU - Affine - leaky ReLU."""

    def __init__(self, features: int, text: int) -> None:
        super().__init__()
        self.first, self.second = Affine(features, text), Affine(features, text)

    def forward(self, h: Tensor, z: Tensor) -> Tensor:
        """Map h (N, features, h, w) and z (N, text) to the shape of h."""
        return F.leaky_relu(self.second(F.leaky_relu(self.first(h, z), SLOPE), z), SLOPE)


class TIF(nn.Module):
    """Text-image fusion: h + conv(DFBLK(h, z)), initialised as the identity. Receptive field radius 1."""

    def __init__(self, features: int, text: int) -> None:
        super().__init__()
        self.fuse, self.conv = DFBlock(features, text), conv3x3(features, features)
        begin_at_zero(self.conv.weight, self.conv.bias)

    def forward(self, h: Tensor, z: Tensor) -> Tensor:
        """Map h (N, features, h, w) and z (N, text) to the shape of h."""
        out: Tensor = self.conv(self.fuse(h, z))
        return h + out


class Refine(nn.Module):
    """Block of the iterative refinement: nearest-neighbour resize, then [DFBLK, conv] twice, with a shortcut.

    Args:
        before, features: input and output channels.
        text: length of the vector.
    """

    def __init__(self, before: int, features: int, text: int) -> None:
        super().__init__()
        self.shortcut = nn.Identity() if before == features else nn.Conv2d(before, features, 1)
        self.fuse1, self.conv1 = DFBlock(before, text), conv3x3(before, features)
        self.fuse2, self.conv2 = DFBlock(features, text), conv3x3(features, features)

    def forward(self, h: Tensor, z: Tensor, side: int) -> Tensor:
        """Map h (N, before, a, a) and z (N, text) to (N, features, side, side)."""
        h = F.interpolate(h, (side, side), mode="nearest")
        inner = self.conv1(self.fuse1(h, z))
        out: Tensor = self.shortcut(h) + self.conv2(self.fuse2(inner, z))
        return out


class WordAttention(nn.Module):
    """Attention from each pixel to the words of a text: h + Conv_1x1(softmax(q k) v), initialised as the identity.

    A single vector does not represent the order of letters, so each pixel queries the words that belong there. A
    learned token is added to the words: without text, it is the only one to attend to. Pixels do not interact, so
    tiles of an image give the same result as the whole.

    Args:
        features: channels of h.
        channels: channels of the words.
        heads, width: number of attention heads, and channels per head.
    """

    def __init__(self, features: int, channels: int, heads: int = 4, width: int = 24) -> None:
        super().__init__()
        self.heads, self.channels = heads, heads * width
        self.norm = nn.LayerNorm(channels)
        self.query = nn.Conv2d(features + 2, heads * width, 1)
        self.key, self.value = (nn.Linear(channels, heads * width) for _ in range(2))
        self.null = nn.Parameter(torch.randn(2, 1, 1, heads * width))
        self.out = nn.Conv2d(heads * width, features, 1)
        begin_at_zero(self.out.weight, self.out.bias)

    def forward(self, h: Tensor, words: Tensor, position: Tensor) -> tuple[Tensor, Tensor]:
        """Add information of the text to features.

        Args:
            h: (N, features, h, w).
            words: (N, L, channels), zeros after the end of the text.
            position: (N, 2, h, w), see `srkit.ops.geometry`.

        Returns:
            Features of the shape of h, and the values that were read, (N, heads * width, h, w).
        """
        height, width = h.shape[2:]
        q, k, v, there = self._asked(h, words, position)
        read = F.scaled_dot_product_attention(q, k, v, attn_mask=there[:, None, None])
        read = read.transpose(2, 3).reshape(len(h), -1, height, width)
        out: Tensor = self.out(read)
        return h + out, read

    def misalignment(self, h: Tensor, words: Tensor, position: Tensor, letters: Tensor) -> Tensor:
        """Cross-entropy between the attention of all heads but the last and the words that pixels are known to show.

        The last head stays free to attend to words of other positions.

        Args:
            h, words, position: as in `forward`.
            letters: (N, h, w) int64, index of the word that each pixel shows; -1 if unknown.

        Returns:
            Scalar in nats; 0 if no word is known.
        """
        q, k, _, there = self._asked(h, words, position)
        aligned = max(1, self.heads - 1)
        logits = (q[:, :aligned] @ k[:, :aligned].transpose(2, 3)).float() / math.sqrt(q.shape[-1])
        logits = logits.masked_fill(~there[:, None, None], float("-inf"))
        wanted = torch.where(letters < 0, -1, letters + 1).flatten(1)  # the learned token comes first
        wanted = wanted[:, None].expand(-1, aligned, -1)
        total = F.cross_entropy(logits.flatten(0, 2), wanted.flatten(), ignore_index=-1, reduction="sum")
        return total / (wanted >= 0).sum().clamp(min=1)

    def _asked(self, h: Tensor, words: Tensor, position: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Query, key and value, (N, heads, pixels or tokens, width), and the mask (N, tokens) of tokens in use."""
        there = F.pad((words != 0).any(2), (1, 0), value=True)
        tokens = self.norm(words.to(h.dtype))
        query = self.query(torch.cat([h, position.to(h.dtype)], dim=1)).flatten(2).transpose(1, 2)
        key, value = (
            torch.cat([null.expand(len(h), -1, -1), layer(tokens)], dim=1)
            for null, layer in zip(self.null, (self.key, self.value), strict=True)
        )
        q, k, v = (one.unflatten(2, (self.heads, -1)).transpose(1, 2) for one in (query, key, value))
        return q, k, v, there


def _mlp(text: int, features: int) -> nn.Sequential:
    last = nn.Linear(features, features)
    begin_at_zero(last.weight, last.bias)
    return nn.Sequential(nn.Linear(text, features), nn.ReLU(), last)
