"""Letters drawn in their own coordinates, for text-guided super-resolution.

At x8 a letter is about two LR pixels wide: attention to a caption tells which letter an LR pixel shows, not which part
of it. Here each LR pixel also estimates the box of its letter, and a small network draws the letter as a function of
the position in that box.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from srkit.archs.blocks import begin_at_zero, conv3x3

BOX = 4
"""Numbers of a box: its centre relative to that of the pixel (x, y), and the logarithms of its width and height; all in
LR pixels."""
RADIUS = 2
"""Receptive field radius of the letters, in LR pixels."""
_SLOPE = 0.2
_FREQUENCIES = (1, 2, 4)  # half periods per box
_PLACE = 2 + 2 + 4 * len(_FREQUENCIES)
_STEEPNESS = 12.0  # of the edges of a box
_FAINT = 0.1  # bounds the sum of the candidates where no box covers a pixel
_LARGEST = 4.0  # bound of the logarithms of a box's size


class Glyphs(nn.Module):
    """Estimates boxes of letters, and adds the letters to features at the size of the result.

    Each pixel of the result has two candidates, its LR pixel and the horizontally nearer neighbour of that, since an LR
    pixel may show the ends of two letters; they are weighted by how far their boxes cover it. The network is the
    identity at initialisation.

    Args:
        features: channels of LR features.
        read: channels of what the attention has read.
        stage: channels of the features that the letters are added to.
        scale: scale of these features relative to LR.
        hidden: channels of the network that draws.
    """

    def __init__(self, features: int, read: int, stage: int, scale: int, hidden: int) -> None:
        super().__init__()
        self.scale = scale
        self.box = nn.Conv2d(features, BOX + 1, 1)
        self.letter = nn.Conv2d(features + read, 4 * hidden, 1)
        self.place = nn.Conv2d(_PLACE, hidden, 1)
        self.shape = nn.Conv2d(hidden, hidden, 1)
        self.enter, self.leave = conv3x3(stage + hidden, stage), conv3x3(stage, stage)
        for layer in (self.box, self.leave):
            begin_at_zero(layer.weight, layer.bias)

    def boxes(self, h: Tensor) -> tuple[Tensor, Tensor]:
        """Boxes (N, 4, h, w) of the letters (`BOX`), and logits (N, 1, h, w) that there is one; both in fp32.

        Args:
            h: (N, features, h, w).
        """
        found: Tensor = self.box(h).float()
        return found[:, :BOX], found[:, BOX:]

    def forward(self, stage: Tensor, h: Tensor, read: Tensor, boxes: Tensor, there: Tensor) -> Tensor:
        """Add letters to features `stage` (N, stage, scale h, scale w).

        Args:
            h, read: LR features (N, features, h, w), and what the attention has read, (N, read, h, w).
            boxes, there: as returned by `boxes`.
        """
        letter = self.letter(torch.cat([h, read], dim=1))
        x = torch.arange(stage.shape[3], device=h.device)
        own = x // self.scale
        beside = torch.where(x % self.scale < self.scale // 2, own - 1, own + 1).clamp(0, h.shape[3] - 1)
        drawn = [self._drawn(letter, boxes, there, columns) for columns in (own, beside)]
        total = drawn[0][0] + drawn[1][0]
        letters = total / (drawn[0][1] + drawn[1][1] + _FAINT).to(total.dtype)
        joined = F.leaky_relu(self.enter(torch.cat([stage, letters.to(stage.dtype)], dim=1)), _SLOPE)
        out: Tensor = self.leave(joined)
        return stage + out

    def _drawn(self, letter: Tensor, boxes: Tensor, there: Tensor, columns: Tensor) -> tuple[Tensor, Tensor]:
        """Letters of LR columns `columns`, one for each column of the result, and how far boxes cover each pixel."""
        u, v, sizes = self._places(boxes, columns)
        inside = torch.sigmoid(_STEEPNESS * (0.5 - u.abs())) * torch.sigmoid(_STEEPNESS * (0.5 - v.abs()))
        u, v = u.clamp(-1, 1), v.clamp(-1, 1)
        waves = [
            wave(math.pi * n * one) for n in _FREQUENCIES for one in (u, v) for wave in (torch.sin, torch.cos)
        ]
        place = torch.cat([u, v, sizes, *waves], dim=1).to(letter.dtype, memory_format=torch.channels_last)
        scale1, shift1, scale2, shift2 = self._spread(letter, columns).chunk(4, dim=1)
        drawn = F.leaky_relu(torch.addcmul(shift1, self.place(place), 1 + scale1), _SLOPE)
        drawn = F.leaky_relu(torch.addcmul(shift2, self.shape(drawn), 1 + scale2), _SLOPE)
        seen = inside * torch.sigmoid(self._spread(there, columns))
        return drawn * seen.to(drawn.dtype), inside

    def _places(self, boxes: Tensor, columns: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Positions (N, 1, H, W) in the boxes, within 0.5 of 0 inside, and log sizes (N, 2, H, W)."""
        height = boxes.shape[2] * self.scale
        spread = self._spread(boxes, columns)
        centres, sizes = spread[:, :2], spread[:, 2:].clamp(-_LARGEST, _LARGEST)
        x = (torch.arange(len(columns), device=boxes.device) + 0.5) / self.scale - (columns + 0.5)
        y = (torch.arange(height, device=boxes.device) % self.scale + 0.5) / self.scale - 0.5
        offsets = torch.stack([x.expand(height, -1), y[:, None].expand(-1, len(columns))])
        at = (offsets - centres) / sizes.exp()
        return at[:, :1], at[:, 1:], sizes

    def _spread(self, x: Tensor, columns: Tensor) -> Tensor:
        """Repeat rows `scale` times and take `columns`: (N, C, h, w) to (N, C, scale h, len(columns))."""
        return x.repeat_interleave(self.scale, 2).index_select(3, columns)


def box_loss(boxes: Tensor, there: Tensor, true: Tensor, known: Tensor) -> Tensor:
    """Mean L1 of the boxes where a letter is known, plus the cross-entropy of whether there is one; a scalar.

    Args:
        boxes, there: as returned by `Glyphs.boxes`.
        true: boxes (N, 4, h, w).
        known: (N, 1, h, w) bool, pixels that show a letter of the caption.
    """
    shown = known.float()
    distance = ((boxes - true).abs() * shown).sum() / (BOX * shown.sum()).clamp(min=1)
    return distance + F.binary_cross_entropy_with_logits(there, shown)
