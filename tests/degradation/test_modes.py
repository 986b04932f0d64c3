"""MANet's spatially variant modes: which eigenvalue goes where."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from srkit.degradation.kernels import SCALES, axes
from srkit.degradation.modes import MODES, mode_covariance


def _components(
    mode: str, scale: int = 4, height: int = 40, width: int = 60
) -> tuple[Tensor, Tensor, Tensor]:
    covariance = mode_covariance(mode, height, width, scale)
    assert covariance.shape == (1, 3, height, width)
    xx, xy, yy = covariance[0]
    return xx, xy, yy


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("mode", MODES)
def test_eigenvalues_stay_in_range(mode: str, scale: int) -> None:
    lam1, lam2, _ = axes(mode_covariance(mode, 41, 33, scale).permute(0, 2, 3, 1))
    assert float(lam2.min()) >= 0.175 * scale - 1e-4
    assert float(lam1.max()) <= 2.5 * scale + 1e-4


def test_kernels_are_constant_in_blocks_of_40() -> None:
    xx, _, _ = _components("mode5")
    blocks = xx.view(4, 10, 6, 10)
    assert torch.equal(blocks, blocks[:, :1, :, :1].expand(4, 10, 6, 10))
    assert len(set(xx.flatten().tolist())) == 24
    assert not torch.equal(xx, mode_covariance("mode5", 40, 60, 4, seed=1)[0, 0])
    assert len(set(_components("mode5", 3)[2].flatten().tolist())) == 3 * 5  # 120 x 180 HR pixels


def test_modes_1_and_2_grow() -> None:
    for mode in ("mode1", "mode2"):
        xx, xy, yy = _components(mode)
        assert float(xy.abs().max()) == 0
        torch.testing.assert_close(yy[::10, 0], 0.7 + 9.3 * torch.arange(4) / 4)
        assert torch.equal(yy, yy[:, :1].expand_as(yy))
        if mode == "mode1":
            torch.testing.assert_close(xx, torch.full_like(xx, 10.0))
        else:
            torch.testing.assert_close(xx[0, ::10], 0.7 + 9.3 * torch.arange(6) / 6)


def test_mode_3_turns_downwards() -> None:
    lam1, lam2, theta = axes(torch.stack(_components("mode3"), dim=-1))
    torch.testing.assert_close(lam1, torch.full_like(lam1, 10.0))
    torch.testing.assert_close(lam2, torch.full_like(lam2, 0.7))
    torch.testing.assert_close(theta[::10, 0], math.pi * torch.arange(4) / 4)


def test_mode_4_does_both() -> None:
    xx, xy, yy = _components("mode4")
    torch.testing.assert_close((xx + yy)[::10, 20], 0.7 + 9.3 * (torch.arange(4) / 4) + 0.7 + 9.3 / 3)
    assert float(xy[0].abs().max()) == 0
    assert float(xy[10].abs().max()) > 1


def test_mode_6_is_a_chessboard() -> None:
    _, xy, _ = _components("mode6")
    sign = xy.view(4, 10, 6, 10)[:, 0, :, 0].sign()
    rows, columns = torch.meshgrid(torch.arange(4), torch.arange(6), indexing="ij")
    assert torch.equal(sign, 1.0 - 2 * ((rows + columns) % 2))
