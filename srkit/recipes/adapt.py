"""What `srkit adapt` needs to know."""

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
    """The fine-tuning itself; what `srkit eval --shots` takes over unchanged."""

    steps: int | None = None
    """Maximal number of steps; fewer where the images that validate get worse. None: 800, or what `minutes` allow."""
    minutes: float | None = None
    """Maximal number of minutes; then runs no longer repeat exactly."""
    patch: int = 32
    """Side of a crop in LR pixels; smaller where an example is."""
    batch: int = 8
    """Crops in a step."""
    turns: bool = True
    """Flips and quarter turns of the crops."""
    phases: bool = True
    """LR images made anew with their grid elsewhere on the HR pixels, where they are made."""
    colours: bool = False
    """Channels exchanged, and negatives."""
    optimiser: Optimiser = "auto"
    """auto: the model's learned rates where it has some, else Adam."""
    rate: float | None = None
    """Of every parameter, where no learned rates are used. None: the best of `probe`."""
    probe: tuple[float, ...] = bounded((1.0, 2.0, 4.0, 8.0), above=0)
    """Rates that are tried first, as multiples of 5e-4, or of 1e-4 for foreign networks, of which it is not known what
    they bear; the one that gains most on the validation images is taken. The first alone where the run has less than
    twice the steps of all trials. Empty: 1."""
    probe_steps: int = bounded(50, min=1)
    """Steps of each trial."""
    warmup_steps: int = 50
    """Over which the rate rises; at most a tenth of the steps."""
    ema: float = 0.98
    """Decay of the average of the weights, which is what is validated and kept."""
    judge_every: int = 50
    """Steps between validations."""
    patience: int = 4
    """Judgements in a row without a new best after which it stops."""
    loss: dict[str, float] = field(default_factory=lambda: {"l2": 1.0})
    """Weights of the loss terms, by name (`srkit.losses.table`)."""

    @property
    def most_steps(self) -> int:
        return most_steps(self.steps, self.minutes, DEFAULT_STEPS)


@dataclass(frozen=True)
class AdaptRecipe(Recipe):
    """Everything that decides the weights; paths and reports are the job's."""

    model: str = "auto"
    scale: int | None = None
    """None: the model's own."""
    shots: int = 5
    """Examples to learn from."""
    holdout: float | None = None
    """Share held out to validate on: of the examples where there are more than `shots`, else of every one's area.
    None: all the others up to twenty, or a quarter of each (half of a single one)."""
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
    """What recipes of adaptation share, whatever they learn from."""

    @property
    def scale(self) -> int | None: ...

    @property
    def holdout(self) -> float | None: ...

    @property
    def threads(self) -> int | None: ...

    @property
    def max_pixels(self) -> int: ...


def check_common(recipe: Common) -> None:
    """Raises UsageError for values that make no sense."""
    if recipe.scale is not None and not 1 <= recipe.scale <= MAX_SCALE:
        raise UsageError(f"`scale` is {recipe.scale}; it must be a whole number from 1 to {MAX_SCALE:g}.")
    if recipe.holdout is not None and not 0 < recipe.holdout < 1:
        raise UsageError(f"`holdout` is {recipe.holdout}; it must lie between 0 and 1.")
    if recipe.threads is not None and not 1 <= recipe.threads <= 4096:
        raise UsageError(f"`threads` is {recipe.threads}; it must be from 1 to 4096.")
    if recipe.max_pixels < 1:
        raise UsageError(f"`max_pixels` is {recipe.max_pixels}; it must be at least 1.")


class Learning(Protocol):
    """What the parts on fine-tuning share."""

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
    """The steps asked for; else the usual ones, or as many as the minutes allow."""
    if steps is not None:
        return steps
    return usual if minutes is None else sys.maxsize


def check_learning(name: str, part: Learning) -> None:
    """Raises UsageError for values of the part `name` that make no sense."""
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
    """Raises UsageError below 1."""
    if value < 1:
        raise UsageError(f"{name} is {value}; it must be at least 1.")
