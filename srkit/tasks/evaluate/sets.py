"""Evaluation of one set with one model: reading, LR generation, the network and the metrics overlap in time."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple
from typing import Protocol as Interface

import numpy as np
import torch
from torch import Tensor

from srkit.conditioning.makers import Extras
from srkit.data.benchmarks import is_transparent, rgb8
from srkit.engine.memory import total_memory
from srkit.engine.pipeline import Pipeline
from srkit.errors import ImageError, SrkitError
from srkit.inference.upscaler import Upscaler
from srkit.inference.work import Work
from srkit.io.image import DecodedImage
from srkit.io.read import read_image
from srkit.io.remote import Remote
from srkit.io.write import write_image
from srkit.metrics.degenerate import worst_of
from srkit.metrics.protocols import Protocol
from srkit.metrics.reports.gallery import Gallery, ImageKey
from srkit.metrics.results import FailedImage, ImageResult
from srkit.metrics.table import Sample, Scorer
from srkit.ops.layout import RGB, compute_alone
from srkit.ops.resize import bicubic_uint8, downscale_uint8, upscale
from srkit.progress import Progress
from srkit.tasks.evaluate.plan import Entry, SetPlan, fetched

_BYTES_PER_PIXEL = 120
"""Bytes per HR pixel for one image in flight: SR, HR and float64 copies for the metrics."""


_WHITE, _BLACK = 255, 0


class _Files(NamedTuple):
    """Decoded files of an image."""

    hr: DecodedImage | None
    lr: DecodedImage | None
    sr: DecodedImage | None


@dataclass(frozen=True)
class Loaded:
    """Decoded files of an image, cropped to their common size."""

    entry: Entry
    hr: RGB | None = None
    lr: RGB | None = None
    sr: RGB | None = None
    notes: tuple[str, ...] = ()
    error: SrkitError | None = None
    over_black: Loaded | None = None
    """Version over black, if images are transparent and SR is finished; this one is over white then."""


@dataclass(frozen=True)
class Finished:
    """An image with its SR, or with the error."""

    loaded: Loaded
    sr: RGB | None
    error: Exception | None = None
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class Scored:
    """Scores of an image."""

    result: ImageResult | FailedImage
    notes: tuple[str, ...] = ()
    fatal: SrkitError | None = None
    """Error of the folder for images, which affects the following images too."""


class Model(Interface):
    """Interface of a source of SR images for a stream."""

    def run(self, stream: Iterator[Loaded | None]) -> Iterator[Finished]:
        """SR of each `Loaded`, in order. A None means that nothing more is ready yet."""


class FromFiles:
    """SR images from files."""

    def run(self, stream: Iterator[Loaded | None]) -> Iterator[Finished]:
        for loaded in stream:
            if loaded is not None:
                yield Finished(loaded, loaded.sr, loaded.error)


class Bicubic:
    """Bicubic interpolation, the papers' baseline: MATLAB's imresize on 8-bit images."""

    def run(self, stream: Iterator[Loaded | None]) -> Iterator[Finished]:
        usual = torch.get_num_threads()
        # Its steps are too small for several threads: on a busy machine the synchronisation would dominate.
        torch.set_num_threads(1)
        try:
            for loaded in stream:
                if loaded is not None:
                    yield self._enlarged(loaded)
        finally:
            torch.set_num_threads(usual)

    def _enlarged(self, loaded: Loaded) -> Finished:
        if loaded.lr is None:
            return Finished(loaded, None, loaded.error)
        scale = loaded.entry.size[0] / loaded.lr.shape[0]
        return Finished(loaded, _array(bicubic_uint8(_tensor(loaded.lr), loaded.entry.size, scale=scale)))


class Network:
    """A network, run as in `srkit upscale`."""

    def __init__(self, upscaler: Upscaler) -> None:
        self.upscaler = upscaler

    def run(self, stream: Iterator[Loaded | None]) -> Iterator[Finished]:
        for done in self.upscaler.run(self._work(loaded) for loaded in stream):
            sr = None if done.image is None else rgb8(done.image)
            yield Finished(done.tag, sr, done.error, done.warnings)

    def _work(self, loaded: Loaded | None) -> Work[Loaded] | None:
        if loaded is None:
            return None
        if loaded.lr is None:
            return Work(loaded, None, error=loaded.error)
        height, width = loaded.entry.size
        extras = Extras(prompt=loaded.entry.prompt)
        return Work(loaded, DecodedImage(loaded.lr), width, height, extras=extras)


@dataclass(frozen=True)
class SetRun:
    """Evaluation of one set with one model.

    Attributes:
        plan: the images.
        model: makes SR images.
        label: the model's name in results.
        protocol: of PSNR and SSIM.
        scorers: by metric, in the order of the results.
        device: device of the metrics.
        max_pixels: limit for decoding.
        save_to: folder for the SR images, or None.
        gallery: receives images for the HTML report, or None.
    """

    plan: SetPlan
    model: Model
    label: str
    protocol: Protocol
    scorers: Mapping[str, Scorer]
    device: torch.device
    max_pixels: int
    save_to: Path | None = None
    gallery: Gallery | None = None

    def run(self, progress: Progress) -> tuple[list[ImageResult], list[FailedImage]]:
        """Evaluate; results in the order of the plan.

        Raises:
            SrkitError: the folder for images is not writable.
        """
        images: list[ImageResult] = []
        failed: list[FailedImage] = []
        title = self.plan.dataset if self.plan.scale is None else f"{self.plan.dataset} x{self.plan.scale}"
        limit = min(2 * 2**30, total_memory() // 8)
        pipeline = Pipeline(self._load, self.model.run, self._score, _cost, limit)
        progress.start(f"{title}, {self.label}", len(self.plan.entries))
        try:
            entries = (fetched(entry, self.plan, self.max_pixels) for entry in self.plan.entries)
            with contextlib.closing(pipeline.run(entries)) as outcomes:
                for outcome in outcomes:
                    if outcome.fatal is not None:
                        raise outcome.fatal
                    for note in outcome.notes:
                        progress.warn(f"{outcome.result.name}: {note}")
                    if isinstance(outcome.result, FailedImage):
                        failed.append(outcome.result)
                    else:
                        images.append(outcome.result)
                    progress.advance()
        finally:
            progress.finish()
        return images, failed

    # -- beside the network -------------------------------------------------------------------------------

    def _load(self, entry: Entry) -> Loaded:
        compute_alone()
        try:
            return self._read(entry)
        except SrkitError as error:
            return Loaded(entry, error=error)
        except MemoryError:
            return Loaded(
                entry, error=ImageError("The image does not fit into memory; use a machine with more.")
            )

    def _read(self, entry: Entry) -> Loaded:
        if entry.error is not None:
            raise ImageError(entry.error)
        notes: list[str] = []

        def read(path: Path | Remote | None) -> DecodedImage | None:
            if path is None:
                return None
            image = read_image(entry.source(path), max_pixels=self.max_pixels)
            if image.depth == 16:
                notes.append(f"'{path.name}' has 16 bit; it was rounded to 8.")
            return image

        files = _Files(read(entry.hr), read(entry.lr) if self.plan.has_lr else None, read(entry.sr))
        if not any(one is not None and is_transparent(one) for one in files):
            return self._over(_WHITE, files, entry, tuple(notes))
        if files.sr is None:
            notes.append(
                "it is transparent and was laid over white; what the model makes of alpha is not scored."
            )
            return self._over(_WHITE, files, entry, tuple(notes))
        notes.append(
            "it is transparent: laid over white and over black, and the worse value of each metric counts."
        )
        over_black = self._over(_BLACK, files, entry, ())
        return replace(self._over(_WHITE, files, entry, tuple(notes)), over_black=over_black)

    def _over(self, background: int, files: _Files, entry: Entry, notes: tuple[str, ...]) -> Loaded:
        """The images for comparison, composited over a background if transparent."""

        def cut(image: DecodedImage | None, height: int, width: int) -> RGB | None:
            return None if image is None else np.ascontiguousarray(rgb8(image, background)[:height, :width])

        (height, width), scale = entry.size, self.plan.scale
        hr, sr, lr = cut(files.hr, height, width), cut(files.sr, height, width), None
        if scale is not None and self.plan.has_lr:
            lr = cut(files.lr, height // scale, width // scale)
            if lr is None and hr is not None:
                lr = _array(downscale_uint8(_tensor(hr), scale))
        return Loaded(entry, hr, lr, sr, notes)

    def _score(self, finished: Finished) -> Scored:
        compute_alone()
        name, notes = finished.loaded.entry.name, (*finished.loaded.notes, *finished.warnings)
        try:
            if finished.sr is None:
                raise finished.error or ImageError("No SR image was made.")
            values = self._values(finished.loaded, finished.sr)
            if (dark := finished.loaded.over_black) is not None and dark.sr is not None:
                others = self._values(dark, dark.sr)
                values = {
                    metric: worst_of(metric, (value, others[metric])) for metric, value in values.items()
                }
            self._show(name, finished.loaded, finished.sr)
        except SrkitError as error:
            return Scored(FailedImage(name, str(error)), notes)
        except Exception as error:  # a network that fails on one image must not end the others
            return Scored(FailedImage(name, _sentence(error)), notes)
        return Scored(ImageResult(name, values), notes, self._save(name, finished.sr))

    def _values(self, loaded: Loaded, sr: RGB) -> dict[str, float]:
        hr, lr = (None if x is None else _tensor(x).to(self.device) for x in (loaded.hr, loaded.lr))
        sample = Sample(_tensor(sr).to(self.device), hr, lr, self.protocol, self.plan.scale)
        return {metric: scorer.score(sample) for metric, scorer in self.scorers.items()}

    def _save(self, name: str, sr: RGB) -> SrkitError | None:
        """Write the SR image, if requested; return the error of the file system, if any."""
        if self.save_to is not None:
            try:
                write_image(DecodedImage(sr), self.save_to / f"{name}.png", format="png")
            except SrkitError as error:
                return error
        return None

    def _show(self, name: str, loaded: Loaded, sr: RGB) -> None:
        if self.gallery is None:
            return
        enlarged = None
        if loaded.lr is not None and self.plan.scale is not None:
            x = upscale(_tensor(loaded.lr).float(), self.plan.scale)
            enlarged = _array(x.round_().clamp_(0, 255).to(torch.uint8))
        key = ImageKey(self.plan.dataset, self.plan.scale, self.label, name)
        self.gallery.add(key, sr, lr_bicubic=enlarged, hr=loaded.hr)


def _cost(entry: Entry) -> int:
    return entry.size[0] * entry.size[1] * _BYTES_PER_PIXEL


def _sentence(error: Exception) -> str:
    if isinstance(error, MemoryError):
        return "The image does not fit into memory; use a machine with more."
    return f"The image could not be evaluated: {type(error).__name__}: {error}"


def _tensor(pixels: RGB) -> Tensor:
    """(H, W, 3) to (1, 3, H, W), without a copy."""
    return torch.from_numpy(pixels).permute(2, 0, 1)[None]


def _array(image: Tensor) -> RGB:
    """(1, 3, H, W) to (H, W, 3)."""
    return image[0].permute(1, 2, 0).contiguous().numpy()
