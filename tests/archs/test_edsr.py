"""EDSR against its paper, and what it refuses."""

from __future__ import annotations

import pytest
import torch

from srkit.archs.blocks import Reconstruction, upsampling_stages
from srkit.archs.edsr import EDSR
from srkit.ops.resize import upscale


# The authors' EDSR_baseline has 1.37, 1.55 and 1.52 million parameters (github.com/sanghyun-son/EDSR-PyTorch).
@pytest.mark.parametrize(("scale", "parameters"), [(2, 1_369_859), (3, 1_554_499), (4, 1_517_571)])
def test_baseline_has_the_published_size(scale: int, parameters: int) -> None:
    with torch.device("meta"):
        network = EDSR(scale)
    assert sum(p.numel() for p in network.parameters()) == parameters


def test_without_a_residual_it_is_bicubic() -> None:
    network = EDSR(4, 8, 1)
    last = network.reconstruction.layers[-1]
    for parameter in last.parameters():
        parameter.data.zero_()
    x = torch.rand(1, 3, 9, 11)
    assert torch.equal(network(x), upscale(x, 4))
    # In bf16 too: neither the skip nor the sum may lose bits.
    assert torch.equal(network.to(torch.bfloat16)(x), upscale(x, 4))


@torch.inference_mode()
def test_residual_scale_counts() -> None:
    x = torch.rand(1, 3, 8, 8)
    none, full = EDSR(2, 8, 1, residual_scale=0.0), EDSR(2, 8, 1)
    full.load_state_dict(none.state_dict())
    assert not torch.allclose(none(x), full(x), atol=1e-5)
    for parameter in full.trunk.blocks[0].conv2.parameters():  # type: ignore[union-attr]
        parameter.zero_()
    torch.testing.assert_close(none(x), full(x))


@pytest.mark.parametrize(("scale", "stages"), [(1, ()), (2, (2,)), (3, (3,)), (6, (6,)), (8, (2, 2, 2))])
def test_stages(scale: int, stages: tuple[int, ...]) -> None:
    assert upsampling_stages(scale) == stages


def test_blocks_between_the_stages() -> None:
    plain, deep = (Reconstruction(4, 8, "edsr", n) for n in (0, 2))
    assert len(deep.layers) == len(plain.layers) + 2 * 2
    assert deep(torch.rand(1, 4, 3, 5)).shape == (1, 3, 24, 40)
