"""The controller: what it measures, and which way its factor goes."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from srkit.encoders.distance import PerceptualDistance, perceptual_distance
from srkit.ops.resize import upscale
from srkit.training.controller import Controller, no_factor, quality_distance

CPU = torch.device("cpu")


def _rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def _far(amount: float) -> PerceptualDistance:
    return PerceptualDistance("far", "1", 1, lambda a, b: [torch.full((len(a), 1, 1, 1), amount)])


def test_distance_from_the_enlarged_image() -> None:
    distance = perceptual_distance("random", CPU)
    lr = torch.rand(2, 3, 16, 16, generator=_rng())
    blurred = upscale(lr, 2).clamp(0, 1)
    sharp = blurred + 0.2 * torch.randn(blurred.shape, generator=_rng(1))
    found = [quality_distance(distance, lr, blurred + i * (sharp - blurred)) for i in (0.0, 0.3, 1.0)]
    assert found[0].tolist() == [0, 0]
    assert bool((found[0] < found[1]).all())
    assert bool((found[1] < found[2]).all())


@pytest.mark.parametrize("amount", [-0.1, 0.4, 1.7])
def test_it_stays_in_its_range(amount: float) -> None:
    found = quality_distance(_far(amount), torch.rand(2, 3, 4, 4), torch.rand(2, 3, 8, 8))
    assert found.tolist() == pytest.approx([min(1.0, max(0.0, amount))] * 2)


def test_no_gradient_goes_through() -> None:
    hr = torch.rand(2, 3, 32, 32, requires_grad=True)
    found = quality_distance(perceptual_distance("random", CPU), torch.rand(2, 3, 16, 16), hr)
    assert not found.requires_grad
    learnt = torch.tensor([0.3], requires_grad=True)
    controller = Controller(0.1)
    for make in (controller.pretraining, controller.adapting, controller.paper, controller.neutral):
        assert not make(learnt, learnt, 3, _rng()).requires_grad


def _of(values: Tensor, dim: int = 5) -> Tensor:
    return values[:, None].expand(-1, dim)


def test_which_way_the_factor_goes() -> None:
    """Spec 2.3 and 2.6.3: the two are the same where l is what it is expected to be, and there alone."""
    distance, expected = torch.tensor([0.1, 0.4, 0.8]), torch.tensor([0.4, 0.4, 0.5])
    controller = Controller(noise_std=0.0)
    torch.testing.assert_close(controller.pretraining(distance, expected, 5), _of(distance))
    torch.testing.assert_close(controller.adapting(distance, expected, 5), _of(torch.tensor([0.7, 0.4, 0.2])))
    torch.testing.assert_close(controller.paper(distance, expected, 5), _of(1 - distance))
    torch.testing.assert_close(controller.neutral(distance, expected, 5), _of(expected))
    torch.testing.assert_close(no_factor(distance, expected, 5), torch.ones(3, 5))


@pytest.mark.parametrize("deviation", [0.1, 1.0])
def test_noise(deviation: float) -> None:
    controller = Controller(deviation)
    distance, expected = torch.full((200,), 0.3), torch.full((200,), 0.4)
    for make, mean in (
        (controller.pretraining, 0.3),
        (controller.adapting, 0.5),
        (controller.paper, 0.7),
    ):
        found = make(distance, expected, 50, _rng())
        assert found.shape == (200, 50)
        assert float(found.mean()) == pytest.approx(mean, abs=deviation / 20)
        assert float(found.std()) == pytest.approx(deviation, rel=0.05)
        assert len(found[0].unique()) == 50
    again = [controller.pretraining(distance, expected, 50, _rng(seed)) for seed in (3, 3, 4)]
    assert torch.equal(again[0], again[1])
    assert not torch.equal(again[0], again[2])
    assert torch.equal(controller.neutral(distance, expected, 50, _rng()), _of(expected, 50))
