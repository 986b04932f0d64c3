"""Mirrored extension against numpy's."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from srkit.ops.padding import extend, mirrored


@pytest.mark.parametrize("length", [1, 2, 5])
def test_mirrored_equals_numpy(length: int) -> None:
    reach = 3 * length + 2
    expected = np.pad(np.arange(length), reach, mode="symmetric")
    positions = torch.arange(-reach, length + reach)
    np.testing.assert_array_equal(mirrored(positions, length).numpy(), expected)


@pytest.mark.parametrize("size", [(4, 6), (5, 6), (4, 9), (17, 20)])
def test_extend(size: tuple[int, int]) -> None:
    x = torch.arange(24.0).view(1, 1, 4, 6)
    expected = np.pad(x.numpy(), ((0, 0), (0, 0), (0, size[0] - 4), (0, size[1] - 6)), mode="symmetric")
    np.testing.assert_array_equal(extend(x, *size).numpy(), expected)


def test_extend_leaves_what_fits() -> None:
    x = torch.rand(1, 3, 8, 8)
    assert extend(x, 8, 8) is x
    assert extend(x, 4, 4) is x
