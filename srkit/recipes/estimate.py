"""Recipe of `srkit estimate-kernel`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from srkit.errors import UsageError
from srkit.recipes.bounds import Bounded, bounded
from srkit.recipes.upscale import MAX_THREADS

SCALES = (2, 3, 4)
DEFAULT_SCALE = 4


@dataclass(frozen=True)
class EstimateRecipe(Bounded):
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
    refine: int = bounded(0, min=0, max=20, flag=True)
    """Rounds of SVKR; 2 is the paper's T = 3, which counts the initial estimate. With the shipped networks they have no
    significant effect (experiments/ablation_kernels.py), and each adds 80 % to the time (kernel_cost.py)."""
    gamma: float = bounded(0.9, above=0, max=1)
    """Weight of a round's new kernels relative to the previous ones."""
    grid: int = bounded(16, min=1, max=64, flag=True)
    """Number of ellipses along the longer side of the preview."""
    tile: int | Literal["auto", "off"] = bounded("auto", min=16, flag=True, instead="auto, off,")
    device: str = "auto"
    dtype: Literal["auto", "fp32", "bf16", "fp16"] = "auto"
    threads: int | None = bounded(None, min=1, max=MAX_THREADS, flag=True)
    seed: int = bounded(0, min=0, max=2**63 - 1, flag=True)
    max_pixels: int = bounded(10**9, min=1, max=10**18, flag=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.scale is not None and self.scale not in SCALES:
            raise UsageError(f"`scale` is {self.scale}; kernels of 21 x 21 serve 2, 3 and 4.")
        if not self.depth:
            raise UsageError("`depth` is empty; it must be auto, none, a provider's name or a folder.")
