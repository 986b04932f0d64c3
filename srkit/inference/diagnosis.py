"""Diagnosis of an image's damage, and choice of networks by it: `srkit upscale -m auto`."""

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
"""Family of networks for damaged images."""
LIGHT = {"denoise": 0.5}
"""Values of that family's dials for light damage, where its models have such a pair; for strong damage 1."""
THRESHOLD = 0.5
_FINE = 8  # side of the blocks for noise measurement, in pixels at half resolution

Verdict = Literal["clean", "damaged", "undetermined"]


@dataclass(frozen=True)
class Diagnosis:
    """Diagnosis of an image, and the choice of networks for it."""

    verdict: Verdict
    """Verdict; undetermined if the image is too small or of one colour."""
    damage: float | None
    """Probability of damage, 0 to 1; from 0.5 on the image counts as damaged."""
    chosen: Literal["default", "real"]
    """Networks chosen."""
    words: str
    """Summary as text."""
    dials: dict[str, float] = field(default_factory=dict)
    """Values of the chosen networks' dials, if they are set."""
    jpeg_quality: int | None = None
    """Quality by the file's quantisation tables, for a JPEG."""
    noise: float | None = None
    """Standard deviation of the finest detail in the flattest quarter, in levels of 8 bit."""
    blockiness: float | None = None
    """Excess of steps between 8-pixel blocks over usual steps, relative to these."""


class Look:
    """Diagnosis of images by a bounded number of patches, and choice between the default networks and `real`'s.

    Args:
        recipe: recipe, whose dials are for the restoring networks.
        device: device of the network, which runs in fp32.
        progress: display of downloads.

    Raises:
        UsageError: dials that no restoring model has a pair for.
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
        """Diagnose an image; memory is bounded for any size."""
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
        """Chosen networks; each is loaded once, when first needed.

        Raises:
            ResourceError: a model is missing or damaged.
        """
        if diagnosis.chosen == "default":
            return self.default
        # At 1 a network is unchanged.
        dials = tuple(sorted((dial, value) for dial, value in diagnosis.dials.items() if value < 1))
        if dials not in self._repairing:
            self._repairing[dials] = Models(REPAIRING, self._progress, dials=dict(dials))
        return self._repairing[dials]

    def _dials(self, *, strong: bool) -> dict[str, float]:
        """Dials of the recipe, else by the strength of the damage."""
        usual = {dial: 1.0 if strong else value for dial, value in LIGHT.items() if dial in self._pairs}
        return self._recipe.dials or usual


def look_for(recipe: UpscaleRecipe, device: torch.device, progress: Progress | None = None) -> Look | None:
    """Diagnosis for a recipe's images; None if the recipe names its networks, or no restoring network is shipped.

    Raises:
        UsageError, ResourceError: as in `Look`.
    """
    return Look(recipe, device, progress) if recipe.model == "auto" and find_family(REPAIRING) else None


def _seen(image: DecodedImage) -> Tensor:
    """Colour patches (n, 3, h, w) in [0, 1], in integer levels of 8 bit; transparent pixels get the mean colour."""
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
    """Noise as in `Diagnosis.noise`, of luma (n, 1, h, w)."""
    height, width = (side // 2 * 2 for side in luma.shape[2:])
    across = luma[:, :, :height, 0:width:2] - luma[:, :, :height, 1:width:2]
    fine = (across[:, :, ::2] - across[:, :, 1::2]) / 2
    blocks = F.avg_pool2d(fine.square(), _FINE).sqrt()
    return round(float(blocks.flatten().quantile(0.125)), 1)
