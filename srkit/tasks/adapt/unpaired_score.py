"""What self-supervised adaptation says of images without references, as results and images of a report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch

import srkit
from srkit.data.benchmarks import rgb8
from srkit.data.examples import RGB
from srkit.data.unlabelled import Part
from srkit.engine.device import pick_device, pick_dtype
from srkit.engine.resample import resample
from srkit.errors import SrkitError
from srkit.inference.chain import Models
from srkit.inference.upscaler import Upscaler
from srkit.inference.work import Work
from srkit.io.picture import Picture
from srkit.metrics.reports import Gallery, PictureKey
from srkit.metrics.results import ImageResult, SetResult
from srkit.recipes.upscale import UpscaleRecipe
from srkit.training.loop_judge import Measures
from srkit.zoo.loaded import LoadedModel

PROTOCOL = "none"
DEFINITIONS = (
    "L_rec: how unlike the low-resolution image is what the reconstructor makes of the SR image and of the "
    "image's degradation, with the controller, weighted by detail; L_rec alike: without the controller, every place "
    "alike. FAR: how far the SR image is from what images without flaws are made of. Lower is better."
)


@dataclass(frozen=True)
class Setting:
    """What results say beside their numbers."""

    domain: str
    source: str
    support: tuple[str, ...]
    versions: Mapping[str, str]
    how: UpscaleRecipe
    """Device and precision."""


def result_of(model: LoadedModel, parts: Sequence[Part], found: Measures, setting: Setting) -> SetResult:
    """Measures of a model as a result, an image for each part that judges."""
    columns = {"neutral": found.neutral, "far": found.far, "reconstruction": found.reconstruction}
    if found.niqe:
        columns["niqe"] = found.niqe
    images = tuple(
        ImageResult(name, {metric: values[i] for metric, values in columns.items()})
        for i, name in enumerate(part_names(parts))
    )
    device = pick_device(setting.how.device)
    dtype = str(pick_dtype(setting.how.dtype, device, model.info)).removeprefix("torch.")
    versions = {"srkit": srkit.__version__, "torch": torch.__version__, "device": str(device), "dtype": dtype}
    return SetResult(
        dataset=setting.domain,
        scale=model.info.scale,
        model=model.name,
        model_sha256=model.sha256,
        protocol=PROTOCOL,
        lr_source=setting.source,
        images=images,
        support=setting.support,
        versions={**versions, **setting.versions},
    )


def part_names(parts: Sequence[Part]) -> tuple[str, ...]:
    """The images' names; of several parts of one, numbered."""
    names = [part.low.name for part in parts]
    return tuple(
        name if names.count(name) == 1 else f"{name} ({names[:i].count(name) + 1})"
        for i, name in enumerate(names)
    )


def fill_gallery(
    gallery: Gallery,
    result: SetResult,
    parts: Sequence[Part],
    before: LoadedModel,
    after: LoadedModel,
    recipe: UpscaleRecipe,
) -> None:
    """Every part enlarged by bicubic, by the base and by what was written, as `srkit upscale` does it."""
    own = upscaled(before, parts, recipe)
    new = own if after is before else upscaled(after, parts, recipe)
    for image, part, old, sr in zip(result.images, parts, own, new, strict=True):
        key = PictureKey(result.dataset, result.scale, result.model, image.name)
        large = resample(part.pixels, sr.shape[0], sr.shape[1])
        gallery.add(key, sr, lr_bicubic=large, before=None if after is before else old)


def upscaled(model: LoadedModel, parts: Sequence[Part], recipe: UpscaleRecipe) -> list[RGB]:
    """(scale h, scale w, 3) of each part.

    Raises:
        SrkitError: one that cannot be upscaled.
    """
    upscaler, scale, found = Upscaler(recipe, Models.of(model)), model.info.scale, []
    works = (
        Work(part.low.name, Picture(part.pixels), scale * part.pixels.shape[1], scale * part.pixels.shape[0])
        for part in parts
    )
    for done in upscaler.run(works):
        if done.picture is None:
            raise SrkitError(
                f"'{done.tag}' could not be upscaled: {done.error or 'no picture was made'}"
            ) from done.error
        found.append(rgb8(done.picture))
    return found
