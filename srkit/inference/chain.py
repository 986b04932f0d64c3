"""Choice of the networks that together reach a factor."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence

from srkit.conditioning.makers import CODES
from srkit.errors import ResourceError
from srkit.progress import Progress
from srkit.zoo.blend import turned, without_pair
from srkit.zoo.load import find_family, load_model
from srkit.zoo.loaded import LoadedModel
from srkit.zoo.manifest import Manifest

DEFAULT_FAMILIES = ("srvgg", "edsr", "cdasr")
"""Families of shipped models (named with -x2, -x4, ...) that `auto` chooses from, the fastest first; for a scale in
several of them, a later one has to have a PSNR on the benchmarks higher by `_ALIKE`."""
_ALIKE = 0.05  # dB
ADAPTED_FAMILIES = ("cdasr",)
"""Families that `auto` chooses from for adaptation, for which CDASR is trained."""
RESTORING_FAMILIES = ("real", "real-pixels", "real-light", "nbsr", "diffusion")
"""Families whose networks restore an image while upscaling, and therefore run once: a second pass would treat the first
result as damaged, and kernels describe the original image. The default families provide the rest of a factor."""
DEFAULT_SCALE = 4
_MAX_PASSES = 4


class Models:
    """Networks that a recipe's `model` stands for, loaded when first needed.

    Args:
        name: `auto`, a model's name, a family (`real`: the shipped models `real-x2`, `real-x4`, ...), or a
            checkpoint file.
        progress: display of downloads.
        families: families that `auto` chooses from.
        dials: values by name (`UpscaleRecipe.dials`), applied to the network of the first pass when it is loaded.

    Raises:
        UsageError: a dial that the model has no pair of weights for.
        ResourceError: the model is missing, damaged, or for another task.
    """

    def __init__(
        self,
        name: str,
        progress: Progress | None = None,
        families: Sequence[str] = DEFAULT_FAMILIES,
        dials: Mapping[str, float] | None = None,
    ) -> None:
        self._progress, self._is_default, self._dials = progress, name == "auto", dict(dials or {})
        self._loaded: dict[str, LoadedModel] = {}
        self._names: Mapping[int, str] = _by_scale(families) if name == "auto" else find_family(name)
        restores = bool(self._names) and name in RESTORING_FAMILIES
        self._later: Mapping[int, str] = _by_scale(families) if restores else {}
        if self._names:
            self.own_scale = DEFAULT_SCALE if DEFAULT_SCALE in self._names else max(self._names)
            self._check_dials(name)
        elif name == "auto":
            raise ResourceError(
                "No weights are shipped with this installation; install srkit again or give `model` FILE."
            )
        else:
            self._take(load_model(name, progress=progress))

    @classmethod
    def of(cls, model: LoadedModel) -> Models:
        """Models of a single network that is already loaded."""
        models = cls.__new__(cls)
        models._loaded, models._later, models._progress, models._is_default = {}, {}, None, False
        models._dials = {}
        models._take(model)
        return models

    def _take(self, model: LoadedModel) -> None:
        turned_model = turned(model, self._dials, self._progress)
        self._names, self._loaded[model.name] = {model.info.scale: model.name}, turned_model
        self.own_scale = model.info.scale
        if CODES in model.info.conditioning:
            self._later = _by_scale(DEFAULT_FAMILIES)

    def _check_dials(self, name: str) -> None:
        """Reject dials that no model of a family has, before loading any."""
        manifest = Manifest.load()
        for dial in self._dials:
            if not any(dial in manifest.entry(own).pairs for own in self._names.values()):
                raise without_pair(name, dial)

    @property
    def own_conditions(self) -> tuple[str, ...]:
        """Conditions of the network for `own_scale`; empty for `auto`, whose networks need no external conditions, and
        are not loaded for this."""
        return () if self._is_default else self.get(self.own_scale).info.conditioning

    @property
    def scales(self) -> list[int]:
        return sorted(self._names)

    @property
    def loaded(self) -> list[LoadedModel]:
        """Networks loaded so far."""
        return list(self._loaded.values())

    def get(self, scale: int) -> LoadedModel:
        """Load the network for one of `scales`."""
        return self.named(self._names[scale])

    def named(self, name: str) -> LoadedModel:
        """Load a network of a chain by name."""
        if name not in self._loaded:
            model = load_model(name, progress=self._progress)
            first = name in self._names.values()
            self._loaded[name] = turned(model, self._dials, self._progress) if first else model
        return self._loaded[name]

    def chain(self, factor: float) -> tuple[str, ...]:
        """Names of the networks to run in order; a restoration network (x1) runs once."""
        if self.scales == [1]:
            return (self._names[1],)
        scales = choose_chain(factor, self.scales, sorted(self._later) or None)
        later = self._later or self._names
        return tuple((later if i else self._names)[scale] for i, scale in enumerate(scales))

    def name_of(self, scale: int) -> str:
        return self._names[scale]


def _by_scale(families: Sequence[str]) -> dict[int, str]:
    """Names of the families' shipped models by scale, the best of each."""
    manifest = Manifest.load()
    shipped = manifest.families()
    names: dict[int, str] = {}
    for scale, name in (pair for family in families for pair in shipped.get(family, {}).items()):
        if scale not in names or manifest.entry(name).psnr > manifest.entry(names[scale]).psnr + _ALIKE:
            names[scale] = name
    return names


def choose_chain(factor: float, scales: Sequence[int], later: Sequence[int] | None = None) -> tuple[int, ...]:
    """Choose scales to apply in order, with the smallest product that reaches `factor`, before downsampling.

    Priorities are fewest passes, smallest product, least work (small factor first). A factor of 1 or less needs no
    passes.

    Args:
        factor: at most 16.
        scales: available scales, each above 1; may be used repeatedly.
        later: available scales for all but the first pass, if given; `scales` then apply only to the first, and
            among equal products the largest first factor wins.

    >>> choose_chain(4, [2, 4, 8]), choose_chain(3, [2, 4, 8]), choose_chain(16, [2, 4, 8]), choose_chain(6, [4])
    ((4,), (4,), (2, 8), (4, 4))
    >>> choose_chain(8, [4], later=[2, 4, 8])
    (4, 2)
    """
    if factor <= 1:
        return ()
    for passes in range(1, _MAX_PASSES + 1):
        chains = [chain for chain in _chains(scales, later, passes) if math.prod(chain) >= factor - 1e-9]
        if chains:
            return min(chains, key=lambda chain: (math.prod(chain), -chain[0] if later else 0, _work(chain)))
    raise ValueError(f"no chain of {scales} reaches {factor}")


def _chains(scales: Sequence[int], later: Sequence[int] | None, passes: int) -> Iterator[tuple[int, ...]]:
    if later is None:
        yield from itertools.combinations_with_replacement(sorted(scales), passes)
        return
    for rest in itertools.combinations_with_replacement(sorted(later), passes - 1):
        for first in scales:
            yield (first, *rest)


def _work(chain: tuple[int, ...]) -> int:
    """Total pixels read by the networks per input pixel."""
    return sum(area * area for area in itertools.accumulate((1, *chain[:-1]), lambda a, b: a * b))
