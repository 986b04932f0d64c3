"""Upscaling of images by chained networks: colour, alpha, gray, 16 bit, and any target size."""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Generic, Literal, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray

from srkit.archs.info import View, views_of
from srkit.conditioning.makers import CODES, NOISE, Conditioning
from srkit.conditioning.values import Conditions, Noise
from srkit.engine.device import pick_device, pick_dtype
from srkit.engine.resample import resample
from srkit.engine.runner import Plane, Runner, RunnerOptions
from srkit.errors import SrkitError, UsageError
from srkit.inference.chain import Models
from srkit.inference.diagnosis import Diagnosis, Look
from srkit.inference.runners import Runners, RunSettings
from srkit.inference.samples import check_sampling, gathered, part_names, repeated
from srkit.inference.work import Complete, Done, Pass, Work
from srkit.io.image import DecodedImage
from srkit.ops.colour import bleed, clamp_to_neighbours
from srkit.progress import Progress
from srkit.recipes.upscale import UpscaleRecipe

__all__ = ["Done", "Pass", "Upscaler", "Work"]

T = TypeVar("T")


@dataclass(frozen=True)
class _Part(Generic[T]):
    """Role of a plane in its image."""

    work: Work[T]
    role: Literal["colour", "alpha", "done"]
    seen: dict[str, NDArray[Any]] = field(default_factory=dict)
    """Results of the network's views for the image, by name; filled during the run."""


class _Viewer:
    """View of a network, ready to run."""

    def __init__(self, view: View, options: RunnerOptions) -> None:
        self._gray = view.gray
        self._runner = Runner(view, view.info, options)

    def __call__(self, plane: Plane[_Part[T]]) -> tuple[NDArray[Any], Exception | None]:
        """Result of the view for a plane, (H, W, 3), or (H, W, 1) if the view is gray, and the error, if any."""
        (result,) = self._runner.run([plane])
        if result is None:
            raise RuntimeError("a runner gives a result for a plane")
        return result.pixels[:, :, :1] if self._gray else result.pixels, result.error


