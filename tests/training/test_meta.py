"""Learning of rates: the gradients against what they stand for, and that they are learned."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from srkit.archs.cdasr import CDASR
from srkit.data.episodes import Episode
from srkit.data.pairs import Batch
from srkit.ops.geometry import position_grid
from srkit.training.inner import ADAM, SGD, InnerRule, Rates, uniform_rates
from srkit.training.meta import Inner, MetaLearner, meta_gradients, sweep

RATE = 0.05


class Tiny(nn.Module):
    """x2, smooth in its parameters, so that finite differences mean something."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(4, 12, 1)
        self.unused = nn.Parameter(torch.ones(2))

    def forward(self, x: Tensor) -> Tensor:
        return F.pixel_shuffle(self.b(torch.tanh(self.a(x))), 2)


def _l2(sr: Tensor, hr: Tensor) -> Tensor:
    return (sr - hr).square().mean()


def _network() -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return Tiny().double()


def _episode(steps: int, seed: int = 0) -> Episode:
    random = torch.Generator().manual_seed(seed)

    def batch() -> Batch:
        lr, hr = (torch.rand(2, 3, s, s, generator=random, dtype=torch.float64) for s in (6, 12))
        return Batch(lr, hr)

    return Episode("any", [batch() for _ in range(steps)], batch())


def _rates(network: nn.Module, granularity: str) -> dict[str, Tensor]:
    """Different for every tensor or number."""
    random = torch.Generator().manual_seed(1)
    uniform = uniform_rates(network, RATE, "element" if granularity == "element" else "tensor")
    return {
        name: log.double() + 0.5 * torch.randn(log.shape, generator=random, dtype=torch.float64)
        for name, log in uniform.items()
    }


def _query_loss(inner: Inner, start: dict[str, Tensor], rates: Rates, episode: Episode) -> float:
    end = inner.adapt(start, rates, episode.support)
    return float(inner.loss_of(end, episode.query).detach())


def _difference(inner: Inner, rates: dict[str, Tensor], episode: Episode, name: str, index: int) -> float:
    """dL_Q/dlog alpha of one number by central differences."""
    values = []
    for sign in (1, -1):
        moved = rates[name].clone()
        moved.view(-1)[index] += sign * 1e-5
        values.append(_query_loss(inner, inner.parameters(), {**rates, name: moved}, episode))
    return (values[0] - values[1]) / 2e-5


@pytest.mark.parametrize("granularity", ["tensor", "element"])
def test_after_one_step_it_is_minus_the_product_of_the_gradients(granularity: str) -> None:
    """dL_Q/dalpha = -grad L_Q(theta') . grad L_S(theta), without any second derivative."""
    network = _network()
    inner, episode, rates = Inner(network, _l2), _episode(1), _rates(network, granularity)
    found = meta_gradients(inner, rates, episode).rates
    start = {name: p.detach().requires_grad_() for name, p in network.named_parameters()}

    def gradients(at: dict[str, Tensor], batch: Batch) -> dict[str, Tensor]:
        slopes = torch.autograd.grad(
            inner.loss_of(at, batch), list(at.values()), allow_unused=True, materialize_grads=True
        )
        return dict(zip(at, slopes, strict=True))

    support = gradients(start, episode.support[0])
    moved = {n: (p - rates[n].exp() * support[n]).detach().requires_grad_() for n, p in start.items()}
    query = gradients(moved, episode.query)
    for name, log in rates.items():
        product = -query[name] * support[name]
        wanted = log.exp() * (product.sum() if log.ndim == 0 else product)
        torch.testing.assert_close(found[name], wanted, rtol=1e-10, atol=1e-15)
    assert any(bool(value.abs().max() > 1e-8) for value in found.values())
    assert float(found["unused"].abs().max()) == 0


@pytest.mark.parametrize("rule", [SGD, ADAM], ids=["sgd", "adam"])
@pytest.mark.parametrize("granularity", ["tensor", "element"])
@pytest.mark.parametrize(("steps", "second_order"), [(1, False), (1, True), (3, True)])
def test_against_finite_differences(
    rule: InnerRule, granularity: str, steps: int, second_order: bool
) -> None:
    network = _network()
    inner = Inner(network, _l2, rule, second_order)
    episode, rates = _episode(steps), _rates(network, granularity)
    found = meta_gradients(inner, rates, episode).rates
    for name in ("a.weight", "a.bias", "b.weight"):
        expected = _difference(inner, rates, episode, name, 0)
        assert float(found[name].view(-1)[0]) == pytest.approx(expected, rel=1e-4, abs=1e-12)


