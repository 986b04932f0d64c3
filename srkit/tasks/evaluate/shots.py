"""Few-shot evaluation: a model is adapted to the first images of a set and measured on the others."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from srkit.data.benchmarks import BenchmarkItem, rgb8
from srkit.data.copies import Copies
from srkit.data.examples import Domain
from srkit.errors import ImageError, SrkitError, UsageError
from srkit.inference.chain import Models
from srkit.inference.upscaler import Upscaler
from srkit.io.read import read_image
from srkit.ops.layout import RGB
from srkit.progress import Progress
from srkit.recipes.adapt import TunePart
from srkit.recipes.evaluate import EvalRecipe
from srkit.tasks.adapt.fit import Fit, fit, split_for
from srkit.tasks.evaluate.plan import Entry, SetPlan, fetched
from srkit.tasks.evaluate.sets import Finished, Loaded, Network
from srkit.zoo.loaded import LoadedModel


@dataclass(frozen=True)
class Shots:
    """A set without its first images by name, and these as support set."""

    plan: SetPlan
    support: tuple[Entry, ...]

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(entry.name for entry in self.support)


def take_shots(plan: SetPlan, shots: int, max_pixels: int, progress: Progress) -> Shots:
    """Split a set into its first `shots` images, by name, and the others.

    Of images with equal content one is used, and copies of a support image are not measured; both are reported.

    Args:
        max_pixels: limit for decoding.

    Raises:
        UsageError: no image would be left to measure.
    """
    copies = Copies()
    support: list[Entry] = []
    left_out: set[str] = set()
    for entry in sorted(plan.entries, key=lambda entry: entry.name):
        full = len(support) == shots
        if full and not entry.awaited and all(entry.size != other.size for other in support):
            continue  # a different size rules out a copy without decoding
        hr = _decoded(fetched(entry, plan, max_pixels), max_pixels)
        if hr is not None and (copies.has(entry.name, hr) if full else not copies.add(entry.name, hr)):
            left_out.add(entry.name)
        elif not full:
            support.append(entry)
    for sentence in copies.sentences:
        progress.warn(f"{plan.dataset}: {sentence}")
    taken = left_out | {entry.name for entry in support}
    rest = tuple(entry for entry in plan.entries if entry.name not in taken)
    if not rest:
        besides = f" ({len(left_out)} of them copies)" if left_out else ""
        raise UsageError(
            f"'{plan.dataset}' has {len(plan.entries)} images{besides}, and `shots` {shots} leaves none to measure "
            "on; choose fewer shots or a larger set."
        )
    return Shots(replace(plan, entries=rest), tuple(support))


def _decoded(entry: Entry, max_pixels: int) -> RGB | None:
    """Reference at the size of the measurement; None if it cannot be read."""
    if entry.hr is None or entry.error is not None:
        return None
    try:
        image = read_image(entry.source(entry.hr), max_pixels=max_pixels)
    except ImageError:
        return None  # reported when it is evaluated
    return rgb8(image)[: entry.size[0], : entry.size[1]]


def single_model(models: Models, scale: int) -> LoadedModel:
    """The single network for a scale, since chains cannot be adapted.

    Raises:
        UsageError: there is none.
    """
    if scale not in models.scales:
        known = ", ".join(map(str, models.scales))
        raise UsageError(
            f"`shots` adapts one network, and there is none for scale {scale} among those of scale {known}; choose "
            "one of these scales or another model."
        )
    return models.get(scale)


class FewShot:
    """A network that is adapted to a set's support set before it is run: a `Model` of `srkit.tasks.evaluate.sets`.

    Args:
        model: the base.
        upscaler: the base's; its device and precision are used.
        shots: the set's split.
        recipe: the evaluation's recipe.
    """

    def __init__(self, model: LoadedModel, upscaler: Upscaler, shots: Shots, recipe: EvalRecipe) -> None:
        self._model, self._upscaler, self._shots, self._recipe = model, upscaler, shots, recipe
        self._network: Network | None = None

    def prepare(self, progress: Progress) -> None:
        """Adapt; validation uses strips of the support images, so that measured images have no influence.

        Raises:
            SrkitError: there are no usable support images.
        """
        plan, recipe = self._shots.plan, self._recipe
        items = [BenchmarkItem(e.name, e.hr, e.lr) for e in self._shots.support if e.hr is not None]
        domain = Domain(plan.dataset, tuple(items), plan.lr_source)
        tune = TunePart() if recipe.shot_steps is None else TunePart(steps=recipe.shot_steps)
        split = split_for(domain, self._model, len(items), None, tune.patch, recipe.max_pixels)
        for name, error in split.failed:
            progress.warn(f"{name}: left out of the support: {error}")
        for sentence in split.left_out:
            progress.warn(sentence)
        options = Fit(tune, self._upscaler.device, recipe.dtype, recipe.seed)
        fitted = fit(self._model, split, options, progress)
        if not fitted.adapted.kept:
            progress.warn(
                f"Adapting to {plan.dataset} did not help by its support; the base model is measured."
            )
        self._network = Network(Upscaler(self._upscaler.recipe, Models.of(fitted.model)))

    def run(self, stream: Iterator[Loaded | None]) -> Iterator[Finished]:
        if self._network is None:
            raise SrkitError("The network was not adapted; prepare it first.")
        return self._network.run(stream)