class Upscaler:
    """Upscaler of a stream of images; holds the networks on their device.

    Args:
        recipe: settings.
        models: networks; by default `look`'s for clean images, or those of `recipe.model`.
        progress: display of downloads.
        extras: fields of `Extras` that come with each image.
        complete: estimator of missing kernels and depth, for the first network of a chain.
        with_parts: add the views of the chain's first network that has any to the results; computed from the input
            of that network, with its tiles and self-ensemble, and resampled to the result's size.
        look: diagnosis that chooses the networks of each image; None: the same networks for all.

    Raises:
        UsageError: an unavailable device or precision, parts of a network without views, or steps and samples of a
            deterministic network.
        ResourceError: an unavailable model.
    """

    def __init__(
        self,
        recipe: UpscaleRecipe,
        models: Models | None = None,
        progress: Progress | None = None,
        *,
        extras: Collection[str] = (),
        complete: Complete | None = None,
        with_parts: bool = False,
        look: Look | None = None,
    ) -> None:
        if recipe.threads is not None:
            torch.set_num_threads(recipe.threads)
        torch.manual_seed(recipe.seed)
        self.recipe = recipe
        self.device = pick_device(recipe.device)
        self.look = look
        if models is None:
            models = look.default if look else Models(recipe.model, progress, dials=recipe.dials)
        self.models = models
        self._complete, self._with_parts = complete, with_parts
        given = tuple(extras) if complete is None else (*extras, "kernels", "depth")
        settings = RunSettings(self.device, recipe.dtype, recipe.tile, recipe.overlap, recipe.tta)
        self._runners = Runners(settings, given, progress)
        self._viewers: dict[str, dict[str, _Viewer]] = {}
        # The precision is checked here, because a wrong one is the caller's error and not an image's.
        if recipe.dtype != "auto":
            for model in self.models.loaded:
                pick_dtype(recipe.dtype, self.device, model.info)
        check_sampling(recipe, self.models)
        if with_parts and not self.views(self.models.own_scale):
            name = self.models.name_of(self.models.own_scale)
            raise UsageError(
                f"The model '{name}' has no maps for `debug_maps` to write; choose one with two heads and a mask "
                "(Cria-CL), or leave `debug_maps` out."
            )

    def parts(self, factor: float) -> tuple[str, ...]:
        """Names of the parts of results with this factor."""
        if self.recipe.samples > 1:
            return part_names(self.recipe.samples) if self.models.chain(factor) else ()
        return self.views(factor)

    def views(self, factor: float) -> tuple[str, ...]:
        """Names of the views among the parts."""
        name = self.viewed(self.models.chain(factor))
        return () if name is None else tuple(views_of(self.models.named(name).network))

    def viewed(self, names: Iterable[str]) -> str | None:
        """Network of a chain whose views are run, at its first pass; None if no views exist or are requested."""
        if not self._with_parts:
            return None
        return next((name for name in names if views_of(self.models.named(name).network)), None)

    def looked(self, image: DecodedImage, factor: float) -> Diagnosis | None:
        """Diagnose an image; None if all images have the same networks, or no network runs."""
        return None if self.look is None or not self.models.chain(factor) else self.look(image)

    def models_for(self, diagnosis: Diagnosis | None) -> Models:
        """Networks for an image with this diagnosis.

        Raises:
            ResourceError: as in `Look.models`.
        """
        return self.models if diagnosis is None or self.look is None else self.look.models(diagnosis)

    def runner(self, name: str, depth: int = 8, models: Models | None = None) -> Runner:
        """Engine's runner for a network of a chain, of `models` if given; see `Runners.of`.

        Raises:
            UsageError, ResourceError: as in `Runners.of`, and unavailable weights.
        """
        model = (models or self.models).named(name)
        if self.recipe.steps is not None and NOISE in model.info.conditioning:
            network: Any = model.network
            network.steps = self.recipe.steps
        return self._runners.of(model, depth)

    def conditioning(self, name: str, models: Models | None = None) -> Conditioning:
        """Conditioning of a network of a chain, of `models` if given.

        Raises:
            UsageError, ResourceError: as in `runner`.
        """
        return self._runners.conditioning((models or self.models).named(name))

    def run(self, stream: Iterable[Work[T] | None]) -> Iterator[Done[T]]:
        """Upscale a stream and yield results in order. A None means that nothing more is ready yet."""
        count = self.recipe.samples
        if count == 1:
            return self._run(stream)
        return gathered(self._run(repeated(map(self._completed, stream), count)), count)

    def _run(self, stream: Iterable[Work[T] | None]) -> Iterator[Done[T]]:
        kind: tuple[Models, tuple[str, ...], int] = self.models, (), 8

        def kind_of(work: Work[T] | None) -> tuple[Models, tuple[str, ...], int]:
            nonlocal kind
            if work is not None and work.image is not None:
                models = self.models_for(work.diagnosis)
                kind = models, models.chain(_factor(work, work.image)), work.image.depth
            return kind

        for (models, names, depth), works in itertools.groupby(map(self._looked_at, stream), kind_of):
            planes: Iterator[Plane[_Part[T]] | None] = _planes(map(self._completed, works))
            viewed = self.viewed(names)
            for i, name in enumerate(names):
                inputs = _conditioned(planes, self.conditioning(name, models))
                if i == names.index(name) and name == viewed:
                    inputs = _seen(inputs, self._views_of(name))
                planes = self.runner(name, depth, models).run(inputs)
            yield from self._collect(planes, [self._pass(name, depth, models) for name in names])

    def _looked_at(self, work: Work[T] | None) -> Work[T] | None:
        """Add the diagnosis of an image, if it chooses the networks, and prepare these."""
        if work is None or work.image is None or work.error is not None or self.look is None:
            return work
        try:
            factor = _factor(work, work.image)
            diagnosis = self.looked(work.image, factor)
            models = self.models_for(diagnosis)
            for name in models.chain(factor):
                self.runner(name, work.image.depth, models)
            return replace(work, diagnosis=diagnosis)
        except Exception as error:  # one image's failure must not end the others
            return replace(work, error=error)

    def _completed(self, work: Work[T] | None) -> Work[T] | None:
        """Add missing kernels and depth, if the first network is conditioned on them."""
        if self._complete is None or work is None or work.image is None or work.error is not None:
            return work
        image = work.image
        names = self.models.chain(_factor(work, image))
        model = self.models.named(names[0]) if names else None
        if work.extras.kernels is not None or model is None or CODES not in model.info.conditioning:
            return work
        try:
            return replace(work, extras=self._complete(work.extras, image, model, work.name))
        except Exception as error:  # one image's failure must not end the others
            return replace(work, error=error)

    def _views_of(self, name: str) -> dict[str, _Viewer]:
        """Views of a network by name, run like the network itself, but without correction of flat areas."""
        if name not in self._viewers:
            options = replace(self.runner(name).options, hold_flat=False)
            views = views_of(self.models.named(name).network)
            self._viewers[name] = {part: _Viewer(view, options) for part, view in views.items()}
        return self._viewers[name]

    def _collect(self, planes: Iterable[Plane[_Part[T]] | None], passes: list[Pass]) -> Iterator[Done[T]]:
        colour: Plane[_Part[T]] | None = None
        for plane in planes:
            if plane is None:
                continue
            if plane.tag.role == "colour" and _needs_alpha(plane.tag.work.image):
                colour = plane
                continue
            parts = [plane] if colour is None else [colour, plane]
            colour = None
            yield self._finish(parts, passes)

    def _finish(self, parts: list[Plane[_Part[T]]], passes: list[Pass]) -> Done[T]:
        work = parts[0].tag.work
        error = next((p.error for p in parts if p.error is not None), None)
        if error is not None or work.image is None:
            return Done(work.tag, None, error or SrkitError("The image was not read."))
        alpha = parts[1].pixels if len(parts) > 1 else None
        try:
            image = _assemble(work, parts[0].pixels, alpha)
            seen = {name: _part_image(work, pixels) for name, pixels in parts[0].tag.seen.items()}
        except Exception as failure:  # one image's failure must not end the others
            return Done(work.tag, None, failure)
        warnings = [w for p in parts for w in p.warnings]
        warnings += [
            f"{p.model} ends in {p.dtype}, which does not hold the levels of 16 bits; use `dtype` fp32 or auto"
            for p in passes
            if work.image.depth > 8 and not p.holds_16_bits
        ]
        return Done(
            work.tag,
            image,
            None,
            (*work.image.warnings, *dict.fromkeys(warnings)),
            tuple(passes),
            seen,
            work.diagnosis,
        )

    def _pass(self, name: str, depth: int, models: Models) -> Pass:
        runner = self.runner(name, depth, models)
        options = runner.options
        dtype = str(options.dtype).removeprefix("torch.")
        holds = runner.info.fp32_sum or options.dtype == torch.float32
        return Pass(name, options.tile, options.overlap, dtype, models.named(name), holds)


