"""DKENet on images of any size, window by window."""

from __future__ import annotations

import copy

import torch
from torch import Tensor

from srkit.archs.dkenet import DKENet
from srkit.conditioning.makers import Conditioning
from srkit.degradation.kernels import RADIUS, SIZE
from srkit.engine.device import pick_dtype
from srkit.engine.memory import SMALLEST_TILE, auto_tile, is_out_of_memory, release_cached
from srkit.engine.tiling import TilePlan, cut, plan_tiles
from srkit.errors import ResourceError, SrkitError
from srkit.ops.layout import channels_last
from srkit.recipes.estimate import EstimateRecipe
from srkit.zoo.loaded import LoadedModel


class KernelTiles:
    """DKENet on images of any size, which keeps only codes and moments of the kernels.

    Args:
        model: weights of DKENet.
        recipe: settings of precision and tile.
        device: device of the network.
        basis: (K, 21, 21), basis of the codes.

    Raises:
        UsageError: a precision that the network does not support.
        ResourceError: weights of another network.
    """

    def __init__(
        self, model: LoadedModel, recipe: EstimateRecipe, device: torch.device, basis: Tensor
    ) -> None:
        self._model, self._device = model, device
        self.dtype = pick_dtype(recipe.dtype, device, model.info)
        self._exact = _estimating(model)
        self._network = _placed(self._exact, device, self.dtype)
        self._measured = torch.cat([basis, _moment_weights()])
        self._tile, self._may_halve = self._chosen_tile(recipe), recipe.tile == "auto"

    def __call__(self, lr: Tensor, depth: Tensor, warnings: list[str]) -> Tensor:
        """Codes and moments (K + 5, h, w), float32 on the CPU, of a whole image (1, 3, h, w) and its depth."""
        while True:
            plan = self._plan(lr.shape[2], lr.shape[3])
            try:
                return self._run(plan, lr, depth, warnings)
            except (RuntimeError, MemoryError) as error:
                if not is_out_of_memory(error):
                    raise
            release_cached(self._device)
            now = self._tile or max(plan.extended)
            if not self._may_halve or now // 2 < SMALLEST_TILE:
                raise SrkitError(
                    f"Memory ran out with a tile of {now} pixels; use a smaller `tile`, or `device` cpu if this was "
                    "a GPU."
                )
            self._tile = now // 2
            warnings.append(f"memory ran out: the tile was reduced to {self._tile}")

    def _run(self, plan: TilePlan, lr: Tensor, depth: Tensor, warnings: list[str]) -> Tensor:
        result = torch.empty(len(self._measured), plan.height, plan.width)
        for window in plan.windows:
            rows, columns = window.rows, window.columns
            # A plan may exceed an odd side; the cut does not, and the network pads it.
            found = self._window(cut(lr, window), cut(depth, window), warnings)
            bottom, right = min(rows.own_stop, plan.height), min(columns.own_stop, plan.width)
            result[:, rows.own_start : bottom, columns.own_start : right] = found[
                0,
                :,
                rows.own_start - rows.start : bottom - rows.start,
                columns.own_start - columns.start : right - columns.start,
            ]
        return result

    def _window(self, lr: Tensor, depth: Tensor, warnings: list[str]) -> Tensor:
        """Codes and moments (1, K + 5, h, w) of a window, recomputed in fp32 if not finite."""
        lr, depth = lr.to(self._device, memory_format=torch.channels_last), depth.to(self._device)
        found = self._network.codes(lr, depth, self._measured).cpu()
        if not bool(found.sum().isfinite()) and self.dtype != torch.float32:
            warnings.append("kernels were not finite in reduced precision and were estimated again in fp32")
            found = _placed(self._exact, self._device, torch.float32).codes(lr, depth, self._measured).cpu()
        if not bool(found.sum().isfinite()):
            raise SrkitError(
                f"The kernels of '{self._model.name}' are not finite, so its weights or the depth are damaged; choose "
                "another model."
            )
        return found

    def _plan(self, height: int, width: int) -> TilePlan:
        info = self._model.info
        return plan_tiles(
            height,
            width,
            tile=self._tile,
            overlap=self._model.overlap,
            multiple=info.multiple_of,
            min_size=info.min_size,
            fit=self._device.type == "cpu",
        )

    def _chosen_tile(self, recipe: EstimateRecipe) -> int | None:
        if recipe.tile == "off":
            return None
        if isinstance(recipe.tile, int):
            return recipe.tile
        info = self._model.info
        conditioning = Conditioning(info.conditioning, given=("depth",))
        return auto_tile(self._exact, info, self._model.overlap, self._device, conditioning.blank)


def _estimating(model: LoadedModel) -> DKENet:
    if not isinstance(model.network, DKENet):
        raise ResourceError(
            f"'{model.path}' holds weights of the network '{model.architecture}'; expected 'dkenet'."
        )
    return model.network


def _placed(network: DKENet, device: torch.device, dtype: torch.dtype) -> DKENet:
    return channels_last(copy.deepcopy(network).requires_grad_(False).eval(), device, dtype)


def _moment_weights() -> Tensor:
    """Weights (5, 21, 21) whose products with a kernel are its moments x, y, xx, xy, yy about the middle tap."""
    offset = torch.arange(SIZE, dtype=torch.float32) - RADIUS
    y, x = torch.meshgrid(offset, offset, indexing="ij")
    return torch.stack([x, y, x * x, x * y, y * y])
