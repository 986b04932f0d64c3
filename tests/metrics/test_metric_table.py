"""The table of metrics is whole, and names lead to it."""

from __future__ import annotations

import math
import subprocess
import sys

import pytest
import torch

from srkit.errors import ImageError, UsageError
from srkit.metrics.display import DISPLAY
from srkit.metrics.protocols import PROTOCOLS
from srkit.metrics.table import METRICS, Sample, Setup, find_metrics, lr_psnr
from srkit.ops.resize import downscale_uint8
from tests.helpers import refused

CPU = torch.device("cpu")


def test_every_metric_has_its_look() -> None:
    assert set(METRICS) == set(DISPLAY)
    assert METRICS["lpips"].display.lower_is_better
    assert not METRICS["psnr"].display.lower_is_better


def test_names() -> None:
    assert [m.name for m in find_metrics(["ssim", "psnr", "ssim"])] == ["ssim", "psnr"]
    with refused(UsageError, "pnsr", "psnr"):
        find_metrics(["pnsr"])
    with refused(UsageError, "psnr"):
        find_metrics([])


def test_lr_consistency() -> None:
    g = torch.Generator().manual_seed(0)
    sr = torch.randint(0, 256, (1, 3, 32, 48), generator=g, dtype=torch.uint8)
    lr = downscale_uint8(sr, 4)
    assert lr_psnr(sr, lr) == math.inf
    off = lr.clone()
    off[0, 0, 0, 0] ^= 1  # one step of 8 bit in one sample of 8 x 12 x 3
    assert lr_psnr(sr, off) == pytest.approx(10 * math.log10(255**2 * 8 * 12 * 3), abs=1e-9)


def test_metrics_with_reference_refuse_to_do_without() -> None:
    alone = Sample(torch.zeros(1, 3, 32, 32, dtype=torch.uint8), None, None, PROTOCOLS["rgb"], None)
    for name in ("psnr", "ssim", "lr_psnr", "judge"):
        with refused(UsageError):
            METRICS[name].make(Setup(CPU)).score(alone)


def test_judge_is_always_at_hand() -> None:
    scorer = METRICS["judge"].make(Setup(CPU))
    assert scorer.version is not None
    assert "sha256" in scorer.version
    g = torch.Generator().manual_seed(0)
    hr = torch.randint(0, 256, (1, 3, 32, 48), generator=g, dtype=torch.uint8)
    sample = Sample(hr, hr, None, PROTOCOLS["rgb"], 4)
    assert scorer.score(sample) == 0
    assert scorer.score(Sample(255 - hr, hr, None, PROTOCOLS["rgb"], 4)) > 0
    small = hr[..., :12]
    with refused(ImageError, "12 x 32", "judge", 16):
        scorer.score(Sample(small, small, None, PROTOCOLS["rgb"], 4))


def test_the_table_imports_no_network_package() -> None:
    """Each is imported only when its metric is asked for."""
    code = (
        "import sys, srkit.metrics.table; print(sorted({'lpips', 'pyiqa', 'torchvision'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
