"""Cria-CL: the heads and the mask make the image as Eq. 10 says."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from srkit.archs.blocks import NearestReconstruction
from srkit.archs.cria import Cria, colour_lost
from srkit.archs.edsr import EDSR
from srkit.archs.esrgan import RRDBNet
from srkit.archs.info import views_of
from srkit.errors import UsageError
from srkit.ops.resize import upscale
from tests.helpers import refused

SMALL: dict[str, Any] = {
    "scale": 4,
    "features": 8,
    "blocks": 1,
    "growth": 4,
    "width": 6,
    "mask_width": 5,
}


def _network(**changes: Any) -> Cria:
    """With a mask that is far from one half."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = Cria(**(SMALL | changes)).eval()
    with torch.no_grad():
        network.mask[-1].weight.mul_(40)
    return network


def _image(height: int = 7, width: int = 9, count: int = 1) -> Tensor:
    return torch.rand(count, 3, height, width, generator=torch.Generator().manual_seed(height))


@torch.inference_mode()
def test_the_shares_of_the_heads_add_to_one() -> None:
    network, x = _network(), _image(count=2)
    sr, align, unif, mask = network.parts(x)
    assert mask.shape == (2, 1, 28, 36)
    assert float(mask.min()) < 0.4 < 0.6 < float(mask.max())
    assert float(mask.min()) >= 0
    assert float(mask.max()) <= 1
    torch.testing.assert_close(sr, mask * align + (1 - mask) * unif, atol=1e-6, rtol=0)
    assert torch.equal(sr, network(x))
    logits = network.mask(x - x.new_tensor((0.4488, 0.4371, 0.4040)).view(3, 1, 1))
    both = torch.nn.functional.interpolate(logits, scale_factor=4, mode="bilinear").softmax(1)
    torch.testing.assert_close(both.sum(1), torch.ones(2, 28, 36))
    torch.testing.assert_close(mask, both[:, :1], atol=1e-6, rtol=0)


@torch.inference_mode()
def test_the_mask_chooses_between_the_heads() -> None:
    network, x = _network(), _image()
    for share, name in ((60.0, "align"), (-60.0, "unif")):
        network.mask[-1].bias.copy_(torch.tensor([share, -share]))
        network.mask[-1].weight.zero_()
        parts = network.parts(x)
        torch.testing.assert_close(parts.sr, getattr(parts, name), atol=1e-6, rtol=0)
    assert float((parts.align - parts.unif).abs().max()) > 1e-3


@torch.inference_mode()
def test_heads_that_predict_nothing_give_the_bicubic_image() -> None:
    network, x = _network(), _image()
    for head in (network.align, network.unif):
        for parameter in head.reconstruction.last.parameters():
            parameter.zero_()
    torch.testing.assert_close(network(x), upscale(x, 4), atol=1e-6, rtol=0)


@torch.inference_mode()
def test_views_run_as_networks() -> None:
    network, x = _network(), _image(count=2)
    parts = network.parts(x)
    views = views_of(network)
    assert list(views) == ["align", "unif", "mask"]
    assert views_of(EDSR(4, 8, 1)) == {}
    for name, view in views.items():
        assert view.info == network.info
        shown = view(x)
        assert shown.shape == parts.sr.shape
        assert torch.equal(shown, getattr(parts, name).expand(-1, 3, -1, -1))


@torch.inference_mode()
def test_shift_by_a_pixel_is_a_shift_by_the_scale() -> None:
    """Image, heads and mask lie on one grid."""
    network, x = _network(), _image(96, 96)
    whole, part = network.parts(x), network.parts(x[:, :, 1:, 1:])
    cut = slice(2 * 4 * (network.info.receptive_field + 1), -2 * 4)
    for a, b in zip(whole, part, strict=True):
        torch.testing.assert_close(a[:, :, 4:, 4:][:, :, cut, cut], b[:, :, cut, cut], atol=1e-5, rtol=0)


def test_a_network_for_real_images_is_of_the_size_that_ships() -> None:
    with torch.device("meta"):
        network = Cria(features=48, blocks=6, growth=24, width=32, mask_width=32)
        released_size = sum(p.numel() for p in Cria().parameters())
    assert 1e6 <= sum(p.numel() for p in network.parameters()) <= 5e6
    assert 5e6 <= released_size <= 8e6


