"""Meta-learning of the rates of few-shot adaptation.

CDASR, Eqs. 10 and 11: theta' = theta - alpha dL_S/dtheta is scored on query images of the same domain, and alpha
descends along dL_Q(theta')/dalpha (Meta-SGD; Li et al. 2017; with one rate per tensor: MAML++, Antoniou et al. 2019).

After one inner step dL_Q/dalpha is exactly -grad L_Q(theta') . grad L_S(theta), without second derivatives. After
several steps, the sum of all steps replaces the last one, which neglects the effect of earlier steps on the gradients
of later ones (first order). `second_order` includes it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

import torch
from torch import Tensor, nn
from torch.func import functional_call

from srkit.data.episodes import Episode
from srkit.data.pairs import Batch
from srkit.losses.images import l1
from srkit.ops.layout import in_precision
from srkit.training.inner import SGD, Granularity, InnerRule, Moments, Rates, directions, uniform_rates

Loss = Callable[[Tensor, Tensor], Tensor]
"""Function from sr and hr to a scalar with its graph."""
Parameters = dict[str, Tensor]

SWEEP = (1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2, 1e-1)
"""Uniform rates from which the initial one is chosen."""


@dataclass(frozen=True)
class Inner:
    """Adaptation of a network within an episode."""

    network: nn.Module
    loss: Loss = l1
    rule: InnerRule = SGD
    second_order: bool = False
    autocast: torch.dtype | None = None
    """Precision of the network's arithmetic; None: that of its parameters."""

    def parameters(self) -> Parameters:
        """The network's own parameters, detached: the start of an episode."""
        return {name: p.detach() for name, p in self.network.named_parameters()}

    def loss_of(self, parameters: Mapping[str, Tensor], batch: Batch) -> Tensor:
        """Loss of the network with the given parameters; a scalar with its graph."""
        with in_precision(batch.lr, self.autocast):
            sr = functional_call(self.network, dict(parameters), (batch.lr,), batch.conditions)
        return self.loss(sr.float() if self.autocast else sr, batch.hr)

    def adapt(self, start: Parameters, rates: Rates, support: Sequence[Batch]) -> Parameters:
        """Parameters after one step per batch (Eq. 10).

        Args:
            start: initial parameters. With `second_order` the result's graph leads back to them and to the rates;
                otherwise the result has no graph.
            rates: logarithms; scalars or of the parameters' shapes.
            support: one batch per inner step.
        """
        names, moments = list(start), None
        keeps_graph = self.second_order
        now = [p if keeps_graph and p.requires_grad else p.detach().requires_grad_() for p in start.values()]
        for batch in support:
            gradients = self._gradients(dict(zip(names, now, strict=True)), batch)
            now, moments = self._step(names, now, gradients, rates, moments)
        return dict(zip(names, now, strict=True))

    def _gradients(self, parameters: Parameters, batch: Batch) -> list[Tensor]:
        loss = self.loss_of(parameters, batch)
        return list(
            torch.autograd.grad(
                loss,
                list(parameters.values()),
                create_graph=self.second_order,
                allow_unused=True,  # parts of a network that an image does not use are unchanged
                materialize_grads=True,
            )
        )

    def _step(
        self,
        names: list[str],
        now: list[Tensor],
        gradients: list[Tensor],
        rates: Rates,
        moments: Moments | None,
    ) -> tuple[list[Tensor], Moments | None]:
        if self.second_order:
            updates, moments = directions(self.rule, gradients, moments)
            return [
                p - rates[n].exp() * update for n, p, update in zip(names, now, updates, strict=True)
            ], moments
        with torch.no_grad():
            updates, moments = directions(self.rule, gradients, moments)
            moved = [p - rates[n].exp() * update for n, p, update in zip(names, now, updates, strict=True)]
        return [p.requires_grad_() for p in moved], moments


@dataclass(frozen=True)
class MetaGradients:
    """Gradients of an episode with respect to the rates and the initial weights."""

    rates: dict[str, Tensor]
    """dL_Q/dlog alpha, of the rates' shapes."""
    weights: dict[str, Tensor]
    """dL_Q/dtheta; to first order the gradient at theta' (FOMAML; Finn et al. 2017, section 5.2)."""
    query_loss: float
    """Query loss after adaptation."""


