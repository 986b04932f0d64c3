"""Pixel losses."""

from __future__ import annotations

from torch import Tensor


def l1(sr: Tensor, hr: Tensor) -> Tensor:
    """Mean absolute difference of images of the same shape, in fp32; a scalar."""
    return (sr.float() - hr.float()).abs().mean()


def l2(sr: Tensor, hr: Tensor) -> Tensor:
    """Mean squared difference of images of the same shape, in fp32; a scalar. What PSNR counts."""
    return (sr.float() - hr.float()).square().mean()
