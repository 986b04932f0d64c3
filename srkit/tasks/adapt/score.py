"""Scores of the base and of the adapted model, for the report."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch

import srkit
from srkit.conditioning.makers import NO_EXTRAS, Extras
from srkit.data.benchmarks import rgb8
from srkit.data.examples import Example, extras_of
from srkit.engine.device import pick_device, pick_dtype
from srkit.errors import SrkitError
from srkit.inference.chain import Models
from srkit.inference.upscaler import Upscaler
from srkit.inference.work import Work
from srkit.io.image import DecodedImage
from srkit.metrics.protocols import DEFAULT_PROTOCOL, find_protocol
from srkit.metrics.reports import Gallery
from srkit.metrics.results import ImageResult, SetResult
from srkit.metrics.table import DEFAULT_METRICS, METRICS, Sample, Setup
from srkit.ops.layout import RGB
from srkit.progress import Progress
from srkit.recipes.upscale import UpscaleRecipe
from srkit.zoo.loaded import LoadedModel


@dataclass(frozen=True)
class Scores:
    """Scores of the base and of the written weights; equal if adaptation did not help."""

    before: SetResult
    after: SetResult
    gallery: Callable[[], Gallery]
    """Function that makes their images for the report."""


@dataclass(frozen=True)
class Scored:
    """Scores by image, and the scored SR images."""

    result: SetResult
    images: tuple[RGB, ...]


@dataclass(frozen=True)
class Naming:
    """Metadata of results."""

    dataset: str
    lr_source: str
    support: tuple[str, ...]
    protocol: str
    how: UpscaleRecipe
    """Recipe with device and precision."""

    def result(
        self, model: LoadedModel, images: Iterable[ImageResult], versions: Mapping[str, str] | None = None
    ) -> SetResult:
        """Scores of a model.

        Args:
            versions: additions to the versions of the program and the device.
        """
        device = pick_device(self.how.device)
        dtype = str(pick_dtype(self.how.dtype, device, model.info)).removeprefix("torch.")
        own = {"srkit": srkit.__version__, "torch": torch.__version__, "device": str(device), "dtype": dtype}
        return SetResult(
            dataset=self.dataset,
            scale=model.info.scale,
            model=model.name,
            model_sha256=model.sha256,
            protocol=self.protocol,
            lr_source=self.lr_source,
            images=tuple(images),
            support=self.support,
            versions={**own, **(versions or {})},
        )


def score(
    model: LoadedModel,
    examples: Sequence[Example],
    recipe: UpscaleRecipe,
    *,
    dataset: str,
    lr_source: str,
    support: tuple[str, ...],
    progress: Progress,
) -> Scored:
    """PSNR and SSIM of a model on examples in the classical protocol, upscaled as by `srkit upscale`.

    Args:
        recipe: device, precision and threads.
        dataset, lr_source, support: metadata of the result.

    Raises:
        SrkitError: an image cannot be upscaled or scored.
    """
    upscaler = Upscaler(recipe, Models.of(model))
    protocol, scale = find_protocol(DEFAULT_PROTOCOL), model.info.scale
    metrics = {name: METRICS[name].make(Setup(upscaler.device)) for name in DEFAULT_METRICS}
    images, finished = [], []
    progress.start(f"scoring {model.name}", len(examples))
    extras = [extras_of(one, model.info) for one in examples]
    enlarged = upscaled(upscaler, ((one.name, one.lr) for one in examples), scale, extras)
    for example, sr in zip(examples, enlarged, strict=True):
        pair = [torch.from_numpy(x).permute(2, 0, 1)[None] for x in (sr, example.hr)]
        sample = Sample(pair[0], pair[1], None, protocol, scale)
        images.append(
            ImageResult(example.name, {name: scorer.score(sample) for name, scorer in metrics.items()})
        )
        finished.append(sr)
        progress.advance()
    progress.finish()
    naming = Naming(dataset, lr_source, support, protocol.name, recipe)
    return Scored(naming.result(model, images), tuple(finished))


def upscaled(
    upscaler: Upscaler, images: Iterable[tuple[str, RGB]], scale: int, extras: Iterable[Extras] | None = None
) -> Iterator[RGB]:
    """SR (scale h, scale w, 3) of each named LR image (h, w, 3), with the additional inputs `extras` (None: none).

    Raises:
        SrkitError: an image cannot be upscaled.
    """
    works = (
        Work(name, DecodedImage(lr), scale * lr.shape[1], scale * lr.shape[0], extras=given)
        for (name, lr), given in zip(images, extras or itertools.repeat(NO_EXTRAS), strict=False)
    )
    for done in upscaler.run(works):
        if done.image is None:
            raise SrkitError(
                f"'{done.tag}' could not be upscaled: {done.error or 'no image was made'}"
            ) from done.error
        yield rgb8(done.image)
