"""The diffusion model: identity at first, one result whatever tiles and batches, another for another seed."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from srkit.archs.amf import AMF, Concatenation
from srkit.archs.condition_encoders import Pyramid
from srkit.archs.diffusion import KAPPA, SIGMA, DiffusionSR, noisy
from srkit.archs.table import build
from srkit.conditioning.values import Condition, Noise
from srkit.degradation.pca import kernel_basis
from srkit.engine.runner import Plane, Runner, RunnerOptions
from srkit.errors import UsageError
from srkit.ops.wavelets import low_pass
from tests.archs.cases import CASES
from tests.helpers import refused

CASE = CASES["diffusion-x4"]


def _first(**changes: Any) -> DiffusionSR:
    """As training begins, but with a basis."""
    torch.manual_seed(0)
    network = build("diffusion", {**CASE.arguments, "steps": 4, **changes}).eval()
    assert isinstance(network, DiffusionSR)
    network.basis.copy_(kernel_basis(network.scale, 4))
    return network


def _trained(**changes: Any) -> DiffusionSR:
    network = _first(**changes)
    with torch.no_grad():
        for parameter in (p for p in network.parameters() if p.requires_grad):
            if not parameter.any():
                parameter.normal_(std=0.1)
    return network


def _lr(height: int = 12, width: int = 14, count: int = 1) -> Tensor:
    return torch.rand(count, 3, height, width, generator=torch.Generator().manual_seed(height))


@torch.inference_mode()
@pytest.mark.parametrize("fusion", ["amf", "concat"])
def test_untrained_it_is_nbsr(fusion: str) -> None:
    network, x = _first(fusion=fusion), _lr()
    conditions = CASE.conditions(1, 12, 14)
    assert torch.equal(network(x, **conditions), network.nbsr(x, conditions["codes"]))


@torch.inference_mode()
def test_fusion_at_zero_leaves_the_prior() -> None:
    network, x = _first(consistent=False), _lr()
    torch.nn.init.normal_(network.unet.tail.weight, std=0.1)
    codes, depth, noise = CASE.conditions(1, 12, 14).values()
    level = torch.tensor([0.7])
    prior = network.residual(noise, level, network.known(x, codes, depth, prior=True))
    fused = network.residual(noise, level, network.known(x, codes, depth))
    assert bool(prior.any())
    assert torch.equal(fused, prior)


@torch.inference_mode()
@pytest.mark.parametrize("normalise", [False, True])
def test_amf_is_the_equation(normalise: bool) -> None:
    fusion = AMF(6, (3, 2), hidden=5, normalise=normalise).eval()
    for parameter in fusion.parameters():
        torch.nn.init.normal_(parameter)
    for norm in fusion.norms:
        norm.running_mean.fill_(0.3)
        norm.running_var.fill_(4.0)
    h, maps = torch.randn(2, 6, 4, 5), [torch.randn(2, 3, 4, 5), torch.randn(2, 2, 4, 5)]
    expected = h
    for perceptron, given in zip(fusion.perceptrons, maps, strict=True):
        scale, shift = perceptron(given).chunk(2, dim=1)
        f = (expected - 0.3) / 4.00001**0.5 if normalise else expected
        expected = (1 + scale) * f + shift
    torch.testing.assert_close(fusion(h, maps), expected)


def test_concatenation_has_as_many_weights() -> None:
    amf, concat = (
        sum(p.numel() for p in kind(96, (32, 32, 32), 32).parameters()) for kind in (AMF, Concatenation)
    )
    assert concat == pytest.approx(amf, rel=0.01)


@torch.inference_mode()
def test_pyramid_repeats_and_halves() -> None:
    pyramid = Pyramid(2, 4, (2, 1, 0.5))
    fine, same, coarse = pyramid(torch.rand(1, 2, 6, 8))
    assert [tuple(m.shape[2:]) for m in (fine, same, coarse)] == [(12, 16), (6, 8), (3, 4)]
    assert torch.equal(fine[:, :, ::2, 1::2], same)


@torch.inference_mode()
def test_level_one_is_noise_alone_and_zero_the_residual() -> None:
    r, eps = torch.randn(2, 3, 4, 4), torch.randn(2, 3, 4, 4)
    assert torch.equal(noisy(r, torch.ones(2), eps), KAPPA * eps)
    assert torch.equal(noisy(r, torch.zeros(2), eps), r)


@torch.inference_mode()
def test_one_step_is_the_estimate_from_noise() -> None:
    network, x = _trained(steps=1), _lr()
    conditions = CASE.conditions(1, 12, 14)
    known = network.known(x, conditions["codes"], conditions["depth"])
    estimate = network.residual(KAPPA * conditions["noise"], torch.ones(1), known)
    expected = known.base + SIGMA * (estimate - low_pass(estimate, 4))
    torch.testing.assert_close(network(x, **conditions), expected)


@torch.inference_mode()
def test_steps_and_every_condition_count() -> None:
    network, x = _trained(), _lr()
    conditions = CASE.conditions(1, 12, 14)
    usual = network(x, **conditions)
    for name, value in conditions.items():
        assert not torch.allclose(network(x, **{**conditions, name: value.flip(3)}), usual, atol=1e-5), name
    network.steps = 2
    assert not torch.allclose(network(x, **conditions), usual, atol=1e-5)
    assert network.info.receptive_field < _trained().info.receptive_field


@torch.inference_mode()
def test_consistency_hides_from_lr_what_is_added() -> None:
    network, x = _trained(), _lr()
    known = network.known(x, *list(CASE.conditions(1, 12, 14).values())[:2])
    assert known.blur is not None
    r = torch.ones(1, 3, 48, 56)  # a colour, which no kernel takes away
    assert network.pull is not None
    network.pull.fill_(4.0)
    assert float(known.blur(network.constrained(r, known)).abs().mean()) < 0.3
    assert not bool(network.constrained(torch.zeros_like(r), known).any())


@torch.inference_mode()
def test_colours_are_those_of_nbsr() -> None:
    network, x = _trained(), _lr(24, 24)
    conditions = CASE.conditions(1, 24, 24)
    change = network(x, **conditions) - network.nbsr(x, conditions["codes"])
    assert float(change.std()) > 1e-3
    assert float(change.mean((2, 3)).abs().max()) < 0.1 * float(change.std())


def _run(network: DiffusionSR, seed: int, tile: int | None, overlap: int = 0) -> np.ndarray:
    height, width = 46, 38
    pixels = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
    conditions = CASE.conditions(1, height, width)
    given = {name: Condition(conditions[name], spatial=True) for name in ("codes", "depth")}
    runner = Runner(
        network, network.info, RunnerOptions(torch.device("cpu"), torch.float32, tile, overlap, batch=3)
    )
    (done,) = runner.run([Plane(pixels, None, {**given, "noise": Noise(seed, 4)})])
    assert done is not None
    assert done.error is None
    return done.pixels.astype(int)


def test_tiles_do_not_count_and_seeds_do() -> None:
    network = _trained(steps=2)
    whole = _run(network, 7, None)
    assert np.abs(_run(network, 7, 16, 22) - whole).max() <= 1
    assert np.abs(_run(network, 8, None) - whole).max() > 1


def test_nbsr_is_frozen() -> None:
    network = _trained().train()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    conditions = CASE.conditions(2, 12, 14)
    optimizer = torch.optim.SGD([p for p in network.parameters() if p.requires_grad], lr=0.1)
    torch.autograd.backward(network(_lr(count=2), **conditions).square().mean())
    optimizer.step()
    changed = {n.split(".")[0] for n, v in network.state_dict().items() if not torch.equal(v, before[n])}
    assert changed == {"unet", "encoders", "fusion", "pull"}
    assert not network.nbsr.training


def test_refuses_to_run_without_codes() -> None:
    with refused(UsageError, "codes"):
        _first()(_lr())
