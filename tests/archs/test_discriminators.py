"""Discriminators: maps of logits, what a place of them sees, and that they learn to tell."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from srkit.archs.discriminators import PatchGAN, UNetSN
from srkit.archs.table import DISCRIMINATORS, build
from srkit.losses.gan import discriminator_loss

CASES: dict[str, dict[str, Any]] = {"patchgan": {"features": 4}, "unet_sn": {"features": 4}}


@pytest.fixture(params=list(CASES))
def network(request: pytest.FixtureRequest) -> Any:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return build(request.param, CASES[request.param])


def _images(height: int, width: int, count: int = 2) -> Tensor:
    return torch.rand(count, 3, height, width, generator=torch.Generator().manual_seed(height))


def test_every_network_has_a_case() -> None:
    assert set(CASES) == set(DISCRIMINATORS)


def test_sizes_are_those_of_the_published_networks() -> None:
    with torch.device("meta"):
        patch, unet = PatchGAN(), UNetSN()
    assert sum(p.numel() for p in patch.parameters()) == 2_768_705 - 6 * 64 * 16 // 2  # pix2pix's takes pairs
    assert sum(p.numel() for p in unet.parameters()) == 4_376_897  # as Real-ESRGAN's log prints it


def test_maps() -> None:
    patch, unet = (build(name, CASES[name]).eval() for name in ("patchgan", "unet_sn"))
    for height, width in ((24, 24), (128, 128), (37, 61)):
        x = _images(height, width)
        assert patch(x).shape == (2, 1, height // 8 - 2, width // 8 - 2)
        assert unet(x).shape == (2, 1, height, width)
    assert unet(_images(8, 9)).shape == (2, 1, 8, 9)
    assert PatchGAN(4, layers=2).eval()(_images(12, 12)).shape == (2, 1, 1, 1)


def test_a_patch_is_of_70_pixels() -> None:
    x = _images(144, 144, 1).requires_grad_()
    logits = PatchGAN(4).eval()(x)
    (gradient,) = torch.autograd.grad(logits[0, 0, 8, 8], x)
    seen = gradient.abs().sum((0, 1)).nonzero()
    assert (seen.amax(0) - seen.amin(0) + 1).tolist() == [70, 70]


def test_gradient_reaches_everything(network: Any) -> None:
    x = _images(32, 40).requires_grad_()
    logits = network(x)
    torch.autograd.backward((logits - torch.rand(logits.shape)).square().mean())
    for name, tensor in (*network.named_parameters(), ("the images", x)):
        assert tensor.grad is not None, name
        assert bool(tensor.grad.isfinite().all()), name
        assert bool((tensor.grad != 0).any()), name


def test_spectral_norms_are_one() -> None:
    network = build("unet_sn", CASES["unet_sn"])
    for _ in range(30):
        network(_images(8, 8, 1))
    network.requires_grad_(False)
    layers = [*network.down, *network.up, *network.full]  # type: ignore[misc]
    assert len(layers) == 8
    for layer in layers:
        assert isinstance(layer, nn.Conv2d)
        assert float(torch.linalg.matrix_norm(layer.weight.flatten(1), 2)) == pytest.approx(1, rel=0.05)


@torch.inference_mode()
def test_images_of_a_batch_do_not_touch_each_other_in_evaluation(network: Any) -> None:
    network.eval()
    x = _images(32, 33, 3)
    alone = torch.cat([network(one) for one in torch.split(x, 1)])
    torch.testing.assert_close(network(x), alone, atol=1e-5, rtol=0)


@torch.inference_mode()
def test_bf16_is_close(network: Any) -> None:
    network.eval()
    x = _images(32, 32)
    exact = network(x)
    with torch.autocast("cpu", torch.bfloat16):
        coarse = network(x)
    assert float((coarse.float() - exact).norm()) < 0.1 * float(exact.norm())


def test_it_learns_to_tell(network: Any) -> None:
    """Noise from smooth images, by the loss that trains it."""
    optimiser = torch.optim.Adam(network.parameters(), 2e-3)
    generator = torch.Generator().manual_seed(0)
    for _ in range(25):
        noise = torch.rand(4, 3, 24, 24, generator=generator)
        smooth = torch.rand(4, 3, 1, 1, generator=generator).expand(-1, -1, 24, 24)
        loss = discriminator_loss(network(noise), network(smooth))
        optimiser.zero_grad()
        torch.autograd.backward(loss)
        optimiser.step()
    assert float(loss.detach()) < 0.4  # log 2 is 0.69


def test_state_is_taken_up_again(network: Any) -> None:
    x = _images(24, 24)
    network(x)  # moves batch statistics and power iterations on
    name = "patchgan" if isinstance(network, PatchGAN) else "unet_sn"
    other = build(name, CASES[name])
    other.load_state_dict(network.state_dict())
    assert torch.equal(other.eval()(x), network.eval()(x))
