"""The numbers that the literature knows: bicubic upscaling under the classical protocol, on our copies of the sets."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from srkit.data.benchmarks import cropped_size, find_dataset, rgb8
from srkit.io.read import read_image
from srkit.metrics.protocols import PROTOCOLS, compared
from srkit.metrics.psnr import psnr
from srkit.metrics.ssim import ssim
from srkit.ops.resize import bicubic_uint8, downscale_uint8


def tensor(path: Path) -> torch.Tensor:
    return torch.from_numpy(rgb8(read_image(path))).permute(2, 0, 1)[None].contiguous()


def bicubic(root: Path, name: str, scale: int, *, with_ssim: bool = True) -> tuple[float, float]:
    values = []
    for item in find_dataset(name, root).pairs(scale):
        hr = tensor(item.hr)
        height, width = cropped_size(*hr.shape[2:], scale)
        hr = hr[..., :height, :width]
        lr = downscale_uint8(hr, scale) if item.lr is None else tensor(item.lr)
        sr = bicubic_uint8(lr, (height, width), scale=float(scale))
        pair = compared(sr, hr, PROTOCOLS["classical"], scale)
        values.append((float(psnr(*pair)), float(ssim(*pair)) if with_ssim else 0.0))
    return tuple(np.mean(values, axis=0).tolist())


@pytest.mark.data
@pytest.mark.parametrize(
    ("name", "scale", "known_psnr", "known_ssim"),
    [
        ("Set5", 2, 33.68, 0.9305),
        ("Set5", 4, 28.43, 0.8113),
        ("Set14", 4, 26.09, None),
        ("BSD100", 4, 25.96, 0.6682),
        ("Urban100", 4, 23.14, None),
    ],
)
def test_bicubic(data_root: Path, name: str, scale: int, known_psnr: float, known_ssim: float | None) -> None:
    found_psnr, found_ssim = bicubic(data_root, name, scale, with_ssim=known_ssim is not None)
    assert found_psnr == pytest.approx(known_psnr, abs=0.01)
    if known_ssim is not None:
        assert found_ssim == pytest.approx(known_ssim, abs=0.001)


@pytest.mark.data
def test_given_and_made_lr_are_the_same_images(data_root: Path) -> None:
    """MATLAB's own LR images, sample for sample: so a set without them loses nothing."""
    for item in find_dataset("Set5", data_root).pairs(4):
        assert item.lr is not None
        assert torch.equal(downscale_uint8(tensor(item.hr), 4), tensor(item.lr))
