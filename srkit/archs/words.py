"""Small text encoder: hashed characters, trigrams and words, and two transformer layers.

It has no vocabulary, so it accepts any alphabet and any invented word. Its tokens are the characters in order: each
combines the character's input embedding with its contextual one, since the letters of a sign must stay distinct.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from srkit.archs.info import ArchInfo
from srkit.errors import UsageError
from srkit.ops.characters import CODES, PLACES

_WAVES = (1, 2, 4, 8)
"""Frequencies of a character's place in its word, in half periods over the word."""
_MARKS = tuple(map(ord, "\"'()[],.:;!?"))


class WordsNetwork(nn.Module):
    """Codes (N, L, 5) of texts (`srkit.ops.characters`) to `(sentence, words)`.

    Args:
        width: channels of the layers.
        layers: transformer layers.
        heads: attention heads.
        embedding: channels of a hash's embedding.
        dim: length D of the sentence vector.
        length: maximum number of characters, L.

    Raises:
        UsageError: a number below 1, or a width not divisible by the heads.
    """

    def __init__(
        self,
        width: int = 128,
        layers: int = 2,
        heads: int = 4,
        embedding: int = 64,
        dim: int = 128,
        length: int = 160,
    ) -> None:
        super().__init__()
        if min(width, layers, heads, embedding, dim, length) < 1 or width % heads:
            raise UsageError(
                f"The text encoder was given width {width}, {layers} layers, {heads} heads, embedding {embedding}, dim "
                f"{dim} and length {length}; nothing may be below 1, and the heads must divide the width."
            )
        self.width, self.dim, self.length = width, dim, length
        self.channels = 2 * width + 2 * len(_WAVES)
        self.codes = nn.Embedding(CODES, embedding)
        self.enter = nn.Linear(3 * embedding, width)
        self.starts, self.ends = nn.Embedding(PLACES, width), nn.Embedding(PLACES, width)
        self.places = nn.Parameter(torch.randn(1, length, width) * 0.1)
        self.blocks = nn.ModuleList(TransformerLayer(width, heads) for _ in range(layers))
        self.norm = nn.LayerNorm(width)
        self.project = nn.Linear(width, dim)
        self.info = ArchInfo(scale=1, receptive_field=0, tiling="none")

    def forward(self, codes: Tensor) -> tuple[Tensor, Tensor]:
        """Map codes (N, L, 5) to the sentence (N, D) and words (N, L, `channels`), float32; zeros if there is no text.

        Words are the input embeddings of the characters, concatenated with the outputs of the layers and with sines
        and cosines of the character's place in its word (`_places_in_words`): the place that a pixel shows is easier
        to find in LR than the letter.
        """
        there = codes[:, :, 0] > 0
        hashes = self.codes(codes[:, :, :3]).flatten(2)
        entered = self.enter(hashes) + self.starts(codes[:, :, 3]) + self.ends(codes[:, :, 4])
        h = entered + self.places[:, : codes.shape[1]]
        # A text without characters attends to its own zeros, which are masked out below.
        seen = there | ~there.any(1, keepdim=True)
        for block in self.blocks:
            h = block(h, seen)
        h = self.norm(h)
        shown = there[:, :, None].float()
        mean = (h.float() * shown).sum(1) / shown.sum(1).clamp(min=1)
        sentence = F.linear(mean, self.project.weight.float(), self.project.bias.float())
        words = torch.cat([entered, h, _places_in_words(codes)], dim=2).float() * shown
        return sentence * there.any(1, keepdim=True), words

    def prompted(self, maps: Tensor, prompts: Tensor) -> Tensor:
        """Pass maps (N, width, g, g) through the layers as tokens, together with `prompts` (N, K, width); same shape.

        Each layer gets its own prompts, appended to its tokens and dropped after it; if the number of layers does not
        divide K, the first layers get the extra prompts.
        """
        grid = maps.shape[2:]
        h = maps.flatten(2).transpose(1, 2)
        count = h.shape[1]
        h = h + F.interpolate(self.places.transpose(1, 2), count, mode="linear").transpose(1, 2)
        for i, block in enumerate(self.blocks):
            h = block(torch.cat([h, prompts[:, i :: len(self.blocks)]], dim=1))[:, :count]
        out: Tensor = self.norm(h).transpose(1, 2).unflatten(2, grid)
        return out


def _places_in_words(codes: Tensor) -> Tensor:
    """Place of each character's middle in its word, quotes and punctuation aside, as sines and cosines.

    Args:
        codes: (N, L, 5), see `srkit.ops.characters`.

    Returns:
        (N, L, 2 len(_WAVES)), float32.
    """
    here = torch.arange(codes.shape[1], device=codes.device)
    marks = torch.isin(codes[:, :, 0], torch.tensor(_MARKS, device=codes.device))
    counted = F.pad(marks.long().cumsum(1), (1, 0))  # marks before each place
    before, behind = codes[:, :, 3], codes[:, :, 4]
    first, last = (here - before).clamp_min(0), (here + behind + 1).clamp_max(codes.shape[1])
    before = before - (counted[:, :-1] - counted.gather(1, first))
    behind = behind - (counted.gather(1, last) - counted[:, 1:])
    fraction = (before + 0.5) / (before + behind + 1).clamp_min(1)
    angles = math.pi * fraction[:, :, None] * torch.tensor(_WAVES, device=codes.device)
    return torch.cat([angles.sin(), angles.cos()], dim=2)


class TransformerLayer(nn.Module):
    """h + attention(norm(h)), then h + MLP(norm(h)), with an MLP of twice the width."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.mlp = nn.Sequential(nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width))

    def forward(self, h: Tensor, seen: Tensor | None = None) -> Tensor:
        """Map h (N, L, width) to the same shape; `seen` (N, L) masks the tokens that may be attended to (None: all)."""
        q, k, v = (
            one.unflatten(2, (self.heads, -1)).transpose(1, 2)
            for one in self.qkv(self.norm1(h)).chunk(3, dim=2)
        )
        mask = None if seen is None else seen[:, None, None]
        read = F.scaled_dot_product_attention(q, k, v, attn_mask=mask)
        h = h + self.out(read.transpose(1, 2).flatten(2))
        out: Tensor = h + self.mlp(self.norm2(h))
        return out
