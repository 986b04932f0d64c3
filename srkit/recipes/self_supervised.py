"""Recipe of `srkit adapt --self-supervised`."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, get_args

from srkit.errors import UsageError
from srkit.recipes.adapt import most_steps
from srkit.recipes.bounds import bounded
from srkit.recipes.load import Recipe
from srkit.recipes.upscale import MAX_SCALE, MAX_THREADS

Control = Literal["adapting", "paper", "reversed", "off"]
Keep = Literal["judged", "raw", "average"]
Method = Literal["auto", "loop", "pairs"]
PairDegrader = Literal["matched", "reconstructor"]
DEFAULT_STEPS, PAIR_STEPS = 300, 600


@dataclass(frozen=True)
class LoopPart:
    """Fine-tuning on low-resolution images alone (HR-aware, Zhang and Yao 2024, arXiv 2411.16175)."""

    steps: int | None = bounded(None, min=1, flag=True)
    """Maximal number of steps. None: 300, or as many as `minutes` allow."""
    minutes: float | None = bounded(None, above=0, flag=True)
    """Maximal number of minutes; such runs are not exactly reproducible."""
    patch: int = bounded(48, min=1)
    """Side of a crop in LR pixels; smaller for smaller images. 64 in the paper."""
    batch: int = bounded(4, min=1)
    """Crops per step. 8 in the paper."""
    turns: bool = True
    """Augment crops with flips and quarter turns."""
    rate: float | None = bounded(None, above=0)
    """Learning rate of Adam. None: 2e-6 (2e-6 to 5e-6 in the paper)."""
    warmup_steps: int = 20
    """Steps of linear warm-up; at most a tenth of all steps."""
    ema: float = bounded(0.999, min=0, below=1)
    """Decay of the moving average of the weights, one of the states that are validated."""
    judge_every: int = bounded(150, min=1)
    """Steps between validations."""
    patience: int = bounded(2, min=1)
    """Number of validations in a row without a new best before training stops."""
    perceptual: float = bounded(0.1, min=0)
    """Weight of the perceptual distance in L_rec, beside L1."""
    far_share: float = bounded(0.5, min=0)
    """Initial norm of FAR's gradient with respect to the images, relative to that of L_rec; 0: without FAR. The paper
    gives no value. At 5, images gained less (measured)."""
    control: Control = "adapting"
    """Factor on the embedding (`srkit.training.controller`): `adapting`, s = n + 2 l* - l; `paper`, n + 1 - l;
    `reversed`, n + l; `off`, l*."""
    noise_std: float | None = bounded(None, min=0)
    """Standard deviation of n. None: as in the reconstructor's training; 1 in the paper."""
    draws: int = bounded(1, min=1)
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

    steps: int | None = bounded(None, min=1, flag=True)
    """Maximal number of steps. None: 600, or as many as `minutes` allow."""
    minutes: float | None = bounded(None, above=0, flag=True)
    """Maximal number of minutes; such runs are not exactly reproducible."""
    degrader: PairDegrader = "matched"
    """What makes LR: `matched`, the nearest of drawn degradations; `reconstructor`, the reconstructor, with its
    estimates of the folder's images."""
    degradation: str = "wide"
    """Name of the settings that degradations are drawn from (`srkit.recipes.degradation.SETTINGS`)."""
    draws: int = bounded(1000, min=1)
    """Number of degradations that are drawn."""
    kept: int = bounded(24, min=1)
    """Number of these that are kept: those whose images are most similar to the folder's; pairs are made with them."""
    patch: int = bounded(32, min=1)
    """Side of a crop in LR pixels; smaller for smaller clean images, down to 16."""
    batch: int = bounded(8, min=1)
    """Crops per step."""
    rate: float | None = bounded(None, above=0)
    """Learning rate of Adam. None: 1e-4."""
    warmup_steps: int = 20
    """Steps of linear warm-up; at most a tenth of all steps."""
    ema: float = bounded(0.98, min=0, below=1)
    """Decay of the moving average of the weights, which is validated and kept."""
    judge_every: int = bounded(100, min=1)
    """Steps between validations."""
    patience: int = bounded(3, min=1)
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
    scale: int | None = bounded(None, min=1, max=MAX_SCALE, flag=True)
    """Scale; None: the model's own."""
    reconstructor: str = "auto"
    """Name or file of the reconstructor; auto: the shipped one of the model's scale."""
    holdout: float | None = bounded(None, above=0, below=1, flag=True)
    """Share held out for validation: of the images, or of the area of each image if there are few. None: a quarter of
    the images, at most twelve, or a quarter of each image (half of a single one)."""
    method: Method = "auto"
    """`loop`: through the reconstructor; `pairs`: on pairs made of clean images with matching degradations; `auto`:
    `pairs` where `clean` names such images."""
    clean: str = ""
    """Folder of clean images for `pairs`. Empty: the folder's own images, shrunk until they look clean."""
    loop: LoopPart = field(default_factory=LoopPart)
    pairs: PairsPart = field(default_factory=PairsPart)
    device: str = "auto"
    dtype: Literal["auto", "fp32", "bf16", "fp16"] = "auto"
    threads: int | None = bounded(None, min=1, max=MAX_THREADS, flag=True)
    seed: int = 0
    max_pixels: int = bounded(10**9, min=1, max=10**18, flag=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        for name, value, known in (
            ("loop.control", self.loop.control, get_args(Control)),
            ("loop.keep", self.loop.keep, get_args(Keep)),
            ("method", self.method, get_args(Method)),
            ("pairs.degrader", self.pairs.degrader, get_args(PairDegrader)),
        ):
            if value not in known:
                raise UsageError(f"'{name}' is '{value}'; it must be one of {', '.join(known)}.")
        if self.clean and self.method == "loop":
            raise UsageError(
                f"`clean` is '{self.clean}', which serves `method` pairs alone; choose that or leave one out."
            )

    @property
    def by_pairs(self) -> bool:
        """True if the method is `pairs`."""
        return self.method == "pairs" or (self.method == "auto" and bool(self.clean))
