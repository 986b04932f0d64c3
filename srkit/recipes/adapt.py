"""Recipe of `srkit adapt`."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from typing import Literal, Protocol

from srkit.recipes.bounds import bounded
from srkit.recipes.load import Recipe
from srkit.recipes.upscale import MAX_SCALE, MAX_THREADS

Optimiser = Literal["auto", "adam", "sgd", "muon"]
DEFAULT_STEPS = 800


@dataclass(frozen=True)
class TunePart:
    """Settings of fine-tuning; `srkit eval --shots` uses the same."""

    steps: int | None = bounded(None, min=1, flag=True)
    """Maximal number of steps; training stops earlier if validation gets worse. None: 800, or as many as `minutes`
    allow."""
    minutes: float | None = bounded(None, above=0, flag=True)
    """Maximal number of minutes; such runs are not exactly reproducible."""
    patch: int = bounded(32, min=1)
    """Side of a crop in LR pixels; smaller for smaller examples."""
    batch: int = bounded(8, min=1)
    """Crops per step."""
    turns: bool = True
    """Augment crops with flips and quarter turns."""
    phases: bool = True
    """Downscale HR again with shifted sampling grids, if LR is made from HR."""
    colours: bool = False
    """Augment crops with permuted channels and negatives."""
    optimiser: Optimiser = "auto"
    """auto: the model's learned rates if it has any, else Adam."""
    rate: float | None = bounded(None, above=0)
    """Learning rate of all parameters, if no learned rates are used. None: the best of `probe`."""
    probe: tuple[float, ...] = bounded((1.0, 2.0, 4.0, 8.0), above=0)
    """Learning rates that are tried first, as multiples of 5e-4, or of 1e-4 for foreign networks, whose stable rates
    are unknown; the one with the largest gain on the validation images is used. If the run has less than twice the
    steps of all trials, the first is used untried. Empty: 1."""
    probe_steps: int = bounded(50, min=1)
    """Steps per trial."""
    warmup_steps: int = 50
    """Steps of linear warm-up; at most a tenth of all steps."""
    ema: float = bounded(0.98, min=0, below=1)
    """Decay of the moving average of the weights, which is validated and kept."""
    judge_every: int = bounded(50, min=1)
    """Steps between validations."""
    patience: int = bounded(4, min=1)
    """Number of validations in a row without a new best before training stops."""
    loss: dict[str, float] = field(default_factory=lambda: {"l2": 1.0})
    """Weights of the loss terms, by name (`srkit.losses.table`)."""

    @property
    def most_steps(self) -> int:
        return most_steps(self.steps, self.minutes, DEFAULT_STEPS)


@dataclass(frozen=True)
class AdaptRecipe(Recipe):
    """Settings that determine the weights; paths and reports belong to the job."""

    model: str = "auto"
    scale: int | None = bounded(None, min=1, max=MAX_SCALE, flag=True)
    """Scale; None: the model's own."""
    shots: int = bounded(5, min=1, flag=True)
    """Number of examples to learn from."""
    holdout: float | None = bounded(None, above=0, below=1, flag=True)
    """Share held out for validation: of the examples if there are more than `shots`, else of the area of each example.
    None: all further examples, up to twenty; or a quarter of each example (half of a single one)."""
    tune: TunePart = field(default_factory=TunePart)
    device: str = "auto"
    dtype: Literal["auto", "fp32", "bf16", "fp16"] = "auto"
    threads: int | None = bounded(None, min=1, max=MAX_THREADS, flag=True)
    seed: int = 0
    max_pixels: int = bounded(10**9, min=1, max=10**18, flag=True)


class Learning(Protocol):
    """Fields of the parts on fine-tuning that its loop takes."""

    @property
    def most_steps(self) -> int: ...

    @property
    def minutes(self) -> float | None: ...

    @property
    def warmup_steps(self) -> int: ...

    @property
    def ema(self) -> float: ...

    @property
    def judge_every(self) -> int: ...

    @property
    def patience(self) -> int: ...


def most_steps(steps: int | None, minutes: float | None, usual: int) -> int:
    """Maximal number of steps: `steps`, else the default, or no limit if `minutes` is set."""
    if steps is not None:
        return steps
    return usual if minutes is None else sys.maxsize
