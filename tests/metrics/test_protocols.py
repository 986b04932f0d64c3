"""PSNR and the protocols: against plain NumPy, and the ways in which protocols differ."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from srkit.errors import ImageError, UsageError
from srkit.metrics.protocols import PROTOCOLS, compared, find_protocol, to_8bit
from srkit.metrics.psnr import psnr
from srkit.ops.colour import luma_full, luma_limited
from tests.helpers import refused

CLASSICAL = PROTOCOLS["classical"]


def images(height: int = 60, width: int = 48, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    g = torch.Generator().manual_seed(seed)
    hr = torch.randint(0, 256, (1, 3, height, width), generator=g, dtype=torch.uint8)
    sr = (hr.float() / 255 + 0.05 * torch.randn(hr.shape, generator=g)).clamp(0, 1)
    return sr, hr


@pytest.mark.parametrize(
    ("name", "border"), [("classical", 4), ("rgb", 4), ("div2k", 10), ("ntire", 4), ("real", 4)]
)
def test_psnr_under_every_protocol_is_the_definition(name: str, border: int) -> None:
    sr, hr = images()
    rounded = np.rint(sr[0].numpy().astype(np.float64) * 255)
    reference = hr[0].numpy().astype(np.float64)
    if name in ("classical", "real"):
        weights = np.array([65.481, 128.553, 24.966]) / 255
        rounded, reference = (16 + np.tensordot(weights, x, 1)[None] for x in (rounded, reference))
    inner = (..., slice(border, -border), slice(border, -border))
    mse = np.mean((rounded[inner] - reference[inner]) ** 2)
    expected = 10 * math.log10(255**2 / mse)
    protocol = find_protocol(name)
    assert protocol.border(4) == border
    assert float(psnr(*compared(sr, hr, protocol, 4))) == pytest.approx(expected, abs=1e-9)


def test_full_range_luma_reads_1_32_db_lower_than_limited_range() -> None:
    """Limited range squeezes luma into 219 of 255 steps: 20 log10(255 / 219) = 1.32 dB.

    So a number taken on full-range Y (pyiqa's YIQ, PIL's YCbCr) must not stand beside published ones.
    """
    sr, hr = (to_8bit(x) for x in images())
    limited, full = (float(psnr(luma(sr), luma(hr))) for luma in (luma_limited, luma_full))
    assert limited - full == pytest.approx(20 * math.log10(255 / 219), abs=1e-3)
    assert limited - full == pytest.approx(1.32, abs=0.005)


def test_colour_protocols_differ_from_luma() -> None:
    sr, hr = images()
    by_name = {name: float(psnr(*compared(sr, hr, p, 4))) for name, p in PROTOCOLS.items()}
    assert by_name["rgb"] == by_name["ntire"]
    assert by_name["classical"] == by_name["real"]  # both leave out 4 pixels at x4
    assert by_name["classical"] > by_name["rgb"] + 1
    assert by_name["div2k"] != by_name["rgb"]


def test_border_of_real_does_not_follow_the_scale() -> None:
    assert [PROTOCOLS["real"].border(s) for s in (2, 3, 4)] == [4, 4, 4]
    assert [PROTOCOLS["div2k"].border(s) for s in (2, 3, 4)] == [8, 9, 10]


def test_identical_images_are_infinitely_good() -> None:
    _, hr = images()
    assert float(psnr(*compared(hr, hr, CLASSICAL, 4))) == math.inf


def test_symmetric_and_independent_of_the_batch() -> None:
    parts = [images(seed=s) for s in range(3)]
    sr, hr = (torch.cat(x) for x in zip(*parts, strict=True))
    a, b = compared(sr, hr, CLASSICAL, 4)
    assert torch.equal(psnr(a, b), psnr(b, a))
    alone = torch.cat([psnr(*compared(s, h, CLASSICAL, 4)) for s, h in parts])
    torch.testing.assert_close(psnr(a, b), alone, rtol=0, atol=1e-12)


@pytest.mark.cuda
def test_cuda_gives_the_same_number() -> None:
    sr, hr = (to_8bit(x) for x in images())
    on_cuda = psnr(*compared(sr.cuda(), hr.cuda(), CLASSICAL, 4)).cpu()
    torch.testing.assert_close(on_cuda, psnr(*compared(sr, hr, CLASSICAL, 4)), rtol=0, atol=1e-9)


def test_rounding_to_8_bit() -> None:
    values = torch.tensor([-0.2, 0.0, 0.4 / 255, 0.6 / 255, 1.0, 1.3]).view(1, 1, 1, 6)
    assert to_8bit(values).flatten().tolist() == [0, 0, 0, 1, 255, 255]


def test_luma_of_uint8_is_luma_of_its_fraction() -> None:
    _, hr = images()
    for luma in (luma_limited, luma_full):
        torch.testing.assert_close(luma(hr), luma(hr.double() / 255), rtol=0, atol=1e-15)


def test_refuses_with_a_sentence() -> None:
    sr, hr = images()
    with refused(UsageError, "clasical", "classical"):
        find_protocol("clasical")
    with refused(ImageError, "47 x 60", "48 x 60"):
        compared(sr[..., :47], hr, CLASSICAL, 4)
    with refused(ImageError, "18 x 60", 19):
        compared(sr[..., :18], hr[..., :18], CLASSICAL, 4)
    with refused(ImageError):
        compared(sr * torch.nan, hr, CLASSICAL, 4)
    assert compared(sr[..., :19], hr[..., :19], CLASSICAL, 4)[0].shape == (1, 1, 52, 11)
