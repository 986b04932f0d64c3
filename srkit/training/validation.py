"""Scoring of a network on held-out images during training."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from statistics import fmean

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from srkit.conditioning.makers import NO_EXTRAS, UNCONDITIONED, Conditioning, Extras
from srkit.conditioning.values import part_of
from srkit.data.pairs import Batch, crop_to_multiple, make_lr
from srkit.metrics.psnr import psnr
from srkit.ops.colour import luma_limited
from srkit.ops.layout import as_tensor, in_precision

LARGEST_SIDE = 512  # side of the centre crop in HR pixels, which suffices for model selection
Lower = Callable[[NDArray[np.uint8], int], NDArray[np.uint8]]
"""Function from HR (scale h, scale w, 3) and its index, which seeds the degradation, to LR (h, w, 3)."""
_MAX_DB = 100.0  # limit for images without any error (black ones), which would outweigh all others


def psnr_validator(
    images: Sequence[NDArray[np.uint8]],
    scale: int,
    device: torch.device,
    dtype: torch.dtype | None,
    conditioning: Conditioning = UNCONDITIONED,
    lower: Lower | None = None,
    extras: Sequence[Extras] = (),
) -> Callable[[nn.Module], float]:
    """Validation function: mean PSNR of a network (classical protocol) on the centres of the images.

    Conditions are those of the whole images.

    Args:
        lower: makes LR, once per image in this call; None: bicubic, as for the benchmarks.
        extras: additional inputs of each image; empty: none.
    """
    made = lower or (lambda image, number: make_lr(image, scale))
    batches = [
        _middle(image, number, scale, device, conditioning, made, extras[number] if extras else NO_EXTRAS)
        for number, image in enumerate(images)
    ]

    def score(network: nn.Module) -> float:
        return fmean(psnr_of(network, batch, scale, dtype) for batch in batches)

    return score


@torch.no_grad()
def psnr_of(network: nn.Module, batch: Batch, scale: int, dtype: torch.dtype | None) -> float:
    """PSNR of a network (classical protocol) on a batch of one image, at most 100 dB; `dtype` is autocast's."""
    with in_precision(batch.lr, dtype):
        sr = network(batch.lr, **batch.conditions)
    sr = (sr.float().clamp(0, 1) * 255).round() / 255
    inner = (slice(None), slice(None), slice(scale, -scale), slice(scale, -scale))
    return min(_MAX_DB, float(psnr(luma_limited(sr)[inner], luma_limited(batch.hr)[inner])))


def _middle(
    image: NDArray[np.uint8],
    number: int,
    scale: int,
    device: torch.device,
    conditioning: Conditioning,
    lower: Lower,
    extras: Extras,
) -> Batch:
    """Centre crop of an image, aligned to LR pixels."""
    whole = crop_to_multiple(image, scale)
    limit = LARGEST_SIDE // scale * scale
    top, left = (max(0, (side - limit) // 2 // scale * scale) for side in whole.shape[:2])
    middle = whole[top : top + limit, left : left + limit]
    lr = as_tensor(lower(middle, number), device)
    conditions: dict[str, Tensor] = {}
    if conditioning.names:
        low = lower(whole, number)
        rows, columns = (
            slice(first // scale, first // scale + side)
            for side, first in zip(lr.shape[2:], (top, left), strict=True)
        )
        conditions = part_of(conditioning(low, extras), (low.shape[0], low.shape[1]), rows, columns, device)
    return Batch(lr, as_tensor(middle, device), conditions)
