"""Print and paper: tones stay, dots lie where the screen says, dust is sparse."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from srkit.degradation.filters import Library
from srkit.degradation.paper import halftone, paper

SIDE = 120


def _flat(*levels: float) -> Tensor:
    return torch.tensor(levels).view(1, -1, 1, 1).expand(1, 3, SIDE, SIDE).contiguous()


def _rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("library", ["opencv", "torch"])
@pytest.mark.parametrize("levels", [(0.5,), (0.1,), (0.85,), (0.2, 0.5, 0.7)])
@pytest.mark.parametrize("period", [2.5, 5.0])
def test_print_keeps_tones_and_has_dots(library: Library, levels: tuple[float, ...], period: float) -> None:
    x = _flat(*levels)
    printed = halftone(x, period, _rng(), library)
    assert 0 <= float(printed.min()) <= float(printed.max()) <= 1
    assert float((printed.mean((2, 3)) - x.mean((2, 3))).abs().max()) < 0.02
    assert float(printed.std()) > 0.02


def test_white_paper_has_no_dots_and_black_is_covered() -> None:
    for level in (0.0, 1.0):
        assert float((halftone(_flat(level), 4.0, _rng()) - level).abs().max()) < 0.002


def test_dots_have_the_period_asked_for() -> None:
    """A screen of gray at 45 degrees and period p has its first harmonics at 1/p, 45 degrees off the axes."""
    printed = halftone(_flat(0.5), 5.0, _rng())[0, 0]
    spectrum = torch.fft.fft2(printed - printed.mean()).abs()
    row, column = divmod(int(spectrum[: SIDE // 2].argmax()), SIDE)
    frequency = (row / SIDE, min(column, SIDE - column) / SIDE)
    assert abs((frequency[0] ** 2 + frequency[1] ** 2) ** 0.5 - 1 / 5) < 0.01


def test_gray_is_printed_in_black_and_colour_in_three_screens() -> None:
    gray, coloured = halftone(_flat(0.5), 4.0, _rng()), halftone(_flat(0.3, 0.5, 0.6), 4.0, _rng())
    assert float((gray - gray.mean(1, keepdim=True)).abs().max()) < 1e-6
    waves = coloured[0].flatten(1) - coloured[0].flatten(1).mean(1, keepdim=True)
    assert float(torch.corrcoef(waves).sub(torch.eye(3)).abs().max()) < 0.3


def test_paper_has_texture_where_ink_is_thin_and_little_dust() -> None:
    white, black = (paper(_flat(level), 6.0, _rng(3)) for level in (0.9, 0.1))
    assert 4 / 255 < float(torch.quantile((white - white.median()).abs().flatten(), 0.68)) < 8 / 255
    assert float((black - 0.1).abs().median()) < 0.6 * float((white - 0.9).abs().median())
    dusty = [(paper(_flat(0.5), 2.0, _rng(n)) - 0.5).abs().amax(1).gt(0.2).float().mean() for n in range(20)]
    assert 0 < float(torch.stack(dusty).mean()) < 0.01
