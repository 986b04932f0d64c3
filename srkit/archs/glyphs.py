"""Letters drawn in their own coordinates, for text-guided super-resolution.

At x8 a letter is about two LR pixels wide: attention to a caption tells which letter an LR pixel shows, not which part
of it. Here each LR pixel also estimates the box of its letter, and makes a drawing that is laid into that box.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from srkit.archs.blocks import begin_at_zero

BOX = 4
"""Numbers of a box: its centre relative to that of the pixel (x, y), and the logarithms of its width and height; all in
LR pixels."""
RADIUS = 2
"""Receptive field radius of the letters, in LR pixels."""
CHANNELS = 4
"""Channels of the letters' drawings; the first is their ink."""
_GRID = 12  # samples of a drawing along each side of its box
_SLOPE = 0.2
_STEEPNESS = 24.0  # of the edges of a box
_FAINT = 0.3  # bounds the sum of the candidates where no box covers a pixel
_LARGEST = 4.0  # bound of the logarithms of a box's size


class Glyphs(nn.Module):
    """Estimates boxes of letters, draws the letters in them, and gives the drawings the colours of the place.

    Each LR pixel makes a drawing of its letter, a small image that covers the letter's box. A pixel of the result sees
    the drawings of its LR pixel and of the horizontal neighbours of that, since an LR pixel may show the ends of two
    letters, weighted by how far their boxes cover it. The colours are the contrast of a letter with its ground,
    estimated by each LR pixel and interpolated. The output is zero at initialisation.

    Args:
        features: channels of LR features.
        read: channels of what the attention has read.
        scale: scale of the result relative to LR.
        hidden: width of the layer from features to drawings.
    """

    def __init__(self, features: int, read: int, scale: int, hidden: int) -> None:
        super().__init__()
        self.scale = scale
        self.box = nn.Conv2d(features, BOX + 1, 1)
        self.drawing = nn.Sequential(
            nn.Conv2d(features + read, hidden, 1),
            nn.LeakyReLU(_SLOPE),
            nn.Conv2d(hidden, CHANNELS * _GRID**2, 1),
        )
        self.contrast = nn.Conv2d(features, 3 * CHANNELS, 1)
        for layer in (self.box, self.contrast):
            begin_at_zero(layer.weight, layer.bias)

    def boxes(self, h: Tensor) -> tuple[Tensor, Tensor]:
        """Boxes (N, 4, h, w) of the letters (`BOX`), and logits (N, 1, h, w) that there is one; both in fp32.

        Args:
            h: (N, features, h, w).
        """
        found: Tensor = self.box(h).float()
        return found[:, :BOX], found[:, BOX:]

    def letters(self, h: Tensor, read: Tensor, boxes: Tensor, there: Tensor) -> Tensor:
        """Draw the letters: (N, CHANNELS, scale h, scale w), 0 where no box is.

        Args:
            h, read: LR features (N, features, h, w), and what the attention has read, (N, read, h, w).
            boxes, there: as returned by `boxes`.
        """
        drawing = self.drawing(torch.cat([h, read], dim=1))
        n, _, height, width = drawing.shape
        total, covered = torch.zeros((), device=h.device), torch.full((), _FAINT, device=h.device)
        for side in (-1, 0, 1):
            own, box, seen = (_beside(x, side) for x in (drawing, boxes, there))
            across, over_x = self._weights(box[:, 0], box[:, 2], -float(side))
            down, over_y = self._weights(box[:, 1], box[:, 3], 0.0)
            across = across * torch.sigmoid(seen[:, 0])[..., None, None]
            # Interpolation along both axes, as products of small matrices: the boxes are upright.
            grid = own.permute(0, 2, 3, 1).reshape(-1, _GRID, CHANNELS * _GRID)
            rows = (down.to(grid.dtype).reshape(-1, self.scale, _GRID) @ grid).reshape(
                -1, self.scale * CHANNELS, _GRID
            )
            drawn = rows @ across.to(grid.dtype).reshape(-1, self.scale, _GRID).transpose(1, 2)
            total = total + drawn.view(n, height, width, self.scale, CHANNELS, self.scale)
            covered = covered + (over_y[..., :, None] * over_x[..., None, :])[:, :, :, :, None]
        letters = (total / covered.to(total.dtype)).permute(0, 4, 1, 3, 2, 5)
        return letters.reshape(n, CHANNELS, self.scale * height, self.scale * width)

    def forward(self, h: Tensor, letters: Tensor) -> Tensor:
        """Colour letters: (N, 3, scale h, scale w), to be added to the result.

        Args:
            h: (N, features, h, w).
            letters: as returned by `letters`.
        """
        contrast = F.interpolate(self.contrast(h), scale_factor=float(self.scale), mode="bilinear")
        coloured = (
            contrast.view(len(h), 3, CHANNELS, *letters.shape[2:]) * letters.to(contrast.dtype)[:, None]
        )
        return coloured.sum(2)

    def _weights(self, centres: Tensor, sizes: Tensor, offset: float) -> tuple[Tensor, Tensor]:
        """Weights of a drawing's samples along one axis, (N, h, w, scale, _GRID), and coverage by the box, (N, h, w,
        scale), for the pixels of the result in each LR pixel.

        Args:
            centres, sizes: numbers of the boxes along this axis (N, h, w).
            offset: position of the LR pixel relative to that of the box, in LR pixels.
        """
        side = (torch.arange(self.scale, device=centres.device) + 0.5) / self.scale - 0.5 + offset
        place = (side - centres[..., None]) / sizes.clamp(-_LARGEST, _LARGEST).exp()[..., None]
        covered = torch.sigmoid(_STEEPNESS * (0.5 - place.abs()))
        at = ((place + 0.5) * _GRID - 0.5).clamp(0, _GRID - 1)
        samples = torch.arange(_GRID, device=centres.device)
        return F.relu(1 - (at[..., None] - samples).abs()) * covered[..., None], covered


def _beside(x: Tensor, side: int) -> Tensor:
    """Values of the pixels to the left (-1) or right (1) of each of (N, C, h, w); the border is replicated."""
    if side == 0:
        return x
    return torch.cat([x[..., :1], x[..., :-1]] if side < 0 else [x[..., 1:], x[..., -1:]], dim=-1)


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


def ink_loss(letters: Tensor, ink: Tensor, known: Tensor) -> Tensor:
    """Mean square error of the drawn ink where a letter and its ink are known; a scalar, 0 if nowhere.

    Args:
        letters: as returned by `Glyphs.letters`.
        ink: (N, 1, H, W) in [0, 1]; -1 where it is unknown.
        known: (N, 1, h, w) bool, pixels that show a letter of the caption.
    """
    shown = F.interpolate(known.float(), ink.shape[2:], mode="nearest") * (ink >= 0)
    return ((letters[:, :1].float() - ink).square() * shown).sum() / shown.sum().clamp(min=1)
