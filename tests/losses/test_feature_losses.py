"""Perceptual and semantic terms against what they are by definition, through a real provider of random weights."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from srkit.encoders.features import perceptual_features
from srkit.encoders.semantic import semantic_encoder
from srkit.losses.images import PerceptualLoss, SemanticLoss, feature_l1, unit_distance

CPU = torch.device("cpu")
PairLoss = Callable[[Tensor, Tensor], Tensor]


@pytest.fixture(scope="module", params=["perceptual", "semantic"])
def loss(request: pytest.FixtureRequest) -> PairLoss:
    if request.param == "perceptual":
        return PerceptualLoss(perceptual_features("random", CPU))
    return SemanticLoss(semantic_encoder("random", CPU))


def pair(side: int = 48) -> tuple[Tensor, Tensor]:
    sr, hr = 0.2 + 0.6 * torch.rand(2, 2, 3, side, side, generator=torch.Generator().manual_seed(0))
    return sr.requires_grad_(), hr.requires_grad_()


def test_feature_l1_is_the_mean_over_maps_of_means() -> None:
    sr = [torch.zeros(1, 2, 2, 2), torch.zeros(1, 1, 1, 1)]
    hr = [torch.full((1, 2, 2, 2), -3.0), torch.full((1, 1, 1, 1), 5.0)]
    assert float(feature_l1(sr, hr)) == 4
    assert float(feature_l1(sr[:1], hr[:1])) == 3


def test_feature_l1_of_bf16_is_taken_in_fp32() -> None:
    maps = [torch.full((1, 8, 64, 64), 1.0, dtype=torch.bfloat16)]
    other = [torch.full((1, 8, 64, 64), 1.0078125, dtype=torch.bfloat16)]
    assert feature_l1(maps, other).dtype == torch.float32
    assert float(feature_l1(maps, other)) == 0.0078125


def test_unit_distance_is_2_minus_2_cos() -> None:
    a = torch.tensor([[1.0, 0.0], [0.6, 0.8], [1.0, 0.0]])
    b = torch.tensor([[0.0, 1.0], [0.6, 0.8], [-1.0, 0.0]])
    assert float(unit_distance(a, b)) == pytest.approx((2 + 0 + 4) / 3)


def test_unit_distance_of_close_vectors_does_not_cancel() -> None:
    angle = torch.tensor(1e-5, dtype=torch.float64)
    a = torch.tensor([[1.0, 0.0]])
    b = torch.stack([angle.cos(), angle.sin()])[None].float()
    assert float(unit_distance(a, b)) == pytest.approx(1e-10, rel=1e-3)


def test_values_are_the_definitions() -> None:
    sr, hr = (p.detach() for p in pair())
    provider, encoder = perceptual_features("random", CPU), semantic_encoder("random", CPU)
    maps = list(zip(provider.features(sr), provider.features(hr), strict=True))
    wanted = sum(float((a - b).abs().double().mean()) for a, b in maps) / len(maps)
    assert float(PerceptualLoss(provider)(sr, hr)) == pytest.approx(wanted, rel=1e-5)
    cos = (encoder.embed(sr).vector * encoder.embed(hr).vector).sum(1).double()
    assert float(SemanticLoss(encoder)(sr, hr)) == pytest.approx(float((2 - 2 * cos).mean()), rel=1e-3)


def test_equal_images_are_at_no_distance(loss: PairLoss) -> None:
    sr, _ = pair()
    assert float(loss(sr, sr.detach()).detach()) == 0


def test_gradient_goes_into_sr_alone(loss: PairLoss) -> None:
    sr, hr = pair()
    torch.autograd.backward(loss(sr, hr))
    assert hr.grad is None
    assert sr.grad is not None
    direction = sr.grad / sr.grad.norm()
    with torch.no_grad():
        ahead, behind = (float(loss(sr + step * direction, hr)) for step in (0.02, -0.02))
    assert (ahead - behind) / 0.04 == pytest.approx(float(sr.grad.norm()), rel=0.03)


def test_following_the_gradient_brings_sr_nearer(loss: PairLoss) -> None:
    sr, hr = pair()
    before = float(loss(sr, hr).detach())
    torch.autograd.backward(loss(sr, hr))
    assert sr.grad is not None
    with torch.no_grad():
        assert float(loss(sr - 0.1 * sr.grad / sr.grad.norm(), hr)) < before


@pytest.mark.parametrize("kind", [PerceptualLoss, SemanticLoss])
def test_precision_is_the_context_s_and_not_the_caller_s(
    kind: type[PerceptualLoss] | type[SemanticLoss],
) -> None:
    """bf16 where it is asked for, fp32 else, also within somebody's autocast; the distance is in fp32 always."""
    provider = semantic_encoder("random", CPU)
    sr, hr = (p.detach() for p in pair())
    full, half = (kind(provider, dtype) for dtype in (None, torch.bfloat16))  # type: ignore[arg-type]
    wanted = full(sr, hr)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(full(sr, hr), wanted)
    assert half(sr, hr).dtype == wanted.dtype == torch.float32
    assert not torch.equal(half(sr, hr), wanted)
    assert float(half(sr, hr)) == pytest.approx(float(wanted), rel=0.2)
