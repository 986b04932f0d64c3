"""Plan of an upscaling job: sizes, networks, windows, memory, disk, time."""

from __future__ import annotations

import math
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch

from srkit.engine.memory import bytes_per_pixel
from srkit.engine.runner import Runner
from srkit.errors import ImageError
from srkit.inference.chain import Models
from srkit.inference.diagnosis import Diagnosis
from srkit.inference.upscaler import Upscaler
from srkit.io.read import read_image
from srkit.progress import Progress, Silent
from srkit.recipes.upscale import DIALS
from srkit.tasks.places import nearest_existing
from srkit.tasks.upscale.job import Item, UpscaleJob
from srkit.tasks.upscale.prepare import prepared

_PROBE_SIDE = 128
_PROCESS_BYTES = 5e8  # interpreter, libraries and networks
# Bytes in a file per pixel of the result, measured on photographs; estimates only.
_BYTES_PER_PIXEL = {"png": 2.2, "tiff": 2.2, "jpg": 0.35, "webp": 0.25, "avif": 0.15}


@dataclass(frozen=True)
class PlannedImage:
    input: str
    output: str
    error: str | None
    width: int
    height: int
    models: tuple[str, ...]
    """Names of the networks, in order."""
    resampled: bool
    """True if the networks' result has another size, and is resized by bicubic."""
    windows: int
    """Number of forward passes over all networks of the chain."""
    maps: tuple[str, ...] = ()
    """Paths of the network's parts or further samples."""
    prompt: str | None = None
    """Text that the network is conditioned on, if a prompt was given."""
    diagnosis: Diagnosis | None = None
    """Diagnosis of the image and the chosen model; None if the model was named."""


@dataclass(frozen=True)
class UpscalePlan:
    """Plan of the whole job; time is from a short measurement on this machine, disk from typical files."""

    pictures: tuple[PlannedImage, ...]
    device: str
    dtype: str
    tile: int | None
    overlap: int
    resampled: int
    """Number of images whose size no chain gives exactly, so that bicubic resizing follows."""
    megapixels: float
    memory_bytes: int
    disk_bytes: int
    disk_free_bytes: int
    seconds: float
    strength: float | None = None
    denoise: float | None = None
    """Values of the dials `strength` and `denoise`; None: not set."""

    def summary(self) -> list[tuple[str, str]]:
        """Labels and values of the lines of a summary."""
        return [
            ("images", f"{len(self.pictures)}, {self.megapixels:.1f} megapixels out"),
            ("device", f"{self.device}, {self.dtype}, tile {self.tile or 'off'}, overlap {self.overlap}"),
            ("resampled after the networks", str(self.resampled)),
            ("memory", f"about {self.memory_bytes / 1e9:.2f} GB"),
            ("disk", f"about {self.disk_bytes / 1e6:.0f} MB of {self.disk_free_bytes / 1e9:.1f} GB free"),
            ("time", f"about {self.seconds:.0f} s"),
            *((dial, f"{share:g}") for dial in DIALS if (share := getattr(self, dial)) is not None),
        ]


def plan_upscale(job: UpscaleJob, progress: Progress | None = None) -> UpscalePlan:
    """Plan a job. Images that --skip-existing would skip are skipped; nothing is written, except public models that are
    missing, which are downloaded since a plan needs them.

    Raises:
        As `srkit.tasks.upscale.run`, except for outputs that exist or are not writable.
    """
    ready = prepared(job, progress or Silent(), dry=True)
    upscaler, items = ready.upscaler, ready.todo
    costs: dict[Runner, _Cost] = {}
    works = _works(job, items, upscaler, costs, progress or Silent())
    first = next((runner.options for work in works for runner in work.chain), None)
    return UpscalePlan(
        pictures=tuple(_planned(i, w) for i, w in zip(items, works, strict=True)),
        device=str(upscaler.device),
        dtype=str(first.dtype).removeprefix("torch.") if first else "",
        tile=first.tile if first else None,
        overlap=first.overlap if first else 0,
        resampled=sum(work.resampled for work in works),
        megapixels=sum(i.megapixels for i in items),
        memory_bytes=int(
            _PROCESS_BYTES
            + max((work.activation_bytes for work in works), default=0)
            + 3 * max((i.bytes for i in items), default=0)
        ),
        disk_bytes=int(sum(_disk_bytes(item) for item in items)),
        disk_free_bytes=shutil.disk_usage(nearest_existing(job.output)).free,
        seconds=sum(work.seconds for work in works),
        strength=job.recipe.strength,
        denoise=job.recipe.denoise,
    )


@dataclass(frozen=True)
class _Cost:
    """Cost of a network on this machine."""

    pixels_per_second: float
    """Input pixels per second, all passes of the self-ensemble included."""
    bytes_per_pixel: float
    seconds_per_image: float
    """Time for conditions on the whole image, before its first window."""


