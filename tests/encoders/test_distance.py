"""Distances that can be learnt from: LPIPS as its package has it, our own by the formula, and which one `auto` is."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

from srkit.encoders.compact import Compact
from srkit.encoders.distance import PerceptualDistance, perceptual_distance, unit_layers
from srkit.encoders.perceptual import Lpips
from srkit.errors import ResourceError, UsageError
from tests.helpers import refused

CPU = torch.device("cpu")
TRUNK = "alexnet-owt-7be5be79.pth"


@pytest.fixture(scope="module")
def trunk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a random AlexNet as torchvision publishes it; its classifier, which nobody reads, is left out."""
    from torchvision.models import alexnet

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        features = alexnet().features.state_dict()
    folder = tmp_path_factory.mktemp("weights")
    torch.save({f"features.{name}": tensor for name, tensor in features.items()}, folder / TRUNK)
    return folder


@pytest.fixture(params=["lpips", "compact", "random"])
def distance(request: pytest.FixtureRequest, trunk: Path) -> PerceptualDistance:
    return perceptual_distance(request.param, CPU, weights=trunk)


def _pair(side: int = 48) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    a = torch.rand(3, 3, side, side + 8, generator=generator)
    return a, (a + 0.2 * torch.randn(a.shape, generator=generator)).clamp(0, 1)


def test_nothing_for_the_same_and_more_for_more(distance: PerceptualDistance) -> None:
    a, b = _pair()
    assert distance.distance(a, a).tolist() == [0, 0, 0]
    found = distance.distance(a, b)
    assert found.shape == (3,)
    assert bool((found > 0).all())
    torch.testing.assert_close(found, distance.distance(b, a))
    assert bool((distance.distance(a, a + (b - a) / 4) < found).all())


def test_each_image_of_a_batch_by_itself(distance: PerceptualDistance) -> None:
    a, b = _pair()
    alone = torch.cat([distance.distance(a[n : n + 1], b[n : n + 1]) for n in range(3)])
    torch.testing.assert_close(distance.distance(a, b), alone, atol=1e-6, rtol=1e-4)


def test_the_map_says_where(distance: PerceptualDistance) -> None:
    a, _ = _pair(96)
    b = a.clone()
    b[:, :, :24, :24] = 0.5
    found = distance.map(a, b)
    assert found.shape == (3, 1, 96, 104)
    assert bool((found >= 0).all())
    assert float(found[:, :, :24, :24].mean()) > 5 * float(found[:, :, 72:, 72:].mean())
    torch.testing.assert_close(found.mean((1, 2, 3)), distance.distance(a, b), atol=0, rtol=0.15)


def test_it_can_be_learnt_from(distance: PerceptualDistance) -> None:
    a, b = _pair()
    b.requires_grad_()
    torch.autograd.backward(distance.map(a, b).mean() + distance.distance(b, a).mean())
    assert b.grad is not None
    assert bool(b.grad.isfinite().all())
    assert bool((b.grad != 0).any())


def test_a_flat_image_has_a_gradient_too(distance: PerceptualDistance) -> None:
    flat = torch.zeros(1, 3, 40, 40, requires_grad=True)
    torch.autograd.backward(distance.distance(flat, torch.full_like(flat, 0.5)).sum())
    assert flat.grad is not None
    assert bool(flat.grad.isfinite().all())


def test_lpips_is_the_metric(trunk: Path) -> None:
    a, b = _pair()
    metric = Lpips(CPU, trunk)
    distance = perceptual_distance("lpips", CPU, weights=trunk)
    torch.testing.assert_close(distance.distance(a, b), metric.distance(a, b), atol=1e-6, rtol=1e-4)
    assert distance.version == metric.version
    metric._network.spatial = True  # the package's own maps
    with torch.no_grad():
        wanted = metric._network(a, b, normalize=True)
    torch.testing.assert_close(distance.map(a, b), wanted, atol=1e-6, rtol=1e-4)


def test_ours_is_one_less_the_cosine() -> None:
    """Where all stages are far more active than the floor."""

    class Strong:
        name, version = "strong", "1"

        def features(self, images: Tensor) -> list[Tensor]:
            return [1000 * images, 1000 * images[:, :, ::2, ::2]]

    a, b = (0.1 + x for x in _pair())
    layers = unit_layers(Strong(), a, b)
    for layer, step in zip(layers, (1, 2), strict=True):
        x, y = a[:, :, ::step, ::step], b[:, :, ::step, ::step]
        cosine = torch.nn.functional.cosine_similarity(x, y, dim=1)[:, None]
        torch.testing.assert_close(layer, (1 - cosine) / 2, atol=1e-4, rtol=0)


def test_ours_damps_what_is_hardly_there() -> None:
    class Weak:
        name, version = "weak", "1"

        def features(self, images: Tensor) -> list[Tensor]:
            return [1e-3 * images]

    assert float(unit_layers(Weak(), *_pair())[0].max()) < 1e-3


def test_auto_is_lpips_where_its_trunk_is(trunk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert perceptual_distance("auto", CPU).name == "compact"
    assert perceptual_distance("auto", CPU, weights=trunk).name == "lpips"
    monkeypatch.setenv("SRKIT_WEIGHTS", str(trunk))
    assert perceptual_distance("auto", CPU).name == "lpips"
    monkeypatch.setattr("srkit.encoders.perceptual.find_spec", lambda name: None)
    assert perceptual_distance("auto", CPU).name == "compact"


def test_lpips_that_is_asked_for_and_not_there() -> None:
    with refused(ResourceError, TRUNK):
        perceptual_distance("lpips", CPU)


def test_images_that_cannot_be_compared(distance: PerceptualDistance) -> None:
    a, b = _pair()
    with refused(UsageError, distance.name, tuple(a.shape), tuple(b[:, :, 1:].shape)):
        distance.distance(a, b[:, :, 1:])
    small = a[:, :, : distance.smallest - 1]
    with refused(UsageError, distance.name, tuple(small.shape), distance.smallest):
        distance.map(small, small)


def test_versions_tell_the_weights(trunk: Path) -> None:
    names = ("lpips", "compact", "random")
    versions = {perceptual_distance(name, CPU, weights=trunk).version for name in names}
    assert len(versions) == 3
    assert perceptual_distance("random", CPU).version == Compact(CPU, random=True).version
