"""Luma against the published constants."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from srkit.ops.colour import luma_full, luma_limited

# MATLAB's rgb2ycbcr of doubles in [0, 1]: Y of black, white, the primaries.
LIMITED = {
    (0, 0, 0): 16,
    (255, 255, 255): 235,
    (255, 0, 0): 81.481,
    (0, 255, 0): 144.553,
    (0, 0, 255): 40.966,
}


def _pixel(rgb: tuple[int, int, int]) -> torch.Tensor:
    return torch.tensor(rgb, dtype=torch.uint8).view(1, 3, 1, 1)


@pytest.mark.parametrize(("rgb", "luma"), LIMITED.items())
def test_limited_range(rgb: tuple[int, int, int], luma: float) -> None:
    from_bytes = luma_limited(_pixel(rgb))
    assert from_bytes.dtype == torch.float64
    assert float(from_bytes) * 255 == pytest.approx(luma, abs=1e-9)
    from_floats = luma_limited(_pixel(rgb).float() / 255)
    assert from_floats.dtype == torch.float32
    assert float(from_floats) * 255 == pytest.approx(luma, abs=1e-4)


@pytest.mark.parametrize("make", [luma_limited, luma_full])
def test_every_layout_of_bytes_gives_the_weighted_sum(make: Callable[[torch.Tensor], torch.Tensor]) -> None:
    rng = torch.Generator().manual_seed(0)
    interleaved = torch.randint(0, 256, (2, 150, 41, 3), generator=rng, dtype=torch.uint8).permute(0, 3, 1, 2)
    expected = make(interleaved.double() / 255)
    for rgb in (interleaved, interleaved.contiguous()):
        torch.testing.assert_close(make(rgb), expected, rtol=0, atol=1e-15)
        torch.testing.assert_close(make(rgb[..., 4:-4, 3:-2]), expected[..., 4:-4, 3:-2], rtol=0, atol=1e-15)


def test_full_range() -> None:
    grey = torch.full((2, 3, 4, 5), 0.3)
    torch.testing.assert_close(luma_full(grey), torch.full((2, 1, 4, 5), 0.3))
    assert float(luma_full(_pixel((255, 0, 0)))) == pytest.approx(0.299, abs=1e-12)
    assert float(luma_full(_pixel((0, 255, 0)))) == pytest.approx(0.587, abs=1e-12)
    assert float(luma_full(_pixel((0, 0, 255)))) == pytest.approx(0.114, abs=1e-12)


def test_the_picture_is_not_written_to() -> None:
    for make in (luma_full, luma_limited):
        x = torch.rand(1, 3, 3, 3)
        before = x.clone()
        make(x)
        assert torch.equal(x, before)
