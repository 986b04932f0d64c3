"""Blurred pairs: LR is what kernels make of HR, kinds and depth come in their shares, draws repeat."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from srkit.data import blurred
from srkit.data.blurred import (
    KINDS,
    BlurPlan,
    BlurredBatch,
    BlurredPairs,
    jittered,
    random_smooth,
)
from srkit.degradation.kernels import TAPS, axes, from_map, moments
from srkit.degradation.spatially_variant import blur
from srkit.errors import UsageError
from srkit.ops.layout import RGB
from tests.helpers import refused

CPU = torch.device("cpu")
ONLY: dict[str, float] = dict.fromkeys(KINDS, 0.0)


def _pairs(rendered: Callable[..., RGB], **changes: object) -> BlurredPairs:
    plan = {"scale": 4, "patch": 16, "batch": 8, "seed": 1, "scenes": 4, "scene_side": 128} | changes
    images = [rendered(200, 180, seed) for seed in range(3)]
    return BlurredPairs(images, BlurPlan(**plan), CPU)  # type: ignore[arg-type]


def _only(kind: str, rendered: Callable[..., RGB], **changes: object) -> BlurredPairs:
    return _pairs(rendered, **{**ONLY, kind: 1.0, "noiseless": 1.0, **changes})


def _of(batches: list[BlurredBatch], name: str) -> Tensor:
    return torch.cat([getattr(batch, name) for batch in batches])


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_shapes_and_ranges(scale: int, rendered: Callable[..., RGB]) -> None:
    batch = _pairs(rendered, scale=scale).draw(0)
    assert batch.lr.shape == (8, 3, 16, 16)
    assert batch.hr.shape == (8, 3, 16 * scale, 16 * scale)
    assert batch.kernels.shape == (8, TAPS, 16, 16)
    assert batch.depth.shape == batch.true_depth.shape == (8, 1, 16, 16)
    for image in (batch.lr, batch.hr):
        assert image.is_contiguous(memory_format=torch.channels_last)
        torch.testing.assert_close(image * 255, (image * 255).round(), atol=1e-4, rtol=0)
    for values in (batch.lr, batch.hr, batch.depth, batch.true_depth):
        assert values.dtype == torch.float32
        assert 0 <= float(values.min()) <= float(values.max()) <= 1
    torch.testing.assert_close(batch.kernels.sum(1), torch.ones(8, 16, 16), atol=1e-5, rtol=0)


@pytest.mark.parametrize("kind", KINDS)
def test_lr_is_what_the_kernels_make_of_hr(kind: str, rendered: Callable[..., RGB]) -> None:
    batch = _only(kind, rendered).draw(3)
    assert set(batch.kind.tolist()) == {KINDS.index(kind)}
    expected = blur(batch.hr, batch.kernels, 4)
    inside = (..., slice(3, -3), slice(3, -3))  # blur of the crop alone repeats its edge
    difference = (batch.lr - expected.clamp(0, 1)).abs()
    assert float(difference[inside].max()) < 0.51 / 255
    assert float(difference.max()) > 0.51 / 255  # and the crop's own is that of its image
    varies = batch.kernels.flatten(2).std(2).amax() > 1e-6
    assert bool(varies) == (kind in ("smooth", "defocus"))


def test_the_border_of_a_crop_is_blurred_as_in_its_image(
    rendered: Callable[..., RGB], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without turns, a crop is a cut of its image, whose blur with the same kernels has the same pixels there."""
    pairs = _only("invariant", rendered, augment=False, batch=4, elsewhere=0.0)
    seen = []
    draw = blurred.draw_crops

    def spy(*arguments: object, **named: object) -> object:
        seen.append(draw(*arguments, **named))  # type: ignore[arg-type]
        return seen[-1]

    monkeypatch.setattr(blurred, "draw_crops", spy)
    batch = pairs.draw(0)
    crops = seen[0]
    for n in range(4):
        image = torch.from_numpy(rendered(200, 180, int(crops.image[n]))).permute(2, 0, 1)[None].float()
        kernel = batch.kernels[n : n + 1, :, :1, :1]
        whole = blur(image, kernel.expand(-1, -1, 50, 45), 4)
        top, left = int(crops.top[n]) + pairs.plan.border, int(crops.left[n]) + pairs.plan.border
        expected = whole[0, :, top : top + 16, left : left + 16].clamp(0, 255) / 255
        assert float((batch.lr[n] - expected).abs().max()) < 0.51 / 255


