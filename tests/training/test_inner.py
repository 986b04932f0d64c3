"""The inner step: its directions, its rates, and what is refused."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from srkit.errors import ResourceError, UsageError
from srkit.training.inner import ADAM, MUON, SGD, InnerSteps, check_rates, directions, uniform_rates
from tests.helpers import refused


def _network() -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 3, 1))


def _loss(network: nn.Module, seed: int) -> torch.Tensor:
    x = torch.rand(2, 3, 8, 8, generator=torch.Generator().manual_seed(seed))
    y: torch.Tensor = network(x)
    return y.square().mean()


@pytest.mark.parametrize("kind", ["sgd", "adam"])
def test_uniform_rates_are_what_torch_does(kind: str) -> None:
    ours, theirs = _network(), _network()
    steps = InnerSteps(ours, uniform_rates(ours, 1e-2), ADAM if kind == "adam" else SGD)
    usual = {"sgd": torch.optim.SGD, "adam": torch.optim.Adam}[kind]
    optimizer = usual(theirs.parameters(), lr=1e-2)
    for seed in range(5):
        factor = 1.0 if seed else 0.5
        steps.clear()
        torch.autograd.backward(_loss(ours, seed))
        steps.step(factor)
        optimizer.param_groups[0]["lr"] = 1e-2 * factor
        optimizer.zero_grad()
        torch.autograd.backward(_loss(theirs, seed))
        optimizer.step()
    for a, b in zip(ours.parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-6)


def test_muon_moves_matrices_evenly_and_all_else_by_half_of_adam() -> None:
    network = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Conv2d(8, 6, 3))
    torch.autograd.backward(_loss(network, 0))
    gradients = [p.grad for p in network.parameters() if p.grad is not None]
    moves, _ = directions(MUON, gradients, None)
    halves, _ = directions(ADAM, gradients, None)
    for name, move, half in zip(dict(network.named_parameters()), moves, halves, strict=True):
        if name == "2.weight":
            size = 0.2 * math.sqrt(72)
            values = torch.linalg.svdvals(move.flatten(1)) / size
            assert 0.6 < float(values.min()) <= float(values.max()) < 1.3
        else:
            torch.testing.assert_close(move, 0.5 * half)


def test_each_tensor_has_its_own_rate() -> None:
    network = _network()
    rates = uniform_rates(network, 1.0)
    rates["0.weight"] = torch.tensor(-math.inf)  # a rate of zero
    rates["2.bias"] = torch.log(torch.tensor([1.0, 2.0, 3.0]))
    before = {name: p.detach().clone() for name, p in network.named_parameters()}
    steps = InnerSteps(network, rates, SGD)
    torch.autograd.backward(_loss(network, 0))
    gradients = {name: p.grad.clone() for name, p in network.named_parameters() if p.grad is not None}
    steps.step()
    after = dict(network.named_parameters())
    assert torch.equal(after["0.weight"], before["0.weight"])
    torch.testing.assert_close(after["2.weight"], before["2.weight"] - gradients["2.weight"])
    torch.testing.assert_close(
        after["2.bias"], before["2.bias"] - torch.tensor([1.0, 2.0, 3.0]) * gradients["2.bias"]
    )


def test_what_the_loss_does_not_reach_stays() -> None:
    network = _network()
    before = network[0].weight.detach().clone()  # type: ignore[index, operator, union-attr]
    steps = InnerSteps(network, uniform_rates(network, 1.0), ADAM)
    last = list(network.parameters())[-1]
    torch.autograd.backward(last.sum())
    steps.step()
    assert torch.equal(network[0].weight, before)  # type: ignore[index]


def test_directions_can_be_differentiated_where_a_gradient_is_zero() -> None:
    gradient = torch.tensor([0.0, 1.0, -2.0], requires_grad=True)
    found, moments = directions(ADAM, [gradient], None)
    found, _ = directions(ADAM, [gradient], moments)
    (slope,) = torch.autograd.grad(found[0].sum(), gradient)
    assert bool(slope.isfinite().all())


def test_rates_that_do_not_fit() -> None:
    network = _network()
    rates = uniform_rates(network, 1e-3, "element")
    assert rates["0.weight"].shape == (4, 3, 3, 3)
    check_rates(network, rates, "'x'")
    for changed, named in (
        ({k: v for k, v in rates.items() if k != "0.weight"}, ("0.weight",)),
        ({**rates, "2.bias": torch.zeros(2)}, ("2.bias", "(2,)")),
        ({**rates, "2.bias": torch.tensor(torch.nan)}, ("2.bias",)),
    ):
        with refused(ResourceError, "'x'", *named):
            check_rates(network, changed, "'x'")
    for rate in (0.0, -1.0, math.nan, math.inf):
        with refused(UsageError, rate):
            uniform_rates(network, rate)