@dataclass(frozen=True)
class _Work:
    """Work for one image."""

    chain: tuple[Runner, ...] = ()
    models: tuple[str, ...] = ()
    """Names of the networks in `chain`."""
    windows: int = 0
    seconds: float = 0.0
    activation_bytes: float = 0.0
    resampled: bool = False
    diagnosis: Diagnosis | None = None
    error: str | None = None
    """Reason why the image cannot be read; None: none."""


def _works(
    job: UpscaleJob, items: list[Item], upscaler: Upscaler, costs: dict[Runner, _Cost], progress: Progress
) -> list[_Work]:
    """Work for each image; images are read if the networks depend on their content."""
    if upscaler.look is None:
        return [_work_of(item, upscaler, costs) for item in items]
    works = []
    progress.start("looking", len(items))
    try:
        for item in items:
            works.append(_looked(job, item, upscaler, costs))
            progress.advance()
    finally:
        progress.finish()
    return works


def _looked(job: UpscaleJob, item: Item, upscaler: Upscaler, costs: dict[Runner, _Cost]) -> _Work:
    if item.info is None or item.error is not None:
        return _Work()
    started = time.monotonic()
    try:
        image = read_image(item.source if job.data is None else job.data, max_pixels=job.recipe.max_pixels)
    except ImageError as error:
        return _Work(error=str(error))
    diagnosis = upscaler.looked(image, item.factor)
    seconds = time.monotonic() - started
    work = _work_of(item, upscaler, costs, diagnosis)
    return replace(work, seconds=work.seconds + seconds, diagnosis=diagnosis)


def _work_of(
    item: Item, upscaler: Upscaler, costs: dict[Runner, _Cost], diagnosis: Diagnosis | None = None
) -> _Work:
    if item.info is None or item.error is not None:
        return _Work()
    models = upscaler.models_for(diagnosis)
    names = models.chain(item.factor)
    chain = tuple(upscaler.runner(name, item.depth, models) for name in names)
    height, width = item.info.height, item.info.width
    windows, seconds, activations = 0, 0.0, 0.0
    for i, (name, runner) in enumerate(zip(names, chain, strict=True)):
        if runner not in costs:
            costs[runner] = _cost_of(name, runner, upscaler, models)
        plan, cost = runner.plan(height, width), costs[runner]
        # Each view (part) of a network takes a separate run.
        runs = 1 + (len(item.maps) if name == upscaler.viewed(names) and name not in names[:i] else 0)
        runs *= upscaler.recipe.samples
        windows += runs * len(plan.windows)
        seconds += cost.seconds_per_image
        seconds += runs * height * width * plan.work / cost.pixels_per_second
        batch = min(runner.options.batch, len(plan.windows))
        activations = max(activations, cost.bytes_per_pixel * math.prod(plan.shape) * batch)
        height, width = height * runner.info.scale, width * runner.info.scale
    return _Work(chain, names, windows, seconds, activations, (width, height) != (item.width, item.height))


def _planned(item: Item, work: _Work) -> PlannedImage:
    return PlannedImage(
        input=str(item.source),
        output=str(item.target),
        error=item.error or work.error,
        width=item.width,
        height=item.height,
        models=work.models,
        resampled=work.resampled,
        windows=work.windows,
        maps=tuple(map(str, item.maps.values())),
        prompt=item.prompt or None,
        diagnosis=work.diagnosis,
    )


def _disk_bytes(item: Item) -> float:
    maps = len(item.maps) * _BYTES_PER_PIXEL["png"]
    return (_BYTES_PER_PIXEL[item.format] + maps) * item.width * item.height


def _cost_of(name: str, runner: Runner, upscaler: Upscaler, models: Models) -> _Cost:
    """Cost from the faster of two forward passes of a window."""
    conditioning = upscaler.conditioning(name, models)
    shape = runner.plan(_PROBE_SIDE, _PROBE_SIDE).shape
    image = np.zeros((*shape, 3), np.uint8)
    lr = torch.zeros(1, runner.info.channels, *shape, device=runner.options.device)
    conditions = conditioning.blank(image)
    need = bytes_per_pixel(models.named(name).network, runner.info, conditioning.blank)
    forward = _seconds(lambda: runner.forward(lr, conditions), upscaler.device)
    return _Cost(
        math.prod(shape) / forward, need, _seconds(lambda: conditioning.blank(image), upscaler.device)
    )


def _seconds(action: Callable[[], object], device: torch.device) -> float:
    """Time of the faster of two runs."""
    best = float("inf")
    for _ in range(2):
        started = time.monotonic()
        action()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        best = min(best, time.monotonic() - started)
    return best
