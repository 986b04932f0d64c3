"""CLIP's text tower, and its image tower as used by CLIP-SR: selected depths, and blocks that accept prompts."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from srkit.encoders.open_clip import OpenClip, squash
from srkit.encoders.open_clip_weights import import_open_clip
from srkit.encoders.text import TextEmbedding
from srkit.errors import ResourceError, UsageError, first_line
from srkit.ops.characters import cleaned
from srkit.ops.layout import in_precision
from srkit.progress import Progress

_LOOKED_AT = (1, 4, 8)
"""Blocks of a tower of `_BLOCKS` whose outputs the discriminator takes, counted from 0 (GALIP, CLIP-SR)."""
_BLOCKS = 12


class OpenClipText(OpenClip):
    """`TextEncoder` by an open_clip model with two transformers, frozen, fp32.

    Args:
        See `OpenClip`.

    Raises:
        UsageError: as in `OpenClip`, or a tower that is not open_clip's own transformer.
        ResourceError: as in `OpenClip`, or a tokenizer that open_clip would download is unavailable.
    """

    by_character = False

    def __init__(
        self, model: str, pretrained: str, device: torch.device, progress: Progress | None = None
    ) -> None:
        super().__init__(model, pretrained, device, progress)
        text = getattr(self._network, "text", self._network)
        if not hasattr(text, "ln_final") or not hasattr(self._visual, "transformer"):
            raise UsageError(
                f"'{self.name}' is not of two transformers of open_clip's own, which prompts go through; choose "
                "another model, for example ViT-B-32."
            )
        self._last: Any = text.ln_final
        self._blocks: list[Any] = list(self._visual.transformer.resblocks)
        self.length: int = int(text.context_length)
        self.word_channels: int = int(self._last.normalized_shape[0])
        self.map_channels = self.token_channels
        self.level_channels = (self.token_channels,) * len(_LOOKED_AT)

    def read(self, texts: Sequence[str]) -> TextEmbedding:
        """Embed texts; see `TextEncoder`. ViT-B-32: sentences (N, 512), words (N, 77, 512) of the last layer."""
        texts = [cleaned(text) for text in texts]
        codes = self._tokenizer(texts).to(self._device)
        found: list[Tensor] = []
        hook = self._last.register_forward_hook(lambda _layer, _inputs, output: found.append(output))
        try:
            with torch.no_grad(), in_precision(self._device, None):
                sentence = self._network.encode_text(codes).float()
        finally:
            hook.remove()
        given = torch.tensor([[bool(text)] for text in texts], device=self._device)
        there = given & (codes != 0)
        return TextEmbedding(sentence * given, found[0].float() * there[:, :, None])

    def fits(self, text: str) -> bool:
        """Return whether a text fits; see `TextEncoder`. A word may be several tokens, and two tokens are marks."""
        return len(self._tokenizer.encode(cleaned(text))) + 2 <= self.length

    def levels(self, images: Tensor) -> list[Tensor]:
        """Patch tokens after three of the blocks, on the tower's grid; see `TextEncoder`."""
        with in_precision(self._device, None):
            squares = squash(self._taken(images), self._size, self._interpolation)
        maps = self._visual.conv1((squares - self._mean) / self._std)
        wanted = [k * len(self._blocks) // _BLOCKS for k in _LOOKED_AT]
        h, found = self._entered(maps), {}
        for i, block in enumerate(self._blocks[: max(wanted) + 1]):
            h = self._through(block, h)
            found[i] = self._patches(h)
        return [found[i] for i in wanted]

    def prompted(self, maps: Tensor, prompts: Tensor) -> Tensor:
        """Pass maps and prompts through the blocks; see `TextEncoder`. Block k takes prompt k - 1, the first none.

        Maps of another grid than the tower's are resized to it and back.
        """
        grid, own = tuple(maps.shape[2:]), tuple(self._visual.grid_size)
        h = self._entered(maps if grid == own else F.interpolate(maps, own, mode="bilinear"))
        count, places = h.shape[1], max(1, len(self._blocks) - 1)
        for i, block in enumerate(self._blocks):
            first = i - 1 if len(self._blocks) > 1 else i
            beside = prompts[:, first::places] if first >= 0 else prompts[:, :0]
            h = self._through(block, torch.cat([h, beside.to(h.dtype)], dim=1))[:, :count]
        out = self._patches(h)
        return out if grid == own else F.interpolate(out, grid, mode="bilinear")

    def _entered(self, maps: Tensor) -> Tensor:
        """Input tokens of the tower's first block, the class token and the maps' cells: (N, 1 + g g, C)."""
        visual = self._visual
        tokens = maps.flatten(2).transpose(1, 2)
        first = visual.class_embedding.to(tokens.dtype).expand(len(tokens), 1, -1)
        h: Tensor = visual.ln_pre(
            torch.cat([first, tokens], dim=1) + visual.positional_embedding.to(tokens.dtype)
        )
        return h

    def _through(self, block: Any, h: Tensor) -> Tensor:
        if getattr(self._visual.transformer, "batch_first", False):
            out: Tensor = block(h)
        else:
            out = block(h.transpose(0, 1)).transpose(0, 1)
        return out

    def _patches(self, h: Tensor) -> Tensor:
        rows, columns = self._visual.grid_size
        return h[:, 1:].transpose(1, 2).reshape(len(h), -1, rows, columns)

    @cached_property
    def _tokenizer(self) -> Any:
        try:
            return import_open_clip().get_tokenizer(self._config)
        except Exception as error:  # errors of the Hub's client, or of a missing package
            raise ResourceError(
                f"The tokenizer of '{self._config}' is unavailable ({first_line(error)}); choose a model with CLIP's "
                "own, for example ViT-B-32."
            ) from error
