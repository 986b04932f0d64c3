"""Training pairs with captions: photographs and rendered images, mixed in each batch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from srkit.archs.clipsr import BOXES, INK, LETTERS
from srkit.conditioning.makers import Conditioning, Sources
from srkit.data.captions import rendered_wordings
from srkit.data.letters import letter_map, token_table
from srkit.data.packed import Crops, PackedImages
from srkit.data.pairs import CropPlan, MemoryPairs, crop_to_multiple, shrunk
from srkit.encoders.text import TextEncoder
from srkit.progress import Progress
from srkit.rendered import draw, spec
from srkit.rendered.canvas import Rendered
from srkit.rendered.specs import Spec, Split

SOURCES = ("thumbnail", "words", "sentence", "position")
"""Conditions of a text-guided network in training, before its guide is made (`srkit.conditioning.makers`)."""


@dataclass(frozen=True)
class CaptionedImage:
    """Image with its captions in several wordings."""

    pixels: NDArray[np.uint8]
    """(H, W, 3)."""
    texts: tuple[str, ...] = ()
    """Wordings, the most detailed first; empty if unknown."""
    spec: Spec | None = None
    """Spec of a rendered image."""
    rendered: Rendered | None = None


def render_captioned(
    domains: Mapping[str, int],
    sides: Sequence[int],
    split: Split,
    first_seed: int,
    progress: Progress,
) -> list[CaptionedImage]:
    """Render images with captions: `domains[name]` of each domain, cycling through `sides`.

    Args:
        split: part of the vocabulary that words are drawn from.
        first_seed: seed of each domain's first image; the others have consecutive seeds.
    """
    progress.start("rendering", sum(domains.values()))
    images = []
    for domain, count in domains.items():
        for number in range(count):
            shown, side = spec(domain, first_seed + number, split), sides[number % len(sides)]
            drawn = draw(shown, side, side)
            images.append(CaptionedImage(drawn.pixels, rendered_wordings(shown), shown, drawn))
            progress.advance()
    progress.finish()
    return images


class CaptionedPairs(MemoryPairs):
    """Pairs of captioned images: each crop with a random wording of its image's caption, or with none.

    Args:
        images: images with a side below the crop's are left out.
        plan: plan of the crops; `augment` should be off, since flipped or rotated letters are other letters.
        encoder: encoder of the texts.
        dropout: probability of dropping a caption.
        network: network that the pairs are for.
        aligned: also return the letter that each pixel shows, where a rendered image shows one that its caption names
            (`srkit.data.letters`), its box, and the letters' ink; for encoders whose words are characters.
    """

    def __init__(
        self,
        images: Sequence[CaptionedImage],
        plan: CropPlan,
        device: torch.device,
        encoder: TextEncoder,
        dropout: float,
        network: nn.Module,
        progress: Progress | None = None,
        *,
        aligned: bool = False,
    ) -> None:
        conditioning = Conditioning(("thumbnail", "position"), Sources(network, device=device))
        super().__init__([image.pixels for image in images], plan, device, conditioning, progress)
        self._texts = [images[number].texts for number, _ in self.sources]
        self._encoder, self._dropout = encoder, dropout
        self._letters: PackedImages | None = None
        if aligned:
            maps, inks, inked = [], [], []
            for (number, factor), height, width in zip(
                self.sources, self.lr.heights.tolist(), self.lr.widths.tolist(), strict=True
            ):
                image = images[number]
                lettering = image.rendered.lettering if image.rendered else ()
                maps.append(letter_map(lettering, height, width, image.pixels.shape[0] / height))
                ink = image.spec.ink(*image.pixels.shape[1::-1]) if image.spec is not None else None
                inked.append(ink is not None)
                if ink is None:
                    ink = np.zeros((*image.pixels.shape[:2], 1), np.uint8)
                inks.append(crop_to_multiple(shrunk(ink, factor), plan.scale))
            self._letters = PackedImages([found for found, _, _ in maps], device)
            self._lines = [lines for _, lines, _ in maps]
            self._boxes = [torch.from_numpy(boxes) for _, _, boxes in maps]
            self._ink, self._inked = PackedImages(inks, device), torch.tensor(inked)

    def conditions_of(self, crops: Crops, step: int) -> dict[str, Tensor]:
        """Conditions as in `MemoryPairs`, plus words and sentences of the texts drawn for the crops."""
        rng = np.random.default_rng((self.plan.seed, step, self.plan.rank))
        chosen = []
        for number in crops.image.tolist():
            texts, dropped, which = self._texts[number], rng.random() < self._dropout, rng.random()
            chosen.append("" if dropped or not texts else texts[int(which * len(texts))])
        read = self._encoder.read(chosen)
        found = super().conditions_of(crops, step) | {"words": read.words, "sentence": read.sentence}
        if self._letters is not None:
            found |= self._shown(self._letters, crops, chosen)
        return found

    def _shown(self, letters: PackedImages, crops: Crops, texts: Sequence[str]) -> dict[str, Tensor]:
        """`LETTERS`, `BOXES` and `INK` of the crops with their texts."""
        numbers = (letters.cut(crops, self.plan.patch)[:, 0] * 255).round().long()
        images = crops.image.tolist()
        tables = [
            torch.from_numpy(token_table(self._lines[number], text, self._encoder.length))
            for number, text in zip(images, texts, strict=True)
        ]
        tokens = torch.stack([table.to(one.device)[one] for table, one in zip(tables, numbers, strict=True)])
        placed = [
            self._boxes[number].to(one.device)[one] for number, one in zip(images, numbers, strict=True)
        ]
        left, right, top, bottom = torch.stack(placed).unbind(-1)
        places = torch.arange(self.plan.patch, device=left.device) + 0.5
        x, y = (places + edge.to(left.device)[:, None] for edge in (crops.left, crops.top))
        centres = ((left + right) / 2 - x[:, None, :], (top + bottom) / 2 - y[:, :, None])
        return {
            LETTERS: tokens,
            BOXES: torch.stack([*centres, (right - left).log(), (bottom - top).log()], 1),
            INK: self._ink.cut(crops, self.plan.patch, self.plan.scale).where(
                self._inked[crops.image].to(letters.pixels.device)[:, None, None, None], -1.0
            ),
        }
