"""Defocus: what is sharp, how blur grows with depth, and depth on the LR grid."""

from __future__ import annotations

import pytest
import torch

from srkit.degradation.defocus import defocus, on_lr_grid
from srkit.degradation.kernels import axes

RAMP = torch.linspace(0, 1, 11).view(1, 1, 1, 11)


def test_widths_grow_linearly_with_the_difference_of_inverse_depths() -> None:
    """Less that of the lens and the sensor, which is always there."""
    xx, xy, yy = defocus(RAMP, 0.3, 4, widest=8.0)[0, :, 0]
    assert torch.equal(xx, yy)
    assert float(xy.abs().max()) == 0
    assert float(xx[3]) == pytest.approx(0.7)
    assert float(xx[-1]) == pytest.approx(8.0)
    added = (xx - 0.7).clamp(min=0).sqrt()
    torch.testing.assert_close(added[3:].diff(), added[3:].diff()[:1].expand(7), atol=1e-4, rtol=0)
    torch.testing.assert_close(added[0], added[6], atol=1e-4, rtol=0)


def test_the_linear_law_is_linear_in_the_squared_width() -> None:
    xx = defocus(RAMP, 1.0, 2, law="linear")[0, 0, 0]
    torch.testing.assert_close(xx, 0.35 + (5.0 - 0.35) * (1 - RAMP.flatten()))


def test_each_image_has_its_own_lens() -> None:
    depth = RAMP.expand(2, -1, -1, -1)
    focus, aspect = torch.tensor([0.0, 1.0]), torch.tensor([1.0, 0.25])
    theta = torch.tensor([0.0, 1.0])
    covariance = defocus(depth, focus, 4, aspect=aspect, theta=theta)
    lam1, lam2, angle = axes(covariance.permute(0, 2, 3, 1))
    assert float(lam1[0, 0, 0]) == pytest.approx(0.7, abs=1e-3)
    assert float(lam1[1, 0, 0]) == pytest.approx(10.0, abs=1e-3)
    assert float(lam2[1, 0, 0]) == pytest.approx(0.7 + 9.3 / 4, abs=1e-3)
    assert float(angle[1, 0, 0]) == pytest.approx(1.0, abs=1e-3)


def test_depth_on_the_lr_grid_is_the_mean_normalised() -> None:
    depth = torch.arange(36.0).view(1, 1, 6, 6)
    small = on_lr_grid(depth, 3)
    means = torch.tensor([[7.0, 10.0], [25.0, 28.0]])
    torch.testing.assert_close(small[0, 0], (means - 7) / 21)
    assert torch.equal(on_lr_grid(torch.full((2, 1, 4, 4), 3.0), 2), torch.zeros(2, 1, 2, 2))