def _factor(work: Work[T], image: DecodedImage) -> float:
    """Output pixels per input pixel, along the side with the larger factor."""
    return max(work.width / image.width, work.height / image.height)


def _needs_alpha(image: DecodedImage | None) -> bool:
    """Return whether alpha varies and must pass through a network."""
    if image is None or image.alpha is None:
        return False
    alpha = image.alpha
    return bool((alpha != alpha[0, 0]).any())


def _planes(works: Iterable[Work[T] | None]) -> Iterator[Plane[_Part[T]] | None]:
    for work in works:
        if work is None:
            yield None
        elif work.image is None or work.error is not None:
            error = work.error or SrkitError("The image was not read.")
            yield Plane(np.zeros((1, 1, 3), np.uint8), _Part(work, "done"), error=error)
        else:
            yield Plane(_colour_plane(work.image), _Part(work, "colour"))
            if work.image.alpha is not None and _needs_alpha(work.image):
                yield Plane(np.repeat(work.image.alpha[:, :, None], 3, axis=2), _Part(work, "alpha"))


def _seen(
    planes: Iterable[Plane[_Part[T]] | None], viewers: Mapping[str, _Viewer]
) -> Iterator[Plane[_Part[T]] | None]:
    """Add the views' results on colour planes to their tags; a view that fails sets the plane's error."""
    for plane in planes:
        if plane is not None and plane.error is None and plane.tag.role == "colour":
            for part, viewer in viewers.items():
                plane.tag.seen[part], error = viewer(plane)
                plane = replace(plane, error=plane.error or error)
        yield plane


