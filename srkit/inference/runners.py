"""Runners of loaded networks, with precision, tiles and conditions prepared once."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Literal

import torch

from srkit.conditioning.makers import Conditioning, ModelProviders
from srkit.engine.device import Dtype, pick_dtype
from srkit.engine.memory import auto_batch, auto_tile
from srkit.engine.runner import Runner, RunnerOptions
from srkit.progress import Progress
from srkit.zoo.loaded import LoadedModel


@dataclass(frozen=True)
class RunSettings:
    """Settings of a recipe for running networks."""

    device: torch.device
    dtype: Dtype = "auto"
    tile: int | Literal["auto", "off"] = "auto"
    overlap: int | Literal["auto"] = "auto"
    tta: bool = False


class Runners:
    """Runners of models, by name.

    Args:
        settings: settings of the runners.
        extras: fields of `srkit.conditioning.makers.Extras` that come with every image.
        progress: display of downloads.
    """

    def __init__(
        self, settings: RunSettings, extras: Collection[str] = (), progress: Progress | None = None
    ) -> None:
        self.settings, self._extras = settings, tuple(extras)
        self._providers = ModelProviders(settings.device, progress)
        self._conditionings: dict[str, Conditioning] = {}
        self._runners: dict[tuple[str, bool], Runner] = {}

    def conditioning(self, model: LoadedModel) -> Conditioning:
        """Conditioning of a model's network.

        Raises:
            UsageError, ResourceError: as in `ModelProviders.conditioning`.
        """
        if model.name not in self._conditionings:
            self._conditionings[model.name] = self._providers.conditioning(model, self._extras)
        return self._conditionings[model.name]

    def of(self, model: LoadedModel, depth: int = 8) -> Runner:
        """Engine's runner for a model.

        Args:
            depth: bits per sample of the images. A network whose output has reduced precision would posterise 16 bits,
                so `auto` is fp32 for them.

        Raises:
            UsageError: a precision that the network does not support, or a condition without a provider.
            ResourceError: the encoder of its training is unavailable.
        """
        exact = depth > 8 and not model.info.fp32_sum
        if (model.name, exact) not in self._runners:
            conditioning = self.conditioning(
                model
            )  # early, so that a missing provider is an error before any work
            options = self._options(model, conditioning, exact=exact)
            self._runners[model.name, exact] = Runner(model.network, model.info, options)
        return self._runners[model.name, exact]

    def _options(self, model: LoadedModel, conditioning: Conditioning, *, exact: bool) -> RunnerOptions:
        """Device, precision and tiles for a network; `exact`: everything in fp32, unless another precision is set."""
        settings, info = self.settings, model.info
        dtype = "fp32" if exact and settings.dtype == "auto" else settings.dtype
        overlap = settings.overlap if isinstance(settings.overlap, int) else model.overlap
        tile = self._tile(model, overlap, conditioning)
        return RunnerOptions(
            settings.device,
            pick_dtype(dtype, settings.device, info),
            tile,
            overlap,
            auto_batch(tile, overlap, settings.device) if tile else 1,
            settings.tta,
            may_halve=settings.tile == "auto",
            hold_flat=True,
            all_of_fp32=exact,
        )

    def _tile(self, model: LoadedModel, overlap: int, conditioning: Conditioning) -> int | None:
        settings = self.settings
        if settings.tile == "off" or model.info.tiling == "none":
            return None
        if isinstance(settings.tile, int):
            return settings.tile
        return auto_tile(model.network, model.info, overlap, settings.device, conditioning.blank)
