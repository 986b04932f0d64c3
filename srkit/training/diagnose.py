"""What a network that tells damaged images from clean ones is trained and calibrated by."""

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

_OF_STRENGTH = 0.3
_SIZES = (1.0, 0.75, 0.5, 1 / 3, 0.25)
_MARGIN = 0.25
"""That a clean image must stay below the threshold, as a logit: other photographs are not those held out."""


class DiagnoseLearner(nn.Module):
    """Cross entropy of whether a crop is damaged, and with a smaller weight of whether strongly."""

    def __init__(self, network: DiagnoseNetwork) -> None:
        super().__init__()
        self.network = network

    def forward(self, batch: Judged) -> dict[str, Tensor]:
        logits = self.network(batch.pixels)
        damaged = F.binary_cross_entropy_with_logits(logits[:, 0], batch.damaged)
        strong = F.binary_cross_entropy_with_logits(logits[:, 1], batch.strong)
        return {"loss": damaged + _OF_STRENGTH * strong, "damaged": damaged, "strong": strong}


@torch.no_grad()
def standardise(network: DiagnoseNetwork, crops: Tensor) -> None:
    """Set what the network's measures are centred and scaled by, from crops (N, 3, h, w) uint8."""
    found = torch.cat([measures(luma_of(some.float() / 255)) for some in torch.split(crops, 64)])
    network.mean.copy_(found.mean(0))
    network.deviation.copy_(found.std(0).clamp(min=1e-3))


@torch.no_grad()
def calibrate(network: DiagnoseNetwork, images: Sequence[RGB], false_alarms: float) -> float:
    """Move the network's bias so that a share of clean images at most is called damaged; the logit that it moved by.

    Every image counts at several sizes, and by a crop of each.
    """
    judged = (logits_of(network, view) for image in images for view in _views(image))
    logits = torch.stack([logits[0] for logits in judged if logits is not None])
    alarms = math.floor(false_alarms * len(logits))
    moved = float(logits.sort(descending=True).values[alarms]) + _MARGIN
    network.decide.bias[0] -= moved
    return moved


def _views(image: RGB) -> Iterator[Tensor]:
    """Patches of the image at several sizes, and of a crop of each."""
    for factor in _SIZES:
        view = shrunk(image, factor)
        for part in (view, view[3 : PATCH - 8, 5 : PATCH - 30]):
            yield torch.from_numpy(patches(part)).permute(0, 3, 1, 2).float() / 255
