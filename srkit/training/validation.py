"""Scoring a network while it trains, on pictures that it never sees."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from srkit.data.pairs import crop_to_multiple, make_lr
from srkit.metrics.psnr import psnr
from srkit.ops.colour import luma_limited

LARGEST_SIDE = 512  # HR pixels: the middle of a picture is enough to choose by
_MOST_DB = 100.0  # for a picture that comes out without any error (a black one), lest it outweigh all others


def psnr_validator(
    pictures: Sequence[NDArray[np.uint8]], scale: int, device: torch.device, dtype: torch.dtype | None
) -> Callable[[nn.Module], float]:
    """A function that gives a network's mean PSNR (classical protocol) on the middles of the pictures."""
    pairs = [_tensors(_middle(picture, scale), scale, device) for picture in pictures]

    @torch.no_grad()
    def score(network: nn.Module) -> float:
        values = []
        for lr, hr in pairs:
            with torch.autocast(device.type, dtype, enabled=dtype is not None):
                sr = network(lr)
            sr = (sr.float().clamp(0, 1) * 255).round() / 255
            inner = (slice(None), slice(None), slice(scale, -scale), slice(scale, -scale))
            values.append(psnr(luma_limited(sr)[inner], luma_limited(hr)[inner]))
        return float(torch.cat(values).clamp(max=_MOST_DB).mean())

    return score


def _middle(picture: NDArray[np.uint8], scale: int) -> NDArray[np.uint8]:
    limit = LARGEST_SIDE // scale * scale
    top, left = (max(0, (side - limit) // 2) for side in picture.shape[:2])
    return crop_to_multiple(picture[top : top + limit, left : left + limit], scale)


def _tensors(hr: NDArray[np.uint8], scale: int, device: torch.device) -> tuple[Tensor, Tensor]:
    def tensor(picture: NDArray[np.uint8]) -> Tensor:
        x = torch.from_numpy(np.ascontiguousarray(picture)).permute(2, 0, 1)[None].to(device)
        return (x.float() / 255).contiguous(memory_format=torch.channels_last)

    return tensor(make_lr(hr, scale)), tensor(hr)
