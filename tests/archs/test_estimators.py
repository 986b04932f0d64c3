"""Networks that tell something of every pixel: what holds for all of them."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from srkit.archs.table import ESTIMATORS, build, info_of
from srkit.zoo.header import Header
from srkit.zoo.weights import load_weights, save_weights


@dataclass(frozen=True)
class EstimatorCase:
    arch: str
    arguments: dict[str, Any]
    given: int
    """Channels that the network is given beside the image."""
    gives: int
    """Channels of its result."""

    def build(self, seed: int = 0) -> nn.Module:
        """In evaluation mode, with values where training begins at zero, so that everything counts.

        The last layer is weak: a softmax of large numbers would make rounding errors large, as no trained network does.
        """
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            network = build(self.arch, self.arguments).eval()
            for parameter in network.parameters():
                if not parameter.any():
                    nn.init.normal_(parameter, std=0.1)
            with torch.no_grad():
                network.get_parameter("tail.weight").mul_(0.1)
        return network

    def inputs(self, height: int, width: int, count: int = 1) -> list[Tensor]:
        generator = torch.Generator().manual_seed(height + width)
        sizes = [3] + [self.given] * bool(self.given)
        return [torch.rand(count, channels, height, width, generator=generator) for channels in sizes]


CASES = {
    "depth": EstimatorCase("depth", {"widths": [4, 6, 8], "side": 32}, 0, 1),
    "dkenet": EstimatorCase("dkenet", {"features": 8, "depth_features": 4}, 1, 441),
    "dkenet-contrast": EstimatorCase(
        "dkenet", {"features": 8, "depth_features": 4, "contrast": True, "levels": 4}, 1, 441
    ),
}


@pytest.fixture(params=list(CASES.values()), ids=list(CASES))
def case(request: pytest.FixtureRequest) -> EstimatorCase:
    return request.param  # type: ignore[no-any-return]


def test_every_network_has_a_case() -> None:
    assert {case.arch for case in CASES.values()} == set(ESTIMATORS)


@torch.inference_mode()
def test_sizes(case: EstimatorCase) -> None:
    network = case.build()
    for height, width in product((1, 2, 7, 16), repeat=2):
        found = network(*case.inputs(height, width))
        assert found.shape == (1, case.gives, height, width)
        assert found.dtype == torch.float32
        assert bool(found.isfinite().all())


@torch.inference_mode()
def test_batch_and_layout_do_not_matter(case: EstimatorCase) -> None:
    network = case.build()
    inputs = case.inputs(12, 9, 3)
    together = network(*inputs)
    alone = torch.cat([network(*one) for one in zip(*(torch.split(x, 1) for x in inputs), strict=True)])
    torch.testing.assert_close(together, alone, atol=1e-5, rtol=0)
    network.to(memory_format=torch.channels_last)
    last = network(*(x.contiguous(memory_format=torch.channels_last) for x in inputs))
    torch.testing.assert_close(last, together, atol=1e-5, rtol=0)


def test_gradient_reaches_everything(case: EstimatorCase) -> None:
    network = case.build()
    inputs = [x.requires_grad_() for x in case.inputs(14, 11, 2)]
    found = network(*inputs)
    torch.autograd.backward((found - torch.rand(found.shape)).square().sum())
    named = [*network.named_parameters(), *((f"input {i}", x) for i, x in enumerate(inputs))]
    for name, tensor in named:
        assert tensor.grad is not None, name
        assert bool(tensor.grad.isfinite().all()), name
        assert bool((tensor.grad != 0).any()), name


@torch.inference_mode()
def test_bf16_is_close(case: EstimatorCase) -> None:
    inputs = case.inputs(20, 24)
    exact = case.build()(*inputs)
    with torch.autocast("cpu", torch.bfloat16):
        cast = case.build()(*inputs)
    coarse = case.build().to(torch.bfloat16)(*inputs)
    for other in (cast, coarse):
        assert other.dtype == torch.float32
        assert not torch.equal(other, exact)
        assert float((other - exact).norm()) < 0.05 * float(exact.norm())


def test_weights_file_rebuilds_it(case: EstimatorCase, tmp_path: Path) -> None:
    network = case.build()
    path = tmp_path / "weights.safetensors"
    header = Header(case.arch, case.arguments, info_of(network).scale, task="test")
    save_weights(path, network, header, dtype=torch.float32)
    loaded = load_weights(path)
    assert loaded.info == info_of(network) == info_of(case.build(2))
    assert loaded.task == "test"
    inputs = case.inputs(9, 8)
    with torch.inference_mode():
        assert torch.equal(loaded.network(*inputs), network(*inputs))
