"""Kernels and depth for images that came without: networks that are conditioned on them estimate them first."""

from __future__ import annotations

from dataclasses import replace

import torch

from srkit.conditioning.makers import CODES, Extras
from srkit.encoders.depth import depth_provider
from srkit.engine.device import pick_device
from srkit.inference.chain import Models
from srkit.inference.kernel_estimator import KernelEstimator
from srkit.io.image import DecodedImage
from srkit.io.kernel_map import KernelMap
from srkit.progress import Progress, Silent
from srkit.recipes.estimate import EstimateRecipe
from srkit.recipes.upscale import UpscaleRecipe
from srkit.zoo.loaded import LoadedModel


def with_map(extras: Extras, kernels: KernelMap) -> Extras:
    """Extras with a kernel map, and the depth that it was estimated with."""
    depth = torch.from_numpy(kernels.depth).float()[None, None]
    return replace(extras, kernels=kernels, depth=depth)


def completion(
    recipe: UpscaleRecipe, models: Models, progress: Progress | None = None
) -> KernelExtras | None:
    """What estimates kernels and depth for a recipe's networks; None where they are not conditioned on them.

    Raises:
        UsageError, ResourceError: as `KernelExtras`.
    """
    return KernelExtras(recipe, progress) if CODES in models.own_conditions else None


class KernelExtras:
    """Fills in the kernels and the depth of images, as `srkit estimate-kernel` finds them.

    Args:
        recipe: device, precision, tiles, and `depth`.
        progress: shows downloads.

    Raises:
        UsageError: a depth provider that there is none of.
        ResourceError: its weights are unavailable.
    """

    def __init__(self, recipe: UpscaleRecipe, progress: Progress | None = None) -> None:
        self._recipe = recipe
        device = pick_device(recipe.device)
        self._depth = depth_provider(recipe.depth, device, progress=progress)
        self._estimators: dict[int, KernelEstimator] = {}

    def estimator(self, model: LoadedModel) -> KernelEstimator:
        """The estimator of kernels for a network; loaded once for each scale.

        Raises:
            ResourceError: its weights are unavailable.
        """
        recipe, scale = self._recipe, model.info.scale
        if scale not in self._estimators:
            wanted = EstimateRecipe(
                scale=scale,
                tile=recipe.tile,
                device=recipe.device,
                dtype=recipe.dtype,
                threads=recipe.threads,
                seed=recipe.seed,
            )
            self._estimators[scale] = KernelEstimator(wanted, Silent(), self._depth)
        return self._estimators[scale]

    def __call__(self, extras: Extras, image: DecodedImage, model: LoadedModel, name: str | None) -> Extras:
        """The extras of an image, with kernels and depth.

        Args:
            name: by which a provider that has depths by name finds this image's.

        Raises:
            SrkitError: as `KernelEstimator.estimate`.
        """
        return with_map(extras, self.estimator(model).kernels(image, name))
