"""One small case for each network and for each of its variants that computes differently.

Every test in test_networks.py runs on every case; a new network adds a line.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from srkit.archs.info import ArchInfo
from srkit.archs.table import build, info_of

Conditions = dict[str, Tensor]


def _none(_count: int, _height: int, _width: int) -> Conditions:
    return {}


@dataclass(frozen=True)
class Case:
    """A network by its name in `srkit.archs.table`, with arguments that keep it tiny."""

    arch: str
    arguments: dict[str, Any]
    conditions: Callable[[int, int, int], Conditions] = _none
    """(N, h, w) of a batch to what the network takes beside it."""

    def build(self, seed: int = 0) -> nn.Module:
        """The network, in evaluation mode; the same for the same seed."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            return build(self.arch, self.arguments).eval()

    @property
    def info(self) -> ArchInfo:
        return info_of(self.build())


CASES = {
    "edsr-x2-single": Case("edsr", {"scale": 2, "features": 8, "blocks": 1, "upsampler": "single"}),
    "edsr-x3": Case("edsr", {"scale": 3, "features": 8, "blocks": 1, "residual_scale": 0.5}),
    "edsr-x4": Case("edsr", {"scale": 4, "features": 8, "blocks": 2}),
    "edsr-x4-single": Case("edsr", {"scale": 4, "features": 8, "blocks": 2, "upsampler": "single"}),
    "edsr-x8": Case("edsr", {"scale": 8, "features": 4, "blocks": 1}),
}
