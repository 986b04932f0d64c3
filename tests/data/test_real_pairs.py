"""Pairs degraded as real images are: where crops lie, conditions, repetition, processes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from srkit.conditioning.makers import Conditioning
from srkit.data.pairs import Batch, JoinedPairs
from srkit.data.real_pairs import RealPairs, RealPlan, make_real_lr
from srkit.degradation.filters import sharpened
from srkit.errors import UsageError
from srkit.ops.geometry import position_grid
from srkit.ops.layout import RGB
from srkit.recipes.degradation import MILD, REAL_ESRGAN, SecondOrderPart
from tests.helpers import conditioned_on, refused

CPU = torch.device("cpu")
CLEAN = SecondOrderPart(clean=1.0, sharpen=False)


def _plan(**changes: object) -> RealPlan:
    values = {
        "scale": 2,
        "patch": 16,
        "batch": 6,
        "seed": 1,
        "margin": 3,
        "degradation": REAL_ESRGAN,
    } | changes
    return RealPlan(**values)  # type: ignore[arg-type]


def _pairs(
    rendered: Callable[..., RGB], conditioning: Conditioning | None = None, **changes: object
) -> RealPairs:
    images = [rendered(90, 81, 0), rendered(64, 100, 1), rendered(40, 200, 2)]
    return RealPairs(images, _plan(**changes), CPU, conditioning or Conditioning())


def _same(one: Batch, other: Batch) -> bool:
    return all(torch.equal(getattr(one, name), getattr(other, name)) for name in ("lr", "hr", "target"))


@pytest.mark.parametrize("scale", [1, 2, 4])
@pytest.mark.parametrize("margin", [0, 1])
def test_shapes_and_levels(scale: int, margin: int, rendered: Callable[..., RGB]) -> None:
    batch = _pairs(rendered, scale=scale, margin=margin, patch=8).draw(0)
    assert batch.lr.shape == (6, 3, 8, 8)
    assert batch.hr.shape == batch.target.shape == (6, 3, 8 * scale, 8 * scale)
    assert batch.conditions == {}
    for image in (batch.lr, batch.hr, batch.target):
        assert image.is_contiguous(memory_format=torch.channels_last)
        assert not image.requires_grad
        assert 0 <= float(image.min()) <= float(image.max()) <= 1
    for image in (batch.lr, batch.hr):
        torch.testing.assert_close(image * 255, (image * 255).round(), atol=1e-3, rtol=0)


def test_batches_are_a_function_of_seed_and_step(rendered: Callable[..., RGB]) -> None:
    pairs = _pairs(rendered)
    stream = pairs.batches(2)
    batch, following = next(stream), next(stream)
    torch.manual_seed(9)
    np.random.seed(9)
    assert _same(batch, _pairs(rendered).draw(2))
    assert _same(following, pairs.draw(3))
    assert not _same(batch, following)
    assert not _same(batch, _pairs(rendered, seed=2).draw(2))


def test_processes_share_out_the_crops_of_a_step(rendered: Callable[..., RGB]) -> None:
    whole = _pairs(rendered, batch=6, margin=0, augment=False)
    parts = [_pairs(rendered, batch=3, rank=rank, world=2, margin=0, augment=False) for rank in range(2)]
    for step in range(2):
        hr = whole.draw(step).hr
        for rank, part in enumerate(parts):
            batch = part.draw(step)
            assert torch.equal(batch.hr, hr[rank::2])
    one, other = (RealPairs([np.full((60, 60, 3), 99, np.uint8)], part.plan, CPU).draw(0) for part in parts)
    assert not torch.equal(one.lr, other.lr)


def test_lr_and_hr_show_the_same_place(rendered: Callable[..., RGB]) -> None:
    """Plain bicubic of the crop is what clean pairs have for LR, but for what lies beyond its border."""
    pairs = _pairs(rendered, degradation=CLEAN, batch=20)
    batch = pairs.draw(0)
    small = F.interpolate(batch.hr, scale_factor=0.5, mode="bicubic", antialias=True)
    inside = (..., slice(2, -2), slice(2, -2))
    error = (batch.lr[inside] - small[inside]).abs()
    assert float(error.mean()) < 1.5 / 255
    wrong = (batch.lr[inside] - small.roll(1, 3)[inside]).abs()
    assert float(wrong.mean()) > 5 * float(error.mean())


def test_crops_lie_anywhere_in_what_was_degraded() -> None:
    """A ramp tells where a crop begins: to each place that is drawn, the margin adds 0 to twice itself."""
    ramp = np.broadcast_to(np.arange(60, dtype=np.uint8)[None, :, None], (44, 60, 3))
    plan = _plan(patch=16, margin=3, degradation=CLEAN, augment=False, batch=64)
    pairs = RealPairs([np.ascontiguousarray(ramp)], plan, CPU)
    begins = torch.cat([pairs.draw(step).hr[:, 0, 0, 0] * 255 for step in range(20)]).round().int()
    assert set(begins.tolist()) == set(range(0, 60 - 32 + 1, 2))


def test_what_is_sharpened_is_the_target(rendered: Callable[..., RGB]) -> None:
    plain = _pairs(rendered, degradation=replace(MILD, sharpen=False)).draw(0)
    assert plain.target is plain.hr
    batch = _pairs(rendered, degradation=MILD, margin=0).draw(0)
    assert torch.equal(batch.target, sharpened(batch.hr))
    assert float((batch.target - batch.hr).abs().mean()) > 1 / 255


def test_every_crop_has_its_own_degradation() -> None:
    hr = np.random.default_rng(0).integers(60, 200, (44, 44, 3), dtype=np.uint8)
    plan = _plan(margin=0, patch=22, augment=False)
    lr = RealPairs([hr], plan, CPU).draw(0).lr
    for one in range(6):
        for other in range(one):
            assert float((lr[one] - lr[other]).abs().mean()) > 1 / 255


def test_positions_are_those_of_the_crops(rendered: Callable[..., RGB]) -> None:
    """An image whose colours are its positions."""
    x = np.broadcast_to(np.arange(100)[None, :] * 2, (80, 100))
    y = np.broadcast_to(np.arange(80)[:, None] * 3, (80, 100))
    image = np.stack([x, y, np.zeros_like(x)], axis=2).astype(np.uint8)
    pairs = RealPairs([image], _plan(degradation=CLEAN), CPU, Conditioning(["position"]))
    whole = position_grid(40, 50)
    batch = pairs.draw(0)
    position = batch.conditions["position"]
    assert position.shape == (6, 2, 16, 16)
    column = (batch.lr[:, 0] * 255 - 1) / 4
    row = (batch.lr[:, 1] * 255 - 1.5) / 6
    at = whole[0, :, row.round().long(), column.round().long()].transpose(0, 1)
    inside = (..., slice(3, -3), slice(3, -3))
    torch.testing.assert_close(position[inside], at[inside], atol=1e-5, rtol=0)


def test_conditions_are_made_of_degraded_images_once(
    rendered: Callable[..., RGB], monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Tensor] = []

    def mean(lr: Tensor) -> Tensor:
        seen.append(lr)
        return lr.mean((2, 3))

    pairs = _pairs(rendered, conditioned_on(monkeypatch, mean=mean))
    assert [tuple(lr.shape) for lr in seen] == [(1, 3, 45, 40), (1, 3, 32, 50), (1, 3, 20, 100)][: len(seen)]
    batch = pairs.draw(0)
    assert len(seen) == len(pairs.hr.heights)
    means = torch.cat([lr.mean((2, 3)) for lr in seen])
    for mean_colour in batch.conditions["mean"]:
        assert float((means - mean_colour).abs().amax(1).min()) < 1e-6
    clean = F.interpolate(
        torch.from_numpy(rendered(90, 80, 0)).permute(2, 0, 1)[None] / 255, (45, 40), mode="area"
    )
    assert float((seen[0] - clean).abs().mean()) > 3 / 255


def test_small_images_are_left_out_and_none_is_an_error(rendered: Callable[..., RGB]) -> None:
    plan = _plan()
    assert (plan.side, plan.smallest_side) == (22, 44)
    pairs = RealPairs([rendered(43, 90), rendered(44, 44)], plan, CPU)
    assert pairs.hr.heights.tolist() == [44]
    with refused(UsageError, 1, 44, 3):
        RealPairs([rendered(43, 90)], plan, CPU)
    with refused(UsageError, "margin", -1):
        _plan(margin=-1)


def test_smaller_copies_are_used_too(rendered: Callable[..., RGB]) -> None:
    pairs = RealPairs([rendered(96, 96)], _plan(sizes=(1.0, 0.5)), CPU)
    assert pairs.hr.heights.tolist() == [96, 48]


def test_joined_pairs_keep_their_targets(rendered: Callable[..., RGB]) -> None:
    pairs = _pairs(rendered, Conditioning(["position"]))
    for step, batch in zip((3, 4), JoinedPairs((pairs, pairs)).batches(3), strict=False):
        expected = pairs.draw(step)
        for name in ("lr", "hr", "target"):
            assert torch.equal(getattr(batch, name), torch.cat([getattr(expected, name)] * 2))
        assert not torch.equal(batch.hr, batch.target)
        assert torch.equal(batch.conditions["position"], expected.conditions["position"].repeat(2, 1, 1, 1))


def test_whole_images_are_degraded_by_their_chance(rendered: Callable[..., RGB]) -> None:
    hr = rendered(64, 90)

    def made(seed: int) -> RGB:
        return make_real_lr(hr, 2, MILD, torch.Generator().manual_seed(seed), CPU)

    assert made(0).shape == (32, 45, 3)
    assert made(0).dtype == np.uint8
    assert np.array_equal(made(0), made(0))
    assert not np.array_equal(made(0), made(1))
