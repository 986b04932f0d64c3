"""Perceptual distance by a second small network of this project, for evaluation only.

It differs from the encoder `compact` in architecture, seed and objective, and no loss uses it, so that training against
`compact`'s features does not improve this distance unfairly.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor

from srkit.archs.judge import JudgeNetwork
from srkit.archs.table import info_of
from srkit.encoders.own import own_network
from srkit.errors import UsageError

NAME = "judge"
JUDGE_SMALLEST = 16
"""Shortest side of an image, in pixels."""
_STRIP_PIXELS = 2**18  # pixels of a strip, without its margins
_FLOOR = 0.1  # activity below this fraction of the stage's usual is damped


class Judge:
    """Perceptual distance of images; lower is closer.

    As LPIPS without learned weights (Zhang et al. 2018, CVPR, Eq. 1): at every position of every stage the channels are
    normalised, the squared differences are summed over the channels and averaged over the positions, and the stages are
    summed. Positions of low activity are damped instead of normalised to unit length.

    Args:
        device: device of the network, which runs in fp32.
        weights: weights file in place of the shipped one.

    Raises:
        ResourceError: the weights are missing, damaged, or of another network.
    """

    def __init__(self, device: torch.device, weights: Path | None = None) -> None:
        self._network, sha256 = own_network(JudgeNetwork, NAME, weights or NAME, "judge", device)
        self._device = device
        self._floor = [float(scale) * _FLOOR for scale in self._network.scales]
        self.version = f"srkit judge, sha256 {sha256}"

    @torch.inference_mode()
    def distance(self, sr: Tensor, hr: Tensor) -> Tensor:
        """Distances (N,) of images (N, 3, H, W) in [0, 1], sides at least `JUDGE_SMALLEST`; 0 for identical images.

        Computed in strips, so that memory is bounded in the height; the result equals that of the whole.

        Raises:
            UsageError: mismatched shapes, or a side that is too short.
        """
        if sr.shape != hr.shape or min(sr.shape[2:]) < JUDGE_SMALLEST:
            raise UsageError(
                f"Images of the shapes {tuple(sr.shape)} and {tuple(hr.shape)} were to be compared; they must be "
                f"the same, with sides of at least {JUDGE_SMALLEST}."
            )
        height, width = sr.shape[2:]
        stages = len(self._floor)
        total = torch.zeros(sr.shape[0], stages, dtype=torch.float64, device=self._device)
        for first, last, above, below in _strips(height, width, 2 ** (stages - 1), self._reach):
            maps = [self._stages(x[:, :, above:below]) for x in (sr, hr)]
            for i, (a, b) in enumerate(zip(*maps, strict=True)):
                end = a.shape[2] if last == height else (last - above) >> i
                squares = (
                    (a - b)[:, :, (first - above) >> i : end].square().sum((1, 2, 3), dtype=torch.float64)
                )
                total[:, i] += squares / ((height >> i) * (width >> i))
        return total.sum(1).float()

    @property
    def _reach(self) -> int:
        return info_of(self._network).receptive_field

    def _stages(self, images: Tensor) -> list[Tensor]:
        """Maps of the stages with channels of unit length, or shorter where the activity is low."""
        x = images.to(self._device, torch.float32, memory_format=torch.channels_last)
        # TF32 would change the third decimal.
        with torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True, allow_tf32=False):
            stages = self._network.stages(x)
        return [
            stage * torch.rsqrt(stage.square().sum(1, keepdim=True) + stage.shape[1] * floor**2)
            for stage, floor in zip(stages, self._floor, strict=True)
        ]


def _strips(height: int, width: int, multiple: int, reach: int) -> Iterator[tuple[int, int, int, int]]:
    """Yield rows [first, last) of each strip, and its input rows [above, below); all but the last are multiples."""
    rows = max(1, _STRIP_PIXELS // width // multiple) * multiple
    reach = -(-reach // multiple) * multiple
    first = 0
    while first < height:
        last = height if height - first < rows + multiple else first + rows
        yield first, last, max(0, first - reach), min(height, last + reach)
        first = last
