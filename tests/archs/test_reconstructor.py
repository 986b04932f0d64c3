"""E_deg, E_img, R and what aligns their features: shapes, what depends on what, and the controller's factor."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from srkit.archs.reconstructor import MIN_SIDE, Reconstructor, _compressed, _Styled
from srkit.archs.table import DEGRADERS, build, info_of
from srkit.ops.descriptors import gram_descriptors
from srkit.zoo.header import Header
from srkit.zoo.weights import load_weights, save_weights

SMALL: dict[str, Any] = {
    "scale": 2,
    "features": 6,
    "image_blocks": 1,
    "degradation_blocks": 1,
    "blocks": 2,
    "embedding": 10,
    "described": 7,
}
MODULATIONS = ("gfm", "stylegan2", "stylegan2_nodemod")


def _network(seed: int = 0, **changes: Any) -> Reconstructor:
    """In evaluation mode, with values where training begins at zero, so that everything counts."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = Reconstructor(**(SMALL | changes)).eval()
        for parameter in network.parameters():
            if not parameter.any():
                torch.nn.init.normal_(parameter, std=0.1)
    return network


def _images(side: int, count: int = 2, width: int | None = None) -> Tensor:
    return torch.rand(count, 3, side, width or side, generator=torch.Generator().manual_seed(side))


@pytest.fixture(params=MODULATIONS)
def network(request: pytest.FixtureRequest) -> Reconstructor:
    return _network(modulation=request.param)


def test_it_is_the_one_network_that_degrades() -> None:
    assert set(DEGRADERS) == {"reconstructor"}
    assert isinstance(build("reconstructor", SMALL), Reconstructor)


def test_the_sizes_of_the_paper_and_of_what_is_shipped() -> None:
    with torch.device("meta"):
        paper = Reconstructor(modulation="stylegan2")
        small = Reconstructor(4, 32, 2, 6, 2, 128, 48)
    entry = sum(p.numel() for p in paper.degrade.shrink.parameters())  # which the paper leaves open
    expect = sum(p.numel() for p in paper.expect.parameters())  # which is not in the paper
    assert round((sum(p.numel() for p in paper.parameters()) - entry - expect) / 1e6, 1) == 6.0
    assert sum(p.numel() for p in small.parameters()) < 1.2e6


@torch.inference_mode()
@pytest.mark.parametrize("scale", [2, 4])
def test_sizes(scale: int) -> None:
    network = _network(scale=scale)
    lr, hr = _images(MIN_SIDE, width=31), _images(MIN_SIDE * scale, width=31 * scale)
    (embedding, expected), features = network.estimate(lr), network.image_features(hr)
    assert (embedding.shape, embedding.dtype) == ((2, 10), torch.float32)
    assert (expected.shape, expected.dtype) == ((2,), torch.float32)
    assert bool(((expected > 0) & (expected < 1)).all())
    assert features.shape == (2, 6, *hr.shape[2:])
    again = network.reconstruct(embedding, features)
    assert (again.shape, again.dtype) == (lr.shape, torch.float32)
    assert [estimated.shape for estimated in network.predict(features)] == [(2, 7), (2, 7)]
    assert info_of(network).scale == scale


def test_forward_is_the_parts_put_together(network: Reconstructor) -> None:
    lr, hr, factor = _images(24), _images(48), torch.rand(2, 10)
    again, average, most, expected = network(lr, hr, factor)
    features, estimated = network.image_features(hr), network.estimate(lr)
    torch.testing.assert_close(again, network.reconstruct(estimated.embedding * factor, features))
    torch.testing.assert_close(expected, estimated.distance)
    torch.testing.assert_close((average, most), network.predict(features))
    found = gram_descriptors(features)
    torch.testing.assert_close(average, network.to_average(_compressed(found[0])))
    torch.testing.assert_close(most, network.to_most(_compressed(found[1])))


@torch.inference_mode()
def test_further_images_are_degraded_as_the_first(network: Reconstructor) -> None:
    lr, hr, factor = _images(24), _images(48, 3), torch.rand(3, 10)
    again, average, most, expected = network(lr, hr, factor)
    assert expected.shape == (2,)
    alone, *_ = network(lr, hr[:2], factor[:2])
    third, *_ = network(lr[:1], hr[2:], factor[2:])
    torch.testing.assert_close(again, torch.cat([alone, third]), atol=1e-5, rtol=1e-4)
    torch.testing.assert_close((average, most), network.predict(network.image_features(hr)))


def test_descriptors_are_relative_to_what_is_usual() -> None:
    network = _network()
    average, most = (torch.randn(50, 7, generator=torch.Generator().manual_seed(n)) for n in (0, 1))
    for x, estimated in zip((average, most), network.relative(average, most), strict=True):
        assert torch.equal(estimated, _compressed(x))  # of a network that knows nothing yet
    scales = torch.logspace(-1, 1, 7)
    network.set_usual(3 + scales * average, scales * most)
    for estimated in network.relative(3 + scales * average, scales * most):
        torch.testing.assert_close(estimated.mean(0), torch.zeros(7), atol=1e-5, rtol=0)
        torch.testing.assert_close(estimated.std(0), torch.ones(7), atol=1e-3, rtol=0)
    far, further = (network.relative(3 + n * scales, n * scales)[1] for n in (1000, 2000))
    assert (
        float((further - far).max()) < 2
    )  # a logarithm: the prediction of one image is no matter of thousands
    again = _network(2)
    again.load_state_dict(network.state_dict())
    assert torch.equal(again.usual, network.usual)


