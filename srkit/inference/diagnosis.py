"""What an image looks damaged by, and which networks suit it: `srkit upscale -m auto`."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from srkit.archs.diagnose import DiagnoseNetwork, blockiness, logits_of, luma_of, patches
from srkit.encoders.own import own_network
from srkit.inference.chain import Models
from srkit.io.image import DecodedImage
from srkit.progress import Progress
from srkit.recipes.upscale import UpscaleRecipe
from srkit.zoo.blend import without_pair
from srkit.zoo.load import find_family
from srkit.zoo.manifest import Manifest

NAME = "diagnose"
REPAIRING = "real"
"""The family that damaged images go to."""
LIGHTLY = 0.5
"""What the dials of that family stand at for damage that is not strong, where its models have pairs."""
THRESHOLD = 0.5
_FINE = 8  # side of the blocks that noise is measured in, in pixels of half the image's size

Verdict = Literal["clean", "damaged", "undetermined"]


@dataclass(frozen=True)
class Diagnosis:
    """What was found in an image, and chosen for it."""

    verdict: Verdict
    """undetermined: too small, or of one colour; no measure can judge it."""
    damage: float | None
    """0 to 1; from 0.5 on the image counts as damaged."""
    chosen: Literal["default", "real"]
    """Whose networks."""
    words: str
    """All this in words."""
    dials: dict[str, float] = field(default_factory=dict)
    """How those of the chosen networks stand, where they are turned."""
    jpeg_quality: int | None = None
    """By the file's tables, where it is a JPEG."""
    noise: float | None = None
    """Standard deviation of the finest detail in the flattest quarter, in levels of 8 bit."""
    blockiness: float | None = None
    """By how much steps between the blocks of a grid of 8 pixels exceed usual steps, as a multiple of these."""


class Look:
    """Looks at a bounded number of patches of each image, and chooses between the default networks and `real`'s.

    Args:
        recipe: its dials are for the networks that repair.
        device: where the network runs, in fp32.
        progress: shows downloads.

    Raises:
        UsageError: dials that no repairing model has a pair for.
        ResourceError: the weights are missing or damaged.
    """

    def __init__(self, recipe: UpscaleRecipe, device: torch.device, progress: Progress | None = None) -> None:
        self.default = Models("auto", progress)
        self._recipe, self._progress, self._device = recipe, progress, device
        self._network, _ = own_network(DiagnoseNetwork, NAME, NAME, NAME, device)
        self._repairing: dict[tuple[tuple[str, float], ...], Models] = {}
        names = find_family(REPAIRING).values()
        self._pairs = {dial for name in names for dial in Manifest.load().entry(name).pairs}
        for dial in recipe.dials:
            if dial not in self._pairs:
                raise without_pair("auto", dial)

    def __call__(self, image: DecodedImage) -> Diagnosis:
        """The diagnosis of an image; memory does not grow with its size."""
        seen = _seen(image).to(self._device)
        logits = logits_of(self._network, seen)
        quality = image.jpeg_quality
        if logits is None:
            why = "no measure can judge an image of this size or of one colour: the default networks"
            return Diagnosis("undetermined", None, "default", why, jpeg_quality=quality)
        damaged, strong = (float(value) for value in logits)
        share = round(1 / (1 + math.exp(-max(-30.0, min(30.0, damaged)))), 3)
        is_damaged = share >= THRESHOLD
        dials = self._dials(strong=strong > 0) if is_damaged else {}
        luma = luma_of(seen)
        noise, blocks = _noise(luma), round(float(blockiness(luma).mean()), 2)
        found = [f"noise {noise:g}", f"blockiness {blocks:g}"]
        found += [f"JPEG quality {quality}"] if quality is not None else []
        verdict: Verdict = "damaged" if is_damaged else "clean"
        chosen: Literal["default", "real"] = "real" if is_damaged else "default"
        turned = "".join(f", {dial} {value:g}" for dial, value in dials.items())
        words = f"{verdict}, damage {share:g} ({', '.join(found)}): the {chosen} networks{turned}"
        return Diagnosis(verdict, share, chosen, words, dials, quality, noise, blocks)

    def models(self, diagnosis: Diagnosis) -> Models:
        """The networks that were chosen; loaded when first needed, and each once.

        Raises:
            ResourceError: a model that is missing or damaged.
        """
        if diagnosis.chosen == "default":
            return self.default
        # At 1 a network is as it is.
        dials = tuple(sorted((dial, value) for dial, value in diagnosis.dials.items() if value < 1))
        if dials not in self._repairing:
            self._repairing[dials] = Models(REPAIRING, self._progress, dials=dict(dials))
        return self._repairing[dials]

    def _dials(self, *, strong: bool) -> dict[str, float]:
        """As the recipe says; else by how strong the damage is."""
        return self._recipe.dials or dict.fromkeys(sorted(self._pairs), 1.0 if strong else LIGHTLY)


def look_for(recipe: UpscaleRecipe, device: torch.device, progress: Progress | None = None) -> Look | None:
    """What chooses the networks of a recipe's images; None where they are named, or none that repairs is shipped.

    Raises:
        UsageError, ResourceError: as `Look`.
    """
    return Look(recipe, device, progress) if recipe.model == "auto" and find_family(REPAIRING) else None


def _seen(image: DecodedImage) -> Tensor:
    """(n, 3, h, w) in [0, 1]: patches of the colours in whole levels of 8 bit; what is transparent has their mean."""
    some = patches(image.pixels)
    if some.dtype != np.uint8:
        some = ((some.astype(np.uint32) + 128) // 257).astype(np.uint8)
    colour: NDArray[Any] = some[..., :1] if image.is_gray else some[..., :3]
    if image.has_alpha:
        shown = some[..., -1] > 0
        colour = colour.copy()
        for one, visible in zip(colour, shown, strict=True):
            one[~visible] = one[visible].mean(0).round() if visible.any() else 0
    x = torch.from_numpy(np.ascontiguousarray(colour)).permute(0, 3, 1, 2).float() / 255
    return x.expand(-1, 3, -1, -1).contiguous()


def _noise(luma: Tensor) -> float:
    """See `Diagnosis.noise`; of luma (n, 1, h, w)."""
    height, width = (side // 2 * 2 for side in luma.shape[2:])
    across = luma[:, :, :height, 0:width:2] - luma[:, :, :height, 1:width:2]
    fine = (across[:, :, ::2] - across[:, :, 1::2]) / 2
    blocks = F.avg_pool2d(fine.square(), _FINE).sqrt()
    return round(float(blocks.flatten().quantile(0.125)), 1)
