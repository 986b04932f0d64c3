"""Few-shot evaluation: a model adapted to the first pictures of a set, and measured on the others."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from srkit.data.benchmarks import BenchmarkItem
from srkit.data.examples import Domain
from srkit.errors import SrkitError, UsageError
from srkit.progress import Progress
from srkit.recipes.adapt import TunePart
from srkit.recipes.evaluate import EvalRecipe
from srkit.tasks.adapt_fit import Fit, fit, split_for
from srkit.tasks.chain import Models
from srkit.tasks.evaluate_plan import Entry, SetPlan
from srkit.tasks.evaluate_set import Finished, Loaded, Network
from srkit.tasks.upscaler import Upscaler
from srkit.zoo.loaded import LoadedModel


@dataclass(frozen=True)
class Shots:
    """A set without its first pictures by name, and these."""

    plan: SetPlan
    support: tuple[Entry, ...]

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(entry.name for entry in self.support)


def take_shots(plan: SetPlan, shots: int) -> Shots:
    """The first `shots` pictures of a set, by name, apart from the others.

    Raises:
        UsageError: none would be left to measure on.
    """
    if len(plan.entries) <= shots:
        raise UsageError(
            f"'{plan.dataset}' has {len(plan.entries)} pictures, and --shots {shots} leaves none to measure on; choose "
            "fewer shots or a larger set."
        )
    entries = sorted(plan.entries, key=lambda entry: entry.name)
    rest = tuple(entry for entry in plan.entries if entry not in entries[:shots])
    return Shots(replace(plan, entries=rest), tuple(entries[:shots]))


def single_model(models: Models, scale: int) -> LoadedModel:
    """The network that gives a scale by itself: only one can be adapted.

    Raises:
        UsageError: there is none.
    """
    if scale not in models.scales:
        known = ", ".join(map(str, models.scales))
        raise UsageError(
            f"--shots adapts one network, and there is none for scale {scale} among those of scale {known}; choose "
            "one of these scales or another model."
        )
    return models.get(scale)


class FewShot:
    """A network that is adapted to a set's support before it is run: a `Model` of `srkit.tasks.evaluate_set`.

    Args:
        model: the base.
        upscaler: of the base; device and precision are taken from it.
        shots: of the set.
        recipe: of the evaluation.
    """

    def __init__(self, model: LoadedModel, upscaler: Upscaler, shots: Shots, recipe: EvalRecipe) -> None:
        self._model, self._upscaler, self._shots, self._recipe = model, upscaler, shots, recipe
        self._network: Network | None = None

    def prepare(self, progress: Progress) -> None:
        """Adapt; strips of the support pictures judge, so that no picture that is measured has a say.

        Raises:
            SrkitError: no usable support pictures.
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