def test_a_descriptor_that_never_varies_is_no_division_by_nothing() -> None:
    network = _network()
    network.set_usual(torch.ones(5, 7), torch.ones(5, 7))
    assert all(
        bool(estimated.isfinite().all())
        for estimated in network.relative(torch.zeros(2, 7), torch.zeros(2, 7))
    )


def test_gradient_reaches_everything(network: Reconstructor) -> None:
    network.train()  # so that the noise is there
    lr, hr = (x.requires_grad_() for x in (_images(24), _images(48)))
    parts = network(lr, hr, torch.full((2, 1), 0.5))
    torch.autograd.backward(torch.stack([part.square().sum() for part in parts]).sum())
    for name, tensor in (*network.named_parameters(), ("lr", lr), ("hr", hr)):
        assert tensor.grad is not None, name
        assert bool(tensor.grad.isfinite().all()), name
        assert bool((tensor.grad != 0).any()), name


@torch.inference_mode()
def test_batch_and_layout_do_not_matter(network: Reconstructor) -> None:
    inputs = (_images(24, 3), _images(48, 3), torch.rand(3, 10))
    together = network(*inputs)
    alone = [network(*(x[n : n + 1] for x in inputs)) for n in range(3)]
    network.to(memory_format=torch.channels_last)
    last = network(*(x.contiguous(memory_format=torch.channels_last) for x in inputs[:2]), inputs[2])
    for i, found in enumerate(together):
        torch.testing.assert_close(found, torch.cat([one[i] for one in alone]), atol=1e-5, rtol=1e-4)
        torch.testing.assert_close(found, last[i], atol=1e-5, rtol=1e-4)


@torch.inference_mode()
def test_bf16_is_close(network: Reconstructor) -> None:
    inputs = (_images(24), _images(48), torch.rand(2, 10))
    exact = network(*inputs)
    with torch.autocast("cpu", torch.bfloat16):
        cast = network(*inputs)
    coarse = network.to(torch.bfloat16)(*inputs)
    for other in (cast, coarse):
        for found, wanted in zip(other, exact, strict=True):
            assert found.dtype == torch.float32
            assert not torch.equal(found, wanted)
            assert float((found - wanted).norm()) < 0.05 * float(wanted.norm())


@torch.inference_mode()
def test_only_demodulation_takes_no_notice_of_the_factor() -> None:
    """Spec 2.6.1: with no bias in the style, a demodulated layer is the same for every length of the embedding."""
    changes = {}
    for modulation in MODULATIONS:
        network = _network(modulation=modulation)
        for part in network.degrade.modulations:
            if isinstance(part, _Styled):
                part.style.bias.zero_()
        embedding = torch.randn(2, 10, generator=torch.Generator().manual_seed(1))
        features = network.image_features(_images(48))
        once, twice = (network.reconstruct(factor * embedding, features) for factor in (1, 2))
        changes[modulation] = float((twice - once).norm() / once.norm())
    assert changes["stylegan2"] < 1e-5
    assert min(changes["gfm"], changes["stylegan2_nodemod"]) > 1e-3


@torch.inference_mode()
def test_a_styled_convolution_is_one_with_weights_for_each_image() -> None:
    """Karras et al. 2020, Eqs. 1 and 3, written out."""
    layer = _Styled(5, 4, demodulate=True).eval()
    h, embedding = torch.randn(2, 5, 8, 8), torch.randn(2, 4)
    style = layer.style(embedding)
    made = []
    for n in range(2):
        weight = layer.weight * style[n][None, :, None, None] / (9 * 5) ** 0.5
        weight = weight / (weight.square().sum((1, 2, 3), keepdim=True) + 1e-8).sqrt()
        made.append(torch.conv2d(h[n : n + 1], weight, padding=1))
    expected = torch.nn.functional.leaky_relu(layer.convolution(torch.cat(made)), 0.1)
    torch.testing.assert_close(layer(h, embedding, None), expected, atol=1e-5, rtol=1e-4)


@torch.inference_mode()
def test_noise_is_of_the_generator_and_of_training(network: Reconstructor) -> None:
    embedding, features = network.estimate(_images(24)).embedding, network.image_features(_images(48))

    def made(seed: int | None) -> Tensor:
        rng = None if seed is None else torch.Generator().manual_seed(seed)
        return network.reconstruct(embedding, features, rng)

    assert torch.equal(made(1), made(1))
    assert not torch.equal(made(1), made(2))
    assert torch.equal(made(None), made(None))
    network.train()
    assert not torch.equal(made(None), made(None))


@torch.inference_mode()
def test_noise_begins_at_nothing() -> None:
    network = Reconstructor(**SMALL)
    embedding, features = network.estimate(_images(24)).embedding, network.image_features(_images(48))
    made = [network.reconstruct(embedding, features) for _ in range(2)]
    assert torch.equal(*made)


def test_weights_file_rebuilds_it(network: Reconstructor, tmp_path: Path) -> None:
    modulation = "gfm" if not isinstance(network.degrade.modulations[0], _Styled) else "stylegan2_nodemod"
    arguments = SMALL | {"modulation": modulation}
    network = _network(**arguments)
    path = tmp_path / "weights.safetensors"
    save_weights(path, network, Header("reconstructor", arguments, 2, "reconstructor"), dtype=torch.float32)
    loaded = load_weights(path)
    inputs = (_images(24), _images(48), torch.rand(2, 10))
    with torch.inference_mode():
        for a, b in zip(loaded.network(*inputs), network(*inputs), strict=True):
            assert torch.equal(a, b)
