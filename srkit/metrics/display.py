"""How metrics are shown to people."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Display:
    """How one metric is shown: its heading, its decimals, and which end of it is the good one."""

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
"""What `srkit adapt --self-supervised` judges by, which `srkit eval` does not know."""


def display(metric: str) -> Display:
    """How `metric` is shown; one that is not listed gets its name and four decimals."""
    return DISPLAY.get(metric) or MEASURES.get(metric) or Display(metric, 4)


def format_value(metric: str, value: float) -> str:
    """`31.29`, `inf` or `nan`."""
    return f"{value:.{display(metric).decimals}f}" if math.isfinite(value) else str(float(value))
