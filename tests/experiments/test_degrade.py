"""Degradation by known kernels: LR follows from its field, is deterministic, and does not depend on the strips."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from experiments import degrade as module
from experiments.degrade import KINDS, Degraded, degrade
from srkit.degradation.kernels import TAPS, from_map, moments
from srkit.degradation.pca import encode, kernel_basis
from srkit.degradation.spatially_variant import blur
from srkit.ops.layout import RGB
from srkit.ops.resize import downscale_uint8


def _depth(height: int, width: int) -> NDArray[np.float32]:
    y, x = np.mgrid[:height, :width].astype(np.float32)
    return np.asarray(y + 0.3 * x, dtype=np.float32)


def _degraded(hr: RGB, kind: str, scale: int = 4, **changes: object) -> Degraded:
    return degrade(hr, kind, scale, **{"depth": _depth(*hr.shape[:2]), **changes})  # type: ignore[arg-type]


@pytest.mark.parametrize("scale", [2, 4])
@pytest.mark.parametrize("kind", KINDS)
def test_lr_is_what_the_field_says(kind: str, scale: int, rendered: Callable[..., RGB]) -> None:
    hr = rendered(24 * scale, 20 * scale)
    made = _degraded(hr, kind, scale)
    kernels = made.field.rows(0, 24)
    assert kernels.shape == (1, TAPS, 24, 20)
    assert made.field.size == (24, 20)
    assert made.lr.shape == (24, 20, 3)
    torch.testing.assert_close(kernels.sum(1), torch.ones(1, 24, 20))
    expected = blur(torch.from_numpy(hr).permute(2, 0, 1)[None].float(), kernels, scale)
    difference = (torch.from_numpy(made.lr).permute(2, 0, 1) - expected[0].clamp(0, 255)).abs()
    inside = difference[:, 6:-6, 6:-6] if kind == "bicubic" else difference
    assert float(inside.max()) < (1.01 if kind == "bicubic" else 0.51)


@pytest.mark.parametrize("kind", KINDS)
def test_covariance_and_codes_are_those_of_the_kernels(kind: str, rendered: Callable[..., RGB]) -> None:
    field = _degraded(rendered(40, 40), kind).field
    kernels, basis = field.rows(0, 10), kernel_basis(4)
    torch.testing.assert_close(field.codes(basis), encode(kernels, basis))
    _, measured = moments(from_map(kernels))
    # Gaussian kernels are cut off by their window, which the covariance that was meant is not.
    torch.testing.assert_close(field.covariance(), measured.permute(0, 3, 1, 2), atol=0.5, rtol=0)


def test_bicubic_is_that_of_benchmarks(rendered: Callable[..., RGB]) -> None:
    hr = rendered(64, 64)
    expected = downscale_uint8(torch.from_numpy(hr).permute(2, 0, 1)[None], 4)[0].permute(1, 2, 0)
    np.testing.assert_array_equal(degrade(hr, "bicubic", 4).lr, expected.numpy())


@pytest.mark.parametrize("kind", ["mode4", "defocus", "motion"])
def test_strips_change_nothing(
    kind: str, rendered: Callable[..., RGB], monkeypatch: pytest.MonkeyPatch
) -> None:
    hr = rendered(80, 64)
    whole = _degraded(hr, kind)
    monkeypatch.setattr(module, "_STRIP", 3 * 16)
    np.testing.assert_array_equal(whole.lr, _degraded(hr, kind).lr)


def test_it_is_a_function_of_its_arguments(rendered: Callable[..., RGB]) -> None:
    hr = rendered(96, 96)
    one = _degraded(hr, "invariant", noise=5.0, seed=3)
    torch.manual_seed(99)
    np.testing.assert_array_equal(one.lr, _degraded(hr, "invariant", noise=5.0, seed=3).lr)
    other = _degraded(hr, "invariant", noise=5.0, seed=4)
    assert not torch.equal(one.field.covariance(), other.field.covariance())
    for kind in ("defocus", "motion", "mode5"):
        fields = [_degraded(hr, kind, seed=seed).field.covariance() for seed in (0, 1)]
        assert not torch.equal(*fields)


def test_noise_has_the_deviation_asked_for() -> None:
    hr: RGB = np.full((256, 256, 3), 128, dtype=np.uint8)
    lr = degrade(hr, "invariant", 2, noise=5.0).lr.astype(np.float64)
    assert lr.std() == pytest.approx(5.0, rel=0.02)
    assert abs(lr.mean() - 128) < 0.1


def test_defocus_is_sharp_where_it_is_focused_and_returns_the_depth(rendered: Callable[..., RGB]) -> None:
    made = _degraded(rendered(80, 80), "defocus")
    width = made.field.covariance()[:, :1]
    assert float(width.min()) == pytest.approx(0.7, abs=0.01)
    assert float(width.max()) == pytest.approx(10.0, abs=0.01)
    sharp = made.depth.flatten()[int(width.argmin())]
    farther = (made.depth - sharp).abs()
    order = farther.flatten().argsort()
    assert bool((width.flatten()[order].diff() >= -1e-4).all())
    assert float(degrade(rendered(80, 80), "motion", 4).depth.abs().max()) == 0
