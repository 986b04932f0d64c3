"""What an upscaling job would do: sizes, networks, windows, memory, disk, time."""

from __future__ import annotations

import os
import shutil
import time
from dataclasses import dataclass
from pathlib import Path

import torch

from srkit.engine.memory import bytes_per_pixel
from srkit.engine.runner import Runner
from srkit.tasks.upscale import Item, UpscaleJob, gather
from srkit.tasks.upscaler import Upscaler

_PROBE_SIDE = 128
# Bytes in a file for each pixel of the result, seen on photographs; a plan's guess, not a promise.
_BYTES_PER_PIXEL = {"png": 2.2, "tiff": 2.2, "jpg": 0.35, "webp": 0.25, "avif": 0.15}


@dataclass(frozen=True)
class PlannedPicture:
    input: str
    output: str
    error: str | None
    width: int
    height: int
    models: tuple[str, ...]
    windows: int
    """Forward passes over all networks of the chain."""


@dataclass(frozen=True)
class UpscalePlan:
    """The whole job; seconds from a short measurement on this machine, disk from typical files."""

    pictures: tuple[PlannedPicture, ...]
    device: str
    dtype: str
    tile: int | None
    overlap: int
    resampled: int
    """Pictures whose size no chain gives exactly, so that bicubic resampling follows."""
    megapixels: float
    memory_bytes: int
    disk_bytes: int
    disk_free_bytes: int
    seconds: float

    def summary(self) -> list[tuple[str, str]]:
        """Label and value of each line that sums the plan up."""
        return [
            ("pictures", f"{len(self.pictures)}, {self.megapixels:.1f} megapixels out"),
            ("device", f"{self.device}, {self.dtype}, tile {self.tile or 'off'}, overlap {self.overlap}"),
            ("resampled after the networks", str(self.resampled)),
            ("memory", f"about {self.memory_bytes / 1e9:.2f} GB"),
            ("disk", f"about {self.disk_bytes / 1e6:.0f} MB of {self.disk_free_bytes / 1e9:.1f} GB free"),
            ("time", f"about {self.seconds:.0f} s"),
        ]


def plan_upscale(job: UpscaleJob) -> UpscalePlan:
    """Plan a job; nothing is written.

    Raises:
        As `srkit.tasks.upscale.run`, except for outputs that exist.
    """
    upscaler = Upscaler(job.recipe)
    items = gather(job, upscaler.models)
    pictures, seconds, resampled, activations = [], 0.0, 0, 0.0
    speed: dict[int, float] = {}
    for item in items:
        chain = _chain(item, upscaler)
        windows, height, width = 0, item.info.height if item.info else 0, item.info.width if item.info else 0
        for scale in chain:
            runner = upscaler.runner(scale)
            plan = runner.plan(height, width)
            windows += len(plan.windows)
            if scale not in speed:
                speed[scale] = _pixels_per_second(runner)
            need = (
                bytes_per_pixel(upscaler.models.get(scale).network, runner.info)
                * plan.shape[0]
                * plan.shape[1]
            )
            activations = max(activations, need * runner.options.batch)
            seconds += height * width * plan.work / speed[scale] * (8 if job.recipe.tta else 1)
            height, width = height * scale, width * scale
        resampled += item.error is None and (width, height) != (item.width, item.height)
        names = tuple(upscaler.models.name_of(s) for s in chain)
        pictures.append(
            PlannedPicture(
                str(item.source), str(item.target), item.error, item.width, item.height, names, windows
            )
        )
    first = next((upscaler.runner(s).options for i in items for s in _chain(i, upscaler)), None)
    return UpscalePlan(
        pictures=tuple(pictures),
        device=str(upscaler.device),
        dtype=str(first.dtype).removeprefix("torch.") if first else "",
        tile=first.tile if first else None,
        overlap=first.overlap if first else 0,
        resampled=resampled,
        megapixels=sum(i.megapixels for i in items),
        memory_bytes=int(activations + 3 * max((i.bytes for i in items), default=0) + 5e8),
        disk_bytes=int(sum(_BYTES_PER_PIXEL[i.format] * i.width * i.height for i in items)),
        disk_free_bytes=shutil.disk_usage(_existing(job.output)).free,
        seconds=seconds,
    )


def _chain(item: Item, upscaler: Upscaler) -> tuple[int, ...]:
    if item.info is None or item.error is not None:
        return ()
    return upscaler.models.chain(max(item.width / item.info.width, item.height / item.info.height))


def _pixels_per_second(runner: Runner) -> float:
    """Input pixels a second, from the better of two forward passes."""
    best = float("inf")
    for _ in range(2):
        started = time.monotonic()
        runner.forward(
            torch.zeros(1, runner.info.channels, _PROBE_SIDE, _PROBE_SIDE, device=runner.options.device)
        )
        if runner.options.device.type == "cuda":
            torch.cuda.synchronize(runner.options.device)
        best = min(best, time.monotonic() - started)
    return _PROBE_SIDE**2 / best


def _existing(path: Path) -> str:
    """The nearest folder above that is there: the disk that the output will be on."""
    path = path.resolve()
    while not path.exists():
        path = path.parent
    return os.fspath(path)
