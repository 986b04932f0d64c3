"""Validation metrics for kernel estimators, kernel-conditioned SR and depth estimators."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from statistics import fmean

import torch
from torch import Tensor, nn

from srkit.data.pairs import Batch
from srkit.losses.maps import aligned_distance, kernel_distance
from srkit.metrics.psnr import psnr
from srkit.ops.layout import in_precision
from srkit.recipes.kernels import Target
from srkit.training.trainer import Measure

MEASURES: dict[Target, Measure] = {
    "kernels": Measure(
        "val_kernel_error", "held-out kernels are missed by {:.4f} (absolute, summed over the taps)", -1.0
    ),
    "picture": Measure("val_psnr", "{:.3f} dB on the held-out crops"),
    "depth": Measure("val_depth_error", "held-out aligned depth maps are missed by {:.4f}", -1.0),
}
"""Validation measures by the target of the recipe."""
_MAX_DB = 60.0  # limit for flat crops, which would outweigh all others


def batch_validator(
    batches: Sequence[Batch], target: Target, dtype: torch.dtype | None
) -> Callable[[nn.Module], float]:
    """Validation function: mean of the target's measure (`MEASURES`) over the batches, negative for errors.

    Args:
        dtype: autocast's; None: fp32.
    """
    scored = _SCORES[target]

    @torch.no_grad()
    def score(network: nn.Module) -> float:
        scores = []
        for batch in batches:
            with in_precision(batch.lr, dtype):
                found = network(batch.lr, **batch.conditions)
            scores.append(float(scored(found.float(), batch.hr)))
        return fmean(scores)

    return score


def _crops_psnr(sr: Tensor, hr: Tensor) -> Tensor:
    """Mean PSNR of RGB crops, rounded to 8 bit."""
    return psnr((sr.clamp(0, 1) * 255).round() / 255, hr).clamp_max(_MAX_DB).mean()


def _kernel_score(found: Tensor, true: Tensor) -> Tensor:
    return -kernel_distance(found, true)


def _depth_score(found: Tensor, true: Tensor) -> Tensor:
    return -aligned_distance(found, true)


_SCORES: dict[Target, Callable[[Tensor, Tensor], Tensor]] = {
    "kernels": _kernel_score,
    "picture": _crops_psnr,
    "depth": _depth_score,
}
