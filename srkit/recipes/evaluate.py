"""Recipe of `srkit eval`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from srkit.errors import UsageError, unknown
from srkit.recipes.bounds import Bounded, bounded
from srkit.recipes.upscale import MAX_SCALE, MAX_THREADS

PromptControl = str
"""Type of a prompt control: `right`, `none`, `shuffled`, or `=TEXT` for the same text with every image."""
FIXED = "="
_CONTROLS = ("right", "none", "shuffled")


@dataclass(frozen=True)
class EvalRecipe(Bounded):
    """Settings that determine the numbers; paths, reports and gates belong to the job."""

    metrics: tuple[str, ...] = ("psnr", "ssim")
    """Names of `srkit.metrics.table`; LR consistency is added if there are LR images."""
    protocol: str = "classical"
    """Name of a protocol of `srkit.metrics.protocols`."""
    scale: int | None = bounded(None, min=1, max=MAX_SCALE, flag=True)
    """Scale; None: the model's own, or none for images without reference."""
    models: tuple[str, ...] = ("auto",)
    """Names of models, files, or `bicubic`; the first is compared with each of the others."""
    shots: int = bounded(0, min=0, flag=True)
    """Above 0: each model is measured with and without adaptation to the first `shots` images of the set, on the other
    images."""
    shot_steps: int | None = bounded(None, min=1, flag=True)
    """Maximal number of adaptation steps; None: the default of `srkit adapt`."""
    prompt_controls: tuple[PromptControl, ...] = ("right",)
    """Prompts given to networks that take them; each control is a result of its own, and the first is compared with
    each of the others."""
    device: str = "auto"
    dtype: Literal["auto", "fp32", "bf16", "fp16"] = "auto"
    threads: int | None = bounded(None, min=1, max=MAX_THREADS, flag=True)
    seed: int = 0
    max_pixels: int = bounded(10**9, min=1, max=10**18, flag=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.models:
            raise UsageError("No model was named; give `model`, or leave it out for the default.")
        if len(set(self.models)) < len(self.models):
            raise UsageError("`model` names one model twice; name each once.")
        for control in self.prompt_controls:
            if control not in _CONTROLS and not control.startswith(FIXED):
                raise unknown(f"`prompt_control` names '{control}'", control, (*_CONTROLS, f"{FIXED}TEXT"))
        if not self.prompt_controls or len(set(self.prompt_controls)) < len(self.prompt_controls):
            raise UsageError("`prompt_control` names one control twice, or none; name each once.")
