"""DKENet, NBSR and what they are made of: what each promises beyond the shared tests."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from srkit.archs import dkenet
from srkit.archs.blocks import SFT
from srkit.archs.consistency import Consistency
from srkit.archs.depth import CompactDepth
from srkit.archs.dkenet import DKENet
from srkit.archs.edsr import EDSR
from srkit.archs.maconv import MAConv
from srkit.archs.nbsr import NBSR
from srkit.archs.trunks import RRDBTrunk
from srkit.degradation import kernels
from srkit.degradation.kernels import gaussian_map
from srkit.degradation.pca import encode, kernel_basis, sample_covariance
from srkit.degradation.spatially_variant import blur_codes
from srkit.ops.code_blur import CodeBlur


def _dkenet(**changes: Any) -> DKENet:
    torch.manual_seed(0)
    return DKENet(**({"features": 8, "depth_features": 4} | changes)).eval()


def _randomise(network: DKENet) -> None:
    """So that what begins at zero counts."""
    with torch.no_grad():
        for parameter in network.parameters():
            if not parameter.any():
                parameter.normal_(std=0.1)


def _image(height: int, width: int, channels: int = 3) -> torch.Tensor:
    return torch.rand(1, channels, height, width, generator=torch.Generator().manual_seed(height))


def test_size_is_that_of_the_paper() -> None:
    with torch.device("meta"):
        count = sum(p.numel() for p in DKENet().parameters())
    assert round(count / 1e6, 1) == 2.5  # 2.46 million at 128 channels


def test_taps_are_those_of_the_degradation() -> None:
    assert (dkenet.SIZE, dkenet.TAPS, dkenet.SCALES) == (kernels.SIZE, kernels.TAPS, kernels.SCALES)


@torch.inference_mode()
def test_kernels_sum_to_one_whatever_the_precision() -> None:
    network = _dkenet()
    network.tail.weight.mul_(30)  # kernels that are far from flat
    for dtype in (None, torch.bfloat16):
        with torch.autocast("cpu", dtype, enabled=dtype is not None):
            found = network(_image(9, 12), _image(9, 12, 1))
        assert float(found.min()) >= 0
        torch.testing.assert_close(found.sum(1), torch.ones(1, 9, 12), atol=1e-5, rtol=0)
    assert float(found.amax(1).mean()) > 0.02


@torch.inference_mode()
def test_no_depth_is_a_depth_of_zeros_and_another_depth_counts() -> None:
    network, x = _dkenet(), _image(8, 10)
    without = network(x)
    assert torch.equal(without, network(x, torch.zeros(1, 1, 8, 10)))
    assert not torch.allclose(without, network(x, _image(8, 10, 1)), atol=1e-6)


@torch.inference_mode()
def test_codes_are_those_of_the_kernels(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dkenet, "_STRIP", 24)  # two or three rows at a time
    network, x, depth = _dkenet(), _image(11, 7).repeat(2, 1, 1, 1), _image(11, 7, 1).repeat(2, 1, 1, 1)
    basis = torch.linalg.qr(torch.randn(441, 5)).Q.T.reshape(5, 21, 21)
    expected = torch.einsum("kt,nthw->nkhw", basis.flatten(1), network(x, depth))
    torch.testing.assert_close(network.codes(x, depth, basis), expected, atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize(("levels", "multiple", "side"), [(2, 2, 70), (3, 4, 116)])
@torch.inference_mode()
def test_windows_that_begin_at_multiples_equal_the_whole(levels: int, multiple: int, side: int) -> None:
    network, x, depth = _dkenet(levels=levels), _image(side, side), _image(side, side, 1)
    _randomise(network)
    assert network.info.multiple_of == multiple
    radius = network.info.receptive_field + 1
    whole = network(x, depth)
    down, right = 2 * multiple, 3 * multiple
    part = network(x[:, :, down:, right:], depth[:, :, down:, right:])
    torch.testing.assert_close(
        part[:, :, radius:, radius:],
        whole[:, :, down + radius :, right + radius :],
        atol=1e-6,
        rtol=1e-4,
    )


@torch.inference_mode()
def test_added_levels_and_energies_change_nothing_at_first() -> None:
    """So that weights without them are a start."""
    before, network = _dkenet(), _dkenet(levels=4, energies=[1, 3])
    missing, unexpected = network.load_state_dict(before.state_dict(), strict=False)
    assert not unexpected and all(name.startswith(("deeper.", "energy_head.")) for name in missing)
    x, depth = _image(16, 8), _image(16, 8, 1)
    assert torch.equal(network(x, depth), before(x, depth))


@torch.inference_mode()
def test_kernels_of_a_lattice_are_those_of_all() -> None:
    network, x, depth = _dkenet(levels=3, energies=[2]), _image(14, 11), _image(14, 11, 1)
    whole = network(x, depth)
    for row, column, distance in ((0, 0, 1), (2, 1, 4), (3, 3, 5)):
        found = network(x, depth, torch.tensor([row, column, distance]))
        torch.testing.assert_close(found, whole[:, :, row::distance, column::distance])


@pytest.mark.parametrize(
    ("contrast", "levels", "energies"),
    [(False, 2, []), (True, 2, []), (False, 3, []), (True, 4, []), (True, 2, [1, 9]), (False, 2, [2])],
)
def test_receptive_field_of_dkenet_is_no_larger_than_told(
    contrast: bool, levels: int, energies: list[int]
) -> None:
    network = _dkenet(contrast=contrast, levels=levels, energies=energies).double()
    _randomise(network)
    radius = network.info.receptive_field
    side = 2 * radius + 8
    reach = 0
    for middle in range(side // 2, side // 2 + 2 ** (levels - 1)):  # they see differently far
        x = _image(side, side).double().requires_grad_()
        depth = _image(side, side, 1).double().requires_grad_()
        pixel = network(x, depth)[:, 7, middle, middle]
        for gradient in torch.autograd.grad(pixel.sum(), (x, depth)):
            seen = gradient.abs().sum((0, 1)).nonzero()
            reach = max(reach, int((seen - middle).abs().max()))
    assert radius - 3 <= reach <= radius


@torch.inference_mode()
def test_nbsr_with_the_trunk_of_an_edsr_starts_as_that_edsr() -> None:
    arguments: dict[str, Any] = {"scale": 4, "features": 8, "blocks": 3, "upsampler": "single"}
    edsr = EDSR(**arguments)
    network = NBSR(trunk="edsr", code=4, hidden=6, every=2, sft_size=1, **arguments)
    missing, unexpected = network.load_state_dict(edsr.state_dict(), strict=False)
    assert not unexpected
    assert all(name.startswith(("modulations.", "basis", "code_")) for name in missing)
    x = _image(9, 12)
    for codes in (torch.zeros(1, 4, 9, 12), torch.randn(1, 4, 9, 12)):
        torch.testing.assert_close(network(x, codes=codes), edsr(x), atol=1e-6, rtol=0)


@torch.inference_mode()
def test_nbsr_takes_codes_at_any_size_of_theirs() -> None:
    network = NBSR(features=8, blocks=1, code=3, growth=4, trunk="edsr")
    for modulation in network.modulations:
        torch.nn.init.normal_(modulation.shift.weight, std=0.1)
    x, codes = _image(8, 8), torch.randn(1, 3, 8, 8)
    plain = network(x, codes=codes)
    size, middle = torch.tensor([1e-3, 1.0, 40.0]), torch.tensor([0.2, -3.0, 5.0])
    network.code_mean.copy_(middle)
    network.code_deviation.copy_(size)
    moved = network(x, codes=codes * size[:, None, None] + middle[:, None, None])
    torch.testing.assert_close(moved, plain, atol=1e-4, rtol=0)
    assert not torch.allclose(network(x, codes=codes), plain, atol=1e-3)


def _consistent(**changes: Any) -> NBSR:
    torch.manual_seed(0)
    arguments: dict[str, Any] = {"features": 8, "blocks": 1, "code": 4, "trunk": "edsr", "consistency": 3}
    network = NBSR(**(arguments | changes)).eval()
    network.basis.copy_(kernel_basis(network.scale, 4))
    return network


def _known_blur(network: NBSR, height: int, width: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """HR, what it looks like blurred, and the codes of its kernels."""
    scale = network.scale
    covariance = sample_covariance(scale, height * width, torch.Generator().manual_seed(2)).float()
    true = gaussian_map(covariance.T.reshape(1, 3, height, width), scale)
    codes = encode(true, network.basis)
    hr = _image(height * scale, width * scale)
    return hr, blur_codes(hr, codes, network.basis, scale), codes


@pytest.mark.parametrize("scale", [2, 3, 4])
@torch.inference_mode()
def test_consistency_pulls_the_image_to_one_that_blurs_to_the_input(scale: int) -> None:
    network, plain = _consistent(scale=scale, consistency=6), _consistent(scale=scale, consistency=0)
    missing, _ = network.load_state_dict(plain.state_dict(), strict=False)
    assert all(name.startswith("consistency.") for name in missing)
    _, x, codes = _known_blur(network, 10, 9)

    def missed(sr: torch.Tensor) -> float:
        return float((blur_codes(sr, codes, network.basis, scale) - x).square().mean())

    assert missed(network(x, codes=codes)) < 0.5 * missed(plain(x, codes=codes))


@torch.inference_mode()
def test_consistency_leaves_what_is_consistent() -> None:
    network = _consistent()
    hr, x, codes = _known_blur(network, 7, 8)
    steps = Consistency(8, 4)
    blur = CodeBlur(codes, network.basis, network.scale)
    torch.testing.assert_close(steps(hr, x, blur, torch.randn(1, 8, 7, 8)), hr, atol=1e-5, rtol=0)


@torch.inference_mode()
def test_polish_changes_nothing_at_first_and_then_does() -> None:
    network, before = _consistent(polish=2), _consistent()
    missing, _ = network.load_state_dict(before.state_dict(), strict=False)
    assert all(name.startswith("polish.") for name in missing)
    _, x, codes = _known_blur(network, 8, 8)
    assert torch.equal(network(x, codes=codes), before(x, codes=codes))
    _randomise(network)
    assert not torch.allclose(network(x, codes=codes), before(x, codes=codes), atol=1e-3)


@pytest.mark.parametrize(("scale", "consistency", "polish"), [(4, 1, 0), (4, 2, 1), (2, 1, 2)])
def test_receptive_field_of_a_consistent_nbsr_is_no_larger_than_told(
    scale: int, consistency: int, polish: int
) -> None:
    network = _consistent(scale=scale, consistency=consistency, polish=polish).double()
    _randomise(network)
    radius = network.info.receptive_field
    side = 2 * radius + 5
    x = _image(side, side).double().requires_grad_()
    codes = encode(
        gaussian_map(
            torch.tensor([2.0, 0.0, 2.0]).view(1, 3, 1, 1).expand(-1, -1, side, side), scale
        ).double(),
        network.basis,
    )
    middle = side // 2
    inside = slice(scale * middle, scale * (middle + 1))
    (gradient,) = torch.autograd.grad(network(x, codes=codes)[:, :, inside, inside].sum(), x)
    reach = int((gradient.abs().sum((0, 1)).nonzero() - middle).abs().max())
    assert reach <= radius


def test_what_is_told_costs_less_than_two_fifths_of_the_trunk() -> None:
    arguments: dict[str, Any] = {"features": 64, "blocks": 12, "upsampler": "single"}

    def cost(network: torch.nn.Module, *given: torch.Tensor) -> int:
        with FlopCounterMode(display=False) as counter, torch.inference_mode():
            network(*given)
        return counter.get_total_flops()

    with torch.device("meta"):
        x, codes = torch.zeros(1, 3, 16, 16), torch.zeros(1, 15, 16, 16)
        edsr = EDSR(**arguments).trunk
        nbsr = NBSR(trunk="edsr", every=2, sft_size=1, **arguments)
        modulated = sum(cost(m, torch.zeros(1, 64, 16, 16), codes) for m in nbsr.modulations)
        assert modulated < 0.4 * cost(edsr, x)
        assert sum(p.numel() for p in NBSR().parameters()) > 7e6  # the paper's ten RRDBs


@torch.inference_mode()
def test_sft_starts_as_the_identity_when_told_to() -> None:
    sft, h, c = SFT(6, 3, hidden=4), torch.randn(1, 6, 5, 5), torch.randn(1, 3, 5, 5)
    assert not torch.allclose(sft(h, c), h, atol=1e-3)
    sft.start_as_identity()
    assert torch.equal(sft(h, c), h)


@torch.inference_mode()
def test_a_half_of_maconv_is_told_by_the_other() -> None:
    torch.manual_seed(0)
    layer, x = MAConv(8), torch.randn(1, 8, 5, 5)
    plain = layer(x)
    other = x.clone()
    other[:, 4:] += 1
    moved = layer(other)
    assert not torch.allclose(moved[:, :4], plain[:, :4], atol=1e-4)
    layer.affine[0].expand.weight.zero_()
    assert torch.equal(layer(other)[:, :4], layer(x)[:, :4])


@torch.inference_mode()
def test_rrdb_trunk_is_its_parts() -> None:
    trunk, x = RRDBTrunk(8, 2, 4), _image(6, 7)
    shallow = trunk.head(x)
    h = shallow
    for block in trunk.blocks:
        h = block(h)
    torch.testing.assert_close(trunk(x), shallow + trunk.tail(h))


def test_size_of_the_depth_network() -> None:
    with torch.device("meta"):
        assert 3e5 <= sum(p.numel() for p in CompactDepth().parameters()) <= 1e6
