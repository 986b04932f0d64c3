"""Toy networks, each with one property that the engine must respect, and a way to run one image."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from srkit.archs.info import ArchInfo
from srkit.conditioning.values import Conditions
from srkit.engine.runner import Plane, Runner, RunnerOptions

CPU = torch.device("cpu")
Pixels = NDArray[Any]


def random_pixels(height: int, width: int, seed: int = 0, dtype: Any = np.uint8) -> Pixels:
    """Noise over a slope: every pixel matters, and the two ends differ."""
    rng = np.random.default_rng(seed)
    slope = np.linspace(0.2, 0.6, width)[None, :, None] + np.linspace(0, 0.2, height)[:, None, None]
    image = slope + rng.uniform(-0.2, 0.2, (height, width, 3))
    return (image * np.iinfo(dtype).max).astype(dtype)


def options(**changes: Any) -> RunnerOptions:
    """fp32 on the CPU, whole images, no overlap, with changes."""
    values: dict[str, Any] = {"device": CPU, "dtype": torch.float32, "tile": None, "overlap": 0}
    return RunnerOptions(**(values | changes))


def runner(network: nn.Module, **changes: Any) -> Runner:
    return Runner(network, network.info, options(**changes))  # type: ignore[arg-type]


def run_one(
    network: nn.Module, pixels: Pixels, conditions: Conditions | None = None, **changes: Any
) -> Pixels:
    """One image through a runner of its own."""
    (done,) = runner(network, **changes).run([Plane(pixels, None, conditions or {})])
    assert done is not None
    if done.error is not None:
        raise done.error
    return done.pixels


class Toy(nn.Module):
    """Has a parameter, as networks do, and facts."""

    def __init__(self, **facts: Any) -> None:
        super().__init__()
        values: dict[str, Any] = {"scale": 1, "receptive_field": 0}
        self.info = ArchInfo(**(values | facts))
        self.one = nn.Parameter(torch.ones(()))


class Convolutions(Toy):
    """`depth` random 3 x 3 convolutions at 1 / `stride` of the resolution, with strong weights, then x2."""

    def __init__(self, depth: int = 3, stride: int = 1, **facts: Any) -> None:
        super().__init__(scale=2, receptive_field=(depth + 1) * stride, multiple_of=stride, **facts)
        channels = 3 * stride**2
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            layers = [nn.Conv2d(channels, channels, 3, padding=1) for _ in range(depth)]
            self.convolutions = nn.Sequential(*layers, nn.Conv2d(channels, 4 * channels, 3, padding=1))
            for layer in self.convolutions:
                nn.init.orthogonal_(layer.weight)  # type: ignore[arg-type]
        self.stride = stride

    def forward(self, x: Tensor) -> Tensor:
        if x.shape[2] % self.stride or x.shape[3] % self.stride or min(x.shape[2:]) < self.info.min_size:
            raise ValueError(f"got {tuple(x.shape)}")  # what a real network would not survive
        h = F.pixel_unshuffle(x.to(self.one.dtype), self.stride)
        sr = F.pixel_shuffle(F.pixel_shuffle(self.convolutions(h), self.stride), 2)
        return sr.float().mul(0.3).add(0.5)


class Pointwise(Toy):
    """The same for every pixel, wherever it lies: any tiling must give what the whole gives."""

    def forward(self, x: Tensor) -> Tensor:
        sr: Tensor = F.interpolate((x * self.one).square(), scale_factor=self.info.scale, mode="nearest")
        return sr.float()


class WindowMean(Toy):
    """Gives every window its own constant: the worst case for seams."""

    def forward(self, x: Tensor) -> Tensor:
        mean = (x * self.one).mean((1, 2, 3), keepdim=True)
        return mean.expand(-1, 3, x.shape[2] * self.info.scale, x.shape[3] * self.info.scale).float()


class Conditioned(Toy):
    """Adds a map, `finer` times as fine as the image, and a colour for the whole of it."""

    def __init__(self, finer: int = 1, **facts: Any) -> None:
        super().__init__(scale=finer, conditioning=("map", "colour"), **facts)

    def forward(self, x: Tensor, map: Tensor, colour: Tensor) -> Tensor:
        sr = F.interpolate(x * self.one, scale_factor=self.info.scale, mode="nearest")
        return (0.5 * sr + 0.3 * map + colour[:, :, None, None]).float()


class Located(Toy):
    """Paints where each pixel lies: its column in red, its row in green, the image's own in blue."""

    def __init__(self, **facts: Any) -> None:
        super().__init__(conditioning=("place",), **facts)

    def forward(self, x: Tensor, place: Tensor) -> Tensor:
        return torch.cat([(place + 1) / 2 * self.one, x[:, 2:]], dim=1).float()
