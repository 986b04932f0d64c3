"""What a low pass leaves, and how far it reaches."""

from __future__ import annotations

import pytest
import torch

from srkit.ops.wavelets import low_pass


def test_low_pass_leaves_what_is_coarse() -> None:
    flat = torch.full((1, 1, 40, 40), 0.3)
    torch.testing.assert_close(low_pass(flat, 4), flat)
    rows = torch.tensor([1.0, -1.0]).repeat(20)[None, None, :, None].expand(1, 1, 40, 40)
    assert float(low_pass(rows, 1)[:, :, 1:-1].abs().max()) == 0
    ramp = torch.arange(40.0).expand(1, 1, 40, 40)
    torch.testing.assert_close(low_pass(ramp, 2)[..., 4:-4], ramp[..., 4:-4])


def test_low_pass_reaches_as_far_as_its_taps() -> None:
    point = torch.zeros(1, 1, 65, 65)
    point[0, 0, 32, 32] = 1
    found = low_pass(point, 3)[0, 0]
    assert float(found.sum()) == pytest.approx(1)
    rows = found.sum(1).nonzero().flatten()
    assert (int(rows.min()), int(rows.max())) == (32 - 7, 32 + 7)
