"""What every network must hold to: the engine reads its `ArchInfo` and nothing else."""

from __future__ import annotations

import itertools
from math import ceil
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from srkit.archs.info import ArchInfo
from srkit.archs.table import ARCHS, info_of
from srkit.engine.runner import Plane, Runner, RunnerOptions
from srkit.zoo.header import Header
from srkit.zoo.weights import load_weights, save_weights
from tests.archs.cases import CASES, Case


@pytest.fixture(params=list(CASES.values()), ids=list(CASES))
def case(request: pytest.FixtureRequest) -> Case:
    return request.param  # type: ignore[no-any-return]


def _allowed(info: ArchInfo, side: int) -> int:
    """The smallest side from `side` on that the network takes."""
    return ceil(max(side, info.min_size) / info.multiple_of) * info.multiple_of


def _image(info: ArchInfo, height: int, width: int, count: int = 1) -> Tensor:
    size = (_allowed(info, height), _allowed(info, width))
    return torch.rand(count, info.channels, *size, generator=torch.Generator().manual_seed(height * width))


def _run(case: Case, network: nn.Module, x: Tensor) -> Tensor:
    sr = network(x, **case.conditions(x.shape[0], *x.shape[2:]))
    assert isinstance(sr, Tensor)
    return sr


def test_every_network_has_a_case() -> None:
    assert {case.arch for case in CASES.values()} == set(ARCHS)


@torch.inference_mode()
def test_sizes(case: Case) -> None:
    network, info = case.build(), case.info
    for height, width in itertools.product((1, 2, 7, 16), repeat=2):
        x = _image(info, height, width)
        sr = _run(case, network, x)
        assert sr.shape == (1, info.channels, x.shape[2] * info.scale, x.shape[3] * info.scale)
        assert sr.dtype == torch.float32
        assert bool(sr.isfinite().all())


@torch.inference_mode()
def test_images_of_a_batch_do_not_touch_each_other(case: Case) -> None:
    network = case.build()
    x = _image(case.info, 13, 10, count=3)
    together = _run(case, network, x)
    alone = torch.cat([_run(case, network, one) for one in torch.split(x, 1)])
    torch.testing.assert_close(together, alone, atol=1e-5, rtol=0)


@torch.inference_mode()
def test_layout_in_memory_does_not_matter(case: Case) -> None:
    network = case.build()
    x = _image(case.info, 12, 9)
    usual = _run(case, network, x)
    last = _run(
        case,
        network.to(memory_format=torch.channels_last),
        x.contiguous(memory_format=torch.channels_last),
    )
    torch.testing.assert_close(last, usual, atol=1e-5, rtol=0)


def test_gradient_reaches_everything(case: Case) -> None:
    network = case.build().train()
    x = _image(case.info, 11, 14, count=2).requires_grad_(True)
    sr = _run(case, network, x)
    torch.autograd.backward((sr - torch.rand(sr.shape)).abs().mean())
    for name, tensor in (*network.named_parameters(), ("the image", x)):
        if not tensor.requires_grad or name.split(".")[0] in case.apart:  # frozen by the network itself
            continue
        assert tensor.grad is not None, name
        assert bool(tensor.grad.isfinite().all()), name
        assert bool((tensor.grad != 0).any()), name


def test_receptive_field_is_no_larger_than_told(case: Case) -> None:
    info = case.info
    if info.tiling != "exact":
        pytest.skip("only exact tiling relies on it")
    side = _allowed(info, 2 * info.receptive_field + 9)
    middle, s = side // 2, info.scale
    reach = 0
    for seed in range(3):
        network = case.build(seed).double()
        x = torch.rand(1, info.channels, side, side, dtype=torch.float64, requires_grad=True)
        sr = network(x, **{k: v.double() for k, v in case.conditions(1, side, side).items()})
        pixel = sr[:, :, middle * s : (middle + 1) * s, middle * s : (middle + 1) * s]
        (gradient,) = torch.autograd.grad(pixel.sum(), x)
        rows, columns = gradient.abs().sum((0, 1)).nonzero(as_tuple=True)
        reach = max(reach, *(int((t - middle).abs().max()) for t in (rows, columns)))
    assert 1 <= reach <= info.receptive_field


@torch.inference_mode()
def test_bf16_is_close(case: Case) -> None:
    if not case.info.bf16_ok:
        pytest.skip("not claimed")
    x = _image(case.info, 24, 31)
    exact = _run(case, case.build(), x)
    coarse = _run(case, case.build().to(torch.bfloat16), x)
    assert coarse.dtype == torch.float32
    assert not torch.equal(coarse, exact)
    # bf16 holds 8 bits; an image that went through it as a whole would be off by 1/255 everywhere.
    assert float((coarse - exact).square().mean().sqrt()) < 0.5 / 255


def test_weights_file_rebuilds_it(case: Case, tmp_path: Path) -> None:
    network, info = case.build(), case.info
    path = tmp_path / "weights.safetensors"
    header = Header(arch=case.arch, arguments=case.arguments, scale=info.scale)
    save_weights(path, network, header, dtype=torch.float32)
    loaded = load_weights(path)
    assert loaded.info == info
    x = _image(info, 9, 8)
    with torch.inference_mode():
        assert torch.equal(_run(case, loaded.network, x), _run(case, network, x))


@pytest.mark.parametrize("size", [(1, 1), (3, 7), (13, 17)])
def test_engine_runs_it_at_any_size(case: Case, size: tuple[int, int]) -> None:
    network, info = case.build(), case.info
    runner = Runner(network, info, RunnerOptions(torch.device("cpu"), torch.float32, None, 0))
    pixels = np.random.default_rng(0).integers(0, 256, (*size, 3), dtype=np.uint8)
    (done,) = runner.run([Plane(pixels, None, case.engine_conditions(*size))])
    assert done is not None
    assert done.error is None
    assert done.pixels.shape == (size[0] * info.scale, size[1] * info.scale, 3)


def test_facts_do_not_depend_on_the_weights(case: Case) -> None:
    assert info_of(case.build(1)) == info_of(case.build(2))
