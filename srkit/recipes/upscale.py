"""Recipe of `srkit upscale`."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from srkit.errors import UsageError
from srkit.recipes.bounds import Bounded, bounded

OutputFormat = Literal["auto", "png", "jpg", "webp", "tiff", "avif"]
MAX_SCALE = 16.0
MAX_THREADS = 4096
DIALS = ("strength", "denoise")
"""Fields of the recipe that interpolate between the weights of two networks."""


@dataclass(frozen=True)
class Target(Bounded):
    """Size of the result, by one of four options; without any, the model's own factor."""

    scale: float | None = bounded(None, above=1, max=MAX_SCALE, flag=True)
    width: int | None = bounded(None, min=1, flag=True)
    height: int | None = bounded(None, min=1, flag=True)
    max_size: int | None = bounded(None, min=1, flag=True)
    """Longest side."""

    def __post_init__(self) -> None:
        super().__post_init__()
        given = [self.scale is not None, self.max_size is not None, bool(self.width or self.height)]
        if sum(given) > 1:
            raise UsageError("Give one of `scale`, `max_size`, or `width` and `height`, not several.")

    def size(self, width: int, height: int, own_scale: int) -> tuple[int, int]:
        """Size (width, height) of the result for an image; a single given side keeps the proportions.

        Raises:
            UsageError: the result is larger than 16 times the image along a side.
        """
        if self.width and self.height:
            result = (self.width, self.height)
        else:
            result = self._proportional(width, height, own_scale)
        factor = max(result[0] / width, result[1] / height)
        if factor > MAX_SCALE + 1e-9:
            raise UsageError(
                f"{width} x {height} to {result[0]} x {result[1]} is {factor:.4g} times as large; "
                f"at most {MAX_SCALE:g} is possible."
            )
        return result

    def _proportional(self, width: int, height: int, own_scale: int) -> tuple[int, int]:
        if self.width:
            factor = self.width / width
        elif self.height:
            factor = self.height / height
        elif self.max_size:
            factor = self.max_size / max(width, height)
        else:
            factor = self.scale or own_scale
        # Rounded half up; at least 1.
        return max(1, math.floor(width * factor + 0.5)), max(1, math.floor(height * factor + 0.5))


@dataclass(frozen=True)
class UpscaleRecipe(Bounded):
    """Settings that determine the output; paths belong to the job."""

    model: str = "auto"
    target: Target = Target()
    tile: int | Literal["auto", "off"] = bounded("auto", min=16, flag=True, instead="auto, off,")
    overlap: int | Literal["auto"] = bounded("auto", min=0, flag=True, instead="auto,")
    tta: bool = False
    format: OutputFormat = "auto"
    quality: int | None = bounded(None, min=1, max=100, flag=True)
    compression: int | None = bounded(None, min=0, max=9, flag=True)
    device: str = "auto"
    dtype: Literal["auto", "fp32", "bf16", "fp16"] = "auto"
    threads: int | None = bounded(None, min=1, max=MAX_THREADS, flag=True)
    seed: int = bounded(0, min=0, max=2**63 - 1, flag=True)
    steps: int | None = bounded(None, min=1, max=1000, flag=True)
    """Steps of a diffusion model's sampler; None: the model's own."""
    samples: int = bounded(1, min=1, max=64, flag=True)
    """Samples of a diffusion model per image; their seeds are `seed`, `seed` + 1, ..."""
    depth: str = "auto"
    """Depth estimator, if kernels are estimated (`srkit.recipes.estimate.EstimateRecipe.depth`)."""
    max_pixels: int = bounded(10**9, min=1, max=10**18, flag=True)
    prompt: str = ""
    """Description of the images, for networks that are conditioned on text."""
    strength: float | None = bounded(None, min=0, max=1, flag=True)
    """Weight in [0, 1] of a perceptually trained network against the PSNR-trained network that it started from; None:
    the network unchanged."""
    denoise: float | None = bounded(None, min=0, max=1, flag=True)
    """Interpolation in [0, 1] from the network for light damage to that for strong damage; None: the network
    unchanged."""
    strip: bool = False
    """Write no metadata except the colour profile, not even srkit's own."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.depth:
            raise UsageError("`depth` is empty; it must be auto, none, a provider's name or a folder.")

    @property
    def dials(self) -> dict[str, float]:
        """Values of the `DIALS` that are set, by name."""
        return {dial: share for dial in DIALS if (share := getattr(self, dial)) is not None}
