"""Display of metrics."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Display:
    """Display of a metric: heading, number of decimals, and direction."""

    label: str
    decimals: int
    lower_is_better: bool = False


DISPLAY: Mapping[str, Display] = {
    "psnr": Display("PSNR", 2),
    "ssim": Display("SSIM", 4),
    "lpips": Display("LPIPS", 4, lower_is_better=True),
    "judge": Display("judge", 4, lower_is_better=True),
    "niqe": Display("NIQE", 3, lower_is_better=True),
    "musiq": Display("MUSIQ", 2),
    "lr_psnr": Display("LR PSNR", 2),
}
MEASURES: Mapping[str, Display] = {
    "reconstruction": Display("L_rec", 4, lower_is_better=True),
    "neutral": Display("L_rec alike", 4, lower_is_better=True),
    "far": Display("FAR", 4, lower_is_better=True),
}
"""Measures used by `srkit adapt --self-supervised`, but not by `srkit eval`."""


def display(metric: str) -> Display:
    """Display of `metric`; unlisted ones have their name and four decimals."""
    return DISPLAY.get(metric) or MEASURES.get(metric) or Display(metric, 4)


def format_value(metric: str, value: float) -> str:
    """Format a value, as `31.29`, `inf` or `nan`."""
    return f"{value:.{display(metric).decimals}f}" if math.isfinite(value) else str(float(value))