def meta_gradients(inner: Inner, rates: Rates, episode: Episode) -> MetaGradients:
    """Derivatives of the query loss after adaptation; see the module's docstring."""
    start = inner.parameters()
    if inner.second_order:
        return _by_autograd(inner, start, rates, episode)
    end = inner.adapt(start, rates, episode.support)
    loss = inner.loss_of(end, episode.query)
    slopes = torch.autograd.grad(loss, list(end.values()), allow_unused=True, materialize_grads=True)
    found: dict[str, Tensor] = {}
    with torch.no_grad():
        for (name, there), slope in zip(end.items(), slopes, strict=True):
            # The displacement is minus alpha times the sum of the directions, so d(displacement)/dlog alpha is itself.
            product = slope * (there - start[name])
            found[name] = product.sum() if rates[name].ndim == 0 else product
    return MetaGradients(found, dict(zip(end, slopes, strict=True)), float(loss.detach()))


def _by_autograd(inner: Inner, start: Parameters, rates: Rates, episode: Episode) -> MetaGradients:
    start = {name: p.requires_grad_() for name, p in start.items()}
    variables = {name: rates[name].detach().requires_grad_() for name in start}
    end = inner.adapt(start, variables, episode.support)
    loss = inner.loss_of(end, episode.query)
    wanted = [*variables.values(), *start.values()]
    slopes = torch.autograd.grad(loss, wanted, allow_unused=True, materialize_grads=True)
    of_rates, of_weights = slopes[: len(variables)], slopes[len(variables) :]
    return MetaGradients(
        dict(zip(variables, of_rates, strict=True)),
        dict(zip(start, of_weights, strict=True)),
        float(loss.detach()),
    )


class MetaLearner(nn.Module):
    """Module of the learned quantities: the rates' logarithms, and the network with the initial weights.

    Args:
        network: its parameters require gradients if they are learned too.
        rate: initial uniform rate.
        granularity: one rate per tensor (MAML++) or per element (Meta-SGD).
    """

    def __init__(self, network: nn.Module, rate: float, granularity: Granularity = "tensor") -> None:
        super().__init__()
        self.network = network
        start = uniform_rates(network, rate, granularity)
        self.names = tuple(start)
        self.logs = nn.ParameterList([nn.Parameter(log) for log in start.values()])

    @property
    def rates(self) -> dict[str, Tensor]:
        """Logarithms of the rates by parameter name; they share memory with the module."""
        return dict(zip(self.names, self.logs, strict=True))

    def accumulate(self, inner: Inner, episode: Episode, share: float, *, weights: bool) -> float:
        """Add `share` times an episode's derivatives to `.grad`; return the query loss after adaptation.

        Args:
            weights: include the network's parameters.
        """
        rates = {name: log.detach() for name, log in self.rates.items()}
        found = meta_gradients(inner, rates, episode)
        for name, log in self.rates.items():
            _add(log, found.rates[name], share)
        if weights:
            for name, parameter in self.network.named_parameters():
                _add(parameter, found.weights[name], share)
        return found.query_loss


def _add(parameter: Tensor, gradient: Tensor, share: float) -> None:
    if parameter.grad is None:
        parameter.grad = torch.zeros_like(parameter)
    parameter.grad.add_(gradient, alpha=share)


def sweep(
    inner: Inner, episodes: Sequence[Episode], candidates: Sequence[float] = SWEEP
) -> Iterator[tuple[float, float]]:
    """Uniform rates, each with the mean drop of the query loss after one inner step.

    The drop is minus infinity if the loss is not finite.
    """
    for rate in candidates:
        rates = {
            name: log.to(p.device)
            for (name, log), p in zip(
                uniform_rates(inner.network, rate).items(), inner.network.parameters(), strict=True
            )
        }
        drops = [_drop(inner, rates, episode) for episode in episodes]
        mean = fmean(drops)
        yield rate, mean if math.isfinite(mean) else -math.inf


def _drop(inner: Inner, rates: Rates, episode: Episode) -> float:
    start = inner.parameters()
    end = inner.adapt(start, rates, episode.support[:1])
    with torch.no_grad():
        return float(inner.loss_of(start, episode.query) - inner.loss_of(end, episode.query))