def test_draws_are_a_function_of_seed_step_and_rank(rendered: Callable[..., RGB]) -> None:
    pairs = _pairs(rendered)
    stream = pairs.batches(2)
    batch, following = next(stream), next(stream)
    torch.manual_seed(5)
    np.random.seed(5)
    for value, again in zip(vars(batch).values(), vars(_pairs(rendered).draw(2)).values(), strict=True):
        assert torch.equal(value, again)
    assert torch.equal(following.lr, pairs.draw(3).lr)
    for other in (pairs.draw(3), _pairs(rendered, seed=2).draw(2), _pairs(rendered, rank=1).draw(2)):
        assert not torch.equal(other.lr, batch.lr)


def test_kinds_come_in_their_shares(rendered: Callable[..., RGB]) -> None:
    pairs = _pairs(rendered, batch=16, patch=4)
    kinds = _of([pairs.draw(step) for step in range(60)], "kind")
    found = torch.bincount(kinds, minlength=len(KINDS)) / len(kinds)
    torch.testing.assert_close(found, torch.tensor(pairs.plan.shares), atol=0.04, rtol=0)
    assert bool((pairs.draw(0).kind.diff() >= 0).all())


def test_noise_comes_in_its_share_and_strength() -> None:
    flat = [np.full((160, 160, 3), 128, dtype=np.uint8)]
    plan = BlurPlan(4, 16, 16, 0, **{**ONLY, "invariant": 1.0}, scenes=0, noise=(5.0, 15.0))  # type: ignore[arg-type]
    pairs = BlurredPairs(flat, plan, CPU)
    lr = _of([pairs.draw(step) for step in range(10)], "lr") * 255
    deviation = lr.flatten(1).std(1)
    noisy = deviation > 0.5
    assert 0.35 < float(noisy.float().mean()) < 0.65
    assert 4.5 < float(deviation[noisy].min()) < 7
    assert 13 < float(deviation[noisy].max()) < 16.5


def test_jpeg_comes_in_its_share_and_quality(rendered: Callable[..., RGB]) -> None:
    def lr(**changes: object) -> Tensor:
        pairs = _only("invariant", rendered, scenes=0, **changes)
        return _of([pairs.draw(step) for step in range(6)], "lr") * 255

    plain = lr()
    coarse, fine, half = (
        lr(compressed=1.0, jpeg=(50, 50)),
        lr(compressed=1.0, jpeg=(95, 95)),
        lr(compressed=0.5),
    )
    changed = [(x - plain).abs().flatten(1).mean(1) for x in (coarse, fine, half)]
    assert bool((changed[0] > 0.3).all())
    assert float(changed[1].mean()) < 0.7 * float(changed[0].mean()) < 10
    assert 0.3 < float((changed[2] > 0).float().mean()) < 0.7
    torch.testing.assert_close(coarse, coarse.round(), atol=1e-3, rtol=0)


def test_blocks_of_jpeg_begin_anywhere() -> None:
    """Else kernels would be read off a grid that crops of images do not have."""
    noise = [np.random.default_rng(0).integers(0, 256, (160, 160, 3), dtype=np.uint8)]
    plan: dict[str, Any] = {**ONLY, "invariant": 1.0, "scenes": 0, "compressed": 1.0, "jpeg": (10, 10)}
    pairs = BlurredPairs(noise, BlurPlan(4, 16, 16, 0, **plan), CPU)
    steps = [pairs.draw(step).lr.diff(dim=2).abs().mean((0, 1, 3)) for step in range(6)]
    over_rows = torch.stack(steps).mean(0)
    assert float(over_rows.max()) < 1.5 * float(over_rows.mean())


def test_defocus_follows_the_depth(rendered: Callable[..., RGB]) -> None:
    pairs = _only("defocus", rendered, withheld=0.0, wrong=0.0, jittered=0.0)
    for step in range(6):
        batch = pairs.draw(step)
        assert torch.equal(batch.depth, batch.true_depth)
        _, covariance = moments(from_map(batch.kernels))
        width = axes(covariance)[0]
        for depth, of_crop in zip(batch.depth[:, 0], width, strict=True):
            # Blur falls up to the focus and rises behind it, so pixels of one depth are equally blurred.
            order = depth.flatten().argsort()
            sorted_width = of_crop.flatten()[order]
            turn = int(sorted_width.argmin())
            assert bool((sorted_width[: turn + 1].diff() <= 1e-3).all())
            assert bool((sorted_width[turn:].diff() >= -1e-3).all())


