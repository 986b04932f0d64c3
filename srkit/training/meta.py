"""Learning the rates of few-shot adaptation: what a step on the support images should have been.

CDASR, Eqs. 10 and 11: theta' = theta - alpha dL_S/dtheta is scored on query images of the same domain, and alpha
follows -dL_Q(theta')/dalpha (Meta-SGD; Li et al. 2017; one rate a tensor: MAML++, Antoniou et al. 2019).

After one inner step dL_Q/dalpha is exactly -grad L_Q(theta') . grad L_S(theta), so no second derivative is needed.
After several it is that with the whole way in place of the last step, up to the terms in which earlier steps change
the gradients of later ones: first order. With `second_order` these terms are kept.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.func import functional_call

from srkit.data.episodes import Episode
from srkit.data.pairs import Batch
from srkit.losses.images import l1
from srkit.training.inner import SGD, Granularity, InnerRule, Moments, Rates, directions, uniform_rates

Loss = Callable[[Tensor, Tensor], Tensor]
"""sr and hr to a scalar with its graph."""
Parameters = dict[str, Tensor]

SWEEP = (1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2, 1e-1)
"""Uniform rates among which the one to start from is chosen."""


@dataclass(frozen=True)
class Inner:
    """How a network is adapted within an episode."""

    network: nn.Module
    loss: Loss = l1
    rule: InnerRule = SGD
    second_order: bool = False
    autocast: torch.dtype | None = None
    """Precision of the network's arithmetic; None: that of its parameters."""

    def parameters(self) -> Parameters:
        """The network's own, detached: where an episode starts."""
        return {name: p.detach() for name, p in self.network.named_parameters()}

    def loss_of(self, parameters: Mapping[str, Tensor], batch: Batch) -> Tensor:
        """The loss of the network with other parameters; a scalar with its graph."""
        with torch.autocast(batch.lr.device.type, self.autocast, enabled=self.autocast is not None):
            sr = functional_call(self.network, dict(parameters), (batch.lr,), batch.conditions)
        return self.loss(sr.float() if self.autocast else sr, batch.hr)

    def adapt(self, start: Parameters, rates: Rates, support: Sequence[Batch]) -> Parameters:
        """The parameters after one step on each batch (Eq. 10).

        Args:
            start: with `second_order` the result's graph leads back to them and to the rates; else there is none.
            rates: logarithms; scalars or of the parameters' shapes.
            support: one batch an inner step.
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
                allow_unused=True,  # a part of a network that an image does not reach stays as it is
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
            ways, moments = directions(self.rule, gradients, moments)
            return [p - rates[n].exp() * way for n, p, way in zip(names, now, ways, strict=True)], moments
        with torch.no_grad():
            ways, moments = directions(self.rule, gradients, moments)
            moved = [p - rates[n].exp() * way for n, p, way in zip(names, now, ways, strict=True)]
        return [p.requires_grad_() for p in moved], moments


@dataclass(frozen=True)
class MetaGradients:
    """What an episode says of the rates and of the weights that adapting starts from."""

    rates: dict[str, Tensor]
    """dL_Q/dlog alpha, of the rates' shapes."""
    weights: dict[str, Tensor]
    """dL_Q/dtheta; to first order the gradient at theta' (FOMAML; Finn et al. 2017, section 5.2)."""
    query_loss: float
    """After adapting."""


def meta_gradients(inner: Inner, rates: Rates, episode: Episode) -> MetaGradients:
    """Derivatives of the query loss after adapting: see the head of this file."""
    start = inner.parameters()
    if inner.second_order:
        return _by_autograd(inner, start, rates, episode)
    end = inner.adapt(start, rates, episode.support)
    loss = inner.loss_of(end, episode.query)
    slopes = torch.autograd.grad(loss, list(end.values()), allow_unused=True, materialize_grads=True)
    found: dict[str, Tensor] = {}
    with torch.no_grad():
        for (name, there), slope in zip(end.items(), slopes, strict=True):
            # The way gone is minus alpha times the sum of the directions: d(way)/dlog alpha is the way itself.
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
    """What is learned: the rates' logarithms, and beside them the network that adapting starts from.

    Args:
        network: its parameters want gradients where they are learned too.
        rate: uniform rate to start from.
        granularity: a rate for every tensor (MAML++) or for every number (Meta-SGD).
    """

    def __init__(self, network: nn.Module, rate: float, granularity: Granularity = "tensor") -> None:
        super().__init__()
        self.network = network
        start = uniform_rates(network, rate, granularity)
        self.names = tuple(start)
        self.logs = nn.ParameterList([nn.Parameter(log) for log in start.values()])

    @property
    def rates(self) -> dict[str, Tensor]:
        """By parameter name; they share memory with the module."""
        return dict(zip(self.names, self.logs, strict=True))

    def accumulate(self, inner: Inner, episode: Episode, share: float, *, weights: bool) -> float:
        """Add `share` of an episode's derivatives to `.grad`; the query loss after adapting.

        Args:
            weights: to those of the network's parameters too.
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
    """Each uniform rate with the mean drop of the query loss that one inner step with it brings.

    A rate so large that the loss is no number counts as minus infinity.
    """
    for rate in candidates:
        rates = {
            name: log.to(p.device)
            for (name, log), p in zip(
                uniform_rates(inner.network, rate).items(), inner.network.parameters(), strict=True
            )
        }
        drops = [_drop(inner, rates, episode) for episode in episodes]
        mean = math.fsum(drops) / len(drops)
        yield rate, mean if math.isfinite(mean) else -math.inf


def _drop(inner: Inner, rates: Rates, episode: Episode) -> float:
    start = inner.parameters()
    end = inner.adapt(start, rates, episode.support[:1])
    with torch.no_grad():
        return float(inner.loss_of(start, episode.query) - inner.loss_of(end, episode.query))
