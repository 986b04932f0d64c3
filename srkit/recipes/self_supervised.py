"""What `srkit adapt --self-supervised` needs to know."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Literal, get_args

from srkit.errors import UsageError
from srkit.recipes.adapt import at_least_one, check_common, check_learning, most_steps
from srkit.recipes.bounds import bounded, check_bounds
from srkit.recipes.load import Recipe

Control = Literal["adapting", "paper", "reversed", "off"]
Keep = Literal["judged", "raw", "average"]
Method = Literal["loop", "pairs"]
DEFAULT_STEPS, PAIR_STEPS = 300, 600


@dataclass(frozen=True)
class LoopPart:
    """The fine-tuning on low-resolution images alone (HR-aware, Zhang and Yao 2024, arXiv 2411.16175)."""

    steps: int | None = None
    """Maximal number of steps. None: 300, or what `minutes` allow."""
    minutes: float | None = None
    """Maximal number of minutes; then runs no longer repeat exactly."""
    patch: int = 48
    """Side of a crop in LR pixels; smaller where an image is. The paper has 64."""
    batch: int = 4
    """Crops in a step. The paper has 8."""
    turns: bool = True
    """Flips and quarter turns of the crops."""
    rate: float | None = None
    """Of Adam. None: 2e-6 (the paper has 2e-6 to 5e-6)."""
    warmup_steps: int = 20
    """Over which the rate rises; at most a tenth of the steps."""
    ema: float = 0.999
    """Decay of the average of the weights, one of the states that are validated."""
    judge_every: int = 150
    """Steps between validations."""
    patience: int = 2
    """Judgements in a row without a new best after which it stops."""
    perceptual: float = 0.1
    """Weight of the perceptual distance in L_rec, beside L1."""
    far_share: float = 0.5
    """How long FAR's gradient at the images is at the start, over that of L_rec; 0: without FAR. The paper does not
    say what it has. At 5, images gained less (measured)."""
    control: Control = "adapting"
    """What the embedding is multiplied by (`srkit.training.controller`): `adapting`, s = n + 2 l* - l; `paper`,
    n + 1 - l; `reversed`, n + l; `off`, l*."""
    noise_std: float | None = None
    """Deviation of n. None: what the reconstructor was trained with; the paper has 1."""
    draws: int = 1
    """Of n for each image in a step, whose losses are averaged."""
    most_change: float = 46.0
    """PSNR in dB between the base's images and another state's, below which that state is not taken: how far the
    truth is, nobody can say here, so the images must not go far. At this, PSNR fell by less than 0.1 dB
    (measured)."""
    keep: Keep = "judged"
    """What is kept: the best by validation, or `raw`, the weights at the end, or their `average`, whatever they say."""
    even_clean: bool = False
    """Learn from images that look clean already, too (`srkit.metrics.traces`); else these are left as they are."""

    @property
    def most_steps(self) -> int:
        return most_steps(self.steps, self.minutes, DEFAULT_STEPS)


@dataclass(frozen=True)
class PairsPart:
    """The fine-tuning on pairs that are made of clean images as the folder's images seem to have been made."""

    steps: int | None = None
    """Most steps. None: 600, or what `minutes` allow."""
    minutes: float | None = None
    """Most minutes; then runs no longer repeat exactly."""
    degradation: str = "wide"
    """What settings are drawn from (`srkit.recipes.degradation.SETTINGS`)."""
    draws: int = bounded(1000, min=1)
    """Settings that are drawn."""
    kept: int = bounded(24, min=1)
    """Of these the ones whose images are most like the folder's; pairs are made with them."""
    patch: int = 32
    """Side of a crop in LR pixels; smaller where the clean images are, down to 16."""
    batch: int = 8
    """Crops in a step."""
    rate: float | None = None
    """Of Adam. None: 1e-4."""
    warmup_steps: int = 20
    """Over which the rate rises; at most a tenth of the steps."""
    ema: float = 0.98
    """Decay of the average of the weights, which is what is validated and kept."""
    judge_every: int = 100
    """Steps between validations."""
    patience: int = 3
    """Validations in a row without a new best after which it stops."""
    loss: dict[str, float] = field(default_factory=lambda: {"l1": 1.0})
    """Weights of the loss terms, by name (`srkit.losses.table`); `perceptual` compares features of `compact`."""

    @property
    def most_steps(self) -> int:
        return most_steps(self.steps, self.minutes, PAIR_STEPS)


@dataclass(frozen=True)
class SelfAdaptRecipe(Recipe):
    """Everything that decides the weights; paths and reports are the job's."""

    model: str = "auto"
    scale: int | None = None
    """None: the model's own."""
    reconstructor: str = "auto"
    """A name or a file; auto: the shipped one of the model's scale."""
    holdout: float | None = None
    """Share held out: of the images, or where they are few, of each one. None: a quarter of them, at most
    twelve, or of each one (half of a single one)."""
    method: Method = "loop"
    """`loop`: through the reconstructor; `pairs`: by pairs made of clean images, with degradations that match."""
    clean: str = ""
    """Folder of the clean images of `pairs`. Empty: the folder's own, shrunk until they look clean."""
    loop: LoopPart = field(default_factory=LoopPart)
    pairs: PairsPart = field(default_factory=PairsPart)
    device: str = "auto"
    dtype: Literal["auto", "fp32", "bf16", "fp16"] = "auto"
    threads: int | None = None
    seed: int = 0
    max_pixels: int = 10**9

    def __post_init__(self) -> None:
        check_common(self)
        loop = self.loop
        check_learning("loop", loop)
        check_learning("pairs", self.pairs)
        check_bounds(self.pairs, "pairs.")
        for name, value, known in (
            ("loop.control", loop.control, get_args(Control)),
            ("loop.keep", loop.keep, get_args(Keep)),
            ("method", self.method, get_args(Method)),
        ):
            if value not in known:
                raise UsageError(f"'{name}' is '{value}'; it must be one of {', '.join(known)}.")
        if self.clean and self.method != "pairs":
            raise UsageError(
                f"`clean` is '{self.clean}', which serves `method` pairs alone; add that or leave it out."
            )
        at_least_one("loop.draws", loop.draws)
        for name in ("perceptual", "far_share", "noise_std"):
            value = getattr(loop, name)
            if value is not None and not 0 <= value < math.inf:
                raise UsageError(f"'loop.{name}' is {value}; it must be at least 0.")
