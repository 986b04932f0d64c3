"""Colour conversions, and colour under transparency."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from srkit.ops.colour import bleed, clamp_to_neighbours, luma_full, luma_limited

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


def test_the_image_is_not_written_to() -> None:
    for make in (luma_full, luma_limited):
        x = torch.rand(1, 3, 3, 3)
        before = x.clone()
        make(x)
        assert torch.equal(x, before)


RED = torch.tensor([0.9, 0.1, 0.2]).view(1, 3, 1, 1)


def _cut_out(height: int, width: int, box: tuple[slice, slice]) -> tuple[Tensor, Tensor]:
    """Red inside the box, black and transparent around it."""
    alpha = torch.zeros(1, 1, height, width)
    alpha[:, :, box[0], box[1]] = 1
    return RED * alpha, alpha


@pytest.mark.parametrize("size", [(16, 16), (13, 29), (1, 40), (37, 2)])
def test_transparent_pixels_take_the_only_colour_there_is(size: tuple[int, int]) -> None:
    colour, alpha = _cut_out(*size, (slice(0, 3), slice(0, 2)))
    filled = bleed(colour, alpha)
    torch.testing.assert_close(filled, RED.expand(1, 3, *size), atol=1e-4, rtol=0)


def test_visible_pixels_keep_their_colour() -> None:
    colour = torch.rand(1, 3, 15, 18, generator=torch.Generator().manual_seed(0))
    alpha = (torch.rand(1, 1, 15, 18, generator=torch.Generator().manual_seed(1)) > 0.5).float()
    filled = bleed(colour, alpha)
    visible = alpha.expand_as(colour) == 1
    assert torch.equal(filled[visible], colour[visible])
    hidden = ~visible
    assert not torch.equal(filled[hidden], colour[hidden])
    assert float(filled.min()) >= float(colour.min()) - 1e-5
    assert float(filled.max()) <= float(colour.max()) + 1e-5


def test_half_transparent_pixels_are_mixed_in_proportion() -> None:
    colour = RED.expand(1, 3, 9, 9).clone()
    alpha = torch.ones(1, 1, 9, 9)
    colour[:, :, 4, 4], alpha[:, :, 4, 4] = 0, 0.25
    # 8 visible red neighbours and itself, black, at a quarter: the mean is red times 8 / 8.25.
    expected = 0.75 * RED[0, :, 0, 0] * 8 / 8.25
    torch.testing.assert_close(bleed(colour, alpha)[0, :, 4, 4], expected, atol=1e-5, rtol=0)


def test_far_pixels_follow_the_nearer_side() -> None:
    colour = torch.zeros(1, 3, 64, 64)
    alpha = torch.zeros(1, 1, 64, 64)
    colour[:, 0, :, :4], colour[:, 2, :, -4:] = 1, 1
    alpha[:, :, :, :4], alpha[:, :, :, -4:] = 1, 1
    filled = bleed(colour, alpha)
    assert bool((filled[:, 0, :, :12] > 0.9).all())
    assert bool((filled[:, 2, :, -12:] > 0.9).all())


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_nothing_to_do(value: float) -> None:
    colour = torch.rand(1, 3, 6, 6)
    assert bleed(colour, torch.full((1, 1, 6, 6), value)) is colour


@pytest.mark.parametrize("reach", [1, 2])
def test_alpha_stays_between_its_neighbours(reach: int) -> None:
    lr = torch.zeros(1, 1, 12, 12)
    lr[:, :, :, 6:] = 1
    wild = torch.rand(1, 1, 48, 48, generator=torch.Generator().manual_seed(0)) * 3 - 1
    held = clamp_to_neighbours(wild, lr, reach)
    assert bool((held[..., : 4 * (6 - reach)] == 0).all())
    assert bool((held[..., 4 * (6 + reach) :] == 1).all())
    edge = held[..., 4 * (6 - reach) : 4 * (6 + reach)]
    assert torch.equal(edge, wild[..., 4 * (6 - reach) : 4 * (6 + reach)].clamp(0, 1))


def test_alpha_of_any_size() -> None:
    lr = torch.rand(1, 1, 5, 7, generator=torch.Generator().manual_seed(0))
    held = clamp_to_neighbours(torch.full((1, 1, 13, 16), 9.0), lr)
    assert held.shape == (1, 1, 13, 16)
    assert float(held.max()) == float(lr.max())
