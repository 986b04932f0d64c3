"""The loss that closes the loop, and the judge that goes by what the loop sees."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from srkit.archs.reconstructor import Reconstructor
from srkit.data.pairs import Batch
from srkit.encoders.distance import perceptual_distance
from srkit.encoders.stages import encoder_stage
from srkit.losses.reconstruction import Far, ReconstructionLoss, detail_weights
from srkit.ops.resize import upscale
from srkit.training.closed_loop import ClosedLoop
from srkit.training.controller import Controller
from srkit.training.loop_validator import LoopValidator, spread_of

CPU = torch.device("cpu")
NEUTRAL = Controller().neutral


class Enlarge(nn.Module):
    """Bicubic, times a number."""

    def __init__(self, factor: float = 1.0) -> None:
        super().__init__()
        self.factor = nn.Parameter(torch.tensor(factor))

    def forward(self, x: Tensor) -> Tensor:
        return upscale(x, 2) * self.factor


@pytest.fixture(scope="module")
def loop() -> ClosedLoop:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = Reconstructor(2, 6, 1, 1, 1, 8, 24).eval().requires_grad_(False)
    distance, stage = perceptual_distance("random", CPU), encoder_stage("random", "stage1", CPU)
    return ClosedLoop(network, ReconstructionLoss(distance), Far(stage), Controller(0.0).adapting)


def batches(count: int, each: int = 2) -> list[Batch]:
    found = [torch.rand(each, 3, 24, 24, generator=torch.Generator().manual_seed(i)) for i in range(count)]
    return [Batch(x, x) for x in found]


def test_the_terms_are_what_they_say(loop: ClosedLoop) -> None:
    (batch,) = batches(1)
    sr = upscale(batch.lr, 2) * 0.9
    seen = loop.reconstruction.distance.distance(upscale(batch.lr, 2).clamp(0, 1), sr.clamp(0, 1)).clamp(0, 1)
    estimated = loop.network.estimate(batch.lr)
    embedding = estimated.embedding * (2 * estimated.distance - seen)[:, None]
    made = loop.network.reconstruct(embedding, loop.network.image_features(sr))
    error, regular = loop.terms(sr, batch.lr)
    weights = detail_weights(batch.lr)
    assert float(error) == pytest.approx(float(loop.reconstruction.total(made, batch.lr, weights)), rel=1e-5)
    plain, _ = loop.terms(sr, batch.lr, weighted=False)
    assert float(plain) == pytest.approx(float(loop.reconstruction.total(made, batch.lr)), rel=1e-5)
    assert torch.allclose(regular, loop.far(loop.network, sr), rtol=1e-5)


def test_a_gradient_reaches_the_image_alone_and_not_through_the_controller(loop: ClosedLoop) -> None:
    (batch,) = batches(1)
    sr = (upscale(batch.lr, 2) * 0.9).requires_grad_(True)
    lr = batch.lr.clone().requires_grad_(True)
    error, _ = loop.terms(sr, lr)
    (own,) = torch.autograd.grad(error, sr)
    with torch.no_grad():
        x = upscale(lr, 2)
        seen = loop.reconstruction.distance.distance(x.clamp(0, 1), sr.clamp(0, 1)).clamp(0, 1)
    fixed = replace(
        loop, factor=lambda distance, expected, dim, rng: (2 * expected - seen)[:, None].expand(-1, dim)
    )
    (same,) = torch.autograd.grad(fixed.terms(sr, lr)[0], sr)
    assert torch.allclose(own, same)
    assert float(own.abs().max()) > 0
    assert lr.grad is None
    assert all(p.grad is None for p in loop.network.parameters())


def test_noise_is_drawn_anew_and_repeats(loop: ClosedLoop) -> None:
    (batch,) = batches(1)
    sr = upscale(batch.lr, 2)
    noisy = replace(loop, factor=Controller(0.5).adapting)
    one, two = (noisy.loss(7) for _ in range(2))
    first, second = float(one(sr, batch)), float(one(sr, batch))
    assert first != second
    assert [float(two(sr, batch)) for _ in range(2)] == [first, second]
    still = loop.loss(7)
    assert float(still(sr, batch)) == float(still(sr, batch))


def test_draws_are_averaged(loop: ClosedLoop) -> None:
    (batch,) = batches(1)
    sr = upscale(batch.lr, 2)
    noisy = replace(loop, factor=Controller(0.5).adapting)
    rng = torch.Generator().manual_seed(3)
    single = [float(noisy.terms(sr, batch.lr, rng)[0]) for _ in range(4)]
    several, _ = replace(noisy, draws=4).terms(sr, batch.lr, torch.Generator().manual_seed(3))
    assert float(several) == pytest.approx(sum(single) / 4, rel=1e-5)


@pytest.mark.parametrize("share", [0.5, 2.0])
def test_lambda_makes_the_gradients_as_long_as_asked(loop: ClosedLoop, share: float) -> None:
    (batch,) = batches(1)
    found = loop.calibrated(Enlarge(), [batch], share)
    sr = upscale(batch.lr, 2).requires_grad_(True)
    error, regular = found.terms(sr, batch.lr)
    lengths = [
        float(torch.autograd.grad(term, sr, retain_graph=True)[0].norm())
        for term in (error, found.far_weight * regular.mean())
    ]
    assert lengths[1] == pytest.approx(share * lengths[0], rel=1e-3)
    value = found.loss(0)(sr, batch)
    assert float(value.detach()) == pytest.approx(
        float((error + found.far_weight * regular.mean()).detach()), rel=1e-5
    )


def test_without_far(loop: ClosedLoop) -> None:
    found = loop.calibrated(Enlarge(), batches(1), 0.0)
    assert found.far_weight == 0
    (batch,) = batches(1)
    sr = upscale(batch.lr, 2)
    assert float(found.loss(0)(sr, batch)) == float(found.terms(sr, batch.lr)[0])


# -- the judge ---------------------------------------------------------------------------------------------


def test_the_base_has_minus_one(loop: ClosedLoop) -> None:
    judge = LoopValidator(loop, NEUTRAL, Enlarge(), batches(3, 1), 40.0, None)
    assert sum(judge(Enlarge())) / 3 == pytest.approx(-1)
    assert judge.base.change == math.inf
    assert judge.seen == [judge.base]
    assert judge.base.niqe == ()
    assert not math.isclose(judge.base.neutral[0], judge.base.reconstruction[0])


def test_scores_are_of_what_it_measures(loop: ClosedLoop) -> None:
    judge = LoopValidator(loop, NEUTRAL, Enlarge(), batches(3, 1), 30.0, None)
    scores = judge(Enlarge(0.99))
    found, base = judge.seen[0], judge.base
    usual = sum(base.neutral) / 3, sum(base.far) / 3
    wanted = [-(a / usual[0] + b / usual[1]) / 2 for a, b in zip(found.neutral, found.far, strict=True)]
    assert scores == pytest.approx(wanted)
    squares = [float((upscale(b.lr, 2).clamp(0, 1) * 0.01).square().mean()) for b in batches(3, 1)]
    assert found.change == pytest.approx(-10 * math.log10(sum(squares) / 3), abs=0.1)


def test_what_went_too_far_is_not_taken(loop: ClosedLoop) -> None:
    judge = LoopValidator(loop, NEUTRAL, Enlarge(), batches(2, 1), 40.0, None)
    assert all(map(math.isnan, judge(Enlarge(0.9))))
    assert not any(map(math.isnan, judge(Enlarge(0.999))))
    nothing = LoopValidator(loop, NEUTRAL, Enlarge(), batches(2, 1), 40.0, None)
    assert all(map(math.isnan, nothing(Enlarge(math.nan))))


def test_far_may_refuse(loop: ClosedLoop) -> None:
    """However much better it reconstructs: blur does that."""
    judge = LoopValidator(loop, NEUTRAL, Enlarge(), batches(2, 1), 40.0, None)
    base = judge.base
    better = replace(base, neutral=tuple(0.5 * error for error in base.neutral), change=50.0)
    assert not any(map(math.isnan, judge.scores(better)))
    blurred = replace(better, far=(base.far[0], 1.01 * base.far[1]))
    assert all(map(math.isnan, judge.scores(blurred)))


def test_niqe_may_refuse(loop: ClosedLoop) -> None:
    images = [torch.rand(1, 3, 48, 96, generator=torch.Generator().manual_seed(i)) for i in range(3)]
    parts = [Batch(x, x) for x in images]

    def darker(image: Tensor) -> float:
        return -float(image.mean())

    def lighter(image: Tensor) -> float:
        return float(image.mean())

    judge = LoopValidator(loop, NEUTRAL, Enlarge(), parts, 20.0, None, darker)
    assert len(judge.base.niqe) == 3
    assert all(map(math.isnan, judge(Enlarge(0.95))))
    other = LoopValidator(loop, NEUTRAL, Enlarge(), parts, 20.0, None, lighter)
    assert not any(map(math.isnan, other(Enlarge(0.95))))
    small = LoopValidator(loop, NEUTRAL, Enlarge(), [*parts, *batches(1, 1)], 20.0, None, darker)
    assert small.base.niqe == ()


def test_spread() -> None:
    assert spread_of(torch.tensor([[3.0, 4.0]])) == 0
    assert spread_of(torch.tensor([[1.0, 0.0], [-1.0, 0.0]])) == pytest.approx(1)
    assert spread_of(torch.zeros(2, 3)) == 0
    near = torch.tensor([[1.0, 0.1], [1.0, -0.1]])
    assert spread_of(near) == pytest.approx(0.1 / math.sqrt(1.01))
