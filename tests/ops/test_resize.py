"""Bicubic resizing against MATLAB's own images, a plain transcription of its algorithm, and Pillow."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from srkit.errors import UsageError
from srkit.ops.resize import bicubic, bicubic_uint8, downscale_uint8, output_size, taps, upscale
from tests.helpers import refused

Array = NDArray[np.float64]


def _keys(x: float) -> float:
    x = abs(x)
    if x <= 1:
        return 1.5 * x**3 - 2.5 * x**2 + 1
    return -0.5 * x**3 + 2.5 * x**2 - 4 * x + 2 if x <= 2 else 0.0


def _matrix(length: int, out: int) -> Array:
    """One dimension of `imresize` as a matrix (out, length): each tap by itself, borders mirrored."""
    scale = out / length
    width = 4 / min(scale, 1)
    matrix: Array = np.zeros((out, length))
    mirror = [*range(length), *reversed(range(length))]
    for i in range(out):
        u = (i + 1) / scale + 0.5 * (1 - 1 / scale)
        left = math.floor(u - width / 2)
        positions = range(left, left + math.ceil(width) + 2)
        weights = [min(scale, 1) * _keys(min(scale, 1) * (u - p)) for p in positions]
        for p, w in zip(positions, weights, strict=True):
            matrix[i, mirror[(p - 1) % (2 * length)]] += w / sum(weights)
    return matrix


def _image(height: int, width: int, seed: int = 0) -> Tensor:
    rng = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (2, 3, height, width), dtype=torch.uint8, generator=rng)


SIZES = [
    ((12, 9), (24, 27)),
    ((12, 9), (6, 3)),
    ((17, 31), (5, 8)),
    ((7, 5), (11, 4)),
    ((5, 8), (9, 9)),
    ((1, 1), (4, 4)),
    ((3, 40), (2, 7)),
    ((2, 1), (1, 1)),
]


@pytest.mark.parametrize(("size", "out"), SIZES)
def test_bicubic_equals_the_matrix_of_its_taps(size: tuple[int, int], out: tuple[int, int]) -> None:
    x = _image(*size).double() / 255
    rows, columns = _matrix(size[0], out[0]), _matrix(size[1], out[1])
    expected = np.einsum("ij,ncjk,lk->ncil", rows, x.numpy(), columns)
    np.testing.assert_allclose(bicubic(x, out).numpy(), expected, atol=1e-12)


@pytest.mark.parametrize(("size", "out"), SIZES)
def test_uint8_rounds_half_up_after_each_pass(size: tuple[int, int], out: tuple[int, int]) -> None:
    x = _image(*size, seed=1)
    np.testing.assert_array_equal(bicubic_uint8(x, out).numpy(), _as_matlab(x, out)[0])


WHOLE_FACTORS = [2, 3, 4, 5, 6, 7, 8]


@pytest.mark.parametrize("factor", WHOLE_FACTORS)
@pytest.mark.parametrize("shrink", [True, False])
def test_whole_factors_lose_nothing(factor: int, shrink: bool) -> None:
    """They are worked out in float32 where its sums are exact: with the largest sums, and with values midway."""
    size, out = (27 * factor, 9 * factor), (27, 9)
    if not shrink:
        size, out = (9, 27), (9 * factor, 27 * factor)
    noise, extreme = _image(*size, seed=factor), (_image(*size, seed=9) > 127).to(torch.uint8) * 255
    steps = (torch.arange(size[1]) % 256).to(torch.uint8).expand(2, 3, *size)
    midway = 0
    for x in (noise, extreme, steps, extreme // 85, extreme // 51 * 50):
        expected, found_midway = _as_matlab(x, out)
        midway += found_midway
        np.testing.assert_array_equal(bicubic_uint8(x, out).numpy(), expected)
    if factor in (2, 4):
        assert midway > 0  # else half up would not be tried
    elif factor % 2 == 1:
        assert midway == 0  # multiples of an odd fraction


def _as_matlab(x: Tensor, out: tuple[int, int]) -> tuple[Array, int]:
    """What `imresize` makes of uint8, and how many values lay midway between two steps before they were rounded."""
    height, width = x.shape[2:]
    y: Array = x.numpy().astype(np.float64)
    passes = [("ij,ncjk->ncik", _matrix(height, out[0])), ("lk,ncik->ncil", _matrix(width, out[1]))]
    if out[0] / height > out[1] / width:
        passes.reverse()  # MATLAB begins with the dimension that shrinks more
    midway = 0
    for subscripts, matrix in passes:
        y = np.einsum(subscripts, matrix, y)
        midway += int((np.abs(y - np.floor(y) - 0.5) < 1e-9).sum())
        y = np.clip(np.floor(y + 0.5 + 1e-9), 0, 255)
    return y, midway


@pytest.mark.parametrize("factor", WHOLE_FACTORS)
def test_sums_of_whole_factors_fit_into_float32(factor: int) -> None:
    """All taps are multiples of one fraction, as the polynomial says, and no sum reaches 24 bits."""
    for scale, power in ((1 / factor, 4), (float(factor), 3)):
        unit = (16 if factor % 2 == 0 else 1) * factor**power
        length = 40 * factor
        whole = taps(length, round(length * scale), scale)[1] * unit
        torch.testing.assert_close(whole, whole.round(), atol=1e-7, rtol=0)
        assert whole.sum(0).round().eq(unit).all()
        assert whole.abs().sum(0).max() <= 1.25 * unit + 1e-6
        if unit <= 2**13:  # what is used
            assert 255 * 1.25 * unit < 2**24


def test_lower_precision_asked_of_torch_does_not_reach_it() -> None:
    x = _image(160, 480).contiguous(memory_format=torch.channels_last)
    expected = downscale_uint8(x, 4)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(downscale_uint8(x, 4), expected)
    usual = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("medium")
    try:
        assert torch.equal(downscale_uint8(x, 4), expected)
    finally:
        torch.set_float32_matmul_precision(usual)


def test_layouts_give_the_same_samples() -> None:
    x = _image(300, 91, seed=2)  # more rows than are worked on at a time
    expected = bicubic_uint8(x, (75, 273))
    large = torch.zeros(2, 310, 100, 3, dtype=torch.uint8)
    large[:, 3:303, 5:96] = x.permute(0, 2, 3, 1)
    for same in (x.contiguous(memory_format=torch.channels_last), large[:, 3:303, 5:96].permute(0, 3, 1, 2)):
        found = bicubic_uint8(same, (75, 273))
        assert torch.equal(found, expected)
        assert found.is_contiguous(memory_format=torch.channels_last)
    gray = torch.cat([bicubic_uint8(x[:, c : c + 1], (75, 273)) for c in range(3)], 1)
    assert torch.equal(gray, expected)


def test_halving_has_the_known_taps() -> None:
    index, weight = taps(16, 8, 0.5)
    order = index[:, 4].argsort()
    known = [
        -0.01171875,
        -0.03515625,
        0.11328125,
        0.43359375,
        0.43359375,
        0.11328125,
        -0.03515625,
        -0.01171875,
    ]
    assert index[order, 4].tolist() == list(range(5, 13))
    assert weight[order, 4].tolist() == pytest.approx(known, abs=1e-15)


@pytest.mark.parametrize("out", [(20, 30), (25, 33), (120, 160)])
def test_agrees_with_pillow_away_from_the_border(out: tuple[int, int]) -> None:
    rng = np.random.default_rng(0)
    plane = rng.random((60, 80)).astype(np.float32)
    ours = bicubic(torch.from_numpy(plane)[None, None], out)[0, 0].numpy()
    theirs = np.asarray(Image.fromarray(plane).resize((out[1], out[0]), Image.Resampling.BICUBIC))
    inner = (
        slice(6, -6),
        slice(6, -6),
    )  # Pillow cuts the kernel off at the border, MATLAB mirrors the image
    np.testing.assert_allclose(ours[inner], theirs[inner], atol=2e-5)


def test_the_asked_scale_counts_where_the_size_was_rounded() -> None:
    x = _image(10, 10).double()
    assert output_size(10, 0.33) == 4
    by_scale = bicubic(x, (4, 4), scale=0.33)
    assert not torch.allclose(by_scale, bicubic(x, (4, 4)))
    # The first sample's centre lies at 1/0.33/2 in input pixels from the edge, not at 10/4/2.
    index, weight = taps(10, 4, 0.33)
    centre = float((index[:, 0].double() + 0.5).mul(weight[:, 0]).sum())
    assert centre == pytest.approx(0.5 / 0.33, abs=0.25)


@pytest.mark.parametrize(
    ("length", "scale", "expected"), [(100, 1.1, 110), (5, 0.5, 3), (3, 0.1, 1), (10, 3, 30), (7, 1 / 3, 3)]
)
def test_output_size(length: int, scale: float, expected: int) -> None:
    assert output_size(length, scale) == expected


def test_same_size_changes_nothing() -> None:
    x = _image(9, 7)
    assert torch.equal(bicubic_uint8(x, (9, 7)), x)
    assert torch.equal(bicubic(x.float(), (9, 7)), x.float())


def test_constants_stay() -> None:
    x = torch.full((1, 3, 11, 6), 0.7, dtype=torch.float64)
    for size in ((3, 2), (22, 31), (11, 6), (1, 1)):
        assert bicubic(x, size).sub(0.7).abs().max() < 1e-12
    assert bool((bicubic_uint8(_image(4, 4) * 0 + 201, (9, 2)) == 201).all())


def test_gradient() -> None:
    x = torch.rand(1, 1, 6, 5, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda t: bicubic(t, (4, 8)), (x,))
    assert torch.autograd.gradcheck(lambda t: upscale(t, 2), (x,))


def test_gradient_after_a_first_use_without_one() -> None:
    # The engine runs in inference mode; what it left in the caches must still serve training.
    with torch.inference_mode():
        bicubic(torch.rand(1, 3, 13, 13), (5, 5))
        bicubic(torch.rand(1, 3, 13, 13, dtype=torch.float64), (5, 5))
        upscale(torch.rand(1, 3, 13, 13), 5)
    makers: list[Callable[[Tensor], Tensor]] = [lambda t: bicubic(t, (5, 5)), lambda t: upscale(t, 5)]
    for make in makers:
        for dtype in (torch.float32, torch.float64):
            x = torch.rand(1, 3, 13, 13, dtype=dtype, requires_grad=True)
            torch.autograd.backward(make(x).sum())
            assert x.grad is not None
            assert float(x.grad.sum()) > 0


@pytest.mark.parametrize("scale", [2, 3, 4, 8])
@pytest.mark.parametrize("size", [(9, 14), (1, 1), (2, 33)])
def test_upscale_equals_bicubic(scale: int, size: tuple[int, int]) -> None:
    x = torch.rand(2, 3, *size, generator=torch.Generator().manual_seed(scale))
    expected = bicubic(x, (size[0] * scale, size[1] * scale))
    torch.testing.assert_close(upscale(x, scale), expected, atol=2e-6, rtol=0)


def test_upscale_keeps_layout_and_precision() -> None:
    x = torch.rand(1, 3, 8, 8).contiguous(memory_format=torch.channels_last)
    exact = upscale(x, 2)
    with torch.autocast("cpu", torch.bfloat16):
        sr = upscale(x, 2)
    assert sr.dtype == torch.float32
    assert torch.equal(sr, exact)
    assert sr.is_contiguous(memory_format=torch.channels_last)
    assert upscale(x[:, :1], 3).shape == (1, 1, 24, 24)


def test_downscale_is_the_benchmarks_lr() -> None:
    x = _image(12, 24)
    lr = downscale_uint8(x, 3)
    assert lr.shape == (2, 3, 4, 8)
    assert torch.equal(lr, bicubic_uint8(x, (4, 8)))


@pytest.mark.parametrize("shape", [(3, 8, 8), (1, 3, 0, 8), (8, 8)])
def test_shapes_that_are_no_images(shape: tuple[int, ...]) -> None:
    calls: list[Callable[[Tensor], Tensor]] = [lambda x: bicubic(x, (4, 4)), lambda x: upscale(x, 2)]
    for call in calls:
        with refused(UsageError, shape):
            call(torch.zeros(shape))


def test_uint8_takes_uint8() -> None:
    with refused(UsageError, "torch.float32", "uint8"):
        bicubic_uint8(torch.zeros(1, 3, 8, 8), (4, 4))


@pytest.mark.cuda
def test_same_on_cuda() -> None:
    x = _image(40, 31)
    assert torch.equal(bicubic_uint8(x.cuda(), (13, 20)).cpu(), bicubic_uint8(x, (13, 20)))
    y = x.float() / 255
    torch.testing.assert_close(bicubic(y.cuda(), (13, 70)).cpu(), bicubic(y, (13, 70)), atol=1e-5, rtol=0)
    torch.testing.assert_close(upscale(y.cuda(), 4).cpu(), upscale(y, 4), atol=1e-3, rtol=0)


def _read(path: Path) -> Tensor:
    pixels = cv2.imread(str(path), cv2.IMREAD_COLOR)
    assert pixels is not None, path
    return torch.from_numpy(np.ascontiguousarray(pixels)).permute(2, 0, 1)[None]


def _set5(root: Path, scale: int) -> list[tuple[Tensor, Tensor]]:
    """HR, its sides cut to multiples of the scale, and the LR that the literature uses."""
    pairs = []
    for file in sorted((root / "benchmarks/Set5/HR").glob("*.png")):
        (lr_file,) = (root / f"benchmarks/Set5/LR_bicubic/X{scale}").glob(f"{file.stem}*.png")
        hr = _read(file)
        pairs.append(
            (hr[:, :, : hr.shape[2] // scale * scale, : hr.shape[3] // scale * scale], _read(lr_file))
        )
    assert len(pairs) == 5
    return pairs


@pytest.mark.data
@pytest.mark.parametrize("scale", [2, 3, 4])
def test_set5_in_every_sample(data_root: Path, scale: int) -> None:
    for hr, lr in _set5(data_root, scale):
        assert torch.equal(downscale_uint8(hr, scale), lr)


@pytest.mark.data
def test_set5_x8_was_made_in_floating_point(data_root: Path) -> None:
    differs = []
    for hr, lr in _set5(data_root, 8):
        exact = bicubic(hr.double(), (lr.shape[2], lr.shape[3]), scale=1 / 8)
        assert torch.equal((exact + 0.5 + 1e-9).floor().clamp(0, 255).to(torch.uint8), lr)
        differs.append(not torch.equal(downscale_uint8(hr, 8), lr))
    assert any(differs)  # else this would not tell the two modes apart


def test_rows_and_columns_are_treated_alike() -> None:
    x = _image(16, 10).double()
    for size in ((5, 5), (5, 30), (30, 5), (30, 30)):
        across = bicubic(x.transpose(2, 3), (size[1], size[0])).transpose(2, 3)
        torch.testing.assert_close(bicubic(x, size), across, atol=1e-9, rtol=0)