def test_second_order_is_autograd_through_all_steps() -> None:
    """Written out by hand, with respect to the rates and to the weights that adapting starts from."""
    network = _network()
    episode, logs = _episode(3), _rates(network, "tensor")
    found = meta_gradients(Inner(network, _l2, SGD, True), logs, episode)
    names = [name for name, _ in network.named_parameters()]
    start = [p.detach().requires_grad_() for p in network.parameters()]
    rates = [logs[name].detach().requires_grad_() for name in names]

    def loss(parameters: Sequence[Tensor], batch: Batch) -> Tensor:
        of = dict(zip(names, parameters, strict=True))
        h = torch.tanh(F.conv2d(batch.lr, of["a.weight"], of["a.bias"], padding=1))
        return _l2(F.pixel_shuffle(F.conv2d(h, of["b.weight"], of["b.bias"]), 2), batch.hr)

    now: list[Tensor] = list(start)
    for batch in episode.support:
        slopes = torch.autograd.grad(
            loss(now, batch), now, create_graph=True, allow_unused=True, materialize_grads=True
        )
        now = [p - rate.exp() * slope for p, rate, slope in zip(now, rates, slopes, strict=True)]
    slopes = torch.autograd.grad(
        loss(now, episode.query), [*rates, *start], allow_unused=True, materialize_grads=True
    )
    for name, of_rate, of_weight in zip(names, slopes[: len(names)], slopes[len(names) :], strict=True):
        torch.testing.assert_close(found.rates[name], of_rate, rtol=1e-9, atol=1e-15)
        torch.testing.assert_close(found.weights[name], of_weight, rtol=1e-9, atol=1e-15)


def test_first_order_is_near_after_several_steps() -> None:
    network = _network()
    episode, rates = _episode(5), uniform_rates(network, 0.01)
    first, second = (
        meta_gradients(Inner(network, _l2, SGD, order), rates, episode).rates for order in (False, True)
    )
    for name in ("a.weight", "b.weight", "b.bias"):
        assert float(first[name]) == pytest.approx(float(second[name]), rel=0.1)
        assert float(first[name]) != float(second[name])


def test_nothing_of_the_network_changes() -> None:
    network = _network()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    for second_order in (False, True):
        meta_gradients(Inner(network, _l2, SGD, second_order), uniform_rates(network, 0.1), _episode(2))
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    assert all(p.grad is None for p in network.parameters())


@pytest.mark.parametrize("weights", [False, True])
def test_rates_are_learned(weights: bool) -> None:
    """From rates far too small, towards a lower query loss after adapting."""
    network = _network()
    inner, learner = Inner(network, _l2), MetaLearner(network, 1e-4)
    optimizer = torch.optim.Adam(learner.logs.parameters(), lr=0.3)
    losses = []
    for step in range(12):
        optimizer.zero_grad()
        losses.append(learner.accumulate(inner, _episode(2, seed=step % 2), 1.0, weights=weights))
        optimizer.step()
    assert losses[-2] < losses[0]
    assert losses[-1] < losses[1]
    assert float(learner.rates["b.bias"].detach()) > math.log(1e-4) + 1
    assert float(learner.rates["unused"].detach()) == pytest.approx(math.log(1e-4))
    grads = [p.grad for p in network.parameters()]
    assert all(grad is not None for grad in grads) if weights else all(grad is None for grad in grads)


def test_shares_of_episodes_add_up() -> None:
    network = _network()
    inner, episodes = Inner(network, _l2), [_episode(1, seed) for seed in (0, 1)]
    learner = MetaLearner(network, RATE, "element")
    for episode in episodes:
        learner.accumulate(inner, episode, 0.5, weights=False)
    rates = {name: log.detach() for name, log in learner.rates.items()}
    each = [meta_gradients(inner, rates, episode).rates for episode in episodes]
    for name, log in learner.rates.items():
        assert log.grad is not None
        torch.testing.assert_close(log.grad, ((each[0][name] + each[1][name]) / 2).to(log.dtype))


def test_sweep() -> None:
    """The drop of the query loss grows with the rate and turns where a step goes too far."""
    network = _network()
    inner = Inner(network, _l2)
    found = dict(sweep(inner, [_episode(1, seed) for seed in range(3)], (1e-4, 1e-1, 1e200)))
    assert 0 < found[1e-4] < found[1e-1]
    assert found[1e200] == -math.inf
    alone = _episode(1)
    start = inner.parameters()
    end = inner.adapt(start, uniform_rates(network, 0.1), alone.support)
    before, after = (inner.loss_of(state, alone.query).detach() for state in (start, end))
    drop = float(before - after)
    assert dict(sweep(inner, [alone], [0.1]))[0.1] == pytest.approx(drop)


def test_a_conditioned_network_of_ours() -> None:
    """After one step both orders are exact, so they agree; the second goes twice through every operation."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = CDASR(
            scale=2,
            features=4,
            blocks=1,
            upsampler="single",
            semantic_dim=6,
            token_channels=5,
            hidden=8,
            aligned=8,
            token_features=3,
        ).double()
        for parameter in network.parameters():
            if not parameter.any():
                nn.init.normal_(parameter, std=0.1)
    random = torch.Generator().manual_seed(2)

    def batch() -> Batch:
        shapes = [(2, 3, 6, 6), (2, 3, 12, 12), (2, 6), (2, 5, 2, 2)]
        lr, hr, semantic, tokens = (torch.rand(s, generator=random, dtype=torch.float64) for s in shapes)
        position = position_grid(6, 6).double().expand(2, -1, -1, -1)
        return Batch(lr, hr, {"semantic": semantic, "tokens": tokens, "position": position})

    episode, rates = Episode("any", [batch()], batch()), uniform_rates(network, RATE)
    first, second = (
        meta_gradients(Inner(network, _l2, SGD, order), rates, episode).rates for order in (False, True)
    )
    assert first["alignment.film.weight"] != 0
    for name, value in first.items():
        torch.testing.assert_close(value.double(), second[name].double(), rtol=1e-5, atol=1e-12)
