"""Recipe of `srkit adapt`."""

from __future__ import annotations

import math
import sys
from dataclasses import dataclass, field
from typing import Literal, Protocol

from srkit.errors import UsageError
from srkit.recipes.bounds import bounded, check_bounds
from srkit.recipes.load import Recipe
from srkit.recipes.upscale import MAX_SCALE

Optimiser = Literal["auto", "adam", "sgd", "muon"]
DEFAULT_STEPS = 800


@dataclass(frozen=True)
class TunePart:
    """Settings of fine-tuning; `srkit eval --shots` uses the same."""

    steps: int | None = None
    """Maximal number of steps; training stops earlier if validation gets worse. None: 800, or as many as `minutes`
    allow."""
    minutes: float | None = None
    """Maximal number of minutes; such runs are not exactly reproducible."""
    patch: int = 32
    """Side of a crop in LR pixels; smaller for smaller examples."""
    batch: int = 8
    """Crops per step."""
    turns: bool = True
    """Augment crops with flips and quarter turns."""
    phases: bool = True
    """Downscale HR again with shifted sampling grids, if LR is made from HR."""
    colours: bool = False
    """Augment crops with permuted channels and negatives."""
    optimiser: Optimiser = "auto"
    """auto: the model's learned rates if it has any, else Adam."""
    rate: float | None = None
    """Learning rate of all parameters, if no learned rates are used. None: the best of `probe`."""
    probe: tuple[float, ...] = bounded((1.0, 2.0, 4.0, 8.0), above=0)
    """Learning rates that are tried first, as multiples of 5e-4, or of 1e-4 for foreign networks, whose stable rates
    are unknown; the one with the largest gain on the validation images is used. If the run has less than twice the
    steps of all trials, the first is used untried. Empty: 1."""
    probe_steps: int = bounded(50, min=1)
    """Steps per trial."""
    warmup_steps: int = 50
    """Steps of linear warm-up; at most a tenth of all steps."""
    ema: float = 0.98
    """Decay of the moving average of the weights, which is validated and kept."""
    judge_every: int = 50
    """Steps between validations."""
    patience: int = 4
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
    scale: int | None = None
    """Scale; None: the model's own."""
    shots: int = 5
    """Number of examples to learn from."""
    holdout: float | None = None
    """Share held out for validation: of the examples if there are more than `shots`, else of the area of each example.
    None: all further examples, up to twenty; or a quarter of each example (half of a single one)."""
    tune: TunePart = field(default_factory=TunePart)
    device: str = "auto"
    dtype: Literal["auto", "fp32", "bf16", "fp16"] = "auto"
    threads: int | None = None
    seed: int = 0
    max_pixels: int = 10**9

    def __post_init__(self) -> None:
        check_common(self)
        at_least_one("`shots`", self.shots)
        check_learning("tune", self.tune)
        check_bounds(self.tune, "tune.")


class Common(Protocol):
    """Fields that the recipes of all kinds of adaptation share."""

    @property
    def scale(self) -> int | None: ...

    @property
    def holdout(self) -> float | None: ...

    @property
    def threads(self) -> int | None: ...

    @property
    def max_pixels(self) -> int: ...


def check_common(recipe: Common) -> None:
    """Raise UsageError for invalid values."""
    if recipe.scale is not None and not 1 <= recipe.scale <= MAX_SCALE:
        raise UsageError(f"`scale` is {recipe.scale}; it must be a whole number from 1 to {MAX_SCALE:g}.")
    if recipe.holdout is not None and not 0 < recipe.holdout < 1:
        raise UsageError(f"`holdout` is {recipe.holdout}; it must lie between 0 and 1.")
    if recipe.threads is not None and not 1 <= recipe.threads <= 4096:
        raise UsageError(f"`threads` is {recipe.threads}; it must be from 1 to 4096.")
    if recipe.max_pixels < 1:
        raise UsageError(f"`max_pixels` is {recipe.max_pixels}; it must be at least 1.")


class Learning(Protocol):
    """Fields that the parts on fine-tuning share."""

    @property
    def most_steps(self) -> int: ...

    @property
    def minutes(self) -> float | None: ...

    @property
    def rate(self) -> float | None: ...

    @property
    def warmup_steps(self) -> int: ...

    @property
    def ema(self) -> float: ...

    @property
    def patch(self) -> int: ...

    @property
    def batch(self) -> int: ...

    @property
    def judge_every(self) -> int: ...

    @property
    def patience(self) -> int: ...


def most_steps(steps: int | None, minutes: float | None, usual: int) -> int:
    """Maximal number of steps: `steps`, else the default, or no limit if `minutes` is set."""
    if steps is not None:
        return steps
    return usual if minutes is None else sys.maxsize


def check_learning(name: str, part: Learning) -> None:
    """Raise UsageError for invalid values of the part `name`."""
    at_least_one("`steps`", part.most_steps)
    for field_name, value in (
        ("patch", part.patch),
        ("batch", part.batch),
        ("judge_every", part.judge_every),
        ("patience", part.patience),
    ):
        at_least_one(f"{name}.{field_name}", value)
    if part.minutes is not None and not 0 < part.minutes < math.inf:
        raise UsageError(f"`minutes` is {part.minutes}; it must be above 0.")
    if part.rate is not None and not 0 < part.rate < math.inf:
        raise UsageError(f"'{name}.rate' is {part.rate}; it must be above 0.")
    if not 0 <= part.ema < 1:
        raise UsageError(f"'{name}.ema' is {part.ema}; it must be from 0 to below 1.")


def at_least_one(name: str, value: int) -> None:
    """Raise UsageError for values below 1."""
    if value < 1:
        raise UsageError(f"{name} is {value}; it must be at least 1.")
