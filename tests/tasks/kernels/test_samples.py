"""The kernels that stand for a map: of all widths, from where they are known, and apart from one another."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import pytest

from srkit.inference.kernel_summary import kernel_widths
from srkit.io.kernel_map import KernelMap
from srkit.tasks.kernels.samples import sample_kernels


def made(widths: Any, confidence: Any) -> KernelMap:
    """Round kernels of such widths; their codes are the widths too."""
    widths, confidence = np.asarray(widths, np.float32), np.asarray(confidence, np.float32)
    return KernelMap(
        codes=widths[None],
        basis=np.full((1, 21, 21), 1 / 441, np.float32),
        covariance=np.stack([widths**2, 0 * widths, widths**2]),
        confidence=confidence,
        depth=np.zeros_like(widths),
        scale=4,
    )


def test_samples_are_of_all_widths() -> None:
    widths = np.random.default_rng(0).permutation(np.linspace(1, 9, 40 * 60)).reshape(40, 60)
    mean, *samples = sample_kernels(made(widths, np.ones((40, 60))), 8)
    assert (mean.label, mean.place) == ("mean", None)
    np.testing.assert_allclose(mean.covariance[0], (widths**2).mean(), rtol=1e-4)
    assert [s.label for s in samples] == list("12345678")
    for i, sample in enumerate(samples):
        assert sample.place is not None
        assert 1 + i <= widths[sample.place] <= 2 + i
        assert sample.covariance[0] == pytest.approx(widths[sample.place] ** 2, rel=1e-4)
        assert sample.kernel.sum() == pytest.approx(1)
    for a, b in itertools.combinations([s.place for s in samples if s.place], 2):
        assert math.dist(a, b) >= 0.12 * 40


def test_what_is_not_known_counts_for_nothing() -> None:
    widths = np.linspace(1, 9, 50) * np.ones((30, 1))
    confidence = np.where(np.arange(50) < 25, 0.5, 0.0) * np.ones((30, 1))
    confidence[3, 24] = 1
    kernels = made(widths, confidence)
    mean, *samples = sample_kernels(kernels, 8)
    places = [s.place for s in samples]
    assert all(place is not None and place[1] < 25 for place in places)
    assert places[-1] == (3, 24)
    found = kernel_widths(kernels)
    assert mean.covariance[0] == pytest.approx(np.average(found**2, weights=confidence), rel=1e-4)


@pytest.mark.parametrize(("size", "count"), [((1, 1), 1), ((1, 3), 3), ((5, 4), 8)], ids=str)
@pytest.mark.parametrize("confidence", [0.0, 0.7])
def test_small_images_give_what_they_have(size: tuple[int, int], count: int, confidence: float) -> None:
    widths = np.linspace(1, 2, math.prod(size)).reshape(size)
    _, *samples = sample_kernels(made(widths, np.full(size, confidence)), 8)
    places = [s.place for s in samples]
    assert len(places) == len(set(places)) == count
