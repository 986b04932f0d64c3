"""CLIP-SR: text-guided super-resolution (Hu et al. 2024, CLIP-SR: Collaborative Linguistic and Image Processing for
Super-Resolution): the graph of the paper's figure, for images of any size.

The paper's network maps 64 x 64 pixels to 256 x 256. Here its encoder, prompts and refinement run once per image, on
LR resized to that size (`guide`), and their output is sampled at the position of every LR pixel. Trunk and
reconstruction are convolutional, so tiles give the same result as the whole image.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal, cast, get_args

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from srkit.archs.blocks import ResidualBlock, ResidualTrunk, begin_at_zero, centred, conv3x3
from srkit.archs.glyphs import RADIUS, Glyphs, box_loss, ink_loss
from srkit.archs.guidance import Guidance
from srkit.archs.info import ArchInfo, PromptedBlocks
from srkit.archs.text_fusion import SLOPE, TIF, WordAttention
from srkit.errors import UsageError, nearest
from srkit.ops.geometry import sample
from srkit.ops.resize import upscale

SCALES = (4, 8, 16)
GUIDE, WORDS, SENTENCE, POSITION = "guide", "words", "sentence", "position"
LETTERS = "letters"
"""Training input: (N, h, w) int64, index of the word that each pixel shows; -1 if unknown."""
BOXES = "boxes"
"""Training input: (N, 4, h, w), boxes of the letters (`srkit.archs.glyphs.BOX`); arbitrary where `LETTERS` is -1."""
INK = "ink"
"""Training input: (N, 1, scale h, scale w), coverage of HR by the ink of letters, in [0, 1]; -1 if unknown."""

Text = Literal["prompt", "bag", "constant"]
TextNorm = Literal["layer", "softmax"]


def takes_text(info: ArchInfo) -> bool:
    """Return whether a network is conditioned on a text."""
    return WORDS in info.conditioning


class CLIPSR(nn.Module):
    """Images (N, 3, h, w) in [0, 1] to (N, 3, scale h, scale w); not clipped.

    Without text (zeros) the network uses learned values instead: the bias of the sentence's norm, and the learned token
    of each attention.

    Args:
        scale: 4, 8 or 16.
        features: channels of the trunk, whose tensors have the names of those of `srkit.archs.edsr.EDSR`.
        blocks: residual blocks of the trunk.
        stages: channels after each doubling of the reconstruction, log2(scale) of them.
        sentence_dim: length D of the text's vector.
        word_channels: channels of the text's words.
        map_channels: channels of the encoder's frozen blocks.
        widths: channels of the guide's encoder at 64, 32, 16 and 8 pixels (the paper: 256, 512, 512, 512).
        prompts: number of prompts fed to the frozen blocks.
        guide_features: channels of the guide.
        readings: number of attentions to the words, each followed by `reading_blocks` residual blocks; 0 for none.
        heads: heads of each attention.
        glyphs: hidden channels of `srkit.archs.glyphs.Glyphs`, which draws letters of the text; 0 for none. Requires
            words that are characters, and readings.
        side: side of the thumbnail that the guide is computed from.
        text: `prompt`; `bag` replaces the words by their mean; `constant` takes no text (ablations).
        text_norm: `layer`; `softmax` as printed, which is nearly constant.
        fused_skips: use TIFs in the skips of the guide (False for ablation).
        mapped: use the prompts and the frozen blocks (False for ablation: a convolution instead).

    Raises:
        UsageError: unsupported scale, width or variant.
    """

    def __init__(
        self,
        scale: int = 8,
        features: int = 64,
        blocks: int = 8,
        stages: Sequence[int] = (64, 48, 24),
        sentence_dim: int = 128,
        word_channels: int = 264,
        map_channels: int = 128,
        widths: Sequence[int] = (16, 32, 48, 64),
        prompts: int = 8,
        guide_features: int = 16,
        readings: int = 2,
        reading_blocks: int = 2,
        heads: int = 4,
        glyphs: int = 0,
        side: int = 64,
        text: Text = "prompt",
        text_norm: TextNorm = "layer",
        fused_skips: bool = True,
        mapped: bool = True,
    ) -> None:
        super().__init__()
        sizes = (features, sentence_dim, word_channels, map_channels, prompts, guide_features, heads)
        _check(
            scale,
            stages,
            widths,
            (*sizes, side // 2 ** len(widths)),
            (blocks, readings, reading_blocks, glyphs),
        )
        for name, value, kind in (("text", text, Text), ("text_norm", text_norm, TextNorm)):
            if value not in (known := get_args(kind)):
                raise UsageError(
                    f"CLIPSR has no {name} '{value}'; known are {', '.join(known)}.{nearest(str(value), known)}"
                )
        self.scale, self.side, self._text, self._word_channels = scale, side, text, word_channels
        if text == "constant":
            self.constant = nn.Parameter(torch.randn(1, sentence_dim))
        else:
            self.norm = nn.LayerNorm(sentence_dim)
        self._softmax = text_norm == "softmax"
        self.trunk = ResidualTrunk(features, blocks)
        self.guidance = Guidance(
            sentence_dim, map_channels, widths, prompts, guide_features, side, fused_skips, mapped
        )
        self.fuse = conv3x3(features + guide_features, features)
        begin_at_zero(self.fuse.weight, self.fuse.bias)
        read = readings if text != "constant" else 0
        self.attentions = nn.ModuleList(WordAttention(features, word_channels, heads) for _ in range(read))
        self.readers = nn.ModuleList(
            nn.Sequential(*(_block(features) for _ in range(reading_blocks))) for _ in range(readings)
        )
        self.reconstruction = TextReconstruction(features, stages, sentence_dim)
        self.glyphs = None
        if glyphs and self.attentions:
            read_channels = cast(WordAttention, self.attentions[-1]).channels
            self.glyphs = Glyphs(features, read_channels, scale, glyphs)
        at_lr = 1 + 2 * blocks + 1 + 1 + 2 * readings * reading_blocks + (RADIUS if self.glyphs else 0)
        self.info = ArchInfo(
            scale=scale,
            receptive_field=at_lr + self.reconstruction.radius,
            fp32_sum=True,
            conditioning=(GUIDE, POSITION) if text == "constant" else (GUIDE, WORDS, SENTENCE, POSITION),
        )

    def forward(
        self,
        x: Tensor,
        guide: Tensor,
        position: Tensor,
        words: Tensor | None = None,
        sentence: Tensor | None = None,
    ) -> Tensor:
        """Upscale an image, or a part of one, given the guide, text and positions of the whole image.

        Args:
            x: (N, 3, h, w) in [0, 1].
            guide: (N, guide_features, side, side), of the whole image (`guide`).
            position: (N, 2, h, w), position of each pixel in the whole image (see `srkit.ops.geometry`).
            words: (N, L, word_channels), zeros after the end of the text; None for no text.
            sentence: (N, sentence_dim); zeros or None for no text.
        """
        z = self._vector(len(x), sentence)
        h, read, _ = self._read(x, guide, position, words, z, None)
        drawn = None
        if self.glyphs is not None and read is not None:
            drawn = self.glyphs.letters(h, read, *self.glyphs.boxes(h))
        return self._drawn(x, z, h, drawn)

    def aligned(
        self,
        x: Tensor,
        guide: Tensor,
        position: Tensor,
        words: Tensor,
        sentence: Tensor,
        letters: Tensor,
        boxes: Tensor,
        ink: Tensor,
        *,
        drawn: bool = True,
    ) -> tuple[Tensor | None, dict[str, Tensor]]:
        """`forward`, and distances from the letters that the pixels show.

        The letters of every second image are drawn in their true boxes, so that sharp letters are learnt before boxes
        are estimated well.

        Args:
            letters: see `LETTERS`.
            boxes: see `BOXES`.
            ink: see `INK`.
            drawn: False to compute the distances alone.

        Returns:
            The image, or None, and scalars: `alignment`, mean of
            `srkit.archs.text_fusion.WordAttention.misalignment` over the attentions; if the network draws letters,
            `boxes` and `ink`: `box_loss` and `ink_loss` of `srkit.archs.glyphs`.
        """
        z = self._vector(len(x), sentence)
        h, read, alignment = self._read(x, guide, position, words, z, letters)
        distances, shown = {"alignment": alignment}, None
        if self.glyphs is not None and read is not None:
            known = (letters >= 0)[:, None]
            estimated, there = self.glyphs.boxes(h)
            distances["boxes"] = box_loss(estimated, there, boxes, known)
            forced = known & (torch.arange(len(x), device=x.device) % 2 == 0)[:, None, None, None]
            shown = self.glyphs.letters(h, read, torch.where(forced, boxes, estimated), there)
            distances["ink"] = ink_loss(shown, ink, known)
        return self._drawn(x, z, h, shown) if drawn else None, distances

    def _read(
        self,
        x: Tensor,
        guide: Tensor,
        position: Tensor,
        words: Tensor | None,
        z: Tensor,
        letters: Tensor | None,
    ) -> tuple[Tensor, Tensor | None, Tensor]:
        """LR features, the values that the last attention read, and the mean misalignment of the attentions."""
        features: Tensor = self.trunk(centred(x).to(z.dtype))
        sampled = sample(guide, position).to(z.dtype, memory_format=torch.channels_last)
        features = features + self.fuse(torch.cat([features, sampled], dim=1))
        misaligned: list[Tensor] = []
        if words is None:
            words = torch.zeros(len(x), 1, self._word_channels, device=x.device)
        elif self._text == "bag":
            count = (words != 0).any(2, keepdim=True).sum(1, keepdim=True)
            words = words.sum(1, keepdim=True) / count.clamp(min=1)
        read = None
        for i, reader in enumerate(self.readers):
            if i < len(self.attentions):
                attention = cast(WordAttention, self.attentions[i])
                if letters is not None and self._text == "prompt":
                    misaligned.append(attention.misalignment(features, words, position, letters))
                features, read = attention(features, words, position)
            features = reader(features)
        mean = torch.stack(misaligned).mean() if misaligned else torch.zeros((), device=x.device)
        return features, read, mean

    def _drawn(self, x: Tensor, z: Tensor, h: Tensor, letters: Tensor | None) -> Tensor:
        """SR from LR features and what `srkit.archs.glyphs.Glyphs.letters` has drawn."""
        residual: Tensor = self.reconstruction.last(self.reconstruction(h, z))
        if self.glyphs is not None and letters is not None:
            residual = residual + self.glyphs(h, letters)
        return upscale(x, self.scale) + residual.to(x.dtype)

    def guide(
        self, thumbnail: Tensor, sentence: Tensor | None = None, blocks: PromptedBlocks | None = None
    ) -> Tensor:
        """Compute the guide, once per image.

        Args:
            thumbnail: the whole LR image, resized to (N, 3, side, side), in [0, 1].
            sentence: as in `forward`.
            blocks: the encoder's frozen blocks, required if the network is `mapped`.

        Returns:
            (N, guide_features, side, side), float32 in fp32 networks.

        Raises:
            UsageError: `blocks` is missing although the network is `mapped`.
        """
        z = self._vector(len(thumbnail), sentence)
        found: Tensor = self.guidance(centred(thumbnail).to(z.dtype), z, blocks)
        return found

    def no_guide(self, count: int, device: torch.device) -> Tensor:
        """Zeros in place of `count` guides."""
        return torch.zeros(count, self.guidance.out.out_channels, self.side, self.side, device=device)

    def _vector(self, count: int, sentence: Tensor | None) -> Tensor:
        """Normalised sentence (N, D), of the weights' dtype; the norm's bias if there is no sentence."""
        if self._text == "constant":
            return self.constant.expand(count, -1)
        weight, bias = self.norm.weight, self.norm.bias
        if sentence is None:
            sentence = torch.zeros(count, len(weight), device=weight.device)
        sentence = sentence.to(weight.dtype)
        if self._softmax:
            return torch.softmax(sentence, 1) * weight + bias
        z: Tensor = self.norm(sentence)
        return z


class TextReconstruction(nn.Module):
    """Convolution, PixelShuffle and TIF per doubling of the features' size, and `last`, a convolution to RGB."""

    def __init__(self, features: int, stages: Sequence[int], text: int) -> None:
        super().__init__()
        channels = [features, *stages]
        self.convs = nn.ModuleList(conv3x3(a, 4 * b) for a, b in zip(channels, stages, strict=False))
        self.tifs = nn.ModuleList(TIF(width, text) for width in stages)
        self.last = conv3x3(stages[-1], 3)
        # A convolution before each doubling, and one in the TIF after it, at each resolution; the last rounds up.
        self.radius = int(sum(1 / 2**i + 1 / 2 ** (i + 1) for i in range(len(stages))) + 1)

    def forward(self, h: Tensor, z: Tensor) -> Tensor:
        """Map h (N, features, h, w) and z (N, text) to (N, stages[-1], s h, s w), s = 2^stages."""
        for conv, tif in zip(self.convs, self.tifs, strict=True):
            h = tif(F.leaky_relu(F.pixel_shuffle(conv(h), 2), SLOPE), z)
        return h


def _block(features: int) -> ResidualBlock:
    block = ResidualBlock(features)
    block.start_as_identity()
    return block


def _check(
    scale: int, stages: Sequence[int], widths: Sequence[int], sizes: Sequence[int], counts: Sequence[int]
) -> None:
    if scale not in SCALES:
        raise UsageError(f"CLIPSR was given scale {scale}; it is defined for 4, 8 and 16.")
    if 2 ** len(stages) != scale:
        raise UsageError(
            f"CLIPSR was given scale {scale} and stages {list(stages)}; it takes {int(math.log2(scale))} of them."
        )
    if len(widths) < 2 or min(*sizes, *stages, *widths) < 1 or min(counts) < 0:
        raise UsageError(
            f"CLIPSR was given widths {list(widths)}, stages {list(stages)}, sizes {list(sizes)} and numbers of blocks "
            f"{list(counts)}; it takes two widths or more, nothing below 1, and blocks from 0."
        )
