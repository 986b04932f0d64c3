"""The generator's sum: each term by definition, every image looked at once, the strengths of the terms."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from srkit.archs.cria import CriaParts
from srkit.archs.discriminators import UNetSN
from srkit.encoders.features import PerceptualFeatures, perceptual_features
from srkit.losses.contrast import alignment, uniformity
from srkit.losses.criteria import (
    CRITERIA,
    Views,
    Wanted,
    pixel_map,
    ssim_distance_map,
)
from srkit.losses.gan import generator_loss
from srkit.losses.generator import OF_HEADS, FeatureExtractors, GeneratorLosses, Once, criteria_of
from srkit.losses.images import PerceptualLoss, checkerboard, chroma, l1
from srkit.recipes.gan import CriaPart, GanWeights

CPU = torch.device("cpu")
WEIGHTS = GanWeights(1.0, 0.5, 0.1, 0.2, 0.3, 0.4, 0.6, chroma=0.7)
TERMS = ["pixel", "chroma", "perceptual", "adversarial", "checkerboard", "balance", "align", "unif"]
SCALE = 4


class Counting:
    """A provider that counts how often it looks, by what it looks at."""

    name = version = "counting"

    def __init__(self, provider: PerceptualFeatures) -> None:
        self._provider, self.looks = provider, Counter[int]()

    def features(self, images: Tensor) -> list[Tensor]:
        self.looks[id(images)] += 1
        return self._provider.features(images)


@pytest.fixture(scope="module")
def provider() -> PerceptualFeatures:
    return perceptual_features("random", CPU)


@pytest.fixture(scope="module")
def discriminator() -> UNetSN:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return UNetSN(4).eval().requires_grad_(False)


def _made() -> tuple[CriaParts, Tensor]:
    """Parts whose result has the graph of the heads and the mask, and a target."""
    rng = torch.Generator().manual_seed(0)
    target, align, unif = torch.rand(3, 2, 3, 32, 32, generator=rng)
    align, unif = ((0.8 * target + 0.2 * x).requires_grad_() for x in (align, unif))
    mask = torch.rand(2, 1, 32, 32, generator=rng).requires_grad_()
    return CriaParts(torch.lerp(unif, align, mask), align, unif, mask), target


def test_each_term_is_what_it_is_by_itself(provider: PerceptualFeatures, discriminator: UNetSN) -> None:
    made, target = _made()
    real = discriminator(target)
    cria = CriaPart(eta=1.5, t=3.0, raw=True)
    losses = GeneratorLosses(WEIGHTS, cria, FeatureExtractors(provider, provider), SCALE)
    terms = losses(made, target, discriminator, real)
    wanted = Wanted(
        target, Views(lambda x: provider.features(x)[0], lambda x: provider.features(x)[-1], discriminator)
    )
    pixel, ssim = pixel_map(made.align, target), ssim_distance_map(made.align, target)
    bottom = CRITERIA["bottom"](made.align, wanted)
    apart = [CRITERIA[name](made.unif, wanted) for name in ("top", "adversarial")]
    expected = {
        "pixel": l1(made.sr, target),
        "chroma": chroma(made.sr, target),
        "perceptual": PerceptualLoss(provider)(made.sr, target),
        "adversarial": generator_loss(discriminator(made.sr), real),
        "checkerboard": checkerboard(made.sr, SCALE),
        "balance": (made.mask.mean() - 0.5) ** 2,
        "align": alignment(made.mask, pixel, [ssim, bottom], 1.5),
        "unif": uniformity(made.mask, pixel_map(made.unif, target), apart, 3.0),
    }
    assert list(terms) == list(expected)
    for name, term in expected.items():
        torch.testing.assert_close(terms[name], term)
    total = sum(getattr(WEIGHTS, name) * term for name, term in expected.items())
    torch.testing.assert_close(losses.total(terms), total)


def test_every_image_is_looked_at_once(provider: PerceptualFeatures, discriminator: UNetSN) -> None:
    made, target = _made()
    counted, judged = Counting(provider), Counter[int]()

    def judge(images: Tensor) -> Tensor:
        judged[id(images)] += 1
        return discriminator(images)

    losses = GeneratorLosses(WEIGHTS, CriaPart(), FeatureExtractors(counted, counted), SCALE)
    losses(made, target, judge, discriminator(target))
    assert counted.looks == {id(x): 1 for x in (made.sr, made.align, made.unif, target)}
    assert judged == {id(x): 1 for x in (made.sr, made.unif)}  # the real ones' logits are known


def test_a_provider_of_its_own_for_the_bottom(provider: PerceptualFeatures, discriminator: UNetSN) -> None:
    made, target = _made()
    top, bottom = Counting(provider), Counting(provider)
    losses = GeneratorLosses(WEIGHTS, CriaPart(), FeatureExtractors(top, bottom), SCALE)
    losses(made, target, discriminator, discriminator(target))
    assert set(bottom.looks) == {id(made.align), id(target)}
    assert set(top.looks) == {id(made.sr), id(made.unif), id(target)}


@pytest.mark.parametrize(
    "left_out", ["pixel", "chroma", "perceptual", "checkerboard", "balance", "align", "unif"]
)
def test_a_term_of_weight_0_is_left_out(
    left_out: str, provider: PerceptualFeatures, discriminator: UNetSN
) -> None:
    made, target = _made()
    losses = GeneratorLosses(
        replace(WEIGHTS, **{left_out: 0.0}), CriaPart(), FeatureExtractors(provider, provider), SCALE
    )
    terms = losses(made, target, discriminator, discriminator(target))
    assert set(terms) == set(TERMS) - {left_out}
    assert left_out not in losses.criteria
    assert bool(losses.total(terms) > 0)


def test_one_head_takes_the_terms_of_the_result(provider: PerceptualFeatures, discriminator: UNetSN) -> None:
    made, target = _made()
    losses = GeneratorLosses(WEIGHTS, CriaPart(), FeatureExtractors(provider, provider), SCALE)
    terms = losses(made.sr, target, discriminator, discriminator(target))
    assert list(terms) == ["pixel", "chroma", "perceptual", "adversarial", "checkerboard"]


def test_strengths_are_gradients_at_the_images_that_terms_are_of(
    provider: PerceptualFeatures, discriminator: UNetSN
) -> None:
    made, target = _made()
    losses = GeneratorLosses(WEIGHTS, CriaPart(), FeatureExtractors(provider, provider), SCALE)
    terms = losses(made, target, discriminator, discriminator(target))
    norms = losses.gradient_norms(terms, made)
    assert list(norms) == ["pixel and perceptual", *TERMS]
    # The mean absolute difference has the same slope everywhere.
    assert norms["pixel"] == pytest.approx(1 / target.numel() ** 0.5, rel=1e-4)
    (slope,) = torch.autograd.grad(WEIGHTS.unif * terms["unif"], made.unif, retain_graph=True)
    assert norms["unif"] == pytest.approx(float(slope.norm()))
    # As much at every place, and nothing where the mask is even.
    excess = float(made.mask.mean().detach()) - 0.5
    assert norms["balance"] == pytest.approx(0.4 * 2 * abs(excess) / made.mask.numel() ** 0.5, rel=1e-3)
    pair = terms["pixel"] + 0.5 * terms["perceptual"]
    (slope,) = torch.autograd.grad(pair, made.sr, retain_graph=True)
    assert norms["pixel and perceptual"] == pytest.approx(float(slope.norm()))
    torch.autograd.backward(losses.total(terms))  # the graphs are still there


ONLY_RESULT = GanWeights(0.0, 0.0, 1e-9, 0.0, 0.0)


@pytest.mark.parametrize("name", OF_HEADS)
def test_a_loss_of_one_head_leaves_the_other_and_the_mask_alone(
    name: str, provider: PerceptualFeatures, discriminator: UNetSN
) -> None:
    made, target = _made()
    extractors = FeatureExtractors(provider, provider)
    losses = GeneratorLosses(replace(ONLY_RESULT, **{name: 1.0}), CriaPart(), extractors, SCALE)
    term = losses(made, target, discriminator, discriminator(target))[name]
    slopes = torch.autograd.grad(
        term, (made.align, made.unif, made.mask), allow_unused=True, retain_graph=True
    )
    own, other = slopes[:2] if name.startswith("align") else slopes[1::-1]
    assert own is not None
    assert bool(own.abs().max() > 0)
    assert other is None
    assert slopes[2] is None
    assert losses.gradient_norms({name: term}, made)[name] == pytest.approx(float(own.norm()))


def test_losses_of_the_heads_by_themselves(provider: PerceptualFeatures, discriminator: UNetSN) -> None:
    made, target = _made()
    weights = replace(ONLY_RESULT, **dict.fromkeys(OF_HEADS, 1.0))
    losses = GeneratorLosses(weights, CriaPart(), FeatureExtractors(provider, provider), SCALE)
    real = discriminator(target)
    for images, align, unif in ((made, made.align, made.unif), (made.sr, made.sr, made.sr)):
        terms = losses(images, target, discriminator, real)
        assert list(terms) == ["adversarial", *OF_HEADS]
        torch.testing.assert_close(terms["align_pixel"], l1(align, target))
        torch.testing.assert_close(terms["align_ssim"], ssim_distance_map(align, target).mean())
        torch.testing.assert_close(terms["unif_perceptual"], PerceptualLoss(provider)(unif, target))
        torch.testing.assert_close(terms["unif_adversarial"], generator_loss(discriminator(unif), real))


def test_the_anchor_comes_first_and_once() -> None:
    assert criteria_of(CriaPart(), "align") == ("pixel", "ssim", "bottom")
    assert criteria_of(CriaPart(anchor="adversarial"), "unif") == ("adversarial", "top")


def test_once() -> None:
    asked: list[Tensor] = []

    def of(x: Tensor) -> int:
        asked.append(x)
        return len(asked)

    a, b = torch.zeros(2), torch.zeros(2)
    once = Once(of, {b: 7})
    assert [once(a), once(b), once(a), once(a.clone())] == [1, 7, 1, 2]