def _conditioned(
    planes: Iterable[Plane[_Part[T]] | None], conditioning: Conditioning
) -> Iterator[Plane[_Part[T]] | None]:
    """Add the conditions of its image to each plane, or the error if they cannot be made.

    An alpha plane has the conditions of its colours, but with zero noise, so that no detail is sampled in it.
    """
    colour: Conditions = {}
    failure: Exception | None = None
    for plane in planes:
        if plane is None:
            yield None
            continue
        if plane.tag.role != "alpha":
            colour, failure = {}, plane.error
            if failure is None:
                try:
                    colour = conditioning(plane.pixels, plane.tag.work.extras)
                except Exception as error:  # one image's failure must not end the others
                    failure = error
        conditions = colour
        if plane.tag.role == "alpha":
            silent = {n: replace(c, silent=True) for n, c in colour.items() if isinstance(c, Noise)}
            conditions = {**colour, **silent}
        yield replace(plane, conditions=conditions, error=plane.error or failure)


def _colour_plane(image: DecodedImage) -> NDArray[Any]:
    """Colour plane (H, W, 3): gray repeated, colour extended under transparent pixels."""
    colour: NDArray[Any] = image.colour
    if image.alpha is not None:
        top = np.iinfo(colour.dtype).max
        filled = bleed(_tensor(colour), _tensor(image.alpha[:, :, None]) / top)
        colour = filled[0].permute(1, 2, 0).round().numpy().astype(colour.dtype)
    if image.is_gray:
        return np.repeat(colour, 3, axis=2)
    return np.ascontiguousarray(colour)


def _tensor(pixels: NDArray[Any]) -> torch.Tensor:
    return torch.from_numpy(pixels.astype(np.float32)).permute(2, 0, 1)[None]


def _assemble(work: Work[T], colour: NDArray[Any], alpha: NDArray[Any] | None) -> DecodedImage:
    """Assemble the result at the requested size, with the input's number of channels."""
    source = work.image
    if source is None:
        raise ValueError("there is no image to assemble")
    # The engine keeps the three channels equal if the source is gray.
    pixels = resample(colour[:, :, :1] if source.is_gray else colour, work.height, work.width)
    if source.alpha is not None:
        plane = _alpha_plane(source.alpha, alpha, work)
        pixels = np.concatenate([pixels, plane], axis=2)
    return replace(source, pixels=pixels, warnings=())


def _part_image(work: Work[T], pixels: NDArray[Any]) -> DecodedImage:
    """Result of a view as an image; gray if the input or the view is."""
    source = work.image
    if source is None:
        raise ValueError("there is no image that this could be a part of")
    pixels = resample(pixels[:, :, :1] if source.is_gray else pixels, work.height, work.width)
    if pixels.dtype != np.uint8:
        pixels = ((pixels.astype(np.uint32) + 128) // 257).astype(np.uint8)
    return DecodedImage(pixels, source.icc if source.is_gray or pixels.shape[2] == 3 else None)


def _alpha_plane(source: NDArray[Any], upscaled: NDArray[Any] | None, work: Work[T]) -> NDArray[Any]:
    """Alpha plane (H, W, 1) at the requested size; a constant alpha exactly."""
    if upscaled is None:
        return np.full((work.height, work.width, 1), source[0, 0], source.dtype)
    plane = resample(upscaled[:, :, :1], work.height, work.width)
    held = clamp_to_neighbours(_tensor(plane), _tensor(source[:, :, None]))
    return held[0].permute(1, 2, 0).numpy().astype(source.dtype)
