"""Peak signal-to-noise ratio."""

from __future__ import annotations

import torch
from torch import Tensor

from srkit.errors import UsageError


def psnr(sr: Tensor, hr: Tensor) -> Tensor:
    """10 log10(1 / MSE) in float64 for images in [0, 1].

    Args:
        sr, hr: (N, C, H, W), same shape; colour space, border and rounding are left to the protocol.

    Returns:
        (N,) in decibel; infinity for identical images.

    Raises:
        UsageError: mismatched shapes.
    """
    if sr.shape != hr.shape:
        raise UsageError(
            f"PSNR was given shapes {tuple(sr.shape)} and {tuple(hr.shape)}; they must be the same."
        )
    mse = (sr.to(torch.float64) - hr.to(torch.float64)).square_().mean(dim=(1, 2, 3))
    return -10 * torch.log10(mse)
