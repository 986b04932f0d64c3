"""The second-order degradation: what is drawn, and what it makes of images."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from srkit.degradation.filters import MODES, Library, sharpened
from srkit.degradation.second_order import (
    GAUSSIAN,
    GRAIN,
    POISSON,
    SENSOR,
    Draw,
    OrderDraw,
    draw,
    second_order,
)
from srkit.ops.layout import RGB
from srkit.ops.resize import bicubic
from srkit.recipes.degradation import (
    MILD,
    REAL_ESRGAN,
    WIDE,
    FirstOrderPart,
    SecondOrderPart,
    SecondOrderStage,
)

COUNT = 3000
LIBRARIES: tuple[Library, ...] = ("opencv", "torch")
NOTHING = {
    "blur": 0.0,
    "up": 0.0,
    "down": 0.0,
    "noise": (0.0, 0.0),
    "poisson": (0.0, 0.0),
    "jpeg": (100, 100),
}
IDLE = SecondOrderPart(FirstOrderPart(**NOTHING), SecondOrderStage(**NOTHING), sinc=0.0, sharpen=False)  # type: ignore[arg-type]
"""Nothing but a resize to LR."""


def _rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def _batch(rendered: Callable[..., RGB], count: int, side: int) -> Tensor:
    images = [torch.from_numpy(rendered(side, side, seed % 3)).permute(2, 0, 1) for seed in range(count)]
    return (torch.stack(images).float() / 255).contiguous(memory_format=torch.channels_last)


def _quiet(part: SecondOrderPart) -> SecondOrderPart:
    """Without noise, and with hardly any JPEG."""
    still = {"noise": (0.0, 0.0), "poisson": (0.0, 0.0), "jpeg": (100, 100)}
    return replace(part, first=replace(part.first, **still), second=replace(part.second, **still))  # type: ignore[arg-type]


def _share(found: Tensor, expected: float) -> None:
    assert abs(float(found.double().mean()) - expected) < 0.03


def _fills(values: Tensor, low: float, high: float) -> None:
    width = high - low
    assert low <= float(values.min()) <= low + 0.02 * width
    assert high - 0.02 * width <= float(values.max()) <= high
    assert abs(float(values.double().mean()) - (low + high) / 2) < 0.03 * width


@pytest.mark.parametrize("part", [REAL_ESRGAN, MILD, replace(WIDE, mild=0.0)], ids=["real", "mild", "wide"])
def test_every_share_is_kept_and_every_range_filled(part: SecondOrderPart) -> None:
    drawn = draw(part, COUNT, _rng())
    for order, ranges in ((drawn.first, part.first), (drawn.second, part.second)):
        _share(order.kernel.flatten(1).amax(1) < 1, ranges.blur)
        _share(order.factor > 1, ranges.up)
        _share(order.factor < 1, ranges.down)
        _fills(order.factor[order.factor > 1], 1, ranges.factor[1])
        _fills(order.factor[order.factor < 1], ranges.factor[0], 1)
        for mode in range(len(MODES)):
            _share(order.mode == mode, 1 / 3)
        left = 1 - ranges.sensor - ranges.grain
        shares = (left * ranges.gaussian, left * (1 - ranges.gaussian), ranges.sensor, ranges.grain)
        for kind, share in zip((GAUSSIAN, POISSON, SENSOR, GRAIN), shares, strict=True):
            _share(order.kind == kind, share)
        _fills(order.noise[order.kind == GAUSSIAN], *ranges.noise)
        _fills(order.noise[order.kind == POISSON], *ranges.poisson)
        for kind, share, sizes in (
            (SENSOR, ranges.sensor, ranges.blotches),
            (GRAIN, ranges.grain, ranges.grain_size),
        ):
            if share > 0.2:
                _fills(order.noise[order.kind == kind], *ranges.noise)
                _fills(order.spot[order.kind == kind], *sizes)
        _share(order.full_colour, part.full_colour)
        _share(order.gray, ranges.gray)
        assert set(order.quality.tolist()) == set(range(ranges.jpeg[0], ranges.jpeg[1] + 1))
    _share(drawn.sinc.flatten(1).amin(1) < 0, part.sinc)
    _share(drawn.jpeg_last, 0.5)
    assert abs(float(drawn.clean.double().mean()) - part.clean) < 0.012
    for share, found in (
        (part.halftone, drawn.halftone > 0),
        (part.paper, drawn.paper > 0),
        (part.halo, drawn.halo[:, 1] > 0),
        (part.webp, drawn.webp),
        (part.again, drawn.again),
    ):
        _share(found, share)
    assert len(drawn.seed.unique()) == COUNT


def test_draws_repeat_and_are_independent() -> None:
    one, again, other = (draw(REAL_ESRGAN, 50, _rng(seed)) for seed in (3, 3, 4))
    assert torch.equal(one.seed, again.seed)
    assert torch.equal(one.second.kernel, again.second.kernel)
    assert not torch.equal(one.first.factor, other.first.factor)
    many = draw(replace(REAL_ESRGAN, clean=0.5), COUNT, _rng())
    columns = [
        *(
            getattr(order, name).double()
            for order in (many.first, many.second)
            for name in ("factor", "kind")
        ),
        *(
            getattr(order, name).double()
            for order in (many.first, many.second)
            for name in ("quality", "gray")
        ),
        many.jpeg_last.double(),
        many.clean.double(),
    ]
    off = torch.corrcoef(torch.stack(columns)) - torch.eye(len(columns))
    assert float(off.abs().max()) < 0.08


def test_a_draw_splits_as_a_batch_does() -> None:
    drawn = draw(WIDE, 7, _rng())
    parts = drawn.split(3)
    assert [len(part.seed) for part in parts] == [3, 2, 2]
    for name in vars(drawn):
        whole = getattr(drawn, name)
        if isinstance(whole, OrderDraw):
            for inner in vars(whole):
                pieces = [getattr(getattr(part, name), inner) for part in parts]
                assert torch.equal(torch.cat(pieces), getattr(whole, inner))
        else:
            assert torch.equal(torch.cat([getattr(part, name) for part in parts]), whole)
    assert all(isinstance(part, Draw) for part in parts)


def test_a_share_is_mild() -> None:
    part = replace(WIDE, mild=0.5)
    drawn = draw(part, COUNT, _rng())
    _share(drawn.second.quality > MILD.second.jpeg[0] - 1, 0.5 + 0.5 * (95 - 59) / (95 - 29))
    _share(drawn.first.kind == SENSOR, 0.5 * WIDE.first.sensor)
    assert drawn.first.kernel.shape == drawn.second.kernel.shape == (COUNT, 21, 21)


ALL_OF_IT = replace(WIDE, mild=0.0, halftone=1.0, paper=1.0, halo=1.0, webp=0.5, again=1.0, full_colour=0.5)
"""All that is beyond the paper, in every image."""


@pytest.mark.parametrize("part", [REAL_ESRGAN, ALL_OF_IT], ids=["real", "all"])
@pytest.mark.parametrize("library", LIBRARIES)
@pytest.mark.parametrize(("scale", "size"), [(4, (64, 96)), (2, (38, 34)), (3, (33, 48)), (1, (20, 24))])
def test_shapes_and_levels(
    part: SecondOrderPart,
    library: Library,
    scale: int,
    size: tuple[int, int],
    rendered: Callable[..., RGB],
) -> None:
    hr = _batch(rendered, 6, 96)[:, :, : size[0], : size[1]]
    lr, target = second_order(hr, scale, part, _rng(), library)
    assert lr.shape == (6, 3, size[0] // scale, size[1] // scale)
    assert target.shape == hr.shape
    for image in (lr, target):
        assert image.dtype == torch.float32
        assert image.is_contiguous(memory_format=torch.channels_last)
        assert 0 <= float(image.min()) <= float(image.max()) <= 1
    torch.testing.assert_close(lr * 255, (lr * 255).round(), atol=1e-3, rtol=0)


def test_it_is_a_function_of_the_seed_whatever_the_threads(rendered: Callable[..., RGB]) -> None:
    hr = _batch(rendered, 5, 64)
    usual = torch.get_num_threads()
    made = []
    try:
        for threads in (1, 2, 3):
            torch.set_num_threads(threads)
            torch.manual_seed(threads)
            made.append(second_order(hr, 4, ALL_OF_IT, _rng(1)))
            assert torch.get_num_threads() == threads
    finally:
        torch.set_num_threads(usual)
    for lr, target in made[1:]:
        assert torch.equal(lr, made[0][0])
        assert torch.equal(target, made[0][1])
    assert not torch.equal(second_order(hr, 4, ALL_OF_IT, _rng(2))[0], made[0][0])


def test_both_libraries_make_the_same_lr(rendered: Callable[..., RGB]) -> None:
    """Where a coefficient of JPEG falls on the edge between two steps, they part."""
    hr = _batch(rendered, 12, 96)
    for part, least in ((_quiet(REAL_ESRGAN), 1.5), (REAL_ESRGAN, 4.0)):
        one, other = (second_order(hr, 4, part, _rng(5), library)[0] for library in LIBRARIES)
        apart = (one - other).square().flatten(1).mean(1).sqrt() * 255
        away = (one - bicubic(hr, (24, 24))).square().flatten(1).mean(1).sqrt() * 255
        assert float(apart.mean()) < least
        assert float(apart.max()) < 2 * least
        assert float(away.mean()) > 12


def test_each_image_is_degraded_by_itself(rendered: Callable[..., RGB]) -> None:
    lr, _ = second_order(_batch(rendered, 1, 64).repeat(6, 1, 1, 1), 4, REAL_ESRGAN, _rng())
    for one in range(6):
        for other in range(one):
            assert float((lr[one] - lr[other]).abs().mean()) > 2 / 255


def test_with_nothing_to_do_it_only_resizes(rendered: Callable[..., RGB]) -> None:
    hr = _batch(rendered, 9, 64).mean(1, keepdim=True).expand(-1, 3, -1, -1)  # JPEG would thin colour out
    lr, target = second_order(hr, 4, IDLE, _rng())
    assert torch.equal(target, hr)
    modes = draw(IDLE, 9, _rng()).second.mode  # the second resize already leads to LR
    ways = [F.interpolate(hr, (16, 16), mode=mode).clamp(0, 1) for mode in MODES]
    for n, mode in enumerate(modes.tolist()):
        assert float((lr[n] - ways[mode][n]).abs().mean()) < 1.5 / 255


def test_clean_images_are_those_of_benchmarks(rendered: Callable[..., RGB]) -> None:
    hr = _batch(rendered, 3, 64)
    lr, target = second_order(hr, 4, replace(REAL_ESRGAN, clean=1.0), _rng())
    assert float((lr - bicubic(hr, (16, 16)).clamp(0, 1)).abs().max()) < 0.51 / 255
    assert torch.equal(target, sharpened(hr))


def test_what_is_sharpened_is_the_target_and_what_is_degraded(rendered: Callable[..., RGB]) -> None:
    hr = _batch(rendered, 3, 64)
    lr, target = second_order(hr, 4, replace(IDLE, sharpen=True), _rng())
    assert torch.equal(target, sharpened(hr))
    assert torch.equal(lr, second_order(target, 4, IDLE, _rng())[0])


def _shift(lr: Tensor, like: Tensor) -> Tensor:
    """How far (B, 3, h, w) lies right of and below `like`, in its pixels: least squares on its gradients (B, 2)."""
    lr, like = (F.avg_pool2d(t.mean(1, keepdim=True), 3, 1) for t in (lr, like))
    dx = (like[..., 1:-1, 2:] - like[..., 1:-1, :-2]).flatten(1) / 2
    dy = (like[..., 2:, 1:-1] - like[..., :-2, 1:-1]).flatten(1) / 2
    one = torch.ones_like(dx)
    level = like[..., 1:-1, 1:-1].flatten(1)
    against = torch.stack([-dx, -dy, one, level], dim=2)
    found = torch.linalg.lstsq(against, lr[..., 1:-1, 1:-1].flatten(1)[..., None]).solution
    return found[:, :2, 0] / found[:, 3]


@pytest.mark.parametrize("scale", [2, 4])
@pytest.mark.parametrize(
    ("part", "each", "together"),
    [
        (_quiet(REAL_ESRGAN), 0.02, 0.003),
        (REAL_ESRGAN, 1.0, 0.04),
        (MILD, 0.3, 0.02),
        (_quiet(replace(WIDE, mild=0.0, halo=1.0, again=1.0)), 0.2, 0.01),
    ],
)
def test_lr_is_not_shifted(
    part: SecondOrderPart, each: float, together: float, scale: int, rendered: Callable[..., RGB]
) -> None:
    """The measure errs with the image, and the other way round for the image upside down; a shift does not."""
    hr = _batch(rendered, 36, 128)
    size = (128 // scale, 128 // scale)
    found = []
    for images in (hr, hr.flip(2, 3)):
        lr, _ = second_order(images, scale, part, _rng(7))
        soft = F.avg_pool2d(F.pad(images, (4, 4, 4, 4), mode="replicate"), 9, 1)
        like = bicubic(soft, size)
        # The measure itself: an image moved by half a pixel to the right is found there.
        moved = (like[..., 1:] + like[..., :-1]) / 2
        assert abs(float(_shift(moved, like[..., 1:])[:, 0].mean()) - 0.5) < 0.12
        found.append(_shift(lr, like))
    shift = (found[0] + found[1]) / 2
    assert float(shift.abs().max()) < each
    assert float(shift.median(0).values.abs().max()) < together


def test_a_spot_stays_where_it_is() -> None:
    y, x = torch.meshgrid(torch.arange(128.0), torch.arange(128.0), indexing="ij")
    spot = 0.8 * torch.exp(-((x - 50.2).square() + (y - 71.7).square()) / 200)
    hr = spot.expand(24, 3, 128, 128).contiguous()
    lr, _ = second_order(hr, 4, replace(_quiet(REAL_ESRGAN), sharpen=False), _rng(1))
    light = lr.double().sum(1)
    place = torch.arange(32).double()
    for side, expected in ((1, 71.7), (2, 50.2)):
        centre = (light.sum(3 - side) @ place) / light.sum((1, 2)) * 4 + 1.5
        assert float((centre - expected).abs().max()) < 0.5
        assert abs(float((centre - expected).mean())) < 0.1


def test_mean_colours_stay_but_for_noise(rendered: Callable[..., RGB]) -> None:
    hr = 0.3 + 0.4 * _batch(rendered, 64, 64)  # far enough from the ends that noise is hardly clipped
    part = replace(REAL_ESRGAN, sharpen=False)
    lr, _ = second_order(hr, 4, part, _rng(11))
    drawn = draw(part, 64, _rng(11))
    error = (lr.mean((2, 3)) - hr.mean((2, 3))) * 255
    variance = torch.zeros(64, dtype=torch.float64)
    for order, side in ((drawn.first, 64), (drawn.second, 16)):
        deviation = torch.where(
            order.kind == GAUSSIAN, order.noise, order.noise * math.sqrt(0.5 * 256) * 255 / 256
        )
        variance += (deviation / (side * order.factor)).square()
    assert float(error.mean(0).abs().max()) < 0.6
    # Beside noise, JPEG at 30 and resizes that skip pixels change the mean of 16 x 16 pixels by some levels.
    assert bool((error.abs().amax(1) < 4 * variance.sqrt() + 6).all())
    quiet = (second_order(hr, 4, _quiet(part), _rng(11))[0].mean((2, 3)) - hr.mean((2, 3))) * 255
    assert float(quiet.mean(0).abs().max()) < 0.4


def test_flat_images_stay_flat_without_noise() -> None:
    hr = torch.tensor([0.2, 0.5, 0.8]).view(1, 3, 1, 1).expand(8, 3, 64, 64).contiguous()
    lr, _ = second_order(hr, 4, _quiet(REAL_ESRGAN), _rng())
    assert float((lr - hr[:, :, ::4, ::4]).abs().max()) < 3.1 / 255


@pytest.mark.parametrize("part", [REAL_ESRGAN, ALL_OF_IT], ids=["real", "all"])
def test_pytorch_s_is_differentiable(part: SecondOrderPart, rendered: Callable[..., RGB]) -> None:
    hr = (_batch(rendered, 3, 48) * 0.6 + 0.2).requires_grad_()
    lr, _ = second_order(hr, 4, part, _rng(), "torch")
    lr.square().sum().backward()
    assert hr.grad is not None
    assert bool(hr.grad.isfinite().all())
    assert float(hr.grad.flatten(1).abs().amax(1).min()) > 1e-3
    assert not second_order(hr, 4, REAL_ESRGAN, _rng())[0].requires_grad


@pytest.mark.cuda
def test_on_a_gpu_it_repeats_and_does_the_same(rendered: Callable[..., RGB]) -> None:
    hr = _batch(rendered, 12, 96)
    made, again = (second_order(hr.cuda(), 4, _quiet(REAL_ESRGAN), _rng(5)) for _ in range(2))
    assert made[0].is_cuda
    assert made[1].is_cuda
    assert torch.equal(made[0], again[0])
    on_cpu = second_order(hr, 4, _quiet(REAL_ESRGAN), _rng(5))[0]
    apart = (made[0].cpu() - on_cpu).square().flatten(1).mean(1).sqrt() * 255
    assert float(apart.mean()) < 1.5
    noisy, as_noisy = (second_order(hr.cuda(), 4, REAL_ESRGAN, _rng(5))[0] for _ in range(2))
    assert torch.equal(noisy, as_noisy)
