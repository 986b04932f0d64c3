"""Criteria as maps: shape and sign, what each is by definition, and the running means."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from skimage.metrics import structural_similarity
from torch import Tensor

from srkit.archs.cria import Cria
from srkit.archs.discriminators import PatchGAN, UNetSN
from srkit.encoders.features import perceptual_features
from srkit.losses.contrast import alignment, uniformity
from srkit.losses.criteria import (
    CRITERIA,
    Criteria,
    Views,
    Wanted,
    feature_map,
    pixel_map,
    ssim_distance_map,
)
from srkit.losses.gan import generator_loss
from srkit.losses.images import feature_l1

SIDES = (40, 33)


@pytest.fixture(scope="module")
def views() -> Views:
    provider = perceptual_features("random", torch.device("cpu"))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        discriminator = PatchGAN(4).eval()
    return Views(
        bottom=lambda images: provider.features(images)[0],
        top=lambda images: provider.features(images)[-1],
        discriminator=discriminator,
    )


def _pair(count: int = 2, height: int = SIDES[0], width: int = SIDES[1]) -> tuple[Tensor, Tensor]:
    sr, hr = torch.rand(2, count, 3, height, width, generator=torch.Generator().manual_seed(0))
    return (0.7 * hr + 0.3 * sr).requires_grad_(), hr


@pytest.mark.parametrize("name", CRITERIA)
def test_every_criterion_is_a_map_of_the_image_s_size(name: str, views: Views) -> None:
    sr, hr = _pair()
    for images in (sr, (3 * sr - 1).detach().requires_grad_()):  # it may leave [0, 1]
        found = CRITERIA[name](images, Wanted(hr, views))
        assert found.shape == (2, 1, *SIDES)
        assert found.dtype == torch.float32
        assert float(found.detach().min()) >= 0
        assert float(found.detach().max()) > 0
        (slope,) = torch.autograd.grad(found.mean(), images)
        assert bool(slope.isfinite().all())
        assert bool((slope != 0).any())


@pytest.mark.parametrize("name", ["pixel", "ssim", "bottom", "top"])
def test_equal_images_are_at_no_distance(name: str, views: Views) -> None:
    _, hr = _pair()
    flat = torch.full_like(hr, 0.7)
    for images in (hr, flat, torch.zeros_like(hr)):
        same = images.clone().requires_grad_()
        found = CRITERIA[name](same, Wanted(images, views))
        assert float(found.detach().abs().max()) == 0
        (slope,) = torch.autograd.grad(found.mean(), same)
        assert bool(slope.isfinite().all())


def test_a_discriminator_of_every_pixel_needs_no_resizing() -> None:
    sr, hr = _pair()
    wanted = Wanted(hr, Views(discriminator=UNetSN(4).eval()))
    found = CRITERIA["adversarial"](sr, wanted)
    assert found.shape == (2, 1, *SIDES)
    logits = wanted.views.look("discriminator", sr)
    torch.testing.assert_close(found.mean(), generator_loss(logits, wanted.discriminator))


def test_pixel_map_is_the_mean_over_the_channels() -> None:
    sr, hr = torch.zeros(1, 3, 1, 2), torch.zeros(1, 3, 1, 2)
    sr[0, :, 0, 1] = torch.tensor([0.3, -0.6, 0.0])
    assert pixel_map(sr, hr).flatten().tolist() == pytest.approx([0, 0.3])


def test_ssim_map_is_the_metric_s_where_the_window_is_whole() -> None:
    sr, hr = (p.detach() for p in _pair())
    sr[:, :, 20:] = 0.5  # flat, and partly the same
    sr[:, :, 30:] = hr[:, :, 30:]
    inner = ssim_distance_map(sr, hr)[:, :, 5:-5, 5:-5]
    for found, x, y in zip(inner, sr.double().numpy(), hr.double().numpy(), strict=True):
        _, whole = structural_similarity(
            x,
            y,
            channel_axis=0,
            data_range=1.0,
            gaussian_weights=True,
            use_sample_covariance=False,
            full=True,
        )
        exact = 1 - whole[:, 5:-5, 5:-5].mean(0)
        np.testing.assert_allclose(found[0].numpy(), exact, atol=2e-5)


def test_ssim_map_of_any_size() -> None:
    for height, width in ((1, 1), (3, 20)):
        sr, hr = _pair(1, height, width)
        found = ssim_distance_map(sr, hr)
        assert found.shape == (1, 1, height, width)
        assert 0 <= float(found.detach().min()) <= float(found.detach().max()) <= 2
    # Of one pixel the window sees nothing but that pixel: no variance, so the luminance term alone.
    x, y = 0.2, 0.6
    alone = 1 - (2 * x * y + 1e-4) / (x * x + y * y + 1e-4)
    one = ssim_distance_map(torch.full((1, 1, 1, 1), x), torch.full((1, 1, 1, 1), y))
    assert float(one) == pytest.approx(alone, rel=1e-4)


def test_ssim_slope_is_that_of_finite_differences() -> None:
    sr, hr = _pair(1, 12, 12)
    torch.autograd.backward(ssim_distance_map(sr, hr).mean())
    assert sr.grad is not None
    direction = sr.grad / sr.grad.norm()
    with torch.no_grad():
        ahead, behind = (float(ssim_distance_map(sr + step * direction, hr).mean()) for step in (0.02, -0.02))
    assert (ahead - behind) / 0.04 == pytest.approx(float(sr.grad.norm()), rel=0.03)


def test_feature_map_of_the_same_size_is_the_perceptual_loss(views: Views) -> None:
    sr, hr = (p.detach() for p in _pair(1, 32, 32))
    bottom, wanted = views.look("bottom", sr), Wanted(hr, views)
    own_size = (bottom.shape[2], bottom.shape[3])
    assert own_size == (16, 16)
    found = feature_map(bottom, wanted.bottom, own_size)
    torch.testing.assert_close(found.mean(), feature_l1([bottom], [wanted.bottom]))
    enlarged = feature_map(bottom, wanted.bottom, (32, 32))
    assert float(enlarged.max()) <= float(found.max())


def test_what_is_wanted_is_looked_at_once_and_without_a_gradient() -> None:
    looks: list[Tensor] = []

    def look(images: Tensor) -> Tensor:
        looks.append(images)
        return 2 * images

    sr, hr = _pair()
    wanted = Wanted(hr.requires_grad_(), Views(top=look))
    for _ in range(2):
        CRITERIA["top"](sr, wanted)
    assert [images is hr for images in looks].count(True) == 1
    assert not wanted.top.requires_grad


def test_precision_is_the_views_and_not_the_caller_s(views: Views) -> None:
    sr, hr = (p.detach() for p in _pair(1))
    half = Views(views.bottom, views.top, views.discriminator, torch.bfloat16)
    for name, criterion in CRITERIA.items():
        found = criterion(sr, Wanted(hr, views))
        with torch.autocast("cpu", torch.bfloat16):
            assert torch.equal(criterion(sr, Wanted(hr, views)), found), name
        coarse = criterion(sr, Wanted(hr, half))
        assert coarse.dtype == torch.float32
        assert torch.equal(coarse, found) == (name in ("pixel", "ssim"))


def test_running_means_make_criteria_comparable(views: Views) -> None:
    names = ("pixel", "ssim", "bottom")
    criteria, raw = Criteria(names, decay=0.75), Criteria(names, raw=True)
    sr, hr = (p.detach() for p in _pair())
    first, plain = criteria(sr, Wanted(hr, views)), raw(sr, Wanted(hr, views))
    for name in names:
        assert torch.equal(plain[name], CRITERIA[name](sr, Wanted(hr, views)))
        assert float(first[name].mean()) == pytest.approx(1, rel=1e-4)
        torch.testing.assert_close(first[name] * plain[name].mean(), plain[name])  # the same map otherwise
    further = hr + 2 * (sr - hr)  # twice the pixel error
    second = criteria(further, Wanted(hr, views))
    assert float(second["pixel"].mean()) == pytest.approx(2 / (0.75 * 1 + 0.25 * 2), rel=1e-4)
    means = criteria.means.clone()
    criteria.eval()(hr, Wanted(hr, views))
    assert torch.equal(criteria.means, means)


def test_gradient_does_not_go_through_the_running_mean(views: Views) -> None:
    """Else the mean of a map just normalised would be 1 with no slope at all."""
    sr, hr = _pair()
    found = Criteria(["pixel"])(sr, Wanted(hr, views))["pixel"]
    (slope,) = torch.autograd.grad(found.mean(), sr)
    assert float(slope.abs().sum()) > 1


def test_running_means_are_part_of_the_state(views: Views) -> None:
    criteria = Criteria(("pixel", "top"))
    sr, hr = (p.detach() for p in _pair())
    criteria(sr, Wanted(hr, views))
    other = Criteria(("pixel", "top"))
    other.load_state_dict(copy.deepcopy(criteria.state_dict()))
    after, same = criteria(hr * 0.9, Wanted(hr, views)), other(hr * 0.9, Wanted(hr, views))
    assert all(torch.equal(after[name], same[name]) for name in after)


def test_running_means_survive_what_is_not_finite_and_what_is_zero() -> None:
    sr, hr = (p.detach() for p in _pair())
    criteria = Criteria(["pixel"])
    assert float(criteria(hr, Wanted(hr, Views()))["pixel"].max()) == 0
    criteria(sr, Wanted(hr, Views()))
    before = criteria.means.clone()
    criteria(sr * float("nan"), Wanted(hr, Views()))
    assert torch.equal(criteria.means, before)
    assert float(before) == pytest.approx(float((sr - hr).abs().mean()), rel=1e-5)


def test_the_losses_reach_the_heads_that_they_are_for(views: Views) -> None:
    """Alignment teaches its own head and the mask, uniformity the other and the mask; both the trunk."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = Cria(4, features=4, blocks=1, growth=2, width=4, mask_width=4)
        lr, hr = _pair(1, 8, 8)[1], _pair(1, 32, 32)[1]
    wanted = Wanted(hr, views)
    positive = Criteria(("pixel", "ssim", "bottom"))
    negative = Criteria(("pixel", "top", "adversarial"))
    for head, other in (("align", "unif"), ("unif", "align")):
        parts = network.parts(lr)
        if head == "align":
            pixel, *others = positive(parts.align, wanted).values()
            loss = alignment(parts.mask, pixel, others)
        else:
            pixel, *others = negative(parts.unif, wanted).values()
            loss = uniformity(parts.mask, pixel, others)
        network.zero_grad(set_to_none=True)
        torch.autograd.backward(loss)
        for name, parameter in network.named_parameters():
            part = name.partition(".")[0]
            if part == other:
                assert parameter.grad is None, name
            else:
                assert parameter.grad is not None, name
                assert bool(parameter.grad.isfinite().all()), name
                assert bool((parameter.grad != 0).any()), name
