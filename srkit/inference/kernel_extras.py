"""Estimation of kernels and depth for images without them, if their network is conditioned on these."""

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
    """Extras with a kernel map and the depth of its estimation."""
    depth = torch.from_numpy(kernels.depth).float()[None, None]
    return replace(extras, kernels=kernels, depth=depth)


def completion(
    recipe: UpscaleRecipe, models: Models, progress: Progress | None = None
) -> KernelExtras | None:
    """Estimator of kernels and depth for a recipe's networks; None if they are not conditioned on these.

    Raises:
        UsageError, ResourceError: as in `KernelExtras`.
    """
    return KernelExtras(recipe, progress) if CODES in models.own_conditions else None


class KernelExtras:
    """Estimator that adds kernels and depth to images, as `srkit estimate-kernel` does.

    Args:
        recipe: settings of device, precision, tiles, and `depth`.
        progress: display of downloads.

    Raises:
        UsageError: unknown depth provider.
        ResourceError: its weights are unavailable.
    """

    def __init__(self, recipe: UpscaleRecipe, progress: Progress | None = None) -> None:
        self._recipe = recipe
        device = pick_device(recipe.device)
        self._depth = depth_provider(recipe.depth, device, progress=progress)
        self._estimators: dict[int, KernelEstimator] = {}

    def estimator(self, model: LoadedModel) -> KernelEstimator:
        """Kernel estimator for a network, loaded once per scale.

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
        """Add kernels and depth to the extras of an image.

        Args:
            name: name of the image, for providers that find depths by name.

        Raises:
            SrkitError: as in `KernelEstimator.estimate`.
        """
        return with_map(extras, self.estimator(model).kernels(image, name))
