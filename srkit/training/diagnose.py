"""Training and calibration of a network that classifies images as damaged or clean."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from srkit.archs.diagnose import PATCH, DiagnoseNetwork, logits_of, luma_of, measures, patches
from srkit.data.damaged import Judged
from srkit.data.pairs import shrunk
from srkit.ops.layout import RGB

_STRENGTH_WEIGHT = 0.3
_SIZES = (1.0, 0.75, 0.5, 1 / 3, 0.25)
_MARGIN = 0.25
"""Margin below the threshold for clean images, as a logit: other photographs differ from the held-out ones."""


class DiagnoseLearner(nn.Module):
    """Cross entropies of damaged against clean, and, with a smaller weight, of strongly damaged against the rest."""

    def __init__(self, network: DiagnoseNetwork) -> None:
        super().__init__()
        self.network = network

    def forward(self, batch: Judged) -> dict[str, Tensor]:
        logits = self.network(batch.pixels)
        damaged = F.binary_cross_entropy_with_logits(logits[:, 0], batch.damaged)
        strong = F.binary_cross_entropy_with_logits(logits[:, 1], batch.strong)
        return {"loss": damaged + _STRENGTH_WEIGHT * strong, "damaged": damaged, "strong": strong}


@torch.no_grad()
def standardise(network: DiagnoseNetwork, crops: Tensor) -> None:
    """Set the mean and deviation that standardise the network's measures, from crops (N, 3, h, w) uint8."""
    found = torch.cat([measures(luma_of(some.float() / 255)) for some in torch.split(crops, 64)])
    network.mean.copy_(found.mean(0))
    network.deviation.copy_(found.std(0).clamp(min=1e-3))


@torch.no_grad()
def calibrate(network: DiagnoseNetwork, images: Sequence[RGB], false_alarms: float) -> float:
    """Shift the network's bias so that at most a share `false_alarms` of clean images is called damaged.

    Every image counts at several sizes, and by a crop of each. Returns the shift of the logit.
    """
    judged = (logits_of(network, view) for image in images for view in _views(image))
    logits = torch.stack([logits[0] for logits in judged if logits is not None])
    alarms = math.floor(false_alarms * len(logits))
    moved = float(logits.sort(descending=True).values[alarms]) + _MARGIN
    network.decide.bias[0] -= moved
    return moved


def _views(image: RGB) -> Iterator[Tensor]:
    """Patches of the image at several sizes, and of a crop at each size."""
    for factor in _SIZES:
        view = shrunk(image, factor)
        for part in (view, view[3 : PATCH - 8, 5 : PATCH - 30]):
            yield torch.from_numpy(patches(part)).permute(0, 3, 1, 2).float() / 255
