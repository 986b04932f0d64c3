"""Recipe of `srkit upscale`."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from srkit.errors import UsageError

OutputFormat = Literal["auto", "png", "jpg", "webp", "tiff", "avif"]
MAX_SCALE = 16.0
DIALS = ("strength", "denoise")
"""Fields of the recipe that interpolate between the weights of two networks."""


@dataclass(frozen=True)
class Target:
    """Size of the result, by one of four options; without any, the model's own factor."""

    scale: float | None = None
    width: int | None = None
    height: int | None = None
    max_size: int | None = None
    """Longest side."""

    def __post_init__(self) -> None:
        if self.scale is not None and not (1 < self.scale <= MAX_SCALE):  # also rejects NaN
            raise UsageError(f"`scale` is {self.scale:g}; it must be above 1 and at most {MAX_SCALE:g}.")
        for name, value in (
            ("`width`", self.width),
            ("`height`", self.height),
            ("`max_size`", self.max_size),
        ):
            if value is not None and value < 1:
                raise UsageError(f"{name} is {value}; it must be at least 1.")
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
class UpscaleRecipe:
    """Settings that determine the output; paths belong to the job."""

    model: str = "auto"
    target: Target = Target()
    tile: int | Literal["auto", "off"] = "auto"
    overlap: int | Literal["auto"] = "auto"
    tta: bool = False
    format: OutputFormat = "auto"
    quality: int | None = None
    compression: int | None = None
    device: str = "auto"
    dtype: Literal["auto", "fp32", "bf16", "fp16"] = "auto"
    threads: int | None = None
    seed: int = 0
    steps: int | None = None
    """Steps of a diffusion model's sampler; None: the model's own."""
    samples: int = 1
    """Samples of a diffusion model per image; their seeds are `seed`, `seed` + 1, ..."""
    depth: str = "auto"
    """Depth estimator, if kernels are estimated (`srkit.recipes.estimate.EstimateRecipe.depth`)."""
    max_pixels: int = 10**9
    prompt: str = ""
    """Description of the images, for networks that are conditioned on text."""
    strength: float | None = None
    """Weight in [0, 1] of a perceptually trained network against the PSNR-trained network that it started from; None:
    the network unchanged."""
    denoise: float | None = None
    """Interpolation in [0, 1] from the network for light damage to that for strong damage; None: the network
    unchanged."""
    strip: bool = False
    """Write no metadata except the colour profile, not even srkit's own."""

    def __post_init__(self) -> None:
        if isinstance(self.tile, int) and self.tile < 16:
            raise UsageError(f"`tile` is {self.tile}; it must be auto, off, or at least 16 pixels.")
        if isinstance(self.overlap, int) and self.overlap < 0:
            raise UsageError(f"`overlap` is {self.overlap}; it must be auto, or 0 pixels or more.")
        for name, value, low, high in (
            ("`quality`", self.quality, 1, 100),
            ("`compression`", self.compression, 0, 9),
            ("`threads`", self.threads, 1, 4096),
            ("`steps`", self.steps, 1, 1000),
            ("`samples`", self.samples, 1, 64),
            ("`max_pixels`", self.max_pixels, 1, 10**18),
            ("`seed`", self.seed, 0, 2**63 - 1),
        ):
            if value is not None and not low <= value <= high:
                raise UsageError(f"{name} is {value}; it must be from {low} to {high}.")
        for name, share in (("`strength`", self.strength), ("`denoise`", self.denoise)):
            if share is not None and not 0 <= share <= 1:  # also rejects NaN
                raise UsageError(f"{name} is {share:g}; it must be from 0 to 1.")
        if not self.depth:
            raise UsageError("`depth` is empty; it must be auto, none, a provider's name or a folder.")

    @property
    def dials(self) -> dict[str, float]:
        """Values of the `DIALS` that are set, by name."""
        return {dial: share for dial in DIALS if (share := getattr(self, dial)) is not None}
