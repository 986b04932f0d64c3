"""JPEG in PyTorch against OpenCV's, which is the reference."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor

from srkit.degradation.jpeg import differentiable_jpeg, jpegs, webp
from srkit.io.codecs import through_jpeg
from srkit.ops.layout import RGB


def _tensor(image: RGB) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(image)).permute(2, 0, 1)[None].float() / 255


def _psnr(one: Tensor, other: Tensor) -> float:
    return float(-10 * torch.log10((one - other).square().mean()))


@pytest.mark.parametrize("quality", [10, 30, 49, 50, 75, 95, 100])
def test_pytorch_s_does_what_opencv_s_does(quality: int, rendered: Callable[..., RGB]) -> None:
    for height, width in ((160, 176), (61, 45)):
        x = _tensor(rendered(height, width))
        one, other = (jpegs([x], [quality], library)[0] for library in ("opencv", "torch"))  # type: ignore[arg-type]
        assert one.shape == other.shape == x.shape
        # They differ where a coefficient lies on the edge between two steps, and no damage is done by that.
        assert _psnr(one, other) > 40
        assert abs(_psnr(one, x) - _psnr(other, x)) < 0.1
        assert abs(float((one - other).mean()) * 255) < 0.25


def test_opencv_s_is_that_of_the_reader(rendered: Callable[..., RGB]) -> None:
    image = rendered(50, 70)
    assert torch.equal(jpegs([_tensor(image)], [40])[0], _tensor(through_jpeg(image, 40)))


@pytest.mark.parametrize("library", ["opencv", "torch"])
def test_each_image_has_its_size_and_quality(library: str, rendered: Callable[..., RGB]) -> None:
    samples = [_tensor(rendered(40, 52)), _tensor(rendered(90, 33, 1)), _tensor(rendered(16, 16, 2))]
    together = jpegs(samples, [30, 90, 60], library)  # type: ignore[arg-type]
    for sample, quality, made in zip(samples, [30, 90, 60], together, strict=True):
        assert made.shape == sample.shape
        alone = jpegs([sample], [quality], library)[0]  # type: ignore[arg-type]
        # In the last row and column, colour is blended with what lies beyond.
        inside = (..., slice(-1), slice(-1))
        torch.testing.assert_close(made[inside], alone[inside], atol=1e-6, rtol=0)
        levels = made * 255
        torch.testing.assert_close(levels, levels.round(), atol=1e-3, rtol=0)
    assert jpegs([], [], library) == []  # type: ignore[arg-type]


@pytest.mark.parametrize("library", ["opencv", "torch"])
def test_full_colour_is_kept_where_it_is_asked_for(library: str) -> None:
    stripes = torch.zeros(1, 3, 32, 32)
    stripes[:, 0, :, ::2], stripes[:, 2, :, 1::2] = 0.8, 0.8
    stripes = stripes.contiguous(memory_format=torch.channels_last)
    half, full = jpegs([stripes, stripes], [95, 95], library, [False, True])  # type: ignore[arg-type]
    assert 5 * float((full - stripes).abs().mean()) < float((half - stripes).abs().mean())


def test_webp_is_lossy_and_passes_gradients(rendered: Callable[..., RGB]) -> None:
    x = _tensor(rendered(40, 52)).requires_grad_()
    good, bad = (webp(x, quality) for quality in (90, 10))
    assert _psnr(good.detach(), x.detach()) > _psnr(bad.detach(), x.detach()) + 3
    bad.sum().backward()
    assert x.grad is not None
    assert torch.equal(x.grad, torch.ones_like(x))


def test_what_lies_outside_the_range_is_clipped() -> None:
    x = torch.linspace(-0.5, 1.5, 32).expand(1, 3, 32, 32).contiguous()
    for library in ("opencv", "torch"):
        made = jpegs([x], [95], library)[0]  # type: ignore[arg-type]
        torch.testing.assert_close(made, x.clamp(0, 1), atol=0.06, rtol=0)
        assert 0 <= float(made.min()) <= float(made.max()) <= 1


def test_gradients_pass_the_roundings(rendered: Callable[..., RGB]) -> None:
    x = (_tensor(rendered(32, 32)) * 0.4 + 0.3).requires_grad_()
    rng = torch.Generator().manual_seed(0)
    weight, gray = torch.rand(x.shape, generator=rng), torch.rand(1, 1, 32, 32, generator=rng)
    (differentiable_jpeg(x, torch.tensor([60])) * weight).sum().backward()
    assert x.grad is not None
    # Without rounding JPEG leaves what is gray as it is.
    torch.testing.assert_close((x.grad * gray).sum(), (weight * gray).sum(), rtol=1e-4, atol=0)
