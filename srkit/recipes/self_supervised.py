"""What `srkit adapt --self-supervised` needs to know."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Literal, get_args

from srkit.errors import UsageError
from srkit.recipes.adapt import at_least_one, check_common, check_learning, most_steps
from srkit.recipes.load import Recipe

Control = Literal["adapting", "paper", "reversed", "off"]
Keep = Literal["judged", "raw", "average"]
DEFAULT_STEPS = 300


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
    """Decay of the average of the weights, one of the states that are judged."""
    judge_every: int = 150
    """Steps between judgements."""
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
    """What is kept: the best by the judges, or `raw`, the weights at the end, or their `average`, whatever they say."""
    even_clean: bool = False
    """Learn from images that look clean already, too (`srkit.metrics.traces`); else these are left as they are."""

    @property
    def most_steps(self) -> int:
        return most_steps(self.steps, self.minutes, DEFAULT_STEPS)


@dataclass(frozen=True)
class SelfAdaptRecipe(Recipe):
    """Everything that decides the weights; paths and reports are the job's."""

    model: str = "auto"
    scale: int | None = None
    """None: the model's own."""
    reconstructor: str = "auto"
    """A name or a file; auto: the shipped one of the model's scale."""
    holdout: float | None = None
    """Share held out to judge: of the images, or where they are few, of each one. None: a quarter of them, at most
    twelve, or of each one (half of a single one)."""
    loop: LoopPart = field(default_factory=LoopPart)
    device: str = "auto"
    dtype: Literal["auto", "fp32", "bf16", "fp16"] = "auto"
    threads: int | None = None
    seed: int = 0
    max_pixels: int = 10**9

    def __post_init__(self) -> None:
        check_common(self)
        loop = self.loop
        check_learning("loop", loop)
        for name, known in (("control", get_args(Control)), ("keep", get_args(Keep))):
            if getattr(loop, name) not in known:
                raise UsageError(
                    f"'loop.{name}' is '{getattr(loop, name)}'; it must be one of {', '.join(known)}."
                )
        at_least_one("loop.draws", loop.draws)
        for name in ("perceptual", "far_share", "noise_std"):
            value = getattr(loop, name)
            if value is not None and not 0 <= value < math.inf:
                raise UsageError(f"'loop.{name}' is {value}; it must be at least 0.")
