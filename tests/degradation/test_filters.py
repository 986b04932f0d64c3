"""Filters and resizes by OpenCV and by PyTorch: the same, against plain computation, and nothing moves."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
import pytest
import torch
from torch import Tensor

from srkit.degradation.filters import MODES, Library, Mode, filtered, resized, sharpened
from srkit.ops.layout import RGB

LIBRARIES: tuple[Library, ...] = ("opencv", "torch")


def _random(height: int, width: int, seed: int = 0) -> Tensor:
    x = torch.rand(1, 3, height, width, generator=torch.Generator().manual_seed(seed))
    return x.contiguous(memory_format=torch.channels_last)


def _kernel(side: int, seed: int = 0) -> Tensor:
    kernel = torch.rand(side, side, generator=torch.Generator().manual_seed(seed)) - 0.1
    return kernel / kernel.sum()


def _centroid(x: Tensor) -> tuple[float, float]:
    """Of the light in (1, 3, h, w), as x and y in shares of the sides."""
    light = x[0].double().sum(0)
    height, width = light.shape
    rows, columns = light.sum(1) / light.sum(), light.sum(0) / light.sum()
    y = rows @ (torch.arange(height).double() + 0.5) / height
    return float(columns @ (torch.arange(width).double() + 0.5) / width), float(y)


@pytest.mark.parametrize("library", LIBRARIES)
@pytest.mark.parametrize(("size", "side"), [((23, 31), 7), ((40, 12), 21), ((3, 5), 9)])
def test_filtering_is_correlation_with_mirrored_borders(
    library: Library, size: tuple[int, int], side: int
) -> None:
    x, kernel, radius = _random(*size), _kernel(side), side // 2
    padded = np.pad(x[0].numpy(), ((0, 0), (radius, radius), (radius, radius)), mode="symmetric")
    windows = np.lib.stride_tricks.sliding_window_view(padded, (side, side), axis=(1, 2))
    expected = np.einsum("chwuv,uv->chw", windows, kernel.numpy())
    np.testing.assert_allclose(filtered(x, kernel, library)[0].numpy(), expected, atol=2e-5)


@pytest.mark.parametrize("library", LIBRARIES)
def test_products_and_kernels_with_empty_borders_take_short_cuts_to_the_same_result(library: Library) -> None:
    x = _random(30, 26)
    taps = torch.tensor([0.1, 0.2, 0.4, 0.2, 0.1])
    product = torch.outer(taps, taps)
    wide = torch.nn.functional.pad(product, (8, 8, 8, 8))
    uneven = wide.clone()
    uneven[0, 0] = 2e-4  # neither a product nor empty
    torch.testing.assert_close(filtered(x, wide, library), filtered(x, product, library))
    assert float((filtered(x, wide, library) - filtered(x, uneven, library)).abs().max()) > 1e-5
    nothing = torch.zeros(21, 21)
    nothing[10, 10] = 1
    assert torch.equal(filtered(x, nothing, library), x)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("size", [(13, 20), (38, 44), (24, 30), (1, 2), (90, 77)])
def test_both_libraries_resize_alike(mode: Mode, size: tuple[int, int]) -> None:
    x = _random(38, 44)
    one, other = (resized(x, size, mode, library) for library in LIBRARIES)
    assert one.shape == other.shape == (1, 3, *size)
    torch.testing.assert_close(one, other, atol=2e-5, rtol=0)


@pytest.mark.parametrize("library", LIBRARIES)
def test_area_is_the_mean_over_what_a_pixel_covers(library: Library) -> None:
    x = torch.arange(6.0).view(1, 1, 1, 6).expand(1, 3, 6, 6).contiguous()
    torch.testing.assert_close(
        resized(x, (6, 4), "area", library)[0, 0, 0], torch.tensor([1 / 3, 5 / 3, 10 / 3, 14 / 3])
    )
    assert resized(x, (6, 6), "area", library) is x


@pytest.mark.parametrize("library", LIBRARIES)
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("size", [(17, 22), (64, 48), (61, 47), (96, 72)])
def test_resizes_move_nothing(library: Library, mode: Mode, size: tuple[int, int]) -> None:
    y, x = torch.meshgrid(torch.arange(64.0), torch.arange(48.0), indexing="ij")
    blob = torch.exp(-((x - 20.3).square() + (y - 37.6).square()) / 50)[None, None].expand(1, 3, -1, -1)
    expected = _centroid(blob)
    found = _centroid(resized(blob.contiguous(), size, mode, library))
    # In pixels of the larger of both images, a twentieth.
    assert abs(found[0] - expected[0]) * max(48, size[1]) < 0.05
    assert abs(found[1] - expected[1]) * max(64, size[0]) < 0.05


@pytest.mark.parametrize("library", LIBRARIES)
def test_sharpening_is_that_of_real_esrgan(library: Library, rendered: Callable[..., RGB]) -> None:
    image = rendered(161, 140).astype(np.float32) / 255
    side, border = (51, 51), cv2.BORDER_REFLECT
    residual = image - cv2.GaussianBlur(image, side, 0, borderType=border)
    mask = (np.abs(residual) > 10 / 255).astype(np.float32)
    mask = cv2.GaussianBlur(mask, side, 0, borderType=border)
    expected = mask * np.clip(image + 0.5 * residual, 0, 1) + (1 - mask) * image
    x = torch.from_numpy(image).permute(2, 0, 1)[None]
    found = sharpened(x.repeat(2, 1, 1, 1), library)
    assert found.is_contiguous(memory_format=torch.channels_last)
    assert torch.equal(found[0], found[1])
    error = np.abs(found[0].permute(1, 2, 0).numpy() - expected) * 255
    assert np.abs(expected - image).max() * 255 > 20
    assert error.mean() < 0.3
    assert error.max() < 6
    assert 0 <= float(found.min()) <= float(found.max()) <= 1


def test_what_is_flat_is_not_sharpened() -> None:
    flat = torch.full((1, 3, 40, 40), 0.4)
    torch.testing.assert_close(sharpened(flat), flat)


def test_pytorch_s_are_differentiable() -> None:
    x = _random(20, 24).requires_grad_()
    made = resized(filtered(sharpened(x, "torch"), _kernel(5), "torch"), (9, 11), "area", "torch")
    made.square().sum().backward()
    assert x.grad is not None
    assert bool((x.grad != 0).all())
