"""A model's scores on examples, by the classical protocol, as `srkit eval` would give them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch

import srkit
from srkit.data.benchmarks import rgb8
from srkit.data.examples import RGB, Example
from srkit.engine.device import pick_dtype
from srkit.errors import SrkitError
from srkit.inference.chain import Models
from srkit.inference.upscaler import Upscaler
from srkit.inference.work import Work
from srkit.io.picture import Picture
from srkit.metrics.protocols import DEFAULT_PROTOCOL, find_protocol
from srkit.metrics.results import ImageResult, SetResult
from srkit.metrics.table import DEFAULT_METRICS, METRICS, Sample, Setup
from srkit.progress import Progress
from srkit.recipes.upscale import UpscaleRecipe
from srkit.zoo.loaded import LoadedModel


@dataclass(frozen=True)
class Scored:
    """Scores by image, and the SR images that have them."""

    result: SetResult
    pictures: tuple[RGB, ...]


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
    """PSNR and SSIM of a model on examples, upscaled as `srkit upscale` does it.

    Args:
        recipe: device, precision and threads.
        dataset, lr_source, support: what the result says of the images.

    Raises:
        SrkitError: an image that cannot be upscaled or scored.
    """
    upscaler = Upscaler(recipe, Models.of(model))
    protocol, scale = find_protocol(DEFAULT_PROTOCOL), model.info.scale
    metrics = {name: METRICS[name].make(Setup(upscaler.device)) for name in DEFAULT_METRICS}
    images, pictures = [], []
    progress.start(f"judging {model.name}", len(examples))
    for example, sr in zip(examples, _upscaled(upscaler, examples), strict=True):
        pair = [torch.from_numpy(x).permute(2, 0, 1)[None] for x in (sr, example.hr)]
        sample = Sample(pair[0], pair[1], None, protocol, scale)
        images.append(
            ImageResult(example.name, {name: scorer.score(sample) for name, scorer in metrics.items()})
        )
        pictures.append(sr)
        progress.advance()
    progress.finish()
    dtype = str(pick_dtype(recipe.dtype, upscaler.device, model.info)).removeprefix("torch.")
    versions = {"srkit": srkit.__version__, "torch": torch.__version__, "device": str(upscaler.device)}
    result = SetResult(
        dataset=dataset,
        scale=scale,
        model=model.name,
        model_sha256=model.sha256,
        protocol=protocol.name,
        lr_source=lr_source,
        images=tuple(images),
        support=support,
        versions={**versions, "dtype": dtype},
    )
    return Scored(result, tuple(pictures))


def _upscaled(upscaler: Upscaler, examples: Sequence[Example]) -> Iterator[RGB]:
    works = (Work(one.name, Picture(one.lr), one.hr.shape[1], one.hr.shape[0]) for one in examples)
    for done in upscaler.run(works):
        if done.picture is None:
            raise SrkitError(
                f"'{done.tag}' could not be upscaled: {done.error or 'no picture was made'}"
            ) from done.error
        yield rgb8(done.picture)
