"""FAR: by its formula, what it is of what it was fitted on, and what is without the contrast."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from srkit.archs.reconstructor import Reconstructor
from srkit.encoders.stages import EncoderStage, encoder_stage
from srkit.losses.reconstruction import FLAWED_OFFSET, Far, far
from srkit.ops.descriptors import gram_descriptors

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def stage() -> EncoderStage:
    return encoder_stage("random", "stage1", CPU)


@pytest.fixture
def network(stage: EncoderStage) -> Reconstructor:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return Reconstructor(2, 6, 1, 1, 1, 8, stage.channels).eval()


def _images(count: int, seed: int = 0, side: int = 32) -> Tensor:
    """Smooth shapes with some texture."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.rand(count, 3, side // 8, side // 8, generator=generator)
    smooth = torch.nn.functional.interpolate(coarse, size=(side, side), mode="bicubic")
    return (smooth + 0.05 * torch.randn(smooth.shape, generator=generator)).clamp(0, 1)


def test_the_formula() -> None:
    predicted, found = ((torch.randn(3, 16), torch.randn(3, 16)) for _ in range(2))
    each = [
        sum(float((p[n] - f[n]).square().sum().sqrt()) for p, f in zip(predicted, found, strict=True)) / 4
        for n in range(3)
    ]
    assert far(predicted, found).tolist() == pytest.approx(each, rel=1e-5)
    assert far(found, found).tolist() == [0, 0, 0]


def test_a_prediction_of_the_mean_is_two_from_a_usual_image() -> None:
    found = tuple(torch.randn(4, 5000, generator=torch.Generator().manual_seed(n)) for n in (0, 1))
    nothing = torch.zeros(4, 5000)
    assert far((nothing, nothing), (found[0], found[1])).tolist() == pytest.approx([2.0] * 4, rel=0.05)


def test_far_of_images(network: Reconstructor, stage: EncoderStage) -> None:
    images = _images(3)
    regulariser = Far(stage)
    descriptors = gram_descriptors(stage.maps(_images(20, 1)))
    network.set_usual(*descriptors)
    found = regulariser(network, images)
    features = network.image_features(images)
    wanted = far(network.predict(features), network.relative(*gram_descriptors(stage.maps(images))))
    torch.testing.assert_close(found, wanted)
    torch.testing.assert_close(regulariser(network, images, features), wanted)


def test_its_gradient_goes_through_both_encoders(network: Reconstructor, stage: EncoderStage) -> None:
    images = _images(2).requires_grad_()
    (both,) = torch.autograd.grad(Far(stage)(network, images).sum(), images)
    predicted = network.predict(network.image_features(images))
    found = network.relative(*gram_descriptors(stage.maps(images)))
    fixed = ((predicted[0].detach(), predicted[1].detach()), (found[0].detach(), found[1].detach()))
    (one,) = torch.autograd.grad(far(predicted, fixed[1]).sum(), images, retain_graph=True)
    (other,) = torch.autograd.grad(far(fixed[0], found).sum(), images)
    torch.testing.assert_close(one + other, both, atol=1e-5, rtol=1e-3)
    assert bool((one != 0).any())
    assert bool((other != 0).any())


def test_flawed_images_are_to_be_predicted_with_an_offset() -> None:
    found = (torch.randn(3, 16), torch.randn(3, 16))
    offset = torch.tensor([0.0, FLAWED_OFFSET, 0.5])
    above = (found[0] + offset[:, None], found[1] + offset[:, None])
    assert far(above, found, offset).tolist() == pytest.approx([0, 0, 0], abs=1e-6)
    assert far(above, found).tolist() == pytest.approx([0, 2 * FLAWED_OFFSET, 1], rel=1e-5)
    assert torch.equal(far(above, found, torch.zeros(3)), far(above, found))


def test_it_learns_what_is_without_flaws(stage: EncoderStage) -> None:
    """Taught by clean and noisy images, it tells one from the other where it never saw them."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = Reconstructor(2, 8, 1, 1, 1, 8, stage.channels).eval()
    regulariser, side, steps = Far(stage), 16, 300
    network.set_usual(*gram_descriptors(stage.maps(_images(40, 7, side))))
    optimiser = torch.optim.Adam(network.parameters(), 2e-2)
    falling = torch.optim.lr_scheduler.LinearLR(optimiser, 1.0, 0.0, steps)

    def noisy(images: Tensor) -> Tensor:
        noise = torch.randn(images.shape, generator=torch.Generator().manual_seed(9))
        return (images + 0.2 * noise).clamp(0, 1)

    offset = torch.tensor([0.0, FLAWED_OFFSET]).repeat_interleave(16)
    for step in range(steps):
        images = _images(16, 100 + step, side)
        both = torch.cat([images, noisy(images)])
        estimated = network.predict(network.image_features(both))
        loss = far(estimated, network.relative(*regulariser.descriptors(both)), offset).mean()
        optimiser.zero_grad()
        torch.autograd.backward(loss)
        optimiser.step()
        falling.step()
    unseen = _images(16, 99, side)
    clean, flawed = (regulariser(network, x).detach() for x in (unseen, noisy(unseen)))
    assert float((flawed[:, None] > clean).float().mean()) > 0.8


def test_coarse_arithmetic_is_close(network: Reconstructor, stage: EncoderStage) -> None:
    images = _images(2)
    exact, coarse = (Far(stage, dtype)(network, images) for dtype in (None, torch.bfloat16))
    assert not torch.equal(exact, coarse)
    torch.testing.assert_close(exact, coarse, rtol=0.05, atol=0)
