"""Recipe of `srkit adapt --self-supervised`."""

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
    """Fine-tuning on low-resolution images alone (HR-aware, Zhang and Yao 2024, arXiv 2411.16175)."""

    steps: int | None = None
    """Maximal number of steps. None: 300, or as many as `minutes` allow."""
    minutes: float | None = None
    """Maximal number of minutes; such runs are not exactly reproducible."""
    patch: int = 48
    """Side of a crop in LR pixels; smaller for smaller images. 64 in the paper."""
    batch: int = 4
    """Crops per step. 8 in the paper."""
    turns: bool = True
    """Augment crops with flips and quarter turns."""
    rate: float | None = None
    """Learning rate of Adam. None: 2e-6 (2e-6 to 5e-6 in the paper)."""
    warmup_steps: int = 20
    """Steps of linear warm-up; at most a tenth of all steps."""
    ema: float = 0.999
    """Decay of the moving average of the weights, one of the states that are validated."""
    judge_every: int = 150
    """Steps between validations."""
    patience: int = 2
    """Number of validations in a row without a new best before training stops."""
    perceptual: float = 0.1
    """Weight of the perceptual distance in L_rec, beside L1."""
    far_share: float = 0.5
    """Initial norm of FAR's gradient with respect to the images, relative to that of L_rec; 0: without FAR. The paper
    gives no value. At 5, images gained less (measured)."""
    control: Control = "adapting"
    """Factor on the embedding (`srkit.training.controller`): `adapting`, s = n + 2 l* - l; `paper`, n + 1 - l;
    `reversed`, n + l; `off`, l*."""
    noise_std: float | None = None
    """Standard deviation of n. None: as in the reconstructor's training; 1 in the paper."""
    draws: int = 1
    """Draws of n per image and step, whose losses are averaged."""
    most_change: float = 46.0
    """Minimal PSNR in dB between the base's images and those of an adapted state; states below are rejected. Without HR
    the true error is unknown, so large changes are not allowed. With this default, PSNR against HR fell by less than
    0.1 dB (measured)."""
    keep: Keep = "judged"
    """Kept weights: `judged`, the best by validation; `raw`, the last weights; `average`, their moving average."""
    even_clean: bool = False
    """Also learn from images that look clean already (`srkit.metrics.traces`), which are excluded by default."""

    @property
    def most_steps(self) -> int:
        return most_steps(self.steps, self.minutes, DEFAULT_STEPS)


@dataclass(frozen=True)
class PairsPart:
    """Fine-tuning on pairs of clean images and their LR, whose degradation matches that of the folder's images."""

    steps: int | None = None
    """Maximal number of steps. None: 600, or as many as `minutes` allow."""
    minutes: float | None = None
    """Maximal number of minutes; such runs are not exactly reproducible."""
    degradation: str = "wide"
    """Name of the settings that degradations are drawn from (`srkit.recipes.degradation.SETTINGS`)."""
    draws: int = bounded(1000, min=1)
    """Number of degradations that are drawn."""
    kept: int = bounded(24, min=1)
    """Number of these that are kept: those whose images are most similar to the folder's; pairs are made with them."""
    patch: int = 32
    """Side of a crop in LR pixels; smaller for smaller clean images, down to 16."""
    batch: int = 8
    """Crops per step."""
    rate: float | None = None
    """Learning rate of Adam. None: 1e-4."""
    warmup_steps: int = 20
    """Steps of linear warm-up; at most a tenth of all steps."""
    ema: float = 0.98
    """Decay of the moving average of the weights, which is validated and kept."""
    judge_every: int = 100
    """Steps between validations."""
    patience: int = 3
    """Number of validations in a row without a new best before training stops."""
    loss: dict[str, float] = field(default_factory=lambda: {"l1": 1.0})
    """Weights of the loss terms, by name (`srkit.losses.table`); `perceptual` compares features of `compact`."""

    @property
    def most_steps(self) -> int:
        return most_steps(self.steps, self.minutes, PAIR_STEPS)


@dataclass(frozen=True)
class SelfAdaptRecipe(Recipe):
    """Settings that determine the weights; paths and reports belong to the job."""

    model: str = "auto"
    scale: int | None = None
    """Scale; None: the model's own."""
    reconstructor: str = "auto"
    """Name or file of the reconstructor; auto: the shipped one of the model's scale."""
    holdout: float | None = None
    """Share held out for validation: of the images, or of the area of each image if there are few. None: a quarter of
    the images, at most twelve, or a quarter of each image (half of a single one)."""
    method: Method = "loop"
    """`loop`: through the reconstructor; `pairs`: on pairs made of clean images with matching degradations."""
    clean: str = ""
    """Folder of clean images for `pairs`. Empty: the folder's own images, shrunk until they look clean."""
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