@pytest.mark.parametrize(
    ("source", "arguments"),
    [
        (RRDBNet(4, 8, 1, 4, skip=True), {"trunk": "rrdb", "upsampler": "nearest"}),
        (EDSR(4, 8, 2, "single"), {"trunk": "edsr", "blocks": 2, "upsampler": "single"}),
        (EDSR(4, 8, 2, "edsr"), {"trunk": "edsr", "blocks": 2, "upsampler": "edsr"}),
    ],
    ids=["esrgan", "edsr-single", "edsr"],
)
@torch.inference_mode()
def test_it_starts_as_what_a_network_with_one_head_is(source: Any, arguments: dict[str, Any]) -> None:
    network, x = _network(**arguments, width=8), _image()
    given = source.state_dict()
    trunk = {name: tensor for name, tensor in given.items() if name.startswith("trunk.")}
    assert {n: t.shape for n, t in network.state_dict().items() if n.startswith("trunk.")} == {
        n: t.shape for n, t in trunk.items()
    }
    assert not torch.allclose(network(x), source(x), atol=1e-3)
    begun = network.begun_by(given)
    network.load_state_dict(trunk | begun, strict=False)
    torch.testing.assert_close(network(x), source(x), atol=1e-6, rtol=0)
    untouched = {name for name in network.state_dict() if name not in trunk | begun}
    assert all(name.startswith("mask.") or ".conv1." in name for name in untouched)


def test_heads_that_cannot_start_as_a_reconstruction_keep_their_own_values() -> None:
    source = EDSR(4, 8, 1, "single").state_dict()
    for changes in ({"width": 6}, {"width": 8, "upsampler": "edsr"}, {"width": 8, "scale": 2}):
        network = _network(**({"trunk": "edsr", "upsampler": "single"} | changes))
        assert network.begun_by(source) == {}
    again = _network(trunk="edsr", upsampler="single", width=8)
    assert again.begun_by(again.state_dict()) == {}


def test_radius_of_nearest_upsampling() -> None:
    for factors, radius in (((2, 2), 2), ((2,), 3), ((3,), 2), ((2, 2, 2), 2)):
        layer = NearestReconstruction(2, factors).double()
        assert layer.radius <= radius
        x = torch.rand(1, 2, 15, 15, dtype=torch.float64, requires_grad=True)
        out = layer(x)
        s = out.shape[2] // 15
        (gradient,) = torch.autograd.grad(out[:, :, 7 * s : 8 * s, 7 * s : 8 * s].sum(), x)
        seen = gradient.abs().sum((0, 1)).nonzero()
        assert int((seen - 7).abs().max()) == layer.radius


def test_nearest_upsampling_writes_no_pattern_where_nothing_is() -> None:
    """Away from the border a flat image's pixels are all alike, which no PixelShuffle grants."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        nearest, shuffled = _network(), EDSR(4, 8, 1)
    x = torch.full((1, 3, 60, 60), 0.3)
    with torch.inference_mode():
        inner = (slice(None), slice(None), slice(108, 132), slice(108, 132))
        assert float(nearest(x)[inner].std((2, 3)).max()) < 1e-6
        assert float(shuffled(x)[inner].std((2, 3)).max()) > 1e-4


@torch.inference_mode()
def test_colours_are_kept() -> None:
    torch.manual_seed(0)
    plain, kept = (Cria(**SMALL, upsampler="single", keep_colour=radius) for radius in (0, 2))
    kept.load_state_dict(plain.state_dict())
    for network in (plain, kept):  # a head that makes everything redder
        network.align.reconstruction.layers[0].bias[:16] += 0.1
    x = 0.3 + 0.4 * torch.rand(1, 3, 24, 20, generator=torch.Generator().manual_seed(1))
    shifts = [float((network(x).mean((2, 3)) - x.mean((2, 3))).abs().max()) for network in (plain, kept)]
    assert shifts[0] > 0.03
    assert shifts[1] < 0.1 * shifts[0]
    parts = kept.parts(x)
    torch.testing.assert_close(torch.lerp(parts.unif, parts.align, parts.mask), parts.sr)
    assert kept.info.receptive_field == plain.info.receptive_field + 3


def test_colour_lost_is_what_was_taken() -> None:
    x = torch.rand(1, 3, 9, 7, generator=torch.Generator().manual_seed(2))
    sr = torch.nn.functional.interpolate(x, scale_factor=2.0) - torch.tensor([0.1, 0.0, -0.2]).view(
        1, 3, 1, 1
    )
    lost = colour_lost(sr, x, 3)
    torch.testing.assert_close(
        lost, torch.tensor([0.1, 0.0, -0.2]).view(1, 3, 1, 1).expand_as(sr), atol=1e-5, rtol=0
    )


@torch.inference_mode()
def test_one_head_is_that_of_alignment() -> None:
    both, one = _network(), Cria(**SMALL, heads=1)
    names = {name for name in both.state_dict() if not name.startswith(("unif.", "mask."))}
    assert set(one.state_dict()) == names
    one.load_state_dict({name: both.state_dict()[name] for name in names})
    x = _image()
    torch.testing.assert_close(one(x), both.parts(x).align)
    assert one.views() == {}
    with refused(UsageError, "3"):
        Cria(**SMALL, heads=3)
