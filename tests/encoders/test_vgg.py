"""VGG's features. The weights are random, in the file format of the real ones."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from srkit.encoders.features import PerceptualFeatures, perceptual_features
from srkit.encoders.vgg import Vgg
from srkit.errors import ResourceError, UsageError
from srkit.losses.table import LossContext, build_losses
from tests.encoders.public_files import VGG19, save_vgg19, vgg19_layers
from tests.helpers import refused

CPU = torch.device("cpu")
INDEX = {"conv1_2": 2, "conv2_2": 7, "conv3_4": 16, "conv5_4": 34}
"""Of these convolutions in torchvision's `vgg19().features`."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("weights")
    save_vgg19(folder)
    return folder


@pytest.fixture(scope="module")
def default(folder: Path) -> PerceptualFeatures:
    return perceptual_features("vgg19", CPU, weights=folder)


def by_torchvision(images: Tensor, name: str) -> Tensor:
    from torchvision.transforms.functional import normalize

    x = normalize(images, [0.485, 0.456, 0.406], [0.229, 0.224, 0.225])
    for layer in vgg19_layers()[: INDEX[name] + 1]:
        # torchvision's ReLUs work in place, on what is compared.
        x = torch.relu(x) if isinstance(layer, nn.ReLU) else layer(x)
    return x


def test_maps_are_torchvision_s_before_the_relu(folder: Path) -> None:
    images = torch.rand(2, 3, 37, 32, generator=torch.Generator().manual_seed(1))
    provider = Vgg(CPU, "vgg19", list(INDEX), folder)
    for name, found in zip(INDEX, provider.features(images), strict=True):
        wanted = by_torchvision(images, name)
        assert found.shape == wanted.shape
        assert torch.allclose(found, wanted, atol=1e-4 * float(wanted.abs().max())), name
        assert float(found.min()) < 0


def test_vgg16_is_torchvision_s(tmp_path: Path) -> None:
    from torchvision.models.vgg import cfgs, make_layers

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        own = make_layers(cfgs["D"], batch_norm=False).eval().requires_grad_(False)
    torch.save(
        {f"features.{name}": tensor for name, tensor in own.state_dict().items()},
        tmp_path / "vgg16-397923af.pth",
    )
    images = torch.rand(1, 3, 40, 48)
    provider = perceptual_features("vgg16:conv2_2,conv3_3", CPU, weights=tmp_path)
    from torchvision.transforms.functional import normalize

    x = normalize(images, [0.485, 0.456, 0.406], [0.229, 0.224, 0.225])
    wanted = []
    for number, layer in enumerate(own[:15]):
        x = torch.relu(x) if isinstance(layer, nn.ReLU) else layer(x)
        wanted += [x] if number in (7, 14) else []
    for one, other in zip(provider.features(images), wanted, strict=True):
        torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-3)
    assert perceptual_features("vgg16", CPU, weights=tmp_path).name == "vgg16"
    with refused(UsageError, "conv3_4", "conv3_3"):
        perceptual_features("vgg16:conv3_4", CPU, weights=tmp_path)


def test_default_is_the_last_convolution(default: PerceptualFeatures) -> None:
    assert default.name == "vgg19"
    assert VGG19 in default.version
    images = torch.rand(1, 3, 32, 32)
    (found,) = default.features(images)
    assert found.shape == (1, 512, 2, 2)
    wanted = by_torchvision(images, "conv5_4")
    assert torch.allclose(found, wanted, atol=1e-4 * float(wanted.abs().max()))


def test_taps_in_the_name(folder: Path) -> None:
    provider = perceptual_features("vgg19:conv3_4, conv1_2", CPU, weights=folder)
    assert provider.name == "vgg19:conv1_2,conv3_4"
    assert [m.shape[1:] for m in provider.features(torch.rand(1, 3, 8, 12))] == [(64, 8, 12), (256, 2, 3)]


def test_gradient_reaches_the_images_and_nothing_else(folder: Path) -> None:
    provider = Vgg(CPU, "vgg19", ["conv1_2", "conv2_2"], folder)
    images = torch.rand(1, 3, 8, 8, dtype=torch.float64, requires_grad=True)
    torch.autograd.backward(sum(m.square().mean() for m in provider.features(images)))
    assert images.grad is not None
    assert bool((images.grad != 0).all())
    assert not any(p.requires_grad for p in provider._network.parameters())
    # Against a finite difference, along the gradient.
    direction = images.grad / images.grad.norm()
    with torch.no_grad():
        ahead, behind = (
            float(sum(m.double().square().mean() for m in provider.features(images + step * direction)))
            for step in (1e-2, -1e-2)
        )
    assert (ahead - behind) / 2e-2 == pytest.approx(float(images.grad.norm()), rel=0.02)


def test_weights_draw_no_random_numbers(folder: Path) -> None:
    torch.manual_seed(5)
    wanted = torch.rand(3)
    torch.manual_seed(5)
    Vgg(CPU, "vgg19", ["conv1_2"], folder)
    assert torch.equal(torch.rand(3), wanted)


def test_as_a_loss_in_bf16(default: PerceptualFeatures) -> None:
    """The distance is the maps' mean absolute difference, and bf16 moves it little."""
    generator = torch.Generator().manual_seed(2)
    sr, hr = torch.rand(2, 1, 3, 32, 32, generator=generator)
    wanted = float((by_torchvision(sr, "conv5_4") - by_torchvision(hr, "conv5_4")).abs().mean())
    for dtype, tolerance in ((None, 1e-4), (torch.bfloat16, 0.02)):
        losses = build_losses({"perceptual": 1.0}, LossContext(CPU, perceptual=default, autocast=dtype))
        total, _ = losses(sr, hr)
        assert total.dtype == torch.float32
        assert float(total) == pytest.approx(wanted, rel=tolerance)


def test_images_that_are_too_small(default: PerceptualFeatures) -> None:
    assert default.features(torch.rand(1, 3, 16, 16))[0].shape == (1, 512, 1, 1)
    for shape in ((1, 3, 15, 16), (3, 16, 16), (1, 1, 16, 16)):
        with refused(UsageError, shape, 16):
            default.features(torch.rand(shape))


def test_missing_and_other_weights(tmp_path: Path) -> None:
    with refused(ResourceError, VGG19, f"https://download.pytorch.org/models/{VGG19}", "$SRKIT_WEIGHTS"):
        perceptual_features("vgg19", CPU)
    torch.save({"features.0.weight": torch.zeros(1)}, tmp_path / VGG19)
    with refused(ResourceError, tmp_path / VGG19):
        perceptual_features("vgg19", CPU, weights=tmp_path)
