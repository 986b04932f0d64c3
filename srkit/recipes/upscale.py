"""What `srkit upscale` needs to know."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from srkit.errors import UsageError

OutputFormat = Literal["auto", "png", "jpg", "webp", "tiff", "avif"]
MAX_SCALE = 16.0
DIALS = ("strength", "denoise")
"""Fields of the recipe that go between the weights of two networks."""


@dataclass(frozen=True)
class Target:
    """How large the result is to be: one of the four, or none (the model's own factor)."""

    scale: float | None = None
    width: int | None = None
    height: int | None = None
    max_size: int | None = None
    """Longest side."""

    def __post_init__(self) -> None:
        if self.scale is not None and not (1 < self.scale <= MAX_SCALE):  # refuses nan as well
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
        """(width, height) of the result for an image; one side alone keeps the proportions.

        Raises:
            UsageError: more than 16 times the image along a side.
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
        # Half up, as a user would round; never 0.
        return max(1, math.floor(width * factor + 0.5)), max(1, math.floor(height * factor + 0.5))


@dataclass(frozen=True)
class UpscaleRecipe:
    """Everything that decides what comes out; paths are the job's."""

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
    """Of a diffusion model's sampler; None: the model's own."""
    samples: int = 1
    """Of a diffusion model, for each image; their seeds are `seed`, `seed` + 1, ..."""
    depth: str = "auto"
    """What estimates depth where kernels are to be estimated (`srkit.recipes.estimate.EstimateRecipe.depth`)."""
    max_pixels: int = 10**9
    prompt: str = ""
    """What the images show, in words, for networks that are conditioned on it."""
    strength: float | None = None
    """How much of what a perceptually trained network adds to the PSNR-trained one that it started from, 0 to 1; None:
    the network as it is."""
    denoise: float | None = None
    """From the network for light damage, 0, to that for strong damage, 1; None: the network as it is."""
    strip: bool = False
    """Write no metadata but the colour profile, and none of srkit's."""

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
            if share is not None and not 0 <= share <= 1:  # refuses nan as well
                raise UsageError(f"{name} is {share:g}; it must be from 0 to 1.")
        if not self.depth:
            raise UsageError("`depth` is empty; it must be auto, none, a provider's name or a folder.")

    @property
    def dials(self) -> dict[str, float]:
        """Those that are turned, by their names."""
        return {dial: share for dial in DIALS if (share := getattr(self, dial)) is not None}
