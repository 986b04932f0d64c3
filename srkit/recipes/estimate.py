"""Recipe of `srkit estimate-kernel`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from srkit.errors import UsageError

SCALES = (2, 3, 4)
DEFAULT_SCALE = 4
MAX_ROUNDS = 20
MAX_ELLIPSES = 64


@dataclass(frozen=True)
class EstimateRecipe:
    """Settings that determine the output; paths belong to the job."""

    scale: int | None = None
    """Scale between LR and HR. None: the model's own, 4 for `auto`."""
    model: str = "auto"
    """Name or file of a DKENet; auto: dkenet-x{scale}."""
    restorer: str = "auto"
    """Name or file of an NBSR; auto: nbsr-x{scale}. Its SR image is the input of refinement rounds, and is blurred
    again and compared with the input."""
    depth: str = "auto"
    """`none`, a provider's name (`srkit.encoders.depth`), or a folder of depth maps; auto: the shipped provider."""
    refine: int = 0
    """Rounds of SVKR; 2 is the paper's T = 3, which counts the initial estimate. With the shipped networks they have no
    significant effect (experiments/ablation_kernels.py), and each adds 80 % to the time (kernel_cost.py)."""
    gamma: float = 0.9
    """Weight of a round's new kernels relative to the previous ones."""
    grid: int = 16
    """Number of ellipses along the longer side of the preview."""
    tile: int | Literal["auto", "off"] = "auto"
    device: str = "auto"
    dtype: Literal["auto", "fp32", "bf16", "fp16"] = "auto"
    threads: int | None = None
    seed: int = 0
    max_pixels: int = 10**9

    def __post_init__(self) -> None:
        if self.scale is not None and self.scale not in SCALES:
            raise UsageError(f"`scale` is {self.scale}; kernels of 21 x 21 serve 2, 3 and 4.")
        if not self.depth:
            raise UsageError("`depth` is empty; it must be auto, none, a provider's name or a folder.")
        if not 0 <= self.refine <= MAX_ROUNDS:
            raise UsageError(f"`refine` is {self.refine}; it must be from 0 to {MAX_ROUNDS} rounds.")
        if not 0 < self.gamma <= 1:
            raise UsageError(f"'gamma' is {self.gamma}; it must be above 0 and at most 1.")
        if not 1 <= self.grid <= MAX_ELLIPSES:
            raise UsageError(f"`grid` is {self.grid}; it must be from 1 to {MAX_ELLIPSES}.")
        if isinstance(self.tile, int) and self.tile < 16:
            raise UsageError(f"`tile` is {self.tile}; it must be auto, off, or at least 16 pixels.")
        for name, value, low, high in (
            ("`threads`", self.threads, 1, 4096),
            ("`max_pixels`", self.max_pixels, 1, 10**18),
            ("`seed`", self.seed, 0, 2**63 - 1),
        ):
            if value is not None and not low <= value <= high:
                raise UsageError(f"{name} is {value}; it must be from {low} to {high}.")
