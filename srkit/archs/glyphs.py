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
        self.place, self.shape = nn.Linear(_PLACE, hidden), nn.Linear(hidden, hidden)
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
        found = [
            self._drawn(_beside(letter, halves), _beside(boxes, halves), _beside(there, halves), halves)
            for halves in (False, True)
        ]
        covered = found[0][1] + found[1][1] + _FAINT
        letters = (found[0][0] + found[1][0]) / covered.to(found[0][0].dtype)
        letters = letters.flatten(1, 2).flatten(2, 4).permute(0, 3, 1, 2)  # (N, hidden, H, W), channels_last
        joined = F.leaky_relu(self.enter(torch.cat([stage, letters.to(stage.dtype)], dim=1)), _SLOPE)
        out: Tensor = self.leave(joined)
        return stage + out

    def _drawn(self, letter: Tensor, boxes: Tensor, there: Tensor, halves: bool) -> tuple[Tensor, Tensor]:
        """What candidates draw, (N, h, scale, w, 2, scale / 2, hidden), and how far their boxes cover the pixels.

        Pixels of the result are in blocks of their LR pixel, and halves of these, with channels last.

        Args:
            letter, boxes, there: of the candidates, as returned by `_beside`.
        """
        at, sizes = self._places(boxes, halves)
        covered = torch.sigmoid(_STEEPNESS * (0.5 - at.abs())).prod(-1, keepdim=True)
        angles = torch.cat([at.clamp(-1, 1) * (math.pi * n) for n in _FREQUENCIES], dim=-1)
        place = torch.cat([at.clamp(-1, 1), sizes.expand_as(at), angles.sin(), angles.cos()], dim=-1)
        scale1, shift1, scale2, shift2 = letter.chunk(4, dim=-1)
        drawn = self.place(place.to(letter.dtype))
        drawn = F.leaky_relu(torch.addcmul(shift1, drawn, 1 + scale1), _SLOPE)
        drawn = F.leaky_relu(torch.addcmul(shift2, self.shape(drawn), 1 + scale2), _SLOPE)
        seen = covered * torch.sigmoid(there)
        return drawn * seen.to(drawn.dtype), covered

    def _places(self, boxes: Tensor, halves: bool) -> tuple[Tensor, Tensor]:
        """Positions (x, y) in the boxes of candidates, within 0.5 of 0 inside, and the logarithms of their sizes.

        Args:
            boxes: of the candidates, as returned by `_beside`.
            halves: True if these are neighbours.
        """
        centres, sizes = boxes[..., :2], boxes[..., 2:].clamp(-_LARGEST, _LARGEST)
        side = (torch.arange(self.scale, device=boxes.device) + 0.5) / self.scale - 0.5
        # The left half sees its candidate an LR pixel to the left, so that it lies as far to the right of it.
        x = side.view(1, 1, 2, -1) + (
            torch.tensor([1.0, -1.0], device=boxes.device).view(1, 1, 2, 1) if halves else 0
        )
        y = side.view(-1, 1, 1, 1).expand(-1, 1, 2, self.scale // 2)
        offsets = torch.stack([x.expand_as(y), y], dim=-1)
        return (offsets - centres) / sizes.exp(), sizes


def _beside(x: Tensor, halves: bool) -> Tensor:
    """The candidates of each LR pixel of (N, C, h, w), channels last and broadcastable over the pixels of the result.

    Returns:
        (N, h, 1, w, 1, 1, C): the pixel itself; with `halves` (N, h, 1, w, 2, 1, C): its left and right neighbours.
    """
    x = x.permute(0, 2, 3, 1)
    found = x[:, :, :, None]
    if halves:
        found = torch.stack(
            [torch.cat([x[:, :, :1], x[:, :, :-1]], 2), torch.cat([x[:, :, 1:], x[:, :, -1:]], 2)], 3
        )
    return found[:, :, None, :, :, None]


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