def test_depth_is_told_withheld_bent_or_wrong(rendered: Callable[..., RGB]) -> None:
    def given(**changes: float) -> tuple[Tensor, Tensor]:
        base = {"withheld": 0.0, "wrong": 0.0, "jittered": 0.0}
        batch = _only("defocus", rendered, **{**base, **changes}).draw(0)
        return batch.depth, batch.true_depth

    depth, true = given()
    assert torch.equal(depth, true)
    assert float(true.flatten(1).std(1).max()) > 0.1
    assert float(given(withheld=1.0)[0].abs().max()) == 0
    depth, true = given(wrong=1.0)
    assert bool((depth != true).flatten(1).any(1).all())
    depth, true = given(jittered=1.0)
    difference = (depth - true).abs()
    assert 0.01 < float(difference.mean()) < 0.2


def test_photographs_are_told_nothing_or_what_is_not_theirs(rendered: Callable[..., RGB]) -> None:
    pairs = _only("invariant", rendered, elsewhere=0.0, patch=8)
    batches = [pairs.draw(step) for step in range(20)]
    assert float(_of(batches, "true_depth").abs().max()) == 0
    given = _of(batches, "depth").flatten(1).abs().amax(1) > 0
    assert 0.35 < float(given.float().mean()) < 0.65
    assert float(_only("invariant", rendered, elsewhere=0.0, unrelated=0.0).draw(0).depth.abs().max()) == 0


def test_other_blur_is_found_in_scenes_too(rendered: Callable[..., RGB]) -> None:
    batch = _only("smooth", rendered, elsewhere=1.0).draw(0)
    assert bool((batch.true_depth.flatten(1).amax(1) > 0).all())


def test_modes_and_gradients_come_in_their_share(rendered: Callable[..., RGB]) -> None:
    """Those of modes are constant in blocks of ten LR pixels."""
    for modes, expected in ((0.0, 0), (1.0, 8)):
        kernels = _only("smooth", rendered, modes=modes, batch=8).draw(0).kernels
        same = kernels.diff(dim=3).abs().sum(1) < 1e-6
        assert int((same.flatten(1).float().mean(1) > 0.5).sum()) == expected


def test_mode_6_comes_three_times_as_often(rendered: Callable[..., RGB]) -> None:
    """It alone has two kernels where a crop shows three or four blocks a side."""
    pairs = _only("smooth", rendered, modes=1.0, batch=8, patch=24)
    kernels = _of([pairs.draw(step) for step in range(12)], "kernels")
    counts = [len((k.flatten(1).T * 1e4).round().unique(dim=0)) for k in kernels]
    assert 0.25 < sum(count == 2 for count in counts) / len(counts) < 0.5  # 3 of 8


def test_a_bent_depth_is_still_nearly_that_depth() -> None:
    depth = random_smooth(50, 16, torch.Generator().manual_seed(0))
    bent = jittered(depth, torch.Generator().manual_seed(1))
    for one, other in zip(depth.flatten(1), bent.flatten(1), strict=True):
        assert float(torch.corrcoef(torch.stack([one, other]))[0, 1]) > 0.8
    assert float((depth - bent).abs().mean()) > 0.02


def test_bad_plans_are_refused(rendered: Callable[..., RGB]) -> None:
    cases: list[tuple[dict[str, Any], tuple[object, ...]]] = [
        ({"scale": 5}, (5,)),
        ({"patch": 3}, ("patch", 3, 4)),
        ({"batch": 0}, ("batch", 0, 1)),
        ({"motion": -0.1}, ("motion", -0.1)),
        ({"motion": 0.2}, ("motion", 1.15)),
        ({"withheld": 0.7, "wrong": 0.6}, ("withheld", "wrong", 1.3)),
        ({"modes": 0.7, "patchwork": 0.6}, ("modes", "patchwork", 1.3)),
        ({"noise": (5.0, 1.0)}, ("noise", "[5.0, 1.0]")),
        ({"compressed": 1.5}, ("compressed", 1.5)),
        ({"jpeg": (90, 70)}, ("jpeg", 90, 70)),
        ({"jpeg": (0, 70)}, ("jpeg", 0, 70)),
        ({"scenes": 0}, ("scenes", "defocus")),
        ({"patch": 50}, (3, 224, 50)),
    ]
    for changes, named in cases:
        with refused(UsageError, *named):
            _pairs(rendered, **changes)
